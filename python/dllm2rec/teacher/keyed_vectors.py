"""Vectors that bring the ids of their items: joined to the catalogue by them, never by order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dllm2rec.caller import words
from dllm2rec.data.text.lines import decoded, read_lines
from dllm2rec.errors import InputError

_NAMED = 5


@dataclass(frozen=True, eq=False)
class Vectors:
    """What a file holds: vectors, float32 (n, E), and whose they are, where it says."""

    matrix: NDArray[np.float32]
    ids: list[str] | None = None


@dataclass(frozen=True)
class JoinRules:
    """How vectors with ids are brought into the order of the catalogue.

    Attributes:
        item_ids: the catalogue's.
        skip_unknown: leave out vectors of items that the catalogue lacks; else they are refused.
        keep_first: of an item that is there twice take the first vector; else it is refused.
    """

    item_ids: Sequence[str]
    skip_unknown: bool = False
    keep_first: bool = False


def read_ids(path: Path, matrix: Path, n_rows: int) -> list[str]:
    """Read the ids beside a matrix, one per line, or an `.npy` file of texts or whole numbers.

    Args:
        path: the file of ids.
        matrix: the file of the vectors.
        n_rows: how many there are.

    Raises:
        InputError: the file cannot be read, a line is empty, or there are more ids or fewer.
    """
    if path.suffix == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError):
            message = "no array of texts or whole numbers, expected the items' ids"
            raise InputError(message, code="E-VECTOR-IDS", path=path) from None
        if array.ndim != 1 or array.dtype.kind not in "iuU":
            message = f"{array.dtype} {array.shape}, expected texts or whole numbers, one per item"
            raise InputError(message, code="E-VECTOR-IDS", path=path)
        if len(array) != n_rows:
            raise _miscounted(path, f"{len(array):,}", matrix, n_rows)
        return [str(value) for value in array.tolist()]
    ids: list[str] = []
    for number, line in read_lines(path):
        text = decoded(path, number, line).strip()
        if not text:
            message = "an empty line, expected the id of an item"
            raise InputError(message, code="E-VECTOR-IDS", path=path, line=number)
        if len(ids) == n_rows:  # before all of a file that cannot be meant is held
            raise _miscounted(path, f"over {n_rows:,}", matrix, n_rows)
        ids.append(text)
    if len(ids) != n_rows:
        raise _miscounted(path, f"{len(ids):,}", matrix, n_rows)
    return ids


def _miscounted(path: Path, found: str, matrix: Path, n_rows: int) -> InputError:
    message = f"{found} ids, expected {n_rows:,} as {matrix.name} has rows"
    return InputError(message, code="E-ROWS", path=path)


def joined(vectors: Vectors, path: Path, rules: JoinRules, notes: list[str]) -> NDArray[np.float32]:
    """Put vectors into the order of the catalogue, float32 (N, E).

    Raises:
        InputError: an item has no vector or two, or a vector is of no item; the message names ids.
    """
    ids = vectors.ids or []
    place = {item_id: index for index, item_id in enumerate(rules.item_ids)}
    first: dict[str, int] = {}
    unknown, twice = [], []
    for row, item_id in enumerate(ids):
        if item_id not in place:
            unknown.append(item_id)
        elif item_id in first:
            twice.append(item_id)
        else:
            first[item_id] = row
    if twice and not rules.keep_first:
        cure = words(python='on_duplicate="keep-first"', option="--on-duplicate keep-first")
        raise _fault(path, twice, "there twice", "one vector per item", f"give {cure}")
    if unknown and not rules.skip_unknown:
        cure = words(python='unknown_vectors="skip"', option="--unknown-vectors skip")
        hint = f"vectors go by the dataset's external ids; to leave others out give {cure}"
        raise _fault(path, unknown, "not in the catalogue", "ids of its items", hint)
    missing = [item_id for item_id in rules.item_ids if item_id not in first]
    if missing:
        raise _fault(path, missing, "without a vector", "one for every item", "")
    if unknown or twice:
        notes.append(
            f"W-VECTORS-SKIPPED {len(unknown)} vectors of unknown items and {len(twice)} repeated "
            "ones were left out"
        )
    rows = np.fromiter((first[item_id] for item_id in rules.item_ids), np.int64)
    return np.ascontiguousarray(vectors.matrix[rows])


def _fault(path: Path, ids: Sequence[str], what: str, expected: str, hint: str) -> InputError:
    named = ", ".join(map(ascii, ids[:_NAMED]))
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    message = f"item id {named}{more} {what}, expected {expected}"
    return InputError(message, code="E-VECTOR-IDS", path=path, hint=hint)
