"""Every log of the corpus through the real entry point: outcome, code, line and column."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec.batches.negative_sampler import sample_negatives
from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.logs.interactions import Columns, Interactions
from dllm2rec.data.logs.read import read_interactions
from dllm2rec.data.protocol.prepare import prepare
from dllm2rec.data.text import blocks as text_blocks
from dllm2rec.errors import Dllm2RecError, InputError
from tests.corpus import logs as corpus_logs
from tests.corpus.logs import CASES, HEAD, MICRO, ROW, Case, T

ROWS_OF_THE_BRIEF = {f"L{n:02}" for n in range(1, 42)}
# No property of one file: see the tests of a user and of a catalogue below.
ELSEWHERE = {"L34", "L36"}


def outcome(case: Case, path: Path) -> tuple[list[str] | None, list[int] | None, list[str]]:
    """What comes of a case: item ids, times and notes."""
    if case.entry == "authors":
        return None, None, load_dataset(path, **case.options).notes
    log = read_interactions(path, **case.options)
    if case.entry == "read":
        times = None if log.times is None else log.times.tolist()
        return row_items(log), times, log.notes
    prepared = prepare(log)
    names = prepared.dataset.catalogue.item_ids
    events = [names[item] for item in prepared.dataset.events.tolist()]
    return events, None, prepared.report.notes


def row_items(log: Interactions) -> list[str]:
    names = log.item_ids.to_pylist()
    return [names[item] for item in log.items.tolist()]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_log_gives_exactly_what_the_table_says(case: Case, tmp_path: Path) -> None:
    path = corpus_logs.place(case, tmp_path / "in")
    if case.code:
        with pytest.raises(Dllm2RecError) as caught:
            outcome(case, path)
        check_error(case, path, caught.value)
        return
    items, times, notes = outcome(case, path)
    if case.items is not None:
        assert items == case.items
    if case.times is not None:
        assert times == case.times
    said = [note for note in notes if not note.startswith("times were read")]
    if case.entry == "read":
        assert len(said) == len(case.notes), said
    for expected in case.notes:
        assert any(note.startswith(expected) for note in said), said


def check_error(case: Case, path: Path, error: Dllm2RecError) -> None:
    text = str(error)
    assert error.exit_code == case.status
    assert re.search(rf"(^|\s){case.code}\b(?!-)", text), text
    assert case.says in text
    assert "Traceback" not in text
    assert len(text) - text.count(str(path)) * len(str(path)) <= 420
    if not isinstance(error, InputError):
        return
    assert (error.code, error.line, error.column) == (case.code, case.line, case.column), text
    if case.entry == "read":
        assert error.path is not None
        assert error.path.startswith(str(path))
    if case.entry == "read" and error.line is not None and error.column is not None:
        data = Path(error.path).read_bytes()
        line = data.split(b"\n")[error.line - 1]
        assert error.column <= len(line) + 1
        if error.byte_offset is not None:
            before = data[: error.byte_offset]
            assert before.count(b"\n") == error.line - 1


# Where the command does something else than the reader, as it looks for the log in a folder first:
# one kind of files is a log, and others may lie beside it.
LOOKED_FOR = {"folder-mixed-formats": "E-FORMAT", "folder-unknown-file": ""}


def words_of(case: Case, path: Path, out: Path) -> list[str]:
    """The command line that reads a case: as it is, or to a dataset."""
    options = dict(case.options)
    columns = options.pop("columns", Columns())
    words = ["prepare", str(path), "--out", str(out)]
    for role in ("user", "item", "time"):
        name = getattr(columns, role)
        if name is None:
            words.append("--file-order")
        elif name != getattr(Columns(), role):
            words += [f"--{role}-column", name]
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        words += [word] if value is True else [word, value]
    form = {"authors": "authors", "prepare": "dataset", "read": "csv"}[case.entry]
    return [*words, "--write", form]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_command_ends_with_what_the_table_says(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus_logs.place(case, tmp_path / "in")
    status = main(words_of(case, path, tmp_path / "out"))
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    code = LOOKED_FOR.get(case.name, case.code)
    if not code:
        assert status == 0, shown.err
        assert all(note in shown.out for note in case.notes if case.entry == "prepare")
        return
    assert status == (case.status or 3)
    (line,) = shown.err.splitlines()
    assert line.startswith(f"error: {code}"), line
    if case.line is not None:
        place = ":".join(str(n) for n in (case.line, case.column) if n is not None)
        assert re.search(rf":{place}: ", line), line
    assert not (tmp_path / "out").exists()


def test_a_formula_is_disarmed_where_it_is_asked_for(tmp_path: Path) -> None:  # L26
    case = next(case for case in CASES if case.name == "L26-formula")
    path = corpus_logs.place(case, tmp_path / "in")
    words = ["prepare", str(path), "--write", "csv", "--out"]
    assert main([*words, str(tmp_path / "bare")]) == 0
    assert main([*words, str(tmp_path / "safe"), "--excel-safe"]) == 0
    ids = {}
    for name in ("bare", "safe"):
        with (tmp_path / name / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            ids[name] = [row["item_id"] for row in csv.DictReader(file)]
    assert ids["bare"] == case.items
    assert ids["safe"] == ["'" + item for item in case.items or []]


def test_the_table_has_every_row_of_the_brief() -> None:
    there = {case.name[:3] for case in CASES}
    assert there - {"fol", "fau", "uni", "rat", "spl", "gzi", "pic", "htm", "git", "par"} == (
        ROWS_OF_THE_BRIEF - ELSEWHERE
    )
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def test_the_corpus_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        corpus_logs.write(tmp_path / name, CASES)
    first = {p.relative_to(tmp_path / "a"): p for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert len(first) > len(CASES)
    for name, path in first.items():
        if path.suffix not in {".gz"}:  # gzip writes the time of day
            assert path.read_bytes() == (tmp_path / "b" / name).read_bytes()


IN_TINY_BLOCKS = [
    case
    for case in CASES
    if case.entry == "read"
    and not any(".parquet" in name for name in case.files)
    and sum(map(len, case.files.values())) < 10_000
]


@pytest.mark.parametrize("case", IN_TINY_BLOCKS, ids=[case.name for case in IN_TINY_BLOCKS])
def test_outcome_is_the_same_where_blocks_end_elsewhere(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n_bytes in (64, 77, 101):
        monkeypatch.setattr(text_blocks, "BLOCK_BYTES", n_bytes)
        folder = tmp_path / str(n_bytes)
        folder.mkdir()
        test_log_gives_exactly_what_the_table_says(case, folder)


def test_a_line_above_the_cap_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    corpus_logs.long_json_line(path, 100 * 2**20)
    with pytest.raises(InputError) as caught:
        read_interactions(path)
    assert (caught.value.code, caught.value.line, caught.value.column) == ("E-LINE", 2, 1)


def test_a_quote_that_is_never_closed_is_found_within_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(HEAD + ROW + b'u1,"i2,1600000000,5\n' + ROW * 3_000_000)
    with pytest.raises(InputError) as caught:
        read_interactions(path)
    assert (caught.value.code, caught.value.line, caught.value.column) == ("E-QUOTE", 3, 4)


def test_a_fault_far_inside_a_large_file_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(HEAD + ROW * 2_500_000 + b"u1,,1600000000,5\n" + ROW)
    with pytest.raises(InputError) as caught:
        read_interactions(path)
    assert (caught.value.line, caught.value.column) == (2_500_002, 4)
    assert caught.value.byte_offset == len(HEAD) + 2_500_000 * len(ROW) + 3


def test_a_user_who_has_seen_all_items_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # L34
    rows = [("all", f"i{k % 5}", k) for k in range(9)]
    rows += [(f"u{n}", f"i{(n + k) % 5}", k) for n in range(6) for k in range(4)]
    path, data = tmp_path / "log.csv", str(tmp_path / "data")
    path.write_bytes(corpus_logs.events(*rows))
    assert main(["prepare", str(path), "--out", data]) == 0
    sets = [
        "train.max_epochs=1",
        "student.hidden_size=8",
        "student.n_heads=1",
        "loss.base=sampled_softmax",
    ]
    sets += [
        "loss.exclude=history",
        "train.device=cpu",
        "evaluation.ks=[1,2]",
        "distillation.top_k=2",
    ]
    words = ["train", "--dataset", data, *(word for text in sets for word in ("--set", text))]
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "a")]) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert "E-NEG" in error
    assert "user 'all' has met all 5 items (3 such train rows)" in error
    skip = ["--set", "loss.neg_fallback=skip"]
    assert main([*words, *skip, "--out", str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert "sasrec" in shown
    events = np.arange(3, dtype=np.uint32)
    with pytest.raises(InputError, match="row 0"):
        sample_negatives(**negatives(events, n_items=3))


def test_a_catalogue_above_two_to_the_24_is_sampled() -> None:  # L36
    n_items = 2**24 + 2**20
    drawn = sample_negatives(**negatives(np.arange(3, dtype=np.uint32), n_items=n_items, n=4000))
    assert drawn.max() > 2**24
    assert drawn.max() < n_items


def negatives(events: np.ndarray, n_items: int, n: int = 1) -> dict[str, Any]:
    zero, end = np.zeros(1, dtype=np.int64), np.full(1, events.size, dtype=np.int64)
    return {
        "events": events,
        "begin": zero,
        "end": end,
        "keys": np.zeros(1, dtype=np.uint64),
        "n_items": n_items,
        "n_negatives": n,
        "seed": 0,
        "epoch": 0,
    }


def test_unit_of_times_is_told_by_most_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(corpus_logs.times(*(str(T * 1000 + n) for n in range(50)), "0", "-5", "12"))
    log = read_interactions(path)
    assert log.times is not None
    assert log.times[0] == T * MICRO
    assert log.times[-1] == 12_000
    assert "W-TS-RANGE: 3 times lie before 1980 or after 2099" in log.notes
