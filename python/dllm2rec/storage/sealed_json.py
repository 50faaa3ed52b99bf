"""JSON that carries its own sha256: a flipped bit anywhere in the file shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dllm2rec.errors import ArtifactError

KEY = "sha256"
Lacks = Callable[[Mapping[str, Any]], bool]
# The largest of our files hold a line per seed: more than this is not one of ours.
_LIMIT = 64 * 2**20


def seal(content: Mapping[str, Any]) -> bytes:
    """Return the one spelling of an object: its keys in their order, then its own sha256.

    Raises:
        ValueError: NaN or infinity, which JSON has not.
    """
    return _spelled({**content, KEY: digest(content)})


def digest(content: Mapping[str, Any]) -> str:
    """Return the sha256, in hexadecimal, of an object without the key that holds it."""
    plain = {key: value for key, value in content.items() if key != KEY}
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sealed_only(content: Mapping[str, Any]) -> bool:
    """Take nothing without a sha256."""
    return False


def read_sealed(file: Path, what: str, *, may_lack_it: Lacks = sealed_only) -> dict[str, Any]:
    """Read what `seal` made, without the sha256.

    Args:
        file: where it is.
        what: how a message calls what was expected.
        may_lack_it: whether an object without a sha256 is one that an older version wrote.

    Raises:
        ArtifactError: it cannot be read, is no JSON object, or differs from what was written.
    """
    try:
        if file.stat().st_size > _LIMIT:
            raise ArtifactError(f"{file}: larger than {_LIMIT} bytes, expected {what}")
        raw = file.read_bytes()
    except OSError as err:
        raise ArtifactError(f"{file}: {err.strerror or err}, expected {what}") from err
    try:
        content = json.loads(raw)
        if not isinstance(content, dict):
            raise ArtifactError(f"{file}: no JSON object, expected {what}")
        if KEY not in content and may_lack_it(content):
            return content
        # One spelling only: a flipped bit anywhere shows, whatever JSON makes of it.
        is_whole = content.get(KEY) == digest(content) and _spelled(content) == raw
    except (ValueError, RecursionError) as err:
        raise ArtifactError(f"{file}: no JSON ({type(err).__name__}), expected {what}") from err
    if not is_whole:
        raise ArtifactError(
            f"{file}: changed since it was written, expected its own sha256; copy the folder again"
        )
    del content[KEY]
    return content


def _spelled(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode("utf-8", "surrogatepass") + b"\n"
