"""Recommendations made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dllm2rec.data.dataset import Catalogue
from dllm2rec.serve.recommendations import Recommendations
from dllm2rec.tracking.metric_table import Recommendation


def made_lists(*lists: tuple[str, Sequence[Recommendation]]) -> Recommendations:
    """Named lists, over the catalogue of what they hold; a title that is missing is empty."""
    titles = {place.item_id: place.title or "" for _, places in lists for place in places}
    ids = list(titles)
    k = max(len(places) for _, places in lists)
    items = np.full((len(lists), k), len(ids), np.uint32)
    scores = np.full((len(lists), k), -np.inf, np.float32)
    for row, (_, places) in enumerate(lists):
        items[row, : len(places)] = [ids.index(place.item_id) for place in places]
        scores[row, : len(places)] = [place.score for place in places]
    catalogue = Catalogue(ids, list(titles.values()))
    names = [name for name, _ in lists]
    return Recommendations(catalogue, items, scores, names=names, column="user_id")
