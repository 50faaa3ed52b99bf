"""Whether lists fit the histories that they are said to go on from, better than any others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MIN_LISTS = 50
_SAMPLE = 256  # lists that are compared with each other's histories
# In standard errors. The answers of three language models for MovieLens-small have 12 to 44 in
# common items and 7 to 13 through other histories; permuted, none has over 1.4.
MIN_ERRORS = 4.0

FloatMatrix = npt.NDArray[np.float64]


def permuted_notes(
    histories: Sequence[npt.NDArray[np.integer]], lists: Sequence[npt.NDArray[np.integer]]
) -> list[str]:
    """Name lists that fit their own histories no better than others', in one note or none.

    A list fits a history by the rare items that they share, 1 / sqrt(1 + count) each, or shares
    with the other histories that this one is like. Of the matrix of all fits of a sample, its rows
    and columns centred, the mean of the diagonal is compared with its standard error.
    """
    if len(lists) < MIN_LISTS:
        return []
    sample = np.random.default_rng(0).permutation(len(lists))[:_SAMPLE]
    items = np.unique(np.concatenate([part[n] for n in sample for part in (histories, lists)]))
    known, listed = (
        np.stack([np.isin(items, part[n]) for n in sample]).astype(np.float64)
        for part in (histories, lists)
    )
    rare = 1 / np.sqrt(1 + known.sum(axis=0))
    known, listed = _unit(known * rare), _unit(listed * rare)
    shared, alike = listed @ known.T, known @ known.T
    errors = abs(_own(shared))
    np.fill_diagonal(shared, 0)
    np.fill_diagonal(alike, 0)
    through = _own(shared @ alike)
    if max(errors, through) >= MIN_ERRORS:
        return []
    note = (
        f"W-LISTS-PERMUTED {len(sample):,} lists fit the histories that they are for no better "
        "than each other's: check that they are not in another order, or the same for everybody"
    )
    return [note]


def _unit(matrix: FloatMatrix) -> FloatMatrix:
    norms: FloatMatrix = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.maximum(norms, 1e-12)


def _own(fits: FloatMatrix) -> float:
    """How far the diagonal is above the rest, in standard errors."""
    centred = fits - fits.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    own = np.diag(centred)
    spread = float(centred[~np.eye(len(fits), dtype=bool)].std())
    return 0.0 if spread < 1e-12 else float(own.mean()) / (spread / math.sqrt(len(fits)))
