"""What a dataset's fingerprint is made of: arrays and texts, in one form on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def hash_array(digest: hashlib._Hash, array: npt.NDArray[np.integer]) -> None:
    """Add the size and the values, in little-endian order."""
    digest.update(f"{array.size}:".encode())
    digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)


def hash_texts(digest: hashlib._Hash, texts: list[str] | None) -> None:
    """Add texts, or that there are none."""
    # Lengths first: ["ab", "c"] and ["a", "bc"] must differ.
    texts_utf8 = None if texts is None else [text.encode() for text in texts]
    digest.update(f"{None if texts_utf8 is None else [len(t) for t in texts_utf8]}:".encode())
    digest.update(b"".join(texts_utf8 or []))
