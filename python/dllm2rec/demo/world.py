"""The synthetic demo dataset: users with drifting tastes, items with titles, and a teacher.

Users choose by a latent taste that interactions show only roughly: there are few of them, and many
items are rare or come out late. The teacher sees the taste through noise and knows what each item
is about, so its lists and vectors hold what the log does not.

The dataset is the same on every machine: numbers are drawn by NumPy's own generator and rounded to
whole numbers before anything is compared, so that no decision hangs on the last bit of a float sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.demo.exact_vectors import UNIT, Float64Matrix, unit, whole
from dllm2rec.demo.settings import DEFAULTS, DemoSettings
from dllm2rec.demo.teacher import demo_teacher
from dllm2rec.errors import InputError
from dllm2rec.teacher.knowledge import TeacherKnowledge

_ADJECTIVES = (
    "Quiet", "Golden", "Broken", "Endless", "Hidden", "Crimson", "Frozen", "Wandering", "Electric",
    "Paper",
)  # fmt: skip
_THEMES = (
    "Harbour", "Orchard", "Railway", "Galaxy", "Castle", "Kitchen", "Reef", "Circus", "Forest",
    "Racetrack", "Library", "Volcano", "Market", "Lighthouse", "Workshop", "Desert",
)  # fmt: skip
_VOLUMES = ("", " II", " III", " IV", " V", " VI", " VII", " VIII", " IX", " X", " XI", " XII")


def demo_world(
    seed: int = 0, settings: DemoSettings = DEFAULTS
) -> tuple[SequenceDataset, TeacherKnowledge]:
    """Generate the demo dataset, split by global time, and its teacher.

    The teacher knows of the items what interactions alone do not show.

    Args:
        seed: another seed gives another dataset.
        settings: its size, and how users and teacher behave.

    Returns:
        The dataset (every position of every user is a row) and what its teacher knows.

    Raises:
        InputError: more items than there are titles, or fewer than a list has.
    """
    most = len(_THEMES) * len(_ADJECTIVES) * len(_VOLUMES)
    if not settings.top_n <= settings.n_items <= most:
        raise InputError(f"n_items: {settings.n_items}, expected {settings.top_n}..{most}")
    rng = np.random.default_rng([20240817, seed])
    themes, styles = _attributes(rng, settings)
    items = _item_vectors(rng, settings, themes, styles)
    log = _interactions(rng, settings, items)
    catalogue = Catalogue(_item_ids(rng, settings), _titles(themes, styles))
    dataset, row_tastes = _dataset(settings, catalogue, log, name=f"demo-{seed}")
    return dataset, demo_teacher(rng, settings, items, row_tastes, dataset)


@dataclass(frozen=True, eq=False)
class _Log:
    """Events user after user: items, times and the taste that chose each, and users' lengths."""

    items: npt.NDArray[np.uint32]
    times: npt.NDArray[np.float64]
    tastes: Float64Matrix
    lengths: npt.NDArray[np.int64]


