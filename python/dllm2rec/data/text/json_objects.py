"""What Python's parser of JSON lets through and a reader of data must not: keys that come twice."""

from __future__ import annotations

import re
from typing import Any

_HALF_PAIR = re.compile("[\ud800-\udfff]")


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


def half_pair(text: str) -> bool:
    r"""Whether a text holds half a surrogate pair, as of `"\ud800"`: no file can hold it."""
    return _HALF_PAIR.search(text) is not None
