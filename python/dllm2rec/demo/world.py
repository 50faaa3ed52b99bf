"""A generated world to try everything on: users with drifting tastes, items with titles, a teacher.

Users choose by a latent taste that interactions show only roughly: there are few of them, and many
items are rare or come out late. The teacher saw the taste through noise and knows what each item is
about, so its lists and vectors hold what the log does not.

The world is the same on every machine: numbers are drawn by NumPy's own generator and rounded to
whole numbers before anything is compared, so that no decision hangs on the last bit of a float sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.teacher.knowledge import TeacherKnowledge

Float64Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """The constants of the generated world.

    Attributes:
        n_users: how many users.
        n_items: how many items, at most themes x styles x 12 for distinct titles.
        min_events: events of the shortest history.
        mean_more_events: how many more an average user has (geometric).
        max_events: events of the longest history.
        max_length: L of the dataset.
        taste_dims: dimensions of tastes and of what an item is about.
        style_share: weight of an item's style beside its theme (1).
        own_share: weight of what is its own, told by no attribute.
        taste_strength: how much taste decides (logit per unit of similarity).
        taste_memory: share of a taste that stays from one event to the next; the rest drifts.
        popularity_skew: exponent of popularity over popularity rank.
        late_share: share of items that come out after the first half of the time.
        mean_gap: mean time between a user's events; all starts lie in 0..1.
        train_share: share of rows in train, the earliest.
        validation_share: share of rows after those; the rest is test.
        top_n: length of the teacher's lists.
        teacher_width: width of the teacher's item vectors.
        teacher_taste_noise: noise of the teacher's view of a taste, relative to the taste.
        teacher_item_noise: noise of its view of an item, relative to the item.
    """

    n_users: int = 2400
    n_items: int = 800
    min_events: int = 3
    mean_more_events: float = 5.0
    max_events: int = 30
    max_length: int = 10
    taste_dims: int = 8
    style_share: float = 0.5
    own_share: float = 0.3
    taste_strength: float = 8.0
    taste_memory: float = 0.95
    popularity_skew: float = 0.4
    late_share: float = 0.12
    mean_gap: float = 0.05
    train_share: float = 0.7
    validation_share: float = 0.15
    top_n: int = 20
    teacher_width: int = 48
    teacher_taste_noise: float = 1.0
    teacher_item_noise: float = 0.3


WORLD = World()

_ADJECTIVES = (
    "Quiet", "Golden", "Broken", "Endless", "Hidden", "Crimson", "Frozen", "Wandering", "Electric",
    "Paper",
)  # fmt: skip
_THEMES = (
    "Harbour", "Orchard", "Railway", "Galaxy", "Castle", "Kitchen", "Reef", "Circus", "Forest",
    "Racetrack", "Library", "Volcano", "Market", "Lighthouse", "Workshop", "Desert",
)  # fmt: skip
_VOLUMES = ("", " II", " III", " IV", " V", " VI", " VII", " VIII", " IX", " X", " XI", " XII")

_UNIT = 1 << 14  # vectors of length 1 as whole numbers: float64 sums of their products are exact


def demo_world(seed: int = 0, world: World = WORLD) -> tuple[SequenceDataset, TeacherKnowledge]:
    """Generate the world: a dataset split by global time, and a teacher worth listening to.

    Args:
        seed: another seed is another world.
        world: its constants.

    Returns:
        The dataset (every position of every user is a row) and what its teacher knows.

    Raises:
        InputError: more items than there are titles, or fewer than a list has.
    """
    most = len(_THEMES) * len(_ADJECTIVES) * len(_VOLUMES)
    if not world.top_n <= world.n_items <= most:
        raise InputError(f"n_items: {world.n_items}, expected {world.top_n}..{most}")
    rng = np.random.default_rng([20240817, seed])
    themes, styles = _attributes(rng, world)
    items = _item_vectors(rng, world, themes, styles)
    log = _interactions(rng, world, items)
    catalogue = Catalogue(_item_ids(rng, world), _titles(themes, styles))
    dataset, row_tastes = _dataset(world, catalogue, log, name=f"demo-{seed}")
    return dataset, _teacher(rng, world, items, row_tastes, dataset)


def random_teacher(
    dataset: SequenceDataset, seed: int = 0, *, top_n: int = 20, width: int = 48
) -> TeacherKnowledge:
    """Make a teacher that knows nothing, with the shapes of one that does.

    Lists are uniform draws of distinct items, distances and vectors independent of everything.
    """
    rng = np.random.default_rng([20240818, seed])
    n_train, n_items = len(dataset.train), dataset.n_items
    distance = np.sort(rng.uniform(0.6, 1.4, (n_train, top_n)), axis=1).astype(np.float32)
    return TeacherKnowledge(
        ranking=_random_lists(rng, n_train, n_items, top_n),
        distance=distance,
        target_distance=rng.uniform(0.6, 1.4, n_train).astype(np.float32),
        item_embeddings=_unit(rng.standard_normal((n_items, width))).astype(np.float32),
        ranking_validation=_random_lists(rng, len(dataset.validation), n_items, top_n),
        ranking_test=_random_lists(rng, len(dataset.test), n_items, top_n),
        notes=["a random teacher: it knows nothing"],
    )


@dataclass(frozen=True, eq=False)
class _Log:
    """Events user after user: items, times and the taste that chose each, and users' lengths."""

    items: npt.NDArray[np.uint32]
    times: npt.NDArray[np.float64]
    tastes: Float64Matrix
    lengths: npt.NDArray[np.int64]


