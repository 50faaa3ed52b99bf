"""From files in each layout to a folder, by the function and by the command."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data import prepare_run as room
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.logs.layouts.detect_layout import recognise
from dllm2rec.data.logs.layouts.read_layout import LogOptions, read_layout_titles, read_log
from dllm2rec.data.prepare_run import PrepareRequest, PrepareResult
from dllm2rec.data.protocol.model import Protocol, named_protocol
from dllm2rec.data.protocol.prepare import prepare
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from tests.data.protocol.test_prepare import bigrec, windows_of

# Two users of four events and one of one; item c has an entity in its title, item d none.
EVENTS = [
    ("u1", "a", 5, 100),
    ("u2", "b", 4, 110),
    ("u1", "b", 3, 120),
    ("u2", "a", 2, 130),
    ("u1", "c", 1, 140),
    ("u2", "c", 5, 150),
    ("u1", "d", 4, 160),
    ("u2", "d", 3, 170),
    ("u3", "a", 5, 180),
]
TITLES = {"a": "Alpha", "b": "Beta", "c": "C &amp; D", "d": ""}
CLEAN = ["Alpha", "Beta", "C & D", ""]


def prepare_run(sources: list[Path], out: Path, **options: Any) -> PrepareResult:
    return room.prepare_run(PrepareRequest(sources, out, **options))


def rows(delimiter, *, header="", order=(0, 1, 2, 3)):
    lines = [delimiter.join(str(event[i]) for i in order) for event in EVENTS]
    return header + "".join(f"{line}\n" for line in lines)


def amazon(user, item, rating, time, scale=1):
    return "".join(
        json.dumps({user: u, item: i, rating: r, time: t * scale}) + "\n" for u, i, r, t in EVENTS
    )


META = "".join(json.dumps({"asin": i, "title": t}) + "\n" for i, t in TITLES.items())
LITERAL_META = "".join(repr({"asin": i, "title": t}) + "\n" for i, t in TITLES.items())
META23 = META.replace("asin", "parent_asin")
PIPES = "".join(f"{i}|{t}|01-Jan-1995||\n" for i, t in TITLES.items())
COLONS = "".join(f"{i}::{t}::Drama\n" for i, t in TITLES.items())
CSV_TITLES = "movieId,title,genres\n" + "".join(f"{i},{t},Drama\n" for i, t in TITLES.items())
ATOMIC = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
TABS = "item_id:token\ttitle:token_seq\n" + "".join(f"{i}\t{t}\n" for i, t in TITLES.items())
LAYOUTS = {
    "recbole": {"x.inter": rows("\t", header=ATOMIC), "x.item": TABS},
    "movielens-100k": {"u.data": rows("\t"), "u.item": PIPES},
    "movielens-1m": {"ratings.dat": rows("::"), "movies.dat": COLONS},
    "movielens-20m": {
        "ratings.csv": rows(",", header="userId,movieId,rating,timestamp\n"),
        "movies.csv": CSV_TITLES,
    },
    "amazon-2014": {
        "reviews_Toys_5.json": amazon("reviewerID", "asin", "overall", "unixReviewTime"),
        "meta_Toys.json": LITERAL_META,
    },
    "amazon-2018": {
        "Toys_5.json": amazon("reviewerID", "asin", "overall", "unixReviewTime"),
        "meta_Toys.json": META,
    },
    "table": {
        "interactions.csv": rows(",", header="user_id,item_id,rating,timestamp\n"),
        "items.csv": CSV_TITLES.replace("movieId", "item_id"),
    },
}


def lay(folder, files, *, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def same_dataset(ours, theirs):
    return (
        np.array_equal(ours.events, theirs.events)
        and ours.catalogue.item_ids == theirs.catalogue.item_ids
        and ours.catalogue.titles == theirs.catalogue.titles
        and all(
            np.array_equal(mine.end, theirs.splits()[name].end)
            for name, mine in ours.splits().items()
        )
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_becomes_the_same_dataset(tmp_path, layout, packed):
    source = lay(tmp_path / "src", LAYOUTS[layout], packed=packed)
    result = prepare_run([source], tmp_path / "out")
    dataset = load_dataset(tmp_path / "out")
    assert dataset.catalogue.item_ids == ["a", "b", "c", "d"]
    assert dataset.catalogue.titles == CLEAN
    assert dataset.events.tolist() == [0, 1, 2, 3, 1, 0, 2, 3]
    assert result.counts == {
        "users": 2,
        "items": 4,
        "events": 8,
        "longest window": 10,
        "train rows": 2,
        "validation rows": 2,
        "test rows": 2,
    }
    assert any("1 of 4 titles are empty" in note for note in result.notes)
    assert result.report.users_without_row == 1


@pytest.mark.parametrize("layout", [*LAYOUTS])
def test_each_layout_gives_times_and_ratings(tmp_path, layout):
    log = read_log(recognise([lay(tmp_path, LAYOUTS[layout])]))
    assert log.times.tolist() == [event[3] * 1_000_000 for event in EVENTS]
    assert log.ratings.tolist() == [event[2] for event in EVENTS]


def test_amazon_2023_has_milliseconds_and_parents(tmp_path):
    text = amazon("user_id", "parent_asin", "rating", "timestamp", scale=10_000_000_000)
    log = read_log(recognise([lay(tmp_path, {"Toys.jsonl": text, "meta_Toys.jsonl": META23})]))
    assert log.times.tolist() == [event[3] * 10**13 for event in EVENTS]
    assert log.item_ids.to_pylist() == ["a", "b", "c", "d"]


def test_amazon_ratings_are_told_by_which_column_holds_asins(tmp_path):
    lines = [("A1YJEY40YUW4SE", "0000000001"), ("A2", "B00XXXXXXX")]
    for name, swap in (("2014.csv", False), ("2018.csv", True)):
        text = "".join(f"{','.join(line[::-1] if swap else line)},5.0,9\n" for line in lines)
        log = read_log(recognise([lay(tmp_path, {name: text}) / name]))
        assert log.user_ids.to_pylist() == ["A1YJEY40YUW4SE", "A2"]


def test_the_rows_survive_the_authors_layout(tmp_path):
    source = lay(tmp_path / "src", LAYOUTS["table"])
    prepare_run([source], tmp_path / "a")
    prepare_run([source], tmp_path / "b", form="authors")
    prepare_run([tmp_path / "a"], tmp_path / "c", form="authors")
    ours, theirs = load_dataset(tmp_path / "a"), load_dataset(tmp_path / "b")
    for split, mine in ours.splits().items():
        assert np.array_equal(
            ours.windows(mine).sequences, theirs.windows(theirs.splits()[split]).sequences
        )
    for name in ("train_data.csv", "test_data.csv", "items.csv"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


@pytest.mark.parametrize("form", ["inter", "csv"])
def test_a_log_survives_being_written(tmp_path, form):
    source = lay(tmp_path / "src", LAYOUTS["movielens-1m"])
    prepare_run([source], tmp_path / "log", form=form)
    first = read_log(recognise([source]))
    again = read_log(recognise([tmp_path / "log"]))
    for name in ("users", "items", "times", "ratings"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert first.user_ids.to_pylist() == again.user_ids.to_pylist()
    assert first.item_ids.to_pylist() == again.item_ids.to_pylist()
    if form == "inter":
        prepare_run([tmp_path / "log"], tmp_path / "again" / "log", form=form)
        assert (tmp_path / "log" / "log.inter").read_bytes() == (
            tmp_path / "again" / "log" / "log.inter"
        ).read_bytes()


def test_rows_for_recbole_have_external_ids(tmp_path):
    prepare_run([lay(tmp_path / "src", LAYOUTS["table"])], tmp_path / "x", form="recbole")
    with (tmp_path / "x" / "x.test.inter").open(newline="") as file:
        table = list(csv.reader(file, delimiter="\t"))
    assert [row[1:] for row in table[1:]] == [["a b c", "d"], ["b a c", "d"]]


def test_the_order_of_the_file_can_be_asked_for(tmp_path):
    files = {"log.csv": "user_id,item_id,timestamp\nu,a,3\nu,b,2\nu,c,1\n"}
    source = lay(tmp_path / "src", files)
    prepare_run([source], tmp_path / "a")
    prepare_run([source], tmp_path / "b", options=LogOptions(file_order=True))
    ids = [
        [d.catalogue.item_ids[item] for item in d.events]
        for d in (load_dataset(tmp_path / "a"), load_dataset(tmp_path / "b"))
    ]
    assert ids == [["c", "b", "a"], ["a", "b", "c"]]


def test_names_of_columns_and_rules_are_used(tmp_path):
    lines = rows(",", order=(0, 1, 3, 2)).replace("\n", ",train\n")
    files = {"log.csv": f"who,what,when,stars,part\n{lines}"}
    columns = {"user": "who", "item": "what", "time": "when", "rating": "stars", "split": "part"}
    result = prepare_run(
        [lay(tmp_path / "src", files)],
        tmp_path / "out",
        options=LogOptions(columns=columns),
        protocol=Protocol(min_rating=2, split="given"),
    )
    assert [step.events for step in result.report.steps] == [9, 8]
    assert result.counts["train rows"] == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"form": "dataset"}, "already split, expected authors or recbole"),
        ({"form": "csv"}, "already split, expected authors or recbole"),
        ({"form": "authors", "protocol": Protocol()}, "already split, expected no protocol"),
        ({"form": "authors", "options": LogOptions(strip=True)}, "expected no protocol"),
        ({"form": "authors", "excel_safe": True}, "expected csv"),
    ],
)
def test_what_does_not_go_with_split_rows_is_refused(tmp_path, changes, words):
    prepare_run([lay(tmp_path / "src", LAYOUTS["table"])], tmp_path / "a", form="authors")
    with pytest.raises(ConfigError, match=words):
        prepare_run([tmp_path / "a"], tmp_path / "b", **changes)


def test_nothing_is_written_over_or_into_what_is_read(tmp_path):
    source = lay(tmp_path / "src", LAYOUTS["table"])
    before = sorted(path.name for path in source.iterdir())
    for out, words in ((source, "is or holds the input"), (tmp_path, "is or holds the input")):
        with pytest.raises(ConfigError, match=words):
            prepare_run([source], out, overwrite=True)
    out = lay(tmp_path / "full", {"mine.txt": "x"})
    with pytest.raises(ConfigError, match="not empty"):
        prepare_run([source], out)
    with pytest.raises(ConfigError, match="remove it yourself"):
        prepare_run([source], out, overwrite=True)
    assert sorted(path.name for path in source.iterdir()) == before
    prepare_run([source], tmp_path / "a")
    first = load_dataset(tmp_path / "a").fingerprint()
    with pytest.raises(ConfigError, match="not empty"):
        prepare_run([source], tmp_path / "a")
    prepare_run([source], tmp_path / "a", overwrite=True, protocol=Protocol(max_length=2))
    assert load_dataset(tmp_path / "a").fingerprint() != first


def test_a_refused_log_leaves_the_old_folder_alone(tmp_path):
    source = lay(tmp_path / "src", LAYOUTS["table"])
    prepare_run([source], tmp_path / "a")
    first = load_dataset(tmp_path / "a").fingerprint()
    lay(source, {"interactions.csv": "user_id,item_id\nu,\n"})
    with pytest.raises(InputError):
        prepare_run([source], tmp_path / "a", overwrite=True)
    assert load_dataset(tmp_path / "a").fingerprint() == first


def test_a_changed_dataset_is_not_exported(tmp_path):
    prepare_run([lay(tmp_path / "src", LAYOUTS["table"])], tmp_path / "a")
    path = tmp_path / "a" / "items.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="sha256 differs"):
        prepare_run([tmp_path / "a"], tmp_path / "b", form="recbole")


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_what_it_read_dropped_and_wrote(tmp_path, capsys):
    source = lay(tmp_path / "src", LAYOUTS["movielens-1m"])
    words = ["prepare", str(source), "--out", str(tmp_path / "out"), "--set", "min_rating=2"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == (
        "read as movielens (ratings.dat: MovieLens 1M or 10M; titles from movies.dat)"
    )
    assert ["rating", ">=", "2", "8", "3", "4", "1"] in [line.split() for line in lines]
    assert lines[-1] == f"dataset written to {tmp_path / 'out'}"
    for fact in ("users without a row", "cold test targets", "leak: other rows that are in train"):
        assert fact in shown


def test_the_command_prints_one_object_for_machines(tmp_path, capsys):
    source = lay(tmp_path / "src", LAYOUTS["table"])
    out = tmp_path / "out"
    assert main(["prepare", str(source), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["out"], found["form"]) == (str(out), "dataset")
    assert found["report"]["steps"][0] == {"rule": "as read", "events": 9, "users": 3, "items": 4}
    assert found["counts"]["test rows"] == 2


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["none.csv"], 3, "no such file or folder"),
        (["src", "--protocol", "five-cores"], 2, "did you mean 'five-core'?"),
        (["src", "--set", "min_user_event=5"], 2, "did you mean 'min_user_events'?"),
        (["src", "--set", "min_rating=9"], 3, "no events left after rating >= 9"),
        (["src", "--set", "split=given"], 3, "name it with --split-column"),
        (["src", "--format", "xls"], 2, "'--format'"),
        (["src", "--write", "xls"], 2, "'--write'"),
        (["src", "--format", "bigrec"], 3, "expected the layout bigrec"),
        (["src", "--excel-safe"], 2, "expected csv"),
        (["src", "--out", "src"], 2, "is or holds the input"),
        ([], 2, "Missing argument 'SRC...'"),
    ],
)
def test_the_command_ends_with_the_code_and_line_of_its_error(
    tmp_path, capsys, monkeypatch, words, code, part
):
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "src", LAYOUTS["table"])
    assert main(["prepare", "--out", "out", *words]) == code
    shown = capsys.readouterr()
    assert part in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "out").exists()


# --- the files people have ------------------------------------------------------------------------

RAW = {
    "amazon_toys14": ([], 19_412, 11_924, 167_597),
    "ml100k": ([], 943, 1_682, 100_000),
    "ml1m": (
        ["--file-order", "--split-column", "split_global_time", "--set", "split=given"],
        6_040,
        3_416,
        997_960,
    ),
    "steam_setrec": ([], 32_919, 14_330, 1_436_230),
}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", RAW)
def test_raw_files_end_in_a_trained_student_by_two_commands(tmp_path, capsys, real_data, name):
    options, users, items, events = RAW[name]
    out = str(tmp_path / name)
    # Rows are drawn, and windows cut, for the sake of the test's time alone.
    words = ["prepare", str(real_data / "raw" / name), "--out", out, *options, "--json"]
    assert main([*words, "--set", "sample=[20000,900,900]", "--set", "max_length=10"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["report"]["steps"][0] == {
        "rule": "as read",
        "events": events,
        "users": users,
        "items": items,
    }
    train = ["train", "--dataset", out, "--out", str(tmp_path / "run"), "--device", "cpu", "--json"]
    small = ["train.max_epochs=1", "student.hidden_size=8", "student.n_heads=1"]
    assert main([*train, *(word for text in small for word in ("--set", text))]) == 0
    (row,) = [r for r in json.loads(capsys.readouterr().out)["rows"] if r["name"] == "sasrec"]
    assert 0 < row["test"]["hr@20"] < 1
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000


@pytest.mark.real
def test_real_rows_come_in_the_order_of_bigrec(real_data):
    layout = recognise([real_data / "raw" / "ml100k"])
    log = read_log(layout, ratings=False)
    users, items = log.user_ids.to_pylist(), log.item_ids.to_pylist()
    columns = (log.users.tolist(), log.items.tolist(), log.times.tolist())
    events = [(users[u], items[i], t) for u, i, t in zip(*columns, strict=True)]
    titles = read_layout_titles(layout).table
    titled = {
        i for i, t in zip(*(c.to_pylist() for c in titles.columns), strict=True) if len(t) > 1
    }
    kept = [event for event in events if event[1] in titled]
    dataset = prepare(log, named_protocol("bigrec-games"), titles).dataset
    assert windows_of(dataset) == bigrec(kept, 10)
    assert len(dataset.train) > 50_000


@pytest.mark.real
def test_raw_titles_are_found_where_there_are_any(real_data):
    found = {name: recognise([real_data / "raw" / name]).titles for name in RAW}
    assert {name: path is not None for name, path in found.items()} == {
        "amazon_toys14": True,
        "ml100k": True,
        "ml1m": True,
        "steam_setrec": False,
    }


@pytest.mark.real
def test_times_that_are_missing_are_refused_with_what_to_do(tmp_path, capsys, real_data):
    source = str(real_data / "raw" / "ml1m")
    assert main(["prepare", source, "--out", str(tmp_path / "out")]) == 3
    assert "--file-order" in capsys.readouterr().err
