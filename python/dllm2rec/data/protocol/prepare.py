"""A log becomes a dataset; what was dropped on the way, and what leaks, is counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset, Users
from dllm2rec.data.logs.interactions import SPLITS, Interactions
from dllm2rec.data.logs.read import as_interactions
from dllm2rec.data.protocol.drop_events import count_ties
from dllm2rec.data.protocol.filters import Step, first_filters, later_filters, missing, step_of
from dllm2rec.data.protocol.leakage import Leaks, find_leaks, rows_leaked
from dllm2rec.data.protocol.model import Protocol, named_protocol
from dllm2rec.data.protocol.splits import in_time, known_items, rows_of, sampled, split_targets
from dllm2rec.data.protocol.user_order import (
    OrderedLog,
    blocks,
    columns_of,
    count,
    first_places,
    order_log,
    squeezed,
    turns_back,
)
from dllm2rec.errors import InputError
from dllm2rec.storage import scratch


@dataclass(frozen=True)
class PrepareReport:
    """What became of a log.

    Attributes:
        steps: the log as read, and then what each rule left, in order.
        rows: train, validation and test rows, by name.
        users_without_row: users who have events but are in no split, since they have too few.
        sampled_from: rows before they were sampled, by name; empty if they were not.
        cold_targets: validation and test rows whose target no train row holds.
        cold_dropped: how many of those were dropped.
        ties: events at the time of the one before: only the order of the file orders them.
        untitled_items: items of the catalogue without a title.
        leaks: what train knows of the other splits.
        notes: what the reader of the file found, and what else should be known.
    """

    steps: list[Step]
    rows: dict[str, int]
    users_without_row: int
    sampled_from: dict[str, int]
    cold_targets: dict[str, int]
    cold_dropped: int
    ties: int
    untitled_items: int
    leaks: Leaks
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A dataset and how it came about.

    Attributes:
        dataset: what students learn from.
        user_ids: external ids of the users, in the order of their events, Arrow strings (n_users,).
        user_start: where each user's events begin, and the end, int64 (n_users + 1,).
        times: of each event, microseconds, int64 (n_events,), or None.
        protocol: what was done.
        report: what it did.
    """

    dataset: SequenceDataset
    user_ids: pa.Array
    user_start: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64] | None
    protocol: Protocol
    report: PrepareReport

    def __repr__(self) -> str:
        """The dataset and how many users it has."""
        return f"Prepared, {len(self.user_ids):,} users\n{self.dataset!r}"


def prepare(
    log: Interactions | Any,  # noqa: ANN401 - or a table of any library, or paths
    protocol: Protocol | str | None = None,
    titles: pa.Table | None = None,
    *,
    strict: bool = False,
) -> Prepared:
    """Apply a protocol to a log.

    Items are numbered in the order in which they first appear in the file (or in the table of
    titles, for `catalogue = "titles"`), users as well: the same file gives the same numbers
    everywhere.

    Args:
        log: what `read_interactions` or `from_frame` returned, or what they take, with the usual
            names of columns: a table of pandas, polars or Arrow, or paths. It is let go of as soon
            as it is ordered.
        protocol: the rules, or the name of one that is built in; by default leave-one-out of
            everything.
        titles: columns `item_id` and `title`, strings, such as the `table` of `read_titles`.
        strict: refuse rows that are in train and in another split, which else are counted.

    Raises:
        TypeError: it is no log.
        InputError: nothing is left, a rule needs times, splits or titles that are not there, or,
            if strict, train holds rows of another split.
    """
    log = as_interactions(log)
    protocol = named_protocol(protocol) if isinstance(protocol, str) else protocol or Protocol()
    notes, name, user_ids, item_ids = list(log.notes), log.name, log.user_ids, log.item_ids
    titles_by_id = None if titles is None else _by_id(titles)
    title_of = None
    if titles_by_id is not None:
        title_of = [titles_by_id.get(item_id, "") for item_id in item_ids.to_pylist()]
    steps = [Step("as read", len(log), log.n_users, log.n_items)]
    n_users, n_items = log.n_users, log.n_items
    kept, columns = first_filters(log, protocol, title_of, steps), columns_of(log)
    del log  # a caller that holds it no longer lets its columns go as they are ordered
    ordered = order_log(columns, kept, n_users, n_items)
    del kept
    if turns := turns_back(ordered):
        notes.append(f"W-ORDER {turns:,} times the file goes back in time within a user: sorted")
    ordered = later_filters(ordered, protocol, steps)
    _check_left(name, steps[-1])
    if protocol.row_order == "time" and ordered.times is None:
        raise missing("row_order = 'time'", "times", "--time-column")
    ties = count_ties(ordered)
    if ties:
        notes.append(f"W-TIES {ties:,} events at the time of the one before: in the file's order")
    protocol = protocol.for_histories(np.diff(ordered.starts()))
    split = split_targets(ordered, protocol)
    used = np.zeros(ordered.n_users, bool)
    for block in blocks(len(ordered)):
        used[ordered.users[block][split[block] < len(SPLITS)]] = True
    lost = int(np.count_nonzero((np.diff(ordered.starts()) > 0) & ~used))
    if lost:
        notes.append(f"W-SHORT {lost:,} users have too few events for a row")
    if lost and protocol.split in {"leave_one_out", "leave_k_out"}:
        kept = scratch.empty(len(ordered), bool)
        for block in blocks(len(ordered)):
            kept[block] = used[ordered.users[block]]
        ordered, split = ordered.take(kept), squeezed(split, kept)
        del kept
        steps.append(step_of("users with enough events to split", ordered))
        _check_left(name, steps[-1])
    events, catalogue, untitled = _numbered(
        ordered, item_ids, title_of, titles_by_id, protocol.catalogue
    )
    times, starts, rank = ordered.times, ordered.starts(), None
    if protocol.row_order == "time":
        rank = first_places(ordered)
    del ordered
    with_events = np.flatnonzero(np.diff(starts))
    starts = np.append(starts[with_events], starts[-1])
    rows, sampled_from = _rows(starts, split, protocol)
    del split
    cold, dropped = _cold_targets(events, rows, catalogue.n_items, protocol)
    if catalogue.n_items < 2:
        message = "a catalogue of one item, expected at least two: nothing could be recommended"
        raise InputError(f"{name}: {message}", code="E-CATALOGUE")
    users = Users(user_ids.take(pa.array(with_events)), starts)
    dataset = SequenceDataset(
        name=name,
        catalogue=catalogue,
        events=events,
        max_length=protocol.window,
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
        has_users=True,
        users=users,
    )
    leaks = find_leaks(dataset, times)
    if strict and leaks.rows_in_train:
        raise rows_leaked(name, leaks.rows_in_train)
    if rank is not None and times is not None:
        train, validation, test = (in_time(rows[part], starts, times, rank) for part in SPLITS)
        dataset = replace(dataset, train=train, validation=validation, test=test)
    notes.extend(_empty_splits(rows, protocol))
    notes.extend(leaks.notes())
    if any(cold.values()):
        told = ", ".join(f"{number:,} {split_name}" for split_name, number in cold.items())
        notes.append(f"W-COLD {told} targets are items that train does not hold")
    dataset.notes.extend(notes)
    report = PrepareReport(
        steps=steps,
        rows={split_name: len(each) for split_name, each in rows.items()},
        users_without_row=lost,
        sampled_from=sampled_from,
        cold_targets=cold,
        cold_dropped=dropped,
        ties=ties,
        untitled_items=untitled,
        leaks=leaks,
        notes=notes,
    )
    return Prepared(dataset, users.ids, starts, times, protocol, report)


