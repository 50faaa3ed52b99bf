"""The log of a table: whole lines, of one set of data and settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.rerun.paper.ledger import LOG_FILE, open_ledger

FACTS = {"dataset games": "a" * 64, "paper recipe": "b" * 64}


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    for number in range(2):
        with open_ledger(tmp_path / "paper", FACTS) as ledger:
            assert len(ledger.done) == number
            ledger.add({"key": f"k{number}", "test": {"hr@20": 0.1}})
    assert (tmp_path / "paper" / LOG_FILE).read_text().count("\n") == 2


def test_a_line_that_a_kill_cut_off_is_trained_again(tmp_path: Path) -> None:
    with open_ledger(tmp_path, FACTS) as ledger:
        ledger.add({"key": "whole"})
    with (tmp_path / LOG_FILE).open("a") as log:
        log.write('{"key": "cut o')
    with open_ledger(tmp_path, FACTS) as ledger:
        assert set(ledger.done) == {"whole"}
        ledger.add({"key": "next"})
    with open_ledger(tmp_path, FACTS) as ledger:
        assert set(ledger.done) == {"whole", "next"}


def test_a_line_that_is_none_is_refused(tmp_path: Path) -> None:
    with open_ledger(tmp_path, FACTS):
        (tmp_path / LOG_FILE).write_text('{"key": "a"}\n[1]\n')
    with pytest.raises(ArtifactError, match=r"jsonl:2: no training"), open_ledger(tmp_path, FACTS):
        pass


def test_other_data_are_refused_and_more_are_not(tmp_path: Path) -> None:
    more = {**FACTS, "dataset toys": "c" * 64}
    for facts in (FACTS, more, FACTS):
        with open_ledger(tmp_path, facts):
            pass
    with (
        pytest.raises(ArtifactError, match="begun with another dataset toys"),
        open_ledger(tmp_path, {**FACTS, "dataset toys": "d" * 64}),
    ):
        pass


def test_a_folder_of_something_else_and_one_in_use_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(ConfigError, match="not empty"), open_ledger(tmp_path / "mine", FACTS):
        pass
    with (
        open_ledger(tmp_path / "paper", FACTS),
        pytest.raises(ArtifactError, match="is writing to it"),
        open_ledger(tmp_path / "paper", FACTS),
    ):
        pass
