"""`dllm2rec recommend` for many: what it reads, what it writes, and in which parts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from dllm2rec import Recommendation
from dllm2rec.caller import command_line
from dllm2rec.cli import main, recommend_inputs
from dllm2rec.cli.recommend_files import write_lists
from dllm2rec.cli.recommend_inputs import User, history_blocks
from dllm2rec.errors import ArtifactError, InputError
from tests.support.all_histories import read_histories
from tests.support.made_lists import made_lists
from tests.train.test_train_run import CONFIG, changed, train

USERS = {"u1": ["item-3", "item-4"], "u2": ["item-9"], "u 3": ["item-5", "item-3", "item-7"]}
# The same as a log: the events of all in the order of time.
EVENTS = [
    ("u1", "item-3", 10), ("u2", "item-9", 20), ("u 3", "item-5", 5), ("u 3", "item-7", 30),
    ("u1", "item-4", 40), ("u 3", "item-3", 6),
]  # fmt: skip
TABLE = pa.table({"user_id": [*USERS], "history": [*USERS.values()]})
LOG = pa.Table.from_pylist([{"user_id": u, "item_id": i, "timestamp": t} for u, i, t in EVENTS])


def lines(*rows: object) -> str:
    return "".join(f"{row}\n" for row in rows)


def write_inputs(folder: Path) -> Iterator[Path]:
    texts = {
        "lines.jsonl": lines(*(json.dumps({"user_id": u, "history": h}) for u, h in USERS.items())),
        "lines.txt": lines(*(json.dumps({"user_id": u, "history": h}) for u, h in USERS.items())),
        "cells.csv": lines("user_id,history", *(f"{u},{' '.join(h)}" for u, h in USERS.items())),
        "json.csv": lines(
            "history,user_id",
            *('"' + json.dumps(h).replace('"', '""') + f'",{u}' for u, h in USERS.items()),
        ),
        "log.csv": lines("user_id,item_id,timestamp", *(f"{u},{i},{t}" for u, i, t in EVENTS)),
        "log.inter": lines(
            "user_id:token\titem_id:token\ttimestamp:float",
            *(f"{u}\t{i}\t{t}" for u, i, t in EVENTS),
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield folder / name
    for name, table in (("lists.parquet", TABLE), ("log.parquet", LOG)):
        parquet.write_table(table, folder / name)
        yield folder / name


def test_every_kind_of_file_gives_the_same_histories(tmp_path: Path) -> None:
    for path in write_inputs(tmp_path):
        found = {user.name: user.history for user in read_histories(path)}
        assert found == USERS, path.name


def test_histories_without_names_are_called_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text('history\n"1 2"\n[3]\n')
    parquet.write_table(pa.table({"history": [[1, 2], [3]]}), tmp_path / "h.parquet")
    found = [[*read_histories(tmp_path / name)] for name in ("h.csv", "h.parquet")]
    assert found[0] == [User("2", ["1", "2"], 2), User("3", ["3"], 3)]
    assert found[1] == [User("1", ["1", "2"], 1), User("2", ["3"], 2)]


BAD: dict[str, tuple[bytes, type[Exception], str]] = {
    "ragged.csv": (b"user_id,history\nu,1 2\nv\n", InputError, "E-RAGGED .*:3: 1 cells"),
    "open.csv": (b'user_id,history\nu,"1 2\n', InputError, "E-CSV .*open.csv:2"),
    "cell.csv": (b"user_id,history\nu,[1.5]\n", InputError, "E-JSON .*cell.csv:2"),
    "broken.csv": (b"user_id,history\nu,[1\n", InputError, "E-JSON .*broken.csv:2"),
    "none.parquet": (b"PAR1 and no more", ArtifactError, "E-PARQUET .*none.parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    content, error, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        list(read_histories(tmp_path / name))
    for missing in ("no.csv", "no.parquet", "no.inter"):
        with pytest.raises(InputError, match="No such file"):
            list(read_histories(tmp_path / missing))


def test_a_log_with_other_columns_is_told_what_this_command_reads(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("who,what,when\nu,i,1\n")
    with command_line(), pytest.raises(InputError, match="call its columns user_id") as caught:
        list(read_histories(tmp_path / "log.csv"))
    assert "--" not in str(caught.value)


def test_a_missing_history_of_a_parquet_file_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"history": [["1"], None]}), tmp_path / "h.parquet")
    with pytest.raises(InputError, match=r"E-JSON .*h\.parquet:2"):
        list(read_histories(tmp_path / "h.parquet"))


def test_blocks_are_read_as_they_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommend_inputs, "BLOCK_ROWS", 2)
    read: list[int] = []

    def user(number: int) -> User:
        read.append(number)
        return User(f"u{number}", ["1"], number)

    users = [partial(user, number) for number in range(1, 8)]
    blocks = history_blocks(iter(users))
    assert next(blocks).names == ("u1", "u2")
    assert read == [1, 2]
    read.clear()
    shards = [[*history_blocks(users, shard=(n, 3))] for n in (1, 2, 3)]
    assert [[block.first for block in shard] for shard in shards] == [[0, 6], [2], [4]]
    assert sorted(read) == [1, 2, 3, 4, 5, 6, 7]  # each by the shard that answers it alone


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch") / "cycle-1"
    train(folder, changed(CONFIG, train={"max_epochs": 1}), baseline=False)
    return folder


def recommend(run: Path, source: Path, out: Path, *more: str) -> int:
    words = ["recommend", str(run), "--input", str(source), "--out", str(out), "--device", "cpu"]
    return main([*words, "--top", "3", *more])


def test_shards_are_parts_of_the_whole_and_are_not_made_twice(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommend_inputs, "BLOCK_ROWS", 2)
    source = tmp_path / "h.jsonl"
    source.write_text(lines(*(json.dumps({"history": [f"item-{n}"]}) for n in range(9))))
    out = tmp_path / "lists.csv"
    assert recommend(run, source, out) == 0
    assert "9 lists written to" in capsys.readouterr().out
    whole = out.read_text().splitlines()
    parts = []
    for number in (1, 2, 3):
        assert recommend(run, source, out, "--shard", f"{number}/3") == 0
        parts.append((tmp_path / f"lists-{number}-of-3.csv").read_text().splitlines()[1:])
    assert sorted(row for part in parts for row in part) == sorted(whole[1:])
    assert [len(part) for part in parts] == [4 * 3, 3 * 3, 2 * 3]
    capsys.readouterr()
    (tmp_path / "lists-2-of-3.csv").write_text("kept")
    assert recommend(run, source, out, "--shard", "2/3") == 0
    assert "there already" in capsys.readouterr().out
    assert (tmp_path / "lists-2-of-3.csv").read_text() == "kept"
    assert recommend(run, source, out, "--shard", "2/3", "--overwrite") == 0
    assert (tmp_path / "lists-2-of-3.csv").read_text().splitlines()[1:] == parts[1]


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shard: str
) -> None:
    (tmp_path / "h.jsonl").write_text('{"history": ["item-1"]}\n')
    assert recommend(run, tmp_path / "h.jsonl", tmp_path / "l.csv", f"--shard={shard}") == 2
    assert "expected I/N" in capsys.readouterr().err
    assert main(["recommend", str(run), "--history", "item-1", "--shard", "1/2"]) == 2


def test_what_is_wrong_late_in_the_file_leaves_nothing_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommend_inputs, "BLOCK_ROWS", 2)
    source, good = tmp_path / "h.jsonl", json.dumps({"history": ["item-1"]})
    for last, message in (("{", "E-JSON"), ('{"history": ["gone"]}', "E-ITEM-UNKNOWN")):
        source.write_text(lines(*[good] * 6, last))
        assert recommend(run, source, tmp_path / "lists.csv") == 3
        assert f"{message} {source}:7" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["h.jsonl"]


@pytest.mark.parametrize("more", [["--json"], []], ids=["json", "table"])
def test_lists_are_printed_as_they_come_and_the_first_block_before_any(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
) -> None:
    monkeypatch.setattr(recommend_inputs, "BLOCK_ROWS", 2)
    source, words = tmp_path / "h.jsonl", ["recommend", str(run), "--device", "cpu", *more]
    known, other = json.dumps({"history": ["item-1"]}), json.dumps({"history": ["nothing"]})
    for place, n_printed in ((1, 0), (2, 0), (3, 2), (5, 4), (6, 4)):
        source.write_text(lines(*[known] * (place - 1), other, *[known] * 3))
        assert main([*words, "--input", str(source), "--top", "3"]) == 3
        shown = capsys.readouterr()
        assert shown.out.count("item-") == 3 * n_printed
        assert f"{source}:{place}" in shown.err


def test_what_is_printed_and_written_at_once_is_the_same(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "h.jsonl", tmp_path / "lists.jsonl"
    source.write_text(lines(*(json.dumps({"history": [f"item-{n}"]}) for n in range(9))))
    assert recommend(run, source, out, "--json") == 0
    lists = json.loads(capsys.readouterr().out)["lists"]
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [item["item_id"] for one in lists for item in one["items"]] == [
        row["item_id"] for row in written
    ]


def test_a_log_is_answered_under_its_users(run: Path, tmp_path: Path) -> None:
    paths = [*write_inputs(tmp_path)]
    out = tmp_path / "out"
    tables = []
    for path in paths:
        assert recommend(run, path, out / f"{path.name}.jsonl") == 0
        rows = [json.loads(line) for line in (out / f"{path.name}.jsonl").read_text().splitlines()]
        tables.append(sorted((r["user_id"], r["rank"], r["item_id"], r["score"]) for r in rows))
    assert len(tables[0]) == 9
    # In which block place a user stands may move the last bit of a score.
    for table in tables[1:]:
        assert [row[:3] for row in table] == [row[:3] for row in tables[0]]


def test_a_trec_run_has_six_columns_and_all_digits(tmp_path: Path) -> None:
    rows = [Recommendation(1, "a", "A title", 0.1234567), Recommendation(2, "b", None, -2.0)]
    write_lists(tmp_path / "run.trec", [made_lists(("u1", rows), ("u2", rows[:1]))])
    assert (tmp_path / "run.trec").read_text().splitlines() == [
        "u1 Q0 a 1 0.12345670163631439 dllm2rec",
        "u1 Q0 b 2 -2.0 dllm2rec",
        "u2 Q0 a 1 0.12345670163631439 dllm2rec",
    ]
    for user, item in (("u 1", "a"), ("u1", "a\tb"), ("", "a")):
        lists = made_lists((user, [Recommendation(1, item, None, 0.5)]))
        with pytest.raises(InputError, match=r"E-TREC .*no\.trec: .* expected one without blanks"):
            write_lists(tmp_path / "no.trec", [lists])
    assert [path.name for path in tmp_path.iterdir()] == ["run.trec"]


def test_a_terminal_sees_how_far_it_is(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "h.jsonl").write_text('{"history": ["item-1"]}\n' * 3)
    assert recommend(run, tmp_path / "h.jsonl", tmp_path / "a.csv") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("rich.console.Console.is_terminal", property(lambda _: True))
    assert recommend(run, tmp_path / "h.jsonl", tmp_path / "b.csv") == 0
    assert "3 lists" in capsys.readouterr().err
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


WITHOUT_THE_HEAVY = """
import sys
sys.modules["torch"] = sys.modules["pyarrow"] = sys.modules["numpy"] = None  # imports would fail
from dllm2rec.cli import main
codes = [main(line.split(" ")) for line in sys.argv[1:]]
sys.exit(codes != [4, 4, 3])
"""


def test_a_wrong_path_is_told_before_anything_heavy_is_loaded(run: Path, tmp_path: Path) -> None:
    words = [
        "recommend nowhere --history a",
        "recommend . --history a",
        f"recommend {run} --input nowhere.jsonl",
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_HEAVY, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ".: no trained student, expected a folder that dllm2rec train made" in done.stderr
    assert "E-FILE nowhere.jsonl: No such file" in done.stderr


@pytest.mark.parametrize("name", ["user_id", "history"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "h.csv"
    path.write_text(f"user_id,history,other,other,{name}\nu1,item-3,,,item-4\n")
    with pytest.raises(InputError, match=rf"E-HEADER .*h\.csv:1: two columns '{name}'"):
        list(read_histories(path))


def test_ids_that_are_listed_again_and_again_are_held_once(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_text("\ufeff" + " i3\r\n\ni10\n" * 10_000)
    assert recommend_inputs.read_ids(path) == ["i3", "i10"]
