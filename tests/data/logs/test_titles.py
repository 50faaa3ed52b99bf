"""Title files of the known layouts."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from dllm2rec.data.logs.titles.read_titles import read_titles
from dllm2rec.data.logs.titles.records import LITERAL_DEPTH
from dllm2rec.data.text.files import MAX_COLUMNS
from dllm2rec.errors import InputError


def titles_of(tmp_path, layout, data, name="titles"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    found = read_titles(path, layout)
    table = found.table
    return dict(zip(table["item_id"].to_pylist(), table["title"].to_pylist(), strict=True)), found


CASES = [
    ("csv", "item_id,title\n1,Toy Story\n", {"1": "Toy Story"}),
    ("csv", '\ufeffmovieId,title,genres\r\n1,"A, ""B""\nC",x\r\n', {"1": 'A, "B"\nC'}),
    ("tsv", "title\tx\titem_id\nA\t\t1\n", {"1": "A"}),
    ("recbole", "item_id:token\tmovie_title:token_seq\n7\tToy Story\n", {"7": "Toy Story"}),
    ("movielens-pipes", "1|Toy Story (1995)|01-Jan-1995||http\n", {"1": "Toy Story (1995)"}),
    ("movielens-pipes", b"2|Caf\xe9|x\n", {"2": "Café"}),
    ("movielens-colons", "1::Léon: The Pro::Drama\n", {"1": "Léon: The Pro"}),
    ("jsonl", '{"asin": "B1", "title": "Tom &amp; Jerry&#39;s "}\n', {"B1": "Tom & Jerry's"}),
    ("jsonl", '{"parent_asin": "B2", "title": null}\n', {"B2": ""}),
    (
        "jsonl",
        "{'asin': 'B3', 'price': -1e-05, 'title': \"It's (a [b\", 'x': None}\n",
        {"B3": "It's (a [b"},
    ),
    ("jsonl", r"{'asin': 'B4', 'title': u'a\'b \u2019'}" + "\n", {"B4": "a'b \u2019"}),
    ("jsonl", '{"asin": "B5"}\n{"asin": "B6", "title": "A"}\n', {"B5": "", "B6": "A"}),
    ("bigrec", "A\tB\t0\nC\t1\n", {"0": "A\tB", "1": "C"}),
]


@pytest.mark.parametrize(("layout", "data", "expected"), CASES)
def test_each_layout_gives_ids_and_titles(tmp_path, layout, data, expected):
    assert titles_of(tmp_path, layout, data)[0] == expected


def test_gzip_is_known_by_content_not_by_name(tmp_path):
    data = gzip.compress(b"item_id,title\n1,A\n")
    assert titles_of(tmp_path, "csv", data, "items.csv")[0] == {"1": "A"}


def test_empty_and_repeated_titles_are_counted(tmp_path):
    titles, found = titles_of(tmp_path, "csv", "item_id,title\n1,\n2, \n1,A\n3,B\n")
    assert titles == {"1": "A", "2": "", "3": "B"}
    assert found.notes == [
        "titles: 1 of 3 titles are empty",
        "titles: 1 lines repeat an item; its first title is kept",
    ]


REFUSED = [
    ("csv", "item_id,title\n1,A,B\n", 2, "E-RAGGED"),
    ("csv", "item_id,name_of\n1,A\n", 1, "E-HEADER"),
    ("csv", 'item_id,title\n1,"A\n', 2, "E-CSV"),
    ("csv", b"item_id,title\n1,\xff\n", 2, "E-ENC"),
    ("csv", b"item_id,title\n1,a\0b\n", 2, "E-NUL"),
    ("csv", "item_id,title\n", None, "E-EMPTY"),
    ("csv", "", None, "E-HEADER"),
    ("movielens-colons", "1::A\n2\n", 2, "E-RAGGED"),
    ("bigrec", "A\t0\nB 1\n", 2, "E-RAGGED"),
    ("jsonl", '{"asin": "B1"}\n\n', 2, "E-BLANK"),
    ("jsonl", '["B1"]\n', 1, "E-TOKEN"),
    ("jsonl", '{"asin": 5.5}\n', 1, "E-TOKEN"),
    ("jsonl", '{"asin": "B1", "x": "A"}\n', 1, "E-HEADER"),
    ("jsonl", '{"asin": "B1", "title": ["x"]}\n', 1, "E-TOKEN"),
    ("jsonl", '{"asin": "B1", "title": "A", "title": "B"}\n', 1, "E-JSON-KEY"),
    ("jsonl", "{'asin': 'B1', 'title': 'A', 'title': 'B'}\n", 1, "E-JSON"),
    ("jsonl", '{"asin": "B1", "title": "\\ud800"}\n', 1, "E-ENC"),
    ("jsonl", "{'asin': 'B\\ud800', 'title': 'A'}\n", 1, "E-ENC"),
    ("csv", "item_id,title,title\n1,A,B\n", None, "E-HEADER"),
    ("tsv", "item_id\titem_id\ttitle\n1\t2\tB\n", None, "E-HEADER"),
    ("recbole", "item_id:token\ttitle:token\ttitle:token_seq\n1\tA\tB\n", None, "E-HEADER"),
]


@pytest.mark.parametrize(("layout", "data", "line", "code"), REFUSED)
def test_what_breaks_a_layout_is_refused_with_its_line(tmp_path, layout, data, line, code):
    with pytest.raises(InputError) as caught:
        titles_of(tmp_path, layout, data)
    assert caught.value.code == code
    if line is not None:
        assert caught.value.line == line


@pytest.mark.parametrize(
    "literal",
    [
        "__import__('os').system('touch {mark}')",
        "{{'asin': open('{mark}', 'w')}}",
        "{{'asin': 'B1', 'title': f'{{open(\"{mark}\", \"w\")}}'}}",
        "{{'asin': 'B1', 'x': 'a'.join(['{mark}'])}}",
        "{{'asin': '''B1''', 'x': [x for x in '{mark}']}}",
        "{{'asin': 'B1', 'x': 9**9**9}}",
        "{{'asin': 'B1', 'x': " + "[" * 100_000,
        "{{'asin': 'B1', 'x': " + "[" * 60 + "]" * 60 + "}}",
        "{{'asin': 'B1', 'x': " + "-" * 100_000 + "1}}",
        "{{'asin': 'B1', 'x': " + "not " * 100_000 + "1}}",
        "{{'asin': 'B1', 'x': '))))' " + "[" * 40,
        "{{'asin': 'B1' 'x",
    ],
)
def test_a_literal_that_is_more_than_a_literal_is_refused_and_nothing_runs(tmp_path, literal):
    mark = tmp_path / "mark"
    with pytest.raises(InputError) as caught:
        titles_of(tmp_path, "jsonl", literal.format(mark=mark) + "\n")
    assert caught.value.code == "E-JSON"
    assert caught.value.line == 1
    assert not mark.exists()


def test_brackets_inside_strings_do_not_count_as_depth(tmp_path):
    text = "(" * (LITERAL_DEPTH + 1)
    record = repr({"asin": "B1", "title": text})
    assert titles_of(tmp_path, "jsonl", record + "\n")[0] == {"B1": text}


def test_nested_json_does_not_overflow(tmp_path):
    with pytest.raises(InputError, match="deep"):
        titles_of(tmp_path, "jsonl", '{"asin": "B1", "x": ' + "[" * 100_000 + "\n")


def test_columns_that_are_not_read_may_be_there_twice(tmp_path):
    assert titles_of(tmp_path, "csv", "item_id,x,x,title\n1,,,A\n")[0] == {"1": "A"}
    pairs = b'{"asin": "B1", "title": "\\ud83d\\ude00"}\n'
    assert titles_of(tmp_path, "jsonl", pairs)[0] == {"B1": "\U0001f600"}


def test_a_cut_gzip_file_is_refused(tmp_path):
    data = gzip.compress(json.dumps({"asin": "B1", "title": "x" * 5000}).encode())
    with pytest.raises(InputError) as caught:
        titles_of(tmp_path, "jsonl", data[:-12])
    assert caught.value.code == "E-TRUNC"


@pytest.mark.parametrize(("head", "code"), [("", "E-HEADER"), ("item_id,title\n", "E-RAGGED")])
def test_a_line_of_very_many_columns_is_refused_before_they_are_held(tmp_path, head, code):
    path = tmp_path / "items.csv"
    path.write_text(head + "," * MAX_COLUMNS + "\n")
    with pytest.raises(InputError, match=f"{code}.*over 131,072 columns"):
        read_titles(path)


def test_a_header_of_many_columns_is_looked_through_once(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(",".join(f"column {n}" for n in range(100_000)) + "\n")
    began = time.process_time()
    with pytest.raises(InputError, match="no column for the ids"):
        read_titles(path)
    assert time.process_time() - began < 2  # 8 s where each usual name goes through all of them
