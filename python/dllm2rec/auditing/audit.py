"""A dataset looked at before anything learns from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dllm2rec.auditing.leakage import leakage_by_kind, own_leakage
from dllm2rec.auditing.next_items import count_next_items
from dllm2rec.auditing.shuffle import OrderLoss, order_losses
from dllm2rec.auditing.smoothness import Pairs, Smoothness, title_smoothness, vector_smoothness
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.formats.dataset_folder import EVENTS
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.text.arrow_buffers import numbers_of
from dllm2rec.errors import ArtifactError

MOST_TRAIN_ROWS = 300_000
MOST_SCORED_ROWS = 5_000
MOST_PAIRS = 20_000
WEAK_ORDER = 0.1  # a loss below this is about what another seed of the shuffle gives


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        dataset: its name.
        seed: of shuffles and samples.
        n_train: train rows that were counted.
        n_scored: validation rows that were ranked.
        is_sampled: whether these are not all rows.
        order: what ways of ranking lose without order; empty without validation rows.
        branching: `followers`, `next_perplexity` and `perplexity`; see `NextItems.branching`.
        repeats: share of train targets that are in their own window (`window`), and of those that
            are its newest item (`newest`).
        smoothness: of titles and of a teacher's vectors, where there are any.
        leakage: share of train events later than a test event, by the kind of split that could be
            made of the log; `this split` is the dataset's own. Empty where times are not known.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    dataset: str
    seed: int
    n_train: int
    n_scored: int
    is_sampled: bool
    order: list[OrderLoss]
    branching: dict[str, float]
    repeats: dict[str, float]
    smoothness: list[Smoothness]
    leakage: dict[str, float]

    def facts(self) -> dict[str, str]:
        """What was found, in words, by name."""
        said = {
            f"order: {one.method}": f"NDCG@20 {one.ordered:.4f}, {one.shuffled:.4f} with shuffled "
            f"histories: {100 * one.loss:.0f} % lost" + (", little" if _is_weak(one) else "")
            for one in self.order
        }
        if self.branching:
            said["next items"] = (
                f"{self.branching['followers']:.1f} distinct ones on average; perplexity "
                f"{self.branching['next_perplexity']:,.1f} given the item before, "
                f"{self.branching['perplexity']:,.0f} without"
            )
        if self.repeats:
            said["repeats"] = (
                f"{100 * self.repeats['window']:.1f} % of train targets are in their window, "
                f"{100 * self.repeats['newest']:.1f} % are its newest item"
            )
        for one in self.smoothness:
            said[f"likeness of {one.of}"] = (
                f"cosine {one.neighbours:.3f} of items that follow each other, {one.random:.3f} of "
                "random pairs"
            )
        for kind, share in self.leakage.items():
            said[f"leakage: {kind}"] = (
                f"{100 * share:.1f} % of train events are later than a test event"
            )
        if not self.leakage:
            said["leakage"] = "not known: the dataset has no times"
        if self.is_sampled:
            said["sample"] = f"{self.n_train:,} train and {self.n_scored:,} validation rows"
        return said

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {**asdict(self), "order": [{**asdict(one), "loss": one.loss} for one in self.order]}


def _is_weak(one: OrderLoss) -> bool:
    return one.loss < WEAK_ORDER


def audit(
    dataset: SequenceDataset | str | Path,
    *,
    vectors: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
    window_counts: bool = True,
) -> Audit:
    """Look at a dataset: order, branching, repeats, likeness of neighbours, leakage.

    Of large data a part is taken: the train rows of evenly spaced users, about 300,000, and 5,000
    validation rows. The test rows are not ranked; only their times are read.

    Args:
        dataset: it, or its folder.
        vectors: of the items, (N, E), such as a teacher's; their likeness is then told too.
        seed: same seed, same result.
        window_counts: also test order by window counts, which loads torch.

    Raises:
        InputError, ArtifactError: the folder holds no dataset, or one that changed.
    """
    if not isinstance(dataset, SequenceDataset):
        dataset = load_dataset(dataset)
    part = _part(dataset)
    has_train = len(part.train) > 0
    pairs = _pairs(part)
    next_items = count_next_items(part) if has_train else None
    titles = dataset.catalogue.titles
    likeness = [
        None if titles is None or not has_train else title_smoothness(titles, pairs, seed),
        None if vectors is None or not has_train else vector_smoothness(vectors, pairs, seed),
    ]
    return Audit(
        dataset=dataset.name,
        seed=seed,
        n_train=len(part.train),
        n_scored=len(part.validation),
        is_sampled=len(part.train) < len(dataset.train)
        or len(part.validation) < len(dataset.validation),
        order=order_losses(part, next_items, seed, window_counts=window_counts)
        if next_items is not None and len(part.validation)
        else [],
        branching={} if next_items is None else next_items.branching(),
        repeats=_repeats(part) if has_train else {},
        smoothness=[one for one in likeness if one is not None],
        leakage=_leakage(dataset),
    )


def _part(dataset: SequenceDataset) -> SequenceDataset:
    """The train rows of evenly spaced users, and evenly spaced validation rows, where too many."""
    train, validation = dataset.train, _spaced(dataset.validation, MOST_SCORED_ROWS)
    step = -(-len(train) // MOST_TRAIN_ROWS)
    if step > 1:  # whole users: rows out of their middle would hide what their windows hold
        train = train.take(np.isin(train.start, np.unique(train.start)[::step]))
    used = np.concatenate([train.start, validation.start])
    test = dataset.test.take(np.isin(dataset.test.start, used))
    return replace(dataset, train=train, validation=validation, test=test)


def _spaced(rows: Rows, most: int) -> Rows:
    if len(rows) <= most:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, most).astype(np.int64))


def _pairs(dataset: SequenceDataset) -> Pairs:
    """The newest item and the target of train rows."""
    rows = _spaced(dataset.train, MOST_PAIRS)
    first, second = dataset.events[rows.end - 1], dataset.targets(rows)
    return first.astype(np.int64), second.astype(np.int64)


def _repeats(dataset: SequenceDataset) -> dict[str, float]:
    rows = _spaced(dataset.train, MOST_PAIRS)
    windows = dataset.windows(rows)
    is_seen = (windows.sequences == windows.targets[:, None]).any(axis=1)
    newest = dataset.events[rows.end - 1] == windows.targets
    return {"window": float(is_seen.mean()), "newest": float(newest.mean())}


def _leakage(dataset: SequenceDataset) -> dict[str, float]:
    """By the times that the dataset's folder keeps; they are no part of the dataset itself."""
    users, folder = dataset.users, dataset.folder
    if users is None or folder is None or not (folder / EVENTS).is_file():
        return {}
    try:
        file = pq.ParquetFile(folder / EVENTS)
        if "time" not in file.schema_arrow.names:
            return {}
        times = numbers_of(file.read(columns=["time"])["time"].cast("int64"))
    except (pa.ArrowException, OSError, ValueError) as err:
        raise ArtifactError(f"{folder / EVENTS}: {err}, expected times; prepare it again") from err
    if len(times) != len(dataset.events):
        raise ArtifactError(
            f"{folder / EVENTS}: {len(times):,} times, expected {len(dataset.events):,}; "
            "prepare it again"
        )
    own = own_leakage(dataset, times)
    found = {} if own is None else {"this split": own}
    return found | leakage_by_kind(times, users.starts)
