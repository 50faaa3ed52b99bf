"""How large the synthetic demo dataset is, and how its users and its teacher behave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSettings:
    """The constants of the demo dataset.

    Attributes:
        n_users: how many users.
        n_items: how many items, at most themes x styles x 12 for distinct titles.
        min_events: events of the shortest history.
        mean_more_events: how many more an average user has (geometric).
        max_events: events of the longest history.
        max_length: L of the dataset.
        taste_dims: dimensions of tastes and of what an item is about.
        style_share: weight of an item's style beside its theme (1).
        own_share: weight of what is particular to the item, told by no attribute.
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


DEFAULTS = DemoSettings()