def _attributes(
    rng: np.random.Generator, world: World
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw each item's theme and style, no pair more often than there are volumes."""
    pairs = np.repeat(np.arange(len(_THEMES) * len(_ADJECTIVES)), len(_VOLUMES))
    theme, style = np.divmod(rng.permutation(pairs)[: world.n_items], len(_ADJECTIVES))
    return theme, style


def _item_vectors(
    rng: np.random.Generator,
    world: World,
    themes: npt.NDArray[np.int64],
    styles: npt.NDArray[np.int64],
) -> Float64Matrix:
    of_theme = _unit(rng.standard_normal((len(_THEMES), world.taste_dims)))
    of_style = _unit(rng.standard_normal((len(_ADJECTIVES), world.taste_dims)))
    own = _unit(rng.standard_normal((world.n_items, world.taste_dims)))
    return _unit(of_theme[themes] + world.style_share * of_style[styles] + world.own_share * own)


def _interactions(rng: np.random.Generator, world: World, items: Float64Matrix) -> _Log:
    """Let all users choose, one event after the other; nobody takes an item twice."""
    more = rng.geometric(1 / (1 + world.mean_more_events), world.n_users) - 1
    lengths = np.minimum(world.min_events + more, world.max_events)
    releases, attraction = _releases(rng, world), _attraction(rng, world)
    tastes = _unit(rng.standard_normal((world.n_users, world.taste_dims)))
    times = rng.uniform(0, 1, world.n_users)
    is_taken = np.zeros((world.n_users, world.n_items), dtype=np.bool_)
    chosen, seen_tastes, seen_times = [], [], []
    for place in range(int(lengths.max())):
        choosing = np.flatnonzero(lengths > place)
        forbidden = is_taken[choosing] | (releases > times[choosing, None])
        choice = np.zeros(world.n_users, dtype=np.int64)
        choice[choosing] = _choices(rng, world, tastes[choosing], items, attraction, forbidden)
        is_taken[choosing, choice[choosing]] = True
        chosen.append(choice)
        seen_tastes.append(tastes)
        seen_times.append(times)
        drift = np.sqrt(1 - world.taste_memory**2) * _unit(rng.standard_normal(tastes.shape))
        tastes = _unit(world.taste_memory * tastes + drift)
        times = times + rng.exponential(world.mean_gap, world.n_users)
    happened = np.arange(len(chosen)) < lengths[:, None]
    return _Log(
        items=np.stack(chosen, axis=1)[happened].astype(np.uint32),
        times=np.stack(seen_times, axis=1)[happened],
        tastes=np.stack(seen_tastes, axis=1)[happened],
        lengths=lengths,
    )


def _choices(
    rng: np.random.Generator,
    world: World,
    tastes: Float64Matrix,
    items: Float64Matrix,
    attraction: npt.NDArray[np.float64],
    forbidden: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Draw one item per user with odds exp(taste_strength * similarity) * attraction (Gumbel)."""
    similarity = _whole(tastes) @ _whole(items).T / _UNIT**2
    noise = rng.gumbel(size=similarity.shape)
    logits = _whole(world.taste_strength * similarity + attraction + noise, 1 << 40)
    logits[forbidden] = -np.inf
    choice: npt.NDArray[np.int64] = logits.argmax(axis=1)
    return choice


def _attraction(rng: np.random.Generator, world: World) -> npt.NDArray[np.float64]:
    """Return each item's log popularity."""
    ranks = rng.permutation(world.n_items) + 1
    log_popularity: npt.NDArray[np.float64] = -world.popularity_skew * np.log(ranks)
    return log_popularity


def _releases(rng: np.random.Generator, world: World) -> npt.NDArray[np.float64]:
    """Return when each item comes out: most before everything, some after half of the time."""
    is_late = rng.random(world.n_items) < world.late_share
    return np.where(is_late, rng.uniform(0.5, 1.2, world.n_items), -1.0)


def _item_ids(rng: np.random.Generator, world: World) -> list[str]:
    numbers = rng.permutation(9 * 10**5)[: world.n_items] + 10**5
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
    world: World, catalogue: Catalogue, log: _Log, name: str
) -> tuple[SequenceDataset, dict[str, Float64Matrix]]:
    """Make a row of every event but a user's first, split by when its target happened."""
    user_ends = log.lengths.cumsum()
    starts = np.repeat(user_ends - log.lengths, log.lengths)
    ends = np.arange(log.items.size, dtype=np.int64)
    is_row = ends > starts
    ends, starts = ends[is_row], starts[is_row]
    times = np.sort(log.times[ends])
    n_train = int(world.train_share * ends.size)
    n_seen = n_train + int(world.validation_share * ends.size)
    split = np.searchsorted(times[[n_train, n_seen]], log.times[ends], side="right")
    rows = {
        which: Rows(starts[split == number], ends[split == number])
        for number, which in enumerate(("train", "validation", "test"))
    }
    dataset = SequenceDataset(
        name=name,
        catalogue=catalogue,
        events=log.items,
        max_length=world.max_length,
        has_users=True,
        notes=[f"generated: {world.n_users:,} users, split by time"],
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
    )
    return dataset, {which: log.tastes[part.end] for which, part in rows.items()}


def _teacher(
    rng: np.random.Generator,
    world: World,
    items: Float64Matrix,
    row_tastes: dict[str, Float64Matrix],
    dataset: SequenceDataset,
) -> TeacherKnowledge:
    """Let the teacher see tastes and items through noise, both in its own wider space."""
    rotation = _unit(rng.standard_normal((world.taste_dims, world.teacher_width)))
    vectors = _whole(_seen(rng, items, rotation, world.teacher_item_noise))
    lists, distances, similarities = {}, {}, {}
    for which, tastes in row_tastes.items():
        seen = _whole(_seen(rng, tastes, rotation, world.teacher_taste_noise))
        similarity = seen @ vectors.T  # exact
        lists[which] = _best(similarity, world.top_n)
        distances[which] = _distance(np.take_along_axis(similarity, lists[which], axis=1))
        similarities[which] = similarity
    targets = dataset.targets(dataset.train).astype(np.int64)
    of_target = similarities["train"][np.arange(targets.size), targets]
    return TeacherKnowledge(
        ranking=lists["train"].astype(np.uint32),
        distance=distances["train"],
        target_distance=_distance(of_target),
        item_embeddings=(vectors / _UNIT).astype(np.float32),
        ranking_validation=lists["validation"].astype(np.uint32),
        ranking_test=lists["test"].astype(np.uint32),
        notes=["a generated teacher: it sees tastes and items through noise"],
    )


def _best(similarity: Float64Matrix, n: int) -> npt.NDArray[np.int64]:
    """Return the n best items of each row, best first, the smaller item first among equals."""
    n_items = similarity.shape[1]
    keys = np.arange(n_items) - n_items * similarity  # whole numbers below 2**53: exact, no ties
    few = np.argpartition(keys, n - 1, axis=1)[:, :n]
    order = np.argsort(np.take_along_axis(keys, few, axis=1), axis=1)
    best: npt.NDArray[np.int64] = np.take_along_axis(few, order, axis=1)
    return best


def _seen(
    rng: np.random.Generator, vectors: Float64Matrix, rotation: Float64Matrix, noise: float
) -> Float64Matrix:
    """Return unit vectors in the teacher's space, off by noise of the given relative length."""
    placed = _unit(vectors @ rotation)
    return _unit(placed + noise * _unit(rng.standard_normal(placed.shape)))


def _distance(similarity: Float64Matrix) -> npt.NDArray[np.float32]:
    """Return the Euclidean distance of unit vectors from their exact product."""
    return np.sqrt(np.maximum(2 - 2 * similarity / _UNIT**2, 0)).astype(np.float32)


def _unit(vectors: Float64Matrix) -> Float64Matrix:
    lengths = np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    unit: Float64Matrix = vectors / lengths
    return unit


def _whole(numbers: Float64Matrix, unit: int = _UNIT) -> Float64Matrix:
    """Round to multiples of 1 / unit, times unit: what machines differ in, the last bits, goes."""
    return np.rint(numbers * unit)


def _random_lists(
    rng: np.random.Generator, n_rows: int, n_items: int, top_n: int
) -> npt.NDArray[np.uint32]:
    """Draw `top_n` distinct items per row uniformly (Floyd's method), in random order."""
    lists = np.empty((n_rows, top_n), dtype=np.int64)
    for place, highest in enumerate(range(n_items - top_n, n_items)):
        drawn = rng.integers(0, highest + 1, n_rows)
        is_there = (lists[:, :place] == drawn[:, None]).any(axis=1)
        lists[:, place] = np.where(is_there, highest, drawn)
    return rng.permuted(lists, axis=1).astype(np.uint32)
