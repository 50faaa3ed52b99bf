"""A key that comes twice: Python's parser of JSON lets it through, a reader of data must not."""

from __future__ import annotations

from typing import Any


class TwiceError(ValueError):
    """A key that is there twice; the argument is the key."""


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs, the `object_pairs_hook` of `json.loads`.

    Raises:
        TwiceError: a key is there twice.
    """
    entry = dict(pairs)
    if len(entry) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise TwiceError(key)
            seen.add(key)
    return entry
