"""What is done to a log before anything is learnt from it: which events count, who tests what."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, Strict, model_validator

from dllm2rec.caller import words
from dllm2rec.config.messages import unknown_name
from dllm2rec.config.model import Section
from dllm2rec.config.values import PositiveInt
from dllm2rec.errors import ConfigError


def microseconds(date: str) -> int:
    """Return an ISO date or time as microseconds since 1970; without an offset it is UTC.

    Raises:
        ValueError: it is neither.
    """
    moment = dt.datetime.fromisoformat(date)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return since // dt.timedelta(microseconds=1)


def _checked_date(date: str) -> str:
    microseconds(date)
    return date


# What `max_length = "auto"` chooses from, and the share of users that a window should hold whole.
WINDOWS = (10, 20, 50, 100, 200)
HELD_WHOLE = 0.99

Date = Annotated[str, AfterValidator(_checked_date)]
Share = Annotated[float, Field(gt=0, lt=1)]
Shares = Annotated[tuple[Share, Share, Share], Strict(strict=False)]
Sizes = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Strict(strict=False)]


class Protocol(Section):
    """How a log becomes rows. The rules apply in the order of the fields.

    An event is kept if its rating is at least `min_rating`, its time in `since` <= t < `until`, and
    its item's title at least `min_title_length` characters long. Then each user's events are put
    in the order of time, equal times in the order of the file.
    """

    min_rating: float | None = None
    since: Date | None = None
    until: Date | None = None
    min_title_length: Annotated[int, Field(ge=0)] = 0
    duplicates: Literal["keep", "drop"] = "keep"  # the same user, item and time
    repeats: Literal["keep", "first", "last", "consecutive"] = "keep"  # the same user and item
    min_user_events: PositiveInt = 1  # k-core: repeated until both hold
    min_item_events: PositiveInt = 1
    catalogue: Literal["kept", "log", "titles"] = "kept"  # whose items can be recommended
    # "auto": the shortest of WINDOWS that holds nearly all histories whole, else the longest.
    max_length: PositiveInt | Literal["auto"] = "auto"
    rows: Literal["every", "full_windows"] = "every"
    split: Literal["leave_one_out", "leave_k_out", "global_time", "user_ratio", "given"] = (
        "leave_one_out"
    )
    cut_validation: bool = False  # given: each user's last train target validates instead
    leave: PositiveInt = 1  # leave_k_out: targets per user in test, and as many in validation
    shares: Shares = (0.8, 0.1, 0.1)  # global_time (of all rows), user_ratio (of a user's events)
    # By time, rows at the same time are in the order in which their users first appear, as BIGRec's
    # are, and `global_time` cuts them so; else it takes equal times in the order of the file.
    row_order: Literal["user", "time"] = "user"
    cold_items: Literal["keep", "drop"] = "keep"  # targets that train does not hold
    sample: Sizes | None = None  # so many train, validation and test rows, drawn with `seed`
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if abs(sum(self.shares) - 1.0) > 1e-9:
            raise ValueError(f"shares = {self.shares}, expected three that sum to 1")
        if self.leave > 1 and self.split != "leave_k_out":
            raise ValueError(f"leave = {self.leave} is read by split = 'leave_k_out' alone")
        if self.cut_validation and self.split != "given":
            raise ValueError("cut_validation = true is read by split = 'given' alone")
        return self

    def for_histories(self, n_events: npt.NDArray[np.int64]) -> Protocol:
        """The protocol with a window that is chosen for users of so many events, (users,)."""
        if self.max_length != "auto":
            return self
        # A user's last event has the longest history, all events before it.
        held = (np.mean(n_events - 1 <= window) for window in WINDOWS)
        fits = (window for window, share in zip(WINDOWS, held, strict=True) if share >= HELD_WHOLE)
        return self.model_copy(update={"max_length": next(fits, WINDOWS[-1])})

    @property
    def window(self) -> int:
        """L, once `for_histories` has chosen it."""
        assert self.max_length != "auto"  # noqa: S101 - for mypy
        return self.max_length


_PRESETS = {
    "leave-one-out": Protocol(),
    "five-core": Protocol(min_user_events=5, min_item_events=5),
    # The paper's data step (BIGRec): reviews of items with a title, one row for a short history and
    # full windows for a long one, split 8:1:1 by the time of their targets, and in that order.
    "bigrec-games": Protocol(
        min_title_length=2,
        catalogue="log",
        max_length=10,
        rows="full_windows",
        split="global_time",
        row_order="time",
    ),
    # All ratings, windows of exactly 10, 8:1:1 in time, then rows drawn as the paper drew them.
    "bigrec-movielens": Protocol(
        min_user_events=11,
        catalogue="titles",
        max_length=10,
        rows="full_windows",
        split="global_time",
        row_order="time",
        sample=(100_000, 10_000, 10_000),
    ),
}
PRESETS = tuple(_PRESETS)


def named_protocol(name: str) -> Protocol:
    """Return a named protocol.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in _PRESETS:
        given = words(python="protocol", option="--protocol")
        raise ConfigError(unknown_name(given, "protocol", name, PRESETS))
    return _PRESETS[name]
