"""Every row of the corpus of bad inputs: exit code, error code, line and column, as users see them.

The ids are those of the catalogue of bad inputs that this package promises an outcome for: teacher
lists (R) and distances (C), embeddings (E), logs (L), settings (G) and command lines (X),
checkpoints (K) and arrays (A).
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from dllm2rec.cli import main
from dllm2rec.errors import Dllm2RecError, InputError
from tests.corpus.arrays import A
from tests.corpus.case import Case
from tests.corpus.checkpoints import E43, X12, K
from tests.corpus.command_lines import X
from tests.corpus.embeddings import E
from tests.corpus.prepare_logs import L
from tests.corpus.setting_files import G
from tests.corpus.teacher_import import C, R

# Seven hundred commands and calls.
pytestmark = pytest.mark.slow

SIZES = {"R": 72, "C": 16, "E": 44, "L": 41, "G": 19, "X": 12, "K": 19, "A": 26}
IDS = [f"{letter}{n:02}" for letter, size in SIZES.items() for n in range(1, size + 1)]

# Rows about a race, a size or a process: the tests that show them.
SHOWN_BY = {
    "R71": "teacher.test_text.test_file_cut_while_it_is_read_is_refused",
    "R72": "teacher.test_text.test_memory_is_the_result_and_64_mb",
}

TABLES = {"R": R, "C": C, "E": [*E, E43], "L": L, "G": G, "X": [*X, X12], "K": K, "A": A}
CASES = [case for table in TABLES.values() for case in table]


def params(kind: str) -> list[object]:
    slow = pytest.mark.slow
    return [
        pytest.param(case, id=case.name, marks=[slow] if case.slow else [])
        for case in CASES
        if getattr(case, kind) is not None
    ]


@pytest.mark.parametrize("case", params("words"))
def test_command_does_what_the_row_says(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert case.words is not None
    monkeypatch.chdir(tmp_path)
    words = case.words(tmp_path)
    capsys.readouterr()
    with case.during(tmp_path):
        status = main(words)
    shown = capsys.readouterr()
    assert not case.unmade or not (tmp_path / case.unmade).exists()
    assert status == case.exit, shown.err
    assert "Traceback" not in shown.err
    if case.exit == 0:
        for part in case.says:
            assert part in shown.out + shown.err
        if case.check is not None:
            case.check(tmp_path)
        return
    line = shown.err.splitlines()[-1]
    assert line.startswith("error: ")
    check_error(case, line.removeprefix("error: "))
    assert shown.out == ""
    assert case.begun or not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", params("call"))
def test_call_does_what_the_row_says(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert case.call is not None
    monkeypatch.chdir(tmp_path)
    if case.exit == 0 and case.raises is None:
        with case.during(tmp_path):
            case.call(tmp_path)
        return
    with case.during(tmp_path), pytest.raises(case.raises or Dllm2RecError) as caught:
        case.call(tmp_path)
    error = caught.value
    assert not case.unmade or not (tmp_path / case.unmade).exists()
    if case.raises is not None:
        assert all(part in str(error) for part in case.says)
        return
    assert error.exit_code == case.exit
    check_error(case, str(error))
    if isinstance(error, InputError):
        assert (error.line, error.column) == (case.line, case.column)


def check_error(case: Case, text: str) -> None:
    """Code, place and words of an error."""
    assert text.split()[0].rstrip(":") == case.code if case.code else not text.startswith("E-"), (
        text
    )
    place = ":".join(str(n) for n in (case.line, case.column) if n is not None)
    found = re.search(r"^[EW]-[A-Z0-9-]+ \S*?((?::\d+)*): ", text)
    assert (found[1].lstrip(":") if found else "") == place, text
    for part in case.says:
        assert part in text
    assert "weights_only" not in text


def test_every_row_has_a_case_and_every_case_one_row() -> None:
    assert len(IDS) == 249
    names = [case.name for case in CASES]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    for letter, table in TABLES.items():
        assert {case.row[:1] for case in table} <= {letter, ""}
    rows = {case.row for case in CASES} - {""}
    assert rows & set(SHOWN_BY) == set()
    there = rows | set(SHOWN_BY)
    assert [row for row in IDS if row not in there] == []
    assert there <= set(IDS)


@pytest.mark.parametrize("row", SHOWN_BY)
def test_what_shows_a_row_is_a_test(row: str) -> None:
    module, _, name = SHOWN_BY[row].rpartition(".")
    assert callable(getattr(import_module(f"tests.{module}"), name))
