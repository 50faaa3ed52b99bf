"""From a log to a dataset: every rule against a slow twin, and nothing lost without a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dllm2rec import _core
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.dataset_folder import load_dataset_folder, save_dataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.logs.interactions import Interactions
from dllm2rec.data.protocol import leakage
from dllm2rec.data.protocol.model import Protocol, microseconds, named_protocol
from dllm2rec.data.protocol.prepare import Prepared, prepare
from dllm2rec.errors import ArtifactError, ConfigError, InputError

Event = tuple[str, str, int]


def log_of(events: list[Event], **extra: Any) -> Interactions:
    """A log of (user, item, time), ids numbered by first appearance."""
    users = {user: n for n, user in enumerate(dict.fromkeys(e[0] for e in events))}
    items = {item: n for n, item in enumerate(dict.fromkeys(e[1] for e in events))}
    columns = {
        "times": np.array([e[2] for e in events], np.int64),
        "name": "toy",
    } | extra
    return Interactions(
        pa.array(list(users), pa.string()),
        pa.array(list(items), pa.string()),
        np.array([users[e[0]] for e in events], np.uint32),
        np.array([items[e[1]] for e in events], np.uint32),
        **columns,
    )


def shown(prepared: Prepared) -> dict[str, list[tuple[list[str], str]]]:
    """The rows of each split as (history, target) in external ids."""
    dataset = prepared.dataset
    ids = dataset.catalogue.item_ids
    return {
        name: [
            ([ids[i] for i in dataset.events[start:end]], ids[dataset.events[end]])
            for start, end in zip(rows.start, rows.end, strict=True)
        ]
        for name, rows in dataset.splits().items()
    }


FOUR = [("u", "a", 1), ("v", "b", 1), ("u", "b", 3), ("u", "c", 2), ("u", "d", 4), ("v", "a", 2)]


def test_leave_one_out_of_a_small_log() -> None:
    prepared = prepare(log_of(FOUR))
    assert shown(prepared) == {
        "train": [(["a"], "c")],
        "validation": [(["a", "c"], "b")],
        "test": [(["a", "c", "b"], "d")],
    }
    report = prepared.report
    assert [(step.events, step.users, step.items) for step in report.steps] == [
        (6, 2, 4),
        (4, 1, 4),
    ]
    assert report.users_without_row == 1  # v has two events: told, not silent
    assert any(note.startswith("W-SHORT 1 ") for note in prepared.dataset.notes)
    assert prepared.user_ids.to_pylist() == ["u"]
    assert prepared.dataset.catalogue.item_ids == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("protocol", "targets"),
    [
        ({"split": "leave_k_out", "leave": 2}, (["b"], ["c", "d"], ["e", "f"])),
        ({"split": "user_ratio", "shares": (0.5, 0.2, 0.3)}, (["b", "c", "d"], ["e"], ["f"])),
        ({"split": "global_time", "shares": (0.6, 0.2, 0.2)}, (["b", "c", "d"], ["e"], ["f"])),
        ({"rows": "full_windows", "max_length": 3}, (["d"], ["e"], ["f"])),
        ({"rows": "full_windows", "max_length": 9}, ([], [], ["f"])),
    ],
)
def test_splits_of_one_user(protocol: dict[str, Any], targets: tuple[list[str], ...]) -> None:
    log = log_of([("u", item, time) for time, item in enumerate("abcdef")])
    found = shown(prepare(log, Protocol(**protocol)))
    assert tuple([target for _, target in found[name]] for name in found) == targets


def test_global_time_takes_equal_times_in_the_order_of_the_file() -> None:
    events = [(user, item, 0) for user in "xyz" for item in "ab"]
    found = shown(
        prepare(log_of(events[::-1]), Protocol(split="global_time", shares=(0.34, 0.33, 0.33)))
    )
    # One row per user, all at once; the file begins with z.
    assert [len(rows) for rows in found.values()] == [1, 1, 1]
    prepared = prepare(
        log_of(events[::-1]), Protocol(split="global_time", shares=(0.34, 0.33, 0.33))
    )
    first_user = (
        int(np.searchsorted(prepared.user_start, prepared.dataset.train.end[0], "right")) - 1
    )
    assert prepared.user_ids[first_user].as_py() == "z"
    assert prepared.report.ties == 3


def test_a_given_split_is_taken() -> None:
    splits = np.array([0, 0, 2, 0, 1, 2], np.uint8)
    found = shown(prepare(log_of(FOUR, splits=splits), Protocol(split="given")))
    assert found == {
        "train": [(["a"], "c")],
        "validation": [(["a", "c", "b"], "d")],
        "test": [(["a", "c"], "b"), (["b"], "a")],
    }


@pytest.mark.parametrize(
    ("protocol", "extra", "message"),
    [
        ({"split": "given"}, {}, "no column of splits"),
        ({"split": "global_time"}, {"times": None}, "the log has no times"),
        ({"min_rating": 3.0}, {}, "the log has no ratings"),
        ({"since": "2020-01-01"}, {"times": None}, "the log has no times"),
        ({"min_title_length": 1}, {}, "the log has no titles"),
        ({"duplicates": "drop"}, {"times": None}, "the log has no times"),
        ({"min_user_events": 99}, {}, "no events left after users >= 99"),
    ],
)
def test_what_the_log_lacks_is_said(
    protocol: dict[str, Any], extra: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        prepare(log_of(FOUR, **extra), Protocol(**protocol))


def test_rating_date_and_title_filters_count_what_they_leave() -> None:
    ratings = np.array([5, 5, 3, 5, 5, 5], np.float32)
    titles = pa.table({"item_id": ["a", "b", "c", "d"], "title": ["Ab", "Cd", "Ef", ""]})
    log = log_of([(u, i, t * 1_000_000) for u, i, t in FOUR], ratings=ratings)
    protocol = Protocol(
        min_rating=4,
        since="1970-01-01T00:00:02",
        until="1970-01-01T00:00:04+00:00",
        min_title_length=2,
        split="user_ratio",
        catalogue="log",
    )
    prepared = prepare(log, protocol, titles)
    assert [(step.rule, step.events) for step in prepared.report.steps] == [
        ("as read", 6),
        ("rating >= 4", 5),
        ("since 1970-01-01T00:00:02", 3),
        ("until 1970-01-01T00:00:04+00:00", 2),
        ("title of 2 characters or more", 2),
    ]
    assert prepared.dataset.catalogue.titles == ["Ab", "Cd", "Ef", ""]
    assert prepared.report.untitled_items == 1
    assert microseconds("1970-01-01T01:00:00+01:00") == 0


def test_the_catalogue_may_be_that_of_the_titles() -> None:
    titles = pa.table({"item_id": ["z", "c", "a"], "title": ["Z", "C", "A"]})
    prepared = prepare(log_of(FOUR), Protocol(catalogue="titles"), titles)
    assert prepared.dataset.catalogue.item_ids == ["z", "c", "a", "b", "d"]
    assert shown(prepared)["test"] == [(["a", "c", "b"], "d")]


DOUBLE = [
    ("u", "a", 1), ("u", "b", 1), ("u", "a", 1), ("u", "b", 2), ("u", "b", 3), ("u", "a", 4),
    ("u", "c", 5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"duplicates": "drop"}, "abbbac"),
        ({"repeats": "first"}, "abc"),
        ({"repeats": "last"}, "bac"),
        ({"repeats": "consecutive"}, "ababac"),
        ({}, "ababbac"),
    ],
)
def test_duplicates_and_repeats(rule: dict[str, Any], left: str) -> None:
    dataset = prepare(log_of(DOUBLE), Protocol(**rule)).dataset
    assert "".join(dataset.catalogue.item_ids[i] for i in dataset.events) == left


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    event = st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdefgh"), st.integers(0, 9))
    return draw(st.lists(event, min_size=1, max_size=60))


def naive_core(events: list[Event], k: int, m: int) -> list[Event]:
    while True:
        users, items = Counter(e[0] for e in events), Counter(e[1] for e in events)
        kept = [e for e in events if users[e[0]] >= k and items[e[1]] >= m]
        if len(kept) == len(events):
            return kept
        events = kept


@given(logs(), st.integers(1, 4), st.integers(1, 4))
@settings(deadline=None)
def test_the_core_is_the_naive_one_and_nothing_is_lost_in_between(
    events: list[Event], k: int, m: int
) -> None:
    protocol = Protocol(
        min_user_events=k, min_item_events=m, split="user_ratio", shares=(0.4, 0.3, 0.3)
    )
    expected = naive_core(events, k, m)
    if len({item for _, item, _ in expected}) < 2:
        with pytest.raises(InputError):
            prepare(log_of(events), protocol)
        return
    prepared = prepare(log_of(events), protocol)
    dataset = prepared.dataset
    got = Counter(
        (user, dataset.catalogue.item_ids[item])
        for user, begin, end in zip(
            prepared.user_ids.to_pylist(),
            prepared.user_start[:-1],
            prepared.user_start[1:],
            strict=True,
        )
        for item in dataset.events[begin:end]
    )
    assert got == Counter((user, item) for user, item, _ in expected)
    by_user = defaultdict(list)
    for place, (user, item, time) in enumerate(events):
        if (user, item, time) in expected:
            by_user[user].append((time, place, item))
    # Each user's second event on is a target once, unless the user has no row at all.
    targets = sum(len(each) - 1 for each in by_user.values())
    assert sum(len(rows) for rows in dataset.splits().values()) == targets
    ends = np.concatenate([rows.end for rows in dataset.splits().values()])
    assert len(np.unique(ends)) == len(ends)
    for user, begin in zip(prepared.user_ids.to_pylist(), prepared.user_start, strict=False):
        want = [item for _, _, item in sorted(by_user[user])]
        found = dataset.events[begin : begin + len(want)]
        assert [dataset.catalogue.item_ids[i] for i in found] == want


def test_cold_targets_are_counted_and_dropped_only_if_asked() -> None:
    events = [("u", i, t) for t, i in enumerate("abcd")] + [
        ("v", i, t) for t, i in enumerate("cabe")
    ]
    kept, dropped = (
        prepare(log_of(events), Protocol(cold_items=rule)) for rule in ("keep", "drop")
    )
    assert kept.report.cold_targets == {"validation": 0, "test": 2}
    assert [len(rows) for rows in kept.dataset.splits().values()] == [2, 2, 2]
    assert any("W-COLD 0 validation, 2 test" in note for note in kept.dataset.notes)
    assert dropped.report.cold_dropped == 2
    assert [len(rows) for rows in dropped.dataset.splits().values()] == [2, 2, 0]


def test_leaks_are_counted_and_refused_if_strict() -> None:
    # v's test row is u's train row; w's target is in the window.
    events = [
        *[("u", i, t) for t, i in enumerate("abcde")],
        *[("v", i, t) for t, i in enumerate("abc")],
        *[("w", i, t + 9) for t, i in enumerate("fgf")],
    ]
    prepared = prepare(log_of(events))
    leaks = prepared.report.leaks
    assert (leaks.rows_in_train, leaks.targets_in_window) == (2, 1)  # v: a -> b and a, b -> c
    assert leaks.train_after_test == 0
    assert prepare(log_of(events[::-1])).report.leaks.rows_in_train == 2
    with pytest.raises(InputError, match=r"E-LEAK.* 2 validation and test rows are train rows too"):
        prepare(log_of(events), strict=True)
    other = [("u", i, t) for t, i in enumerate("abcde")] + [
        ("v", i, t) for t, i in enumerate("bac")
    ]
    assert prepare(log_of(other), strict=True).report.leaks.rows_in_train == 0


@pytest.mark.parametrize("most_bits", [1, 28])  # of one bit, nearly every train row is hashed
def test_other_rows_that_are_in_train_are_those_that_a_set_holds(
    monkeypatch: pytest.MonkeyPatch, most_bits: int
) -> None:
    monkeypatch.setattr(leakage, "_MOST_BITS", most_bits)
    monkeypatch.setattr(leakage, "_BLOCK_ITEMS", 64)
    rng = np.random.default_rng(0)
    users = [rng.integers(0, 3, length) for length in rng.integers(3, 8, 60)]
    events = [(f"u{u}", f"i{item}", t) for u, row in enumerate(users) for t, item in enumerate(row)]
    prepared = prepare(log_of(events))
    train, validation, test = (
        [(tuple(window), target) for window, target in rows] for rows in shown(prepared).values()
    )
    expected = sum(row in set(train) for row in validation + test)
    assert 0 < expected < 120
    assert prepared.report.leaks.rows_in_train == expected


def test_targets_in_train_histories_are_counted() -> None:
    # u's first test target and validation target stand before the last train target; v's does not.
    events = [("u", i, t) for t, i in enumerate("abcdef")] + [
        ("v", i, t) for t, i in enumerate("abc")
    ]
    splits = np.array([0, 2, 1, 0, 0, 2, 0, 0, 2], np.uint8)
    report = prepare(log_of(events, splits=splits), Protocol(split="given")).report
    assert report.leaks.targets_in_train == 2
    assert any(n.startswith("W-LEAK 2 validation and test targets are") for n in report.notes)
    splits = np.array([0, 0, 0, 0, 1, 2, 0, 0, 2], np.uint8)
    report = prepare(log_of(events, splits=splits), Protocol(split="given")).report
    assert report.leaks.targets_in_train == 0
    for split in ("leave_one_out", "global_time", "user_ratio"):
        assert prepare(log_of(events), Protocol(split=split)).report.leaks.targets_in_train == 0


def bigrec(events: list[Event], length: int) -> list[list[tuple[list[str], str]]]:
    """The paper's data step as it is written: users as they appear, a stable sort of all rows."""
    users: dict[str, list[tuple[int, str]]] = {}
    for user, item, time in events:
        users.setdefault(user, []).append((time, item))
    rows = []
    for each in users.values():
        each.sort(key=lambda event: event[0])
        items = [item for _, item in each]
        first = max(1, min(length, len(each) - 1))
        rows += [
            (each[i][0], (items[max(i - length, 0) : i], items[i])) for i in range(first, len(each))
        ]
    rows.sort(key=lambda row: row[0])
    ends = [0, int(len(rows) * 0.8 + 1e-9), int(len(rows) * 0.9 + 1e-9), len(rows)]
    return [[row for _, row in rows[a:b]] for a, b in pairwise(ends)]


