"""One call from a run's folder to lists; whoever asks more often loads once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

from dllm2rec.serve.known_items import Empty, HistoryRules, Unknown
from dllm2rec.serve.load import load
from dllm2rec.serve.recommendations import Recommendations

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _also_as_n(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function of `k` that takes it by its former name, too."""

    @functools.wraps(function)
    def called(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
        if "n" in named and "k" not in named:
            named["k"] = named.pop("n")
        return function(*args, **named)

    return called


@_also_as_n
def recommend(
    run: str | Path,
    histories: Iterable[Iterable[str | int]],
    k: int = 10,
    *,
    exclude_seen: bool = True,
    student: str | None = None,
    device: str = "auto",
    unknown: Unknown = "error",
    empty: Empty = "error",
) -> Recommendations:
    """Recommend for each history with a trained student.

    The same as `load(run).recommend(histories, k)`, which reads the run once for many calls.

    Args:
        run: the folder of a run or of one of its students.
        histories: one entry per user, each the item ids of that user, oldest first, as texts or
            whole numbers; the last L count. Lists, arrays and Series of either are taken.
        k: how many items to recommend; fewer come back where fewer are left. Its former name `n` is
            taken, too.
        exclude_seen: leave out every item of the history.
        student: a name of `student.name`; by default all, of which validation's best is taken.
        device: "auto", "cpu" or "cuda".
        unknown: "error", or "skip" to leave items out that the catalogue lacks; a warning counts
            them.
        empty: "error", or for who has no known item "skip" for an empty list, "popular" for the
            items that are most often the target of a train row, with that count as their score; a
            warning counts them.

    Returns:
        One list per history: score descending, then item index ascending.

    Raises:
        ArtifactError: it is no run, holds no such student, or is corrupt.
        ConfigError: `k` is not within 1..N, or the device is not there.
        InputError: a history is empty or names an unknown item, or these are no lists of ids.
    """
    HistoryRules(unknown=unknown, empty=empty)  # refused before anything is read
    model = load(run, student=student, device=device)
    return model.recommend(histories, k, exclude_seen=exclude_seen, unknown=unknown, empty=empty)
