"""Which layout a file or folder is in."""

from __future__ import annotations

import gzip

import pytest

from dllm2rec.data.logs.layouts.detect_layout import recognise
from dllm2rec.errors import ConfigError, InputError

REVIEW = '{"reviewerID": "A1", "asin": "0000000001", "overall": 5.0, "unixReviewTime": 1}\n'
REVIEW23 = '{"user_id": "A1", "parent_asin": "B1", "rating": 5.0, "timestamp": 1588687728923}\n'

# files of a folder -> layout, log, titles, and one word of the reason
CASES = [
    (
        {"x.inter": "user_id:token\titem_id:token\n", "x.item": ""},
        "recbole",
        "x.inter",
        "x.item",
        "x.inter",
    ),
    ({"u.data": "1\t2\t3\t4\n", "u.item": ""}, "movielens", "u.data", "u.item", "100K"),
    ({"ratings.dat": "", "movies.dat": ""}, "movielens", "ratings.dat", "movies.dat", "1M"),
    (
        {"ratings.csv": "userId,movieId,rating,timestamp\n", "movies.csv": ""},
        "movielens",
        "ratings.csv",
        "movies.csv",
        "20M",
    ),
    (
        {"reviews_Toys_5.json": REVIEW, "meta_Toys.json": "{"},
        "amazon",
        "reviews_Toys_5.json",
        "meta_Toys.json",
        "2014",
    ),
    (
        {"Toys.jsonl": REVIEW23, "meta_Toys.jsonl": "", "meta_X.jsonl": ""},
        "amazon",
        "Toys.jsonl",
        "meta_Toys.jsonl",
        "2023",
    ),
    ({"Toys.csv": "user_id,parent_asin,rating,timestamp\n"}, "amazon", "Toys.csv", None, "2023"),
    (
        {"ratings_Toys.csv": "A1YJEY40YUW4SE,0000000001,5.0,1\n"},
        "amazon",
        "ratings_Toys.csv",
        None,
        "user first",
    ),
    ({"Toys.csv": "0000000001,A1YJEY40YUW4SE,5.0,1\n"}, "amazon", "Toys.csv", None, "item first"),
    ({"train.csv": "", "id2name.txt": ""}, "bigrec", None, None, "id2name.txt"),
    ({"train_data.csv": ""}, "authors", None, None, "train_data.csv"),
    ({"manifest.json": "", "interactions.parquet": ""}, "dataset", None, None, "manifest.json"),
    (
        {"interactions.parquet": "", "items.csv": "item_id,title\n", "users.csv": ""},
        "table",
        "interactions.parquet",
        "items.csv",
        "ending",
    ),
    (
        {"log.csv": "user_id,item_id\n", "items.csv": "item_id,title\n"},
        "table",
        "log.csv",
        "items.csv",
        "ending",
    ),
    ({"log.jsonl": '{"user_id": "a"}\n'}, "table", "log.jsonl", None, "ending"),
]


def lay(folder, files, *, packed=False):
    for name, text in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("files", "name", "log", "titles", "word"), CASES)
def test_a_folder_is_recognised_with_its_log_and_titles(
    tmp_path, files, name, log, titles, word, packed
):
    packed = packed and name != "dataset"  # a folder of ours never is
    lay(tmp_path, files, packed=packed)
    end = ".gz" if packed else ""
    found = recognise([tmp_path])
    assert found.name == name
    assert word in found.why
    assert found.logs == [tmp_path / f"{log}{end}" if log else tmp_path]
    assert found.titles == (tmp_path / f"{titles}{end}" if titles else None)


def test_the_columns_of_each_layout_are_those_of_its_files(tmp_path):
    lay(
        tmp_path,
        {"x.inter": "user_id:token\titem_id:token\ttimestamp:float\trating:float\tz:token\n"},
    )
    assert recognise([tmp_path]).columns == {
        "user": "user_id:token",
        "item": "item_id:token",
        "time": "timestamp:float",
        "rating": "rating:float",
    }


def test_a_file_is_recognised_by_itself_and_finds_its_titles(tmp_path):
    lay(tmp_path, {"u.data": "1\t2\t3\t4\n", "u.item": "", "other.csv": ""})
    found = recognise([tmp_path / "u.data"])
    assert (found.name, found.titles) == ("movielens", tmp_path / "u.item")


def test_a_named_format_is_believed_whatever_the_ending(tmp_path):
    lay(tmp_path, {"log.txt": "user_id,item_id\n", "u.data": ""})
    found = recognise([tmp_path / "log.txt"], "csv")
    assert (found.name, found.file_format, found.logs) == ("table", "csv", [tmp_path / "log.txt"])


@pytest.mark.parametrize(
    ("files", "file_format", "word"),
    [
        ({"x.xlsx": ""}, "auto", "a known layout"),
        ({}, "auto", "no files"),
        ({"a.inter": "", "b.inter": ""}, "auto", "one .inter file"),
        ({"a.csv": "", "b.jsonl": ""}, "auto", "a known layout"),
        ({"log.csv": ""}, "movielens", "the layout movielens"),
    ],
)
def test_what_is_in_no_layout_is_refused_with_what_there_is(tmp_path, files, file_format, word):
    lay(tmp_path, files)
    with pytest.raises(InputError, match=word):
        recognise([tmp_path], file_format)


def test_a_missing_source_and_an_unknown_format_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        recognise([tmp_path / "none"])
    with pytest.raises(ConfigError, match="expected one of auto"):
        recognise([tmp_path], "xls")
    with pytest.raises(ConfigError, match="no source"):
        recognise([])
