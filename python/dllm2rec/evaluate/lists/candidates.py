"""The items that alone may be ranked or listed, where not all are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import InputError


def allowed_items(
    dataset: SequenceDataset, candidates: Iterable[str] | None
) -> npt.NDArray[np.bool_] | None:
    """Which items are candidates, bool (N,); None where all are.

    Raises:
        InputError: an id that no item has, or no id at all.
    """
    if candidates is None:
        return None
    ids = list(candidates)
    if not ids:
        raise InputError("candidates: none, expected ids of items", code="E-EMPTY")
    found = dataset.catalogue.find_all(ids)
    if None in found:
        message = f"candidates: unknown item id {ids[found.index(None)]!r}, expected known ones"
        raise InputError(message, code="E-ITEM-UNKNOWN")
    allowed = np.zeros(dataset.n_items, np.bool_)
    allowed[np.array(found, np.int64)] = True
    return allowed
