"""What a dataset is said to be like, against worlds whose order, words and times are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from dllm2rec import audit, load_dataset
from dllm2rec.auditing.leakage import later_share, leakage_by_kind
from dllm2rec.auditing.next_items import count_next_items
from dllm2rec.auditing.shuffle import history_mask, shuffled_histories
from dllm2rec.auditing.smoothness import title_smoothness, vector_smoothness
from dllm2rec.cli import main
from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.formats.dataset_folder import EVENTS
from dllm2rec.errors import ArtifactError
from tests.support.worlds import cycle_dataset


def test_a_cycle_loses_its_order_and_noise_has_none_to_lose() -> None:
    walk = audit(cycle_dataset())
    for one in walk.order:
        assert one.ordered > 0.8
        assert one.loss > 0.5, one
    assert [one.method for one in walk.order] == ["first-order Markov", "window counts"]
    noise = audit(cycle_dataset(shuffled=True))
    assert all(one.ordered < 0.4 for one in noise.order)
    assert walk.branching["next_perplexity"] < noise.branching["next_perplexity"]
    assert audit(cycle_dataset()) == walk  # one seed, one result
    assert audit(cycle_dataset(), seed=1).order != walk.order


def test_a_shuffle_keeps_whose_events_are_whose_and_the_held_out_targets() -> None:
    dataset = cycle_dataset(30)
    other = shuffled_histories(dataset, 0)
    mask = history_mask(dataset)
    assert mask.sum() == 30 * 8  # all but the two held-out targets
    assert (other.events[~mask] == dataset.events[~mask]).all()
    before, after = (one.events.reshape(30, 10)[:, :8] for one in (dataset, other))
    assert (np.sort(before) == np.sort(after)).all()
    assert (before != after).any()


def test_users_without_train_rows_are_shuffled_up_to_their_first_held_out_target() -> None:
    dataset = cycle_dataset(30, n_train_users=10)
    assert history_mask(dataset).reshape(30, 10)[20].tolist() == [True] * 8 + [False] * 2


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.integers(0, 5), min_size=8, max_size=40),
    data=st.data(),
)
def test_markov_ranks_are_those_of_the_slow_way(events: list[int], data: st.DataObject) -> None:
    n = len(events)
    cut = data.draw(st.integers(2, n - 1))
    dataset = SequenceDataset(
        name="a",
        catalogue=Catalogue([str(i) for i in range(6)]),
        events=np.array(events, np.uint32),
        max_length=50,
        train=Rows(np.zeros(cut - 1, np.int64), np.arange(1, cut)),
        validation=Rows(np.zeros(n - cut, np.int64), np.arange(cut, n)),
        test=Rows(np.zeros(0, np.int64), np.zeros(0, np.int64)),
        has_users=True,
    )
    found = count_next_items(dataset).rank_counts(dataset, dataset.validation)
    follow, popular = np.zeros((6, 6)), np.zeros(6)
    for end in range(1, cut):
        follow[events[end - 1], events[end]] += 1
        popular[events[end]] += 1
    for row, end in enumerate(range(cut, n)):
        scores = [(follow[events[end - 1], b], popular[b]) for b in range(6)]
        target = scores[events[end]]
        assert found.greater[row] == sum(one > target for one in scores)
        assert found.equal[row] == sum(one == target for one in scores) - 1


def test_branching_of_a_coin_is_two() -> None:
    rng = np.random.default_rng(0)
    events = rng.integers(0, 2, 4000).astype(np.uint32)
    dataset = dataclasses.replace(
        cycle_dataset(),
        events=events,
        train=Rows(np.zeros(3990, np.int64), np.arange(1, 3991)),
        validation=Rows(np.zeros(1, np.int64), np.array([3995])),
        test=Rows(np.zeros(1, np.int64), np.array([3999])),
    )
    found = count_next_items(dataset).branching()
    assert found["followers"] == 2
    assert found["next_perplexity"] == pytest.approx(2, abs=0.01)
    assert found["perplexity"] == pytest.approx(2, abs=0.01)
    assert audit(dataset).repeats == {
        "window": pytest.approx(0.97, abs=0.03),
        "newest": pytest.approx(0.5, abs=0.05),
    }


def test_likeness_is_the_cosine_of_weighed_words() -> None:
    titles = ["red fox", "red dog", "blue cat", "the sea"]
    pairs = np.array([0, 0]), np.array([1, 2])
    found = title_smoothness(titles, pairs, 0)
    assert found is not None
    red, once = np.log(4 / 2) ** 2, np.log(4) ** 2
    assert found.neighbours == pytest.approx(red / (red + once) / 2)
    assert found.n_pairs == 2
    assert title_smoothness(["", "?"], (np.array([0]), np.array([1])), 0) is None
    assert title_smoothness(titles, (np.array([1]), np.array([1])), 0) is None


def test_likeness_of_vectors_leaves_out_zeros() -> None:
    vectors = np.array([[1, 0], [1, 1], [0, 0], [0, 2]], np.float16)
    found = vector_smoothness(vectors, (np.array([0, 0, 0]), np.array([1, 2, 3])), 0)
    assert found is not None
    assert found.n_pairs == 2
    assert found.neighbours == pytest.approx(np.sqrt(0.5) / 2)


def test_a_cycle_of_neighbours_with_like_vectors_is_smooth() -> None:
    angle = 2 * np.pi * np.arange(40) / 40
    found = audit(cycle_dataset(), vectors=np.stack([np.cos(angle), np.sin(angle)], axis=1))
    titles, vectors = found.smoothness
    assert (titles.of, vectors.of) == ("titles", "vectors")
    # cos(9 degrees), but for the one pair in five that holds noise.
    assert vectors.neighbours == pytest.approx(0.81 * np.cos(np.pi / 20), abs=0.05)
    assert abs(vectors.random) < 0.2


def test_later_is_strictly_later() -> None:
    assert later_share(np.array([1, 2, 3, 4]), np.array([2, 4])) == pytest.approx((0.5 + 0) / 2)
    assert later_share(np.array([5, 5]), np.array([5])) == 0.0
    assert later_share(np.array([], np.int64), np.array([5])) is None


def test_leave_one_out_leaks_where_users_come_one_after_another_and_global_time_never() -> None:
    times = np.arange(100)  # ten users, each wholly after the one before
    found = leakage_by_kind(times, np.arange(0, 101, 10))
    assert found["global_time"] == 0.0
    # Of a user's test event the train events of all later users are later: 0 to 9 of 10.
    assert found["leave_one_out"] == pytest.approx(0.45)
    assert found["user_ratio"] == pytest.approx(0.45)
    rng = np.random.default_rng(0)
    same = leakage_by_kind(rng.integers(0, 50, 100), np.arange(0, 101, 10))
    assert same["global_time"] == 0.0


def test_times_are_read_from_the_folder_and_prepare_and_audit_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = cycle_dataset(40).events.reshape(-1, 10)
    lines = [
        f"u{user},i{item},{user * 100 + place}"
        for user, items in enumerate(events)
        for place, item in enumerate(items)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines, ""]))
    assert main(["prepare", str(tmp_path / "log.csv"), "--out", str(tmp_path / "data")]) == 0
    assert "leakage: global_time" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "data"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["leakage"]["this split"] == told["leakage"]["leave_one_out"] > 0.4
    assert told["leakage"]["global_time"] == 0
    found = audit(tmp_path / "data")
    assert found == audit(load_dataset(tmp_path / "data"))
    assert audit(cycle_dataset()).facts()["leakage"] == "not known: the dataset has no times"


def test_times_that_are_damaged_or_not_one_an_event_are_refused(tmp_path: Path) -> None:
    lines = [f"u{n % 9},i{n % 7},{n}" for n in range(90)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines, ""]))
    assert main(["prepare", str(tmp_path / "log.csv"), "--out", str(tmp_path / "data")]) == 0
    dataset, events = load_dataset(tmp_path / "data"), tmp_path / "data" / EVENTS
    times = pa.table({"time": pa.array([1, 2, 3], pa.timestamp("us", "UTC"))})
    parquet.write_table(times, events)
    with pytest.raises(ArtifactError, match="3 times, expected 90; prepare it again"):
        audit(dataset)
    for content in (b"PAR1 none", b""):
        events.write_bytes(content)
        with pytest.raises(ArtifactError, match=f"{EVENTS}: .*, expected times; prepare it again"):
            audit(dataset)


def test_large_data_is_sampled_by_users_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dllm2rec.auditing.audit.MOST_TRAIN_ROWS", 200)
    monkeypatch.setattr("dllm2rec.auditing.audit.MOST_SCORED_ROWS", 30)
    found = audit(cycle_dataset())
    assert found.is_sampled
    assert found.n_train == 24 * 7  # every fifth of 120 users
    assert found.n_scored == 30
    assert found.facts()["sample"] == "168 train and 30 validation rows"


def test_without_rows_nothing_is_said() -> None:
    none = Rows(np.zeros(0, np.int64), np.zeros(0, np.int64))
    found = audit(dataclasses.replace(cycle_dataset(), train=none, validation=none))
    assert (found.order, found.branching, found.repeats, found.smoothness) == ([], {}, {}, [])
