"""How much of what is learnt lies after what is tested, by the way of splitting.

After Ji et al., "A Critical Study on Data Leakage in Recommender System Offline Evaluation" (ACM
TOIS 2023): a split by user trains on events that a system could not have known yet.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset

Int64Vector = npt.NDArray[np.int64]
KINDS = ("leave_one_out", "user_ratio", "global_time")
SHARES = 0.8, 0.9  # where train ends, and validation


def leakage_by_kind(times: Int64Vector, starts: Int64Vector) -> dict[str, float]:
    """The mean, over test events, of the share of train events that are later.

    `leave_one_out` tests each user's last event and trains on all but the last two; `user_ratio`
    tests the last tenth of each user's events and trains on the first eight; `global_time` does so
    with all events by time. Equal times are not later. A kind that leaves no train or no test event
    is left out.

    Args:
        times: of each event, user after user, each user's oldest first, (n_events,).
        starts: where each user's events begin, and the end, (n_users + 1,).
    """
    lengths = np.diff(starts)
    length = np.repeat(lengths, lengths)
    place = np.arange(len(times)) - np.repeat(starts[:-1], lengths)
    cuts = np.quantile(times, SHARES, method="higher") if len(times) else (0, 0)
    train_end, test_begin = (np.floor(share * length) for share in SHARES)
    kinds = {
        "leave_one_out": (place < length - 2, (place == length - 1) & (length > 2)),
        "user_ratio": (place < train_end, place >= np.maximum(test_begin, 1)),
        "global_time": (times < cuts[0], times >= cuts[1]),
    }
    found = {kind: later_share(times[train], times[test]) for kind, (train, test) in kinds.items()}
    return {kind: share for kind, share in found.items() if share is not None}


def own_leakage(dataset: SequenceDataset, times: Int64Vector) -> float | None:
    """The same of the split that the dataset has: by its train and test targets."""
    return later_share(times[dataset.train.end], times[dataset.test.end])


def later_share(train: Int64Vector, test: Int64Vector) -> float | None:
    """How likely a train event is later than a test event; None where there are none."""
    if not len(train) or not len(test):
        return None
    not_later = np.searchsorted(np.sort(train), test, side="right")
    return float(1 - not_later.mean() / len(train))
