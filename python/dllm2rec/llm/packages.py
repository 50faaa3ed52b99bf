"""Packages of the `llm` extra, told where they are missing, and models that fail to load."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from dllm2rec.errors import ConfigError


def check_packages(*names: str) -> None:
    """Refuse work whose packages are not installed; nothing is imported.

    Raises:
        ConfigError: one of them is missing.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"the package {name} is not installed, expected it; pip install '.[llm]' in a clone"
            )


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Turn what the libraries raise for a model that they cannot load into one line.

    Raises:
        ConfigError: no folder, no name that the hub knows, or files that are no model.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as err:
        reason = next((line.strip() for line in str(err).splitlines() if line.strip()), "")
        raise ConfigError(
            f"model {model!r}: {type(err).__name__} {reason[:200]!r}, expected a folder with a "
            "Hugging Face model, or the name of one that the hub can give now"
        ) from err