def windows_of(dataset: SequenceDataset) -> list[list[tuple[list[str], str]]]:
    """The rows of each split, in their order, as (window, target) in external ids."""
    ids = np.array(dataset.catalogue.item_ids)
    parts = [dataset.windows(rows) for rows in dataset.splits().values()]
    return [
        [
            (ids[sequence[:length]].tolist(), str(ids[target]))
            for sequence, length, target in zip(
                part.sequences, part.lengths, part.targets, strict=True
            )
        ]
        for part in parts
    ]


# The first user's first event is dropped, so that the second one comes before.
LATER = [("u0", "a", 0), ("u1", "c", 0), ("u0", "c", 0)]
LATER += [(f"u{n}", "c", 0) for n in range(2, 10)]
LATER += [(f"u{n}", "defgh"[n % 5], 5) for n in range(10)]


@given(logs(), st.integers(1, 4))
@example(LATER, 4)
@settings(deadline=None)
def test_rows_in_the_order_of_time_are_those_of_bigrec(events: list[Event], length: int) -> None:
    # Items without a title are dropped: users are in the order of what is left of them.
    left = [event for event in events if event[1] not in "ab"]
    if len({item for _, item, _ in left}) < 2:
        return
    titles = pa.table({"item_id": list("cdefgh"), "title": ["title"] * 6})
    protocol = named_protocol("bigrec-games").model_copy(update={"max_length": length})
    prepared = prepare(log_of(events), protocol, titles)
    assert windows_of(prepared.dataset) == bigrec(left, length)


