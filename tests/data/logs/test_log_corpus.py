"""Every log of the corpus through the real entry point: outcome, code, line and column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dllm2rec.caller import in_words_of_caller
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.logs.interactions import Interactions
from dllm2rec.data.logs.read import read_interactions
from dllm2rec.data.protocol.prepare import prepare
from dllm2rec.data.text import blocks as text_blocks
from dllm2rec.errors import Dllm2RecError, InputError
from tests.corpus import logs as corpus_logs
from tests.corpus.logs import CASES, HEAD, MICRO, ROW, Case, T


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
    assert in_words_of_caller(case.says) in text
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


def test_unit_of_times_is_told_by_most_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(corpus_logs.times(*(str(T * 1000 + n) for n in range(50)), "0", "-5", "12"))
    log = read_interactions(path)
    assert log.times is not None
    assert log.times[0] == T * MICRO
    assert log.times[-1] == 12_000
    assert "W-TS-RANGE: 3 times lie before 1980 or after 2099" in log.notes