def _empty_splits(rows: dict[str, Rows], protocol: Protocol) -> list[str]:
    """Say what cannot be done with the dataset, as a split has no row."""
    notes = []
    if not len(rows["train"]) or not len(rows["validation"]):
        empty = "train" if not len(rows["train"]) else "validation"
        cut = protocol.split == "given" and empty == "validation" and not protocol.cut_validation
        how = ": --set cut_validation=true takes each user's last train target" if cut else ""
        notes.append(f"W-SPLIT no {empty} rows, and dllm2rec train needs some{how}")
    if not len(rows["test"]):
        notes.append("W-SPLIT no test rows, and dllm2rec train tests its students on some")
    return notes


def _check_left(name: str, step: Step) -> None:
    if step.events == 0:
        raise InputError(
            f"{name}: no events left after {step.rule}, expected at least one",
            code="E-EMPTY",
            hint="loosen the protocol",
        )


def _by_id(titles: pa.Table) -> dict[str, str]:
    """Return the titles by item, "" where there is none."""
    texts = (title or "" for title in titles["title"].to_pylist())
    return dict(zip(titles["item_id"].to_pylist(), texts, strict=True))


def _numbered(
    log: OrderedLog,
    item_ids: pa.Array,
    title_of: list[str] | None,
    titles_by_id: dict[str, str] | None,
    which: str,
) -> tuple[npt.NDArray[np.uint32], Catalogue, int]:
    """Number the items of the catalogue, 0..n_items-1, in the events."""
    if which == "titles":
        if titles_by_id is None:
            raise missing("catalogue = 'titles'", "titles", "--titles")
        logged = item_ids.to_pylist()
        ids = list(dict.fromkeys([*titles_by_id, *logged]))
        number_of = {item_id: number for number, item_id in enumerate(ids)}
        table = np.array([number_of[item_id] for item_id in logged], np.uint32)
        names: list[str] | None = [titles_by_id.get(item_id, "") for item_id in ids]
    else:
        kept = np.ones(log.n_items, bool)
        if which == "kept":
            kept = count(log.items, log.n_items) > 0
        table = (np.cumsum(kept) - 1).astype(np.uint32)
        ids = item_ids.filter(pa.array(kept)).to_pylist()
        names = None
        if title_of is not None:
            names = [
                title for title, is_kept in zip(title_of, kept.tolist(), strict=True) if is_kept
            ]
    untitled = 0 if names is None else sum(not title for title in names)
    events = scratch.empty(len(log), np.uint32)
    for block in blocks(len(log)):
        events[block] = table[log.items[block]]
    return events, Catalogue(ids, names), untitled


def _rows(
    starts: npt.NDArray[np.int64], split: npt.NDArray[np.uint8], protocol: Protocol
) -> tuple[dict[str, Rows], dict[str, int]]:
    rows = {name: rows_of(starts, split, number) for number, name in enumerate(SPLITS)}
    if protocol.sample is None:
        return rows, {}
    rng = np.random.default_rng(protocol.seed)
    before = {name: len(each) for name, each in rows.items()}
    sizes = dict(zip(SPLITS, protocol.sample, strict=True))
    return {name: sampled(each, sizes[name], rng) for name, each in rows.items()}, before


def _cold_targets(
    events: npt.NDArray[np.uint32], rows: dict[str, Rows], n_items: int, protocol: Protocol
) -> tuple[dict[str, int], int]:
    """Count, and drop if asked, the targets that no train row has as a target or in its history."""
    known = known_items(events, rows["train"], n_items)
    cold, dropped = {}, 0
    for name in SPLITS[1:]:
        is_cold = ~known[events[rows[name].end]]
        cold[name] = int(np.count_nonzero(is_cold))
        if protocol.cold_items == "drop":
            rows[name] = rows[name].take(~is_cold)
            dropped += cold[name]
    return cold, dropped