def _attributes(
    rng: np.random.Generator, settings: DemoSettings
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw each item's theme and style, no pair more often than there are volumes."""
    pairs = np.repeat(np.arange(len(_THEMES) * len(_ADJECTIVES)), len(_VOLUMES))
    theme, style = np.divmod(rng.permutation(pairs)[: settings.n_items], len(_ADJECTIVES))
    return theme, style


def _item_vectors(
    rng: np.random.Generator,
    settings: DemoSettings,
    themes: npt.NDArray[np.int64],
    styles: npt.NDArray[np.int64],
) -> Float64Matrix:
    of_theme = unit(rng.standard_normal((len(_THEMES), settings.taste_dims)))
    of_style = unit(rng.standard_normal((len(_ADJECTIVES), settings.taste_dims)))
    own = unit(rng.standard_normal((settings.n_items, settings.taste_dims)))
    return unit(
        of_theme[themes] + settings.style_share * of_style[styles] + settings.own_share * own
    )


def _interactions(rng: np.random.Generator, settings: DemoSettings, items: Float64Matrix) -> _Log:
    """Let all users choose, one event after the other; nobody takes an item twice."""
    more = rng.geometric(1 / (1 + settings.mean_more_events), settings.n_users) - 1
    lengths = np.minimum(settings.min_events + more, settings.max_events)
    releases, attraction = _releases(rng, settings), _attraction(rng, settings)
    tastes = unit(rng.standard_normal((settings.n_users, settings.taste_dims)))
    times = rng.uniform(0, 1, settings.n_users)
    is_taken = np.zeros((settings.n_users, settings.n_items), dtype=np.bool_)
    chosen, seen_tastes, seen_times = [], [], []
    for place in range(int(lengths.max())):
        choosing = np.flatnonzero(lengths > place)
        forbidden = is_taken[choosing] | (releases > times[choosing, None])
        choice = np.zeros(settings.n_users, dtype=np.int64)
        choice[choosing] = _choices(rng, settings, tastes[choosing], items, attraction, forbidden)
        is_taken[choosing, choice[choosing]] = True
        chosen.append(choice)
        seen_tastes.append(tastes)
        seen_times.append(times)
        drift = np.sqrt(1 - settings.taste_memory**2) * unit(rng.standard_normal(tastes.shape))
        tastes = unit(settings.taste_memory * tastes + drift)
        times = times + rng.exponential(settings.mean_gap, settings.n_users)
    happened = np.arange(len(chosen)) < lengths[:, None]
    return _Log(
        items=np.stack(chosen, axis=1)[happened].astype(np.uint32),
        times=np.stack(seen_times, axis=1)[happened],
        tastes=np.stack(seen_tastes, axis=1)[happened],
        lengths=lengths,
    )


def _choices(
    rng: np.random.Generator,
    settings: DemoSettings,
    tastes: Float64Matrix,
    items: Float64Matrix,
    attraction: npt.NDArray[np.float64],
    forbidden: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Draw one item per user with odds exp(taste_strength * similarity) * attraction (Gumbel)."""
    similarity = whole(tastes) @ whole(items).T / UNIT**2
    noise = rng.gumbel(size=similarity.shape)
    logits = whole(settings.taste_strength * similarity + attraction + noise, 1 << 40)
    logits[forbidden] = -np.inf
    choice: npt.NDArray[np.int64] = logits.argmax(axis=1)
    return choice


def _attraction(rng: np.random.Generator, settings: DemoSettings) -> npt.NDArray[np.float64]:
    """Return each item's log popularity."""
    ranks = rng.permutation(settings.n_items) + 1
    log_popularity: npt.NDArray[np.float64] = -settings.popularity_skew * np.log(ranks)
    return log_popularity


def _releases(rng: np.random.Generator, settings: DemoSettings) -> npt.NDArray[np.float64]:
    """Return when each item comes out: most before everything, some after half of the time."""
    is_late = rng.random(settings.n_items) < settings.late_share
    return np.where(is_late, rng.uniform(0.5, 1.2, settings.n_items), -1.0)


def _item_ids(rng: np.random.Generator, settings: DemoSettings) -> list[str]:
    numbers = rng.permutation(9 * 10**5)[: settings.n_items] + 10**5
    return [f"SKU-{number}" for number in numbers]


def _titles(themes: npt.NDArray[np.int64], styles: npt.NDArray[np.int64]) -> list[str]:
    volumes: dict[tuple[int, int], int] = {}
    titles = []
    for pair in zip(themes.tolist(), styles.tolist(), strict=True):
        theme, style = pair
        titles.append(f"{_ADJECTIVES[style]} {_THEMES[theme]}{_VOLUMES[volumes.get(pair, 0)]}")
        volumes[pair] = volumes.get(pair, 0) + 1
    return titles


def _dataset(
    settings: DemoSettings, catalogue: Catalogue, log: _Log, name: str
) -> tuple[SequenceDataset, dict[str, Float64Matrix]]:
    """Make a row of every event but a user's first, split by when its target happened."""
    user_ends = log.lengths.cumsum()
    starts = np.repeat(user_ends - log.lengths, log.lengths)
    ends = np.arange(log.items.size, dtype=np.int64)
    is_row = ends > starts
    ends, starts = ends[is_row], starts[is_row]
    times = np.sort(log.times[ends])
    n_train = int(settings.train_share * ends.size)
    n_seen = n_train + int(settings.validation_share * ends.size)
    split = np.searchsorted(times[[n_train, n_seen]], log.times[ends], side="right")
    rows = {
        which: Rows(starts[split == number], ends[split == number])
        for number, which in enumerate(("train", "validation", "test"))
    }
    dataset = SequenceDataset(
        name=name,
        catalogue=catalogue,
        events=log.items,
        max_length=settings.max_length,
        has_users=True,
        notes=[f"generated: {settings.n_users:,} users, split by time"],
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
    )
    return dataset, {which: log.tastes[part.end] for which, part in rows.items()}
