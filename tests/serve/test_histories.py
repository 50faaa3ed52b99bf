"""Histories in whatever form people have them; unknown items and empty ones as they ask."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.formats.catalogue_file import load_catalogue, save_catalogue
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.runs.run_manifest import read_run, with_files, write_manifest
from dllm2rec.serve.histories import HistoryBlock, history_blocks
from dllm2rec.serve.known_items import HistoryIndexer, HistoryRules
from dllm2rec.serve.recommend import recommend
from tests.support.worlds import N_ITEMS, cycle_dataset
from tests.train.test_train_run import CONFIG, changed, train

IDS = [["0", "7"], ["12"]]


def ids_of(histories: Any) -> list[Any]:
    return [row for block in history_blocks(histories) for row in block.ids]


FORMS: dict[str, Any] = {
    "texts": [["0", "7"], ["12"]],
    "whole numbers": [[0, 7], [12]],
    "tuples": ((0, "7"), ("12",)),
    "numpy scalars": [[np.int64(0), np.uint8(7)], [np.str_("12")]],
    "arrays": [np.array([0, 7]), np.array(["12"])],
    "object array": np.array([np.array([0, 7]), np.array([12])], dtype=object),
    "tensors": [torch.tensor([0, 7]), torch.tensor([12])],
    "pandas": [pd.Series([0, 7]), pd.Series(["12"])],
    "pandas of lists": pd.Series([["0", "7"], np.array([12])], index=[5, 9]),
    "polars": [pl.Series([0, 7]), pl.Series(["12"])],
    "polars of lists": pl.Series([[0, 7], [12]]),
    "arrow": [pa.array([0, 7]), pa.array(["12"])],
    "arrow of lists": pa.chunked_array([[["0", "7"]], [["12"]]]),
    "arrow scalars": [list(pa.array([0, 7])), list(pa.array(["12"]))],
    "generators": ((str(item) for item in row) for row in ([0, 7], [12])),
    "ranges": [range(0, 14, 7), range(12, 13)],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_histories_gives_the_ids_of_the_log(form: str) -> None:
    lists = ids_of(FORMS[form])
    assert lists == IDS
    assert {type(item_id) for row in lists for item_id in row} == {str}


def test_a_matrix_is_a_history_a_row() -> None:
    assert ids_of(np.array([[1, 2], [3, 4]])) == [["1", "2"], ["3", "4"]]
    assert ids_of([]) == []
    assert ids_of([[], pd.Series([], dtype=object)]) == [[], []]


MISREAD: dict[str, tuple[Any, str]] = {
    "flat texts": (["168", "172"], r"histories\[0\] is the str '168', expected a list of item ids"),
    "flat numbers": ([168, 172], r"histories\[0\] is the int 168"),
    "flat array": (np.array([1, 2]), r"histories\[0\] is the int 1"),
    "flat Series": (pd.Series(["a"]), r"histories\[0\] is the str 'a'"),
    "flat generator": ((i for i in "ab"), r"histories\[0\] is the str 'a'"),
    "one of several": ([["a"], "b"], r"histories\[1\] is the str 'b'"),
    "text": ("168", "histories is the str '168', expected a list of histories"),
    "number": (168, "histories is the int 168, expected a list of histories"),
    "bytes": (b"168", "histories is the bytes"),
    "mapping": ({"u": ["a"]}, r"a mapping, .*list\(histories.values\(\)\)"),
    "set": ([{"a", "b"}], r"histories\[0\] is a set, which has no order"),
    "frame": (pd.DataFrame({"u": [1]}), "a table.*groupby"),
    "polars frame": (pl.DataFrame({"u": [1]}), "a table"),
    "arrow table": (pa.table({"u": [1]}), "a table"),
    "missing history": ([["a"], None], r"histories\[1\] is the NoneType None"),
    "missing id": ([["a", None]], r"histories\[0\], place 1: the NoneType None"),
    "floats": ([np.array([1.0, np.nan])], r"place 0: the float 1.0, .*astype\('int64'\)"),
    "booleans": ([[True]], "place 0: the bool True"),
    "numpy booleans": ([np.array([True])], "place 0: the bool True"),
    "nested": ([[["a"]]], "place 0: the list"),
}


@pytest.mark.parametrize("form", MISREAD)
def test_what_is_no_list_of_histories_is_told_in_the_callers_words(form: str) -> None:
    histories, message = MISREAD[form]
    with pytest.raises(InputError, match=message) as caught:
        ids_of(histories)
    assert caught.value.code == "E-HISTORIES"
    if form.startswith("flat"):
        assert "recommend([ids])" in caught.value.hint


CATALOGUE = Catalogue(["a", "b", "c"])


def known_items(lists: list[list[str]], rules: HistoryRules | None = None) -> list[list[int]]:
    indexer = HistoryIndexer(CATALOGUE, rules or HistoryRules())
    known = indexer.index(HistoryBlock(lists))
    indexer.warn()
    return [row.tolist() for row in np.split(known.items, known.offsets[1:-1])]


def test_unknown_items_are_counted_and_named() -> None:
    lists = [["a"], ["x", "b", "y"], ["z"]]
    with pytest.raises(InputError, match=r"histories\[1\]: unknown item id 'x'") as caught:
        known_items(lists)
    assert "3 unknown in 2 of 3 histories" in str(caught.value)
    assert "unknown='skip'" in caught.value.hint


def test_unknown_items_are_skipped_where_that_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = HistoryRules(unknown="skip")
    with caplog.at_level(logging.WARNING, "dllm2rec"):
        assert known_items([["a"], ["x", "b", "y", "c"]], rules) == [[0], [1, 2]]
    (message,) = caplog.messages
    assert message == ("W-ITEMS-SKIPPED 2 unknown in 1 of 2 histories, left out: histories[1]")
    caplog.clear()
    assert known_items([["a"]], rules) == [[0]]
    assert not caplog.messages


def test_a_history_of_which_nothing_is_left_is_an_empty_one() -> None:
    rules = HistoryRules(unknown="skip")
    with pytest.raises(InputError, match=r"histories\[1\]: none of its items is known, .*2 of 3"):
        known_items([["a"], ["x"], []], rules)
    for empty in ("popular", "skip"):
        others = HistoryRules(unknown="skip", empty=empty)
        assert known_items([["a"], ["x"], []], others) == [[0], [], []]


@pytest.mark.parametrize("rule", [{"unknown": "drop"}, {"empty": "drop"}])
def test_a_rule_that_is_none_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(rule))} = .*expected one of error"):
        HistoryRules(**rule)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "cycle-1"
    train(folder, changed(CONFIG, train={"max_epochs": 1}), baseline=False)
    return folder


def test_who_has_no_item_gets_what_is_popular_and_others_what_they_would_get(run: Path) -> None:
    known = ["item-3", "item-4"]
    lists = recommend(run, [[], known, ["zzz"]], k=4, unknown="skip", empty="popular", device="cpu")
    counts = cycle_dataset().target_counts()
    best = sorted(range(N_ITEMS), key=lambda item: (-counts[item], item))[:4]
    assert [(p.item_id, p.score) for p in lists[0]] == [(f"item-{i}", counts[i]) for i in best]
    assert lists[2] == lists[0]
    assert lists[1] == recommend(run, [known], k=4, device="cpu")[0]


def test_popular_items_of_a_run_that_kept_no_counts_are_refused(run: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(run, old)
    save_catalogue(old, load_catalogue(run))
    write_manifest(old, with_files(read_run(old), old))
    with pytest.raises(ArtifactError, match="no column train_count"):
        recommend(old, [[]], empty="popular", device="cpu")


def test_the_command_names_lines_and_users_and_its_own_options(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"user_id": "u1", "history": ["item-3"]},
        {"user_id": "u2", "history": ["item-4", "gone"]},
        {"user_id": "u3", "history": []},
        {"user_id": "u4", "history": ["gone", "lost"]},
    ]
    users = tmp_path / "users.jsonl"
    users.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    words = ["recommend", str(run), "--input", str(users), "--device", "cpu", "--json"]
    assert main(words) == 3
    refusal = capsys.readouterr().err
    assert f"E-ITEM-UNKNOWN {users}:2: user u2: unknown item id 'gone'" in refusal
    assert "3 unknown in 2 of 4 histories" in refusal
    assert "hint: give --unknown skip" in refusal
    assert main([*words, "--unknown", "skip"]) == 3
    refusal = capsys.readouterr().err
    assert f"E-EMPTY {users}:3: user u3: no items, expected at least one; 2 of 4" in refusal
    assert "hint: give --empty popular" in refusal
    assert main([*words, "--unknown", "skip", "--empty", "popular"]) == 0
    shown = capsys.readouterr()
    assert (
        "3 unknown in 2 of 4 histories, left out: line 2 (user u2), line 4 (user u4)" in shown.err
    )
    assert "W-POPULAR 2 of 4 histories" in shown.err
    lists = json.loads(shown.out)["lists"]
    assert [one["user_id"] for one in lists] == ["u1", "u2", "u3", "u4"]
    assert lists[2]["items"] == lists[3]["items"]
    assert main(["recommend", str(run), "--history", "item-3,gone", "--device", "cpu"]) == 3
    assert "--history: unknown item id 'gone'" in capsys.readouterr().err
