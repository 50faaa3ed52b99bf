"""Files that are the splits of one log: NAME.train.inter and NAME.test.inter, train.csv, ..."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dllm2rec.data.logs.interactions import SPLITS
from dllm2rec.data.text.find_files import plain_name

_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_WORD = re.compile(rf"(?:^|[._-])({'|'.join(_WORDS)})(?=[._-]|$)", re.IGNORECASE)


def split_of(path: Path) -> str | None:
    """Return the split that a file's name says, or that of a folder called so and nothing else."""
    found = _WORD.findall(plain_name(path))
    if found:
        return _WORDS[found[-1].lower()]
    return _WORDS.get(path.resolve().parent.name.lower())


def splits_of(files: Sequence[Path]) -> dict[Path, str]:
    """Return the split of each file, train first; nothing where the files are no splits.

    They are if the names of all say a split, and one of them train.
    """
    found = {path: split for path in files if (split := split_of(path)) is not None}
    if len(found) < len(files) or len(set(found.values())) == 1 or "train" not in found.values():
        return {}
    return dict(sorted(found.items(), key=lambda entry: SPLITS.index(entry[1])))


def stem_of(path: Path) -> str:
    """Return what stands before the split in a file's name."""
    return _WORD.split(plain_name(path), maxsplit=1)[0]
