"""How long a search may take, as people write it."""

from __future__ import annotations

import math
import re

from dllm2rec.caller import words
from dllm2rec.errors import ConfigError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(given: str | float) -> float:
    """Seconds of `90s`, `30m` or `2h`; a number that is no text is seconds already.

    Raises:
        ConfigError: it is neither, or not above 0.
    """
    if isinstance(given, str):
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh])", given.strip())
        seconds = math.nan if match is None else float(match[1]) * _SECONDS[match[2]]
    else:
        seconds = float(given)
    if not 0 < seconds < math.inf:
        name = words(python=f"budget = {given!r}", option=f"--budget {given}")
        raise ConfigError(f"{name}: expected a time above 0 with its unit, such as 90s, 30m or 2h")
    return seconds
