"""Dialects: each is what its library said of the same lists (tests/golden/dialects.json)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.dialects.formulas import DIALECTS, DIFFERENCES, dialect_metrics
from dllm2rec.evaluate.dialects.measured import MeasuredScorer
from dllm2rec.evaluate.lists.evaluate_lists import measure_lists
from dllm2rec.evaluate.many_targets import RelevantCounts, relevance_metrics
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "dialects.json").read_text())
WORLDS = GOLDEN["worlds"]
KS = (5, 10)
PEERS = {"ranx", "pytrec_eval"}  # libraries of information retrieval: equal to ours but for MAP


def measured(world: str) -> MeasuredScorer:
    lists, targets = (
        {str(user): list(map(str, one)) for user, one in enumerate(WORLDS[world][part])}
        for part in ("lists", "targets")
    )
    return measure_lists(lists, None, MeasureRequest(targets)).scorers[-1]


def pairs() -> list[tuple[str, str]]:
    return [(name, world) for name, found in GOLDEN["figures"].items() for world in found]


@pytest.mark.parametrize(("library", "world"), pairs())
def test_a_dialect_is_what_its_library_says(library, world):
    wanted = GOLDEN["figures"][library][world]
    scorer = measured(world)
    found = scorer.metrics(KS, "standard" if library in PEERS else library)
    if library not in PEERS:
        assert set(found) == set(wanted)
    else:  # they divide average precision by all relevant items, as RecTools does
        found |= {k: v for k, v in scorer.metrics(KS, "rectools").items() if k.startswith("map")}
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=1e-6)


def test_every_dialect_has_figures_of_its_library_and_a_sentence():
    assert set(GOLDEN["figures"]) == {*DIALECTS, *PEERS} - {"standard"}
    assert set(DIFFERENCES) == set(DIALECTS)
    differ = {
        name
        for name, worlds in GOLDEN["figures"].items()
        for world, found in worlds.items()
        if any(abs(value - measured(world).metrics(KS, "standard")[key]) > 1e-6
               for key, value in found.items())
    }  # fmt: skip
    assert differ == {"rectools", "lenskit", "implicit", "hstu", *PEERS}


def test_the_standard_dialect_is_what_is_printed_ties_and_all():
    rng = np.random.default_rng(0)
    greater, equal = rng.integers(0, 30, 50), rng.integers(0, 4, 50)
    scorer = MeasuredScorer.of_rows("a", RankCounts(greater, equal))
    assert scorer.metrics(KS, "standard") == rank_metrics(RankCounts(greater, equal), KS)
    alone = dialect_metrics(scorer.counts, KS)
    printed = {key: value for key, value in scorer.metrics(KS, "standard").items() if "@" in key}
    assert alone == pytest.approx(printed, abs=1e-12)
    many = RelevantCounts(np.repeat(np.arange(25), 2), np.tile([1, 7], 25), np.zeros(50, int))
    wanted = relevance_metrics(many, KS)
    assert dialect_metrics(many, KS) == pytest.approx(
        {key: value for key, value in wanted.items() if "@" in key}
    )


def test_rectools_default_is_smaller_by_what_the_ideal_of_k_places_sums_to():
    counts = RelevantCounts(np.arange(3), np.array([0, 4, 12]), np.zeros(3, np.int64))
    ours, theirs = (dialect_metrics(counts, (10, 20), name) for name in ("standard", "rectools"))
    assert ours["ndcg@10"] / theirs["ndcg@10"] == pytest.approx(4.544, abs=5e-4)
    assert ours["ndcg@20"] / theirs["ndcg@20"] == pytest.approx(7.040, abs=5e-4)


def test_hstu_gives_misses_a_rank_and_no_dialect_of_one_target_takes_many():
    missed = RelevantCounts(np.arange(2), np.array([2500, 1 << 40]), np.zeros(2, np.int64))
    assert dialect_metrics(missed, 10, "hstu")["mrr@10"] == pytest.approx(1 / 2501)
    last = RelevantCounts(np.zeros(1, int), np.array([2499]), np.zeros(1, np.int64))
    assert dialect_metrics(last, 10, "hstu")["mrr@10"] == pytest.approx(1 / 2500)
    many = RelevantCounts(np.zeros(2, np.int64), np.arange(2), np.zeros(2, np.int64))
    assert all(dialect_metrics(many, 10, name) == {} for name in ("hstu", "dllm2rec", "bigrec"))


def test_a_teachers_misses_are_beyond_every_cut_off():
    scorer = MeasuredScorer.of_rows("teacher", RankCounts(np.array([0, 8]), np.zeros(2, int)), 8)
    assert scorer.metrics((8, 9), "standard") == scorer.metrics((8,), "standard")
    assert scorer.metrics((9,), "standard") == {}
    assert scorer.metrics((8,), "hstu")["mrr@8"] == pytest.approx((1 + 1 / 2501) / 2)


def test_unknown_dialects_and_no_cases_are_refused():
    counts = RelevantCounts(np.zeros(1, int), np.zeros(1, int), np.zeros(1, int))
    with pytest.raises(ConfigError, match="dialect 'elliot', expected one of standard, recbole"):
        dialect_metrics(counts, 5, "elliot")
    with pytest.raises(InputError, match="0 rows"):
        dialect_metrics(RelevantCounts(*(np.zeros(0, int) for _ in range(3))), 5)
    with pytest.raises(InputError, match="k = 0"):
        dialect_metrics(counts, 0)