def test_rows_in_the_order_of_time_need_times_and_survive_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row_order = 'time' is set, but the log has no times"):
        prepare(log_of(FOUR, times=None), Protocol(row_order="time"))
    events = [(f"u{n * 7919 % 37}", f"i{n * 31 % 61}", n * 13 % 50) for n in range(900)]
    prepared = prepare(log_of(events), Protocol(row_order="time"))
    save_dataset(prepared, tmp_path / "data")
    loaded = load_dataset_folder(tmp_path / "data")
    assert windows_of(loaded) == windows_of(prepared.dataset)
    assert prepared.times is not None
    assert (np.diff(prepared.times[loaded.train.end]) >= 0).all()
    assert loaded.users is not None
    assert (
        loaded.users.of_event(int(loaded.test.end[0]))
        == prepared.user_ids[
            int(np.searchsorted(prepared.user_start, loaded.test.end[0], "right")) - 1
        ].as_py()
    )


def test_a_folder_with_leaks_is_refused_if_strict(tmp_path: Path) -> None:
    events = [
        *[("u", i, t) for t, i in enumerate("abcde")],
        *[("v", i, t) for t, i in enumerate("abc")],
    ]
    save_dataset(prepare(log_of(events)), tmp_path / "data")
    assert load_dataset(tmp_path / "data").has_users
    with pytest.raises(InputError, match=r"E-LEAK: .*2 validation and test rows"):
        load_dataset(tmp_path / "data", strict=True)
    save_dataset(prepare(log_of(FOUR)), tmp_path / "clean")
    load_dataset(tmp_path / "clean", strict=True)


def test_a_catalogue_of_one_item_is_refused() -> None:
    with pytest.raises(InputError, match="E-CATALOGUE"):
        prepare(log_of([("u", "a", t) for t in range(5)]))


def test_presets_and_parameters() -> None:
    assert named_protocol("bigrec-games").split == "global_time"
    with pytest.raises(ConfigError, match="did you mean 'bigrec-games'"):
        named_protocol("bigrec-game")
    for wrong in (
        {"shares": (0.5, 0.1, 0.1)},
        {"leave": 2},
        {"since": "yesterday"},
        {"min_user_events": 0},
        {"colour": 1},
    ):
        with pytest.raises(ValidationError):
            Protocol(**wrong)


def test_bigrec_rows() -> None:
    """A user of up to 10 events has one row, a longer one those with 10 items before them."""
    events = [("u", f"i{n}", n) for n in range(13)] + [("v", f"i{n}", n) for n in range(4)]
    titles = pa.table({"item_id": [f"i{n}" for n in range(13)], "title": ["title"] * 13})
    prepared = prepare(log_of(events), named_protocol("bigrec-games"), titles)
    found = [row for rows in shown(prepared).values() for row in rows]
    assert sorted(target for _, target in found) == ["i10", "i11", "i12", "i3"]
    movies = prepare(log_of(events), named_protocol("bigrec-movielens"), titles)
    targets = [target for rows in shown(movies).values() for _, target in rows]
    assert sorted(targets) == ["i10", "i11", "i12"]


def test_sampled_rows_are_those_of_the_seed() -> None:
    log = log_of([(f"u{n % 50}", f"i{n % 7}", n) for n in range(1000)])
    protocol = Protocol(split="global_time", sample=(100, 20, 5000), seed=3)
    first, again = prepare(log, protocol), prepare(log, protocol)
    assert first.report.rows == {"train": 100, "validation": 20, "test": 95}
    assert first.report.sampled_from == {"train": 760, "validation": 95, "test": 95}
    assert first.dataset.fingerprint() == again.dataset.fingerprint()
    other = prepare(log, protocol.model_copy(update={"seed": 4}))
    assert other.dataset.fingerprint() != first.dataset.fingerprint()


def test_a_folder_gives_back_the_dataset(tmp_path: Path) -> None:
    titles = pa.table({"item_id": ["a", "d"], "title": ["Ä", "<b>"]})
    prepared = prepare(log_of(FOUR), titles=titles)
    save_dataset(prepared, tmp_path / "data")
    loaded = load_dataset(tmp_path / "data")
    assert loaded.fingerprint() == prepared.dataset.fingerprint()
    assert loaded.notes == prepared.dataset.notes
    assert loaded.name == "toy"
    assert loaded.has_users
    with pytest.raises(ConfigError, match="it exists"):
        save_dataset(prepared, tmp_path / "data")


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    save_dataset(prepare(log_of(FOUR)), tmp_path / "data")
    for path in sorted((tmp_path / "data").iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        with pytest.raises(ArtifactError):
            load_dataset_folder(tmp_path / "data")
        path.write_bytes(content)
    load_dataset_folder(tmp_path / "data")


SCRIPT = """
from tests.data.protocol.test_prepare import log_of
from dllm2rec.data.protocol.prepare import prepare
from dllm2rec.data.protocol.model import Protocol
log = log_of([(f"u{n * 7919 % 97}", f"i{n * 31 % 61}", n % 13) for n in range(5000)])
print(prepare(log, Protocol(min_user_events=3, split="global_time")).dataset.fingerprint())
"""


@pytest.mark.slow
def test_the_same_log_gives_the_same_dataset_everywhere() -> None:
    fingerprints = set()
    for seed in ("0", "1", "77"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
        )
        fingerprints.add(run.stdout)
    log = log_of([(f"u{n * 7919 % 97}", f"i{n * 31 % 61}", n % 13) for n in range(5000)])
    for threads in (1, 2, 5):
        _core.set_threads(threads)
        dataset = prepare(log, Protocol(min_user_events=3, split="global_time")).dataset
        fingerprints.add(dataset.fingerprint() + "\n")
    _core.set_threads(2)
    assert len(fingerprints) == 1


@pytest.mark.parametrize(
    ("n_events", "window"),
    [
        ([3, 11], 10),  # a user's last event has all others as its history
        ([3, 12], 20),
        ([5] * 99 + [1000], 10),  # one of a hundred may be cut
        ([5] * 98 + [1000] * 2, 200),
        ([60] * 10, 100),
        ([500] * 10, 200),
    ],
)
def test_the_window_is_the_shortest_that_holds_nearly_all_histories(n_events, window):
    log = pa.table(
        {
            "user_id": np.repeat([f"u{n}" for n in range(len(n_events))], n_events),
            "item_id": [f"i{n % 7}" for n in range(sum(n_events))],
            "timestamp": np.arange(sum(n_events)),
        }
    )
    prepared = prepare(log)
    assert prepared.dataset.max_length == prepared.protocol.max_length == window
    assert prepare(log, Protocol(max_length=3)).dataset.max_length == 3
