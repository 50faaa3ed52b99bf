"""The one place that prints lines for people: what they hold cannot control the terminal."""

from __future__ import annotations

from dllm2rec.runtime.visible import visible


def say(line: str = "") -> None:
    """Print one line, its control characters spelt out."""
    print(visible(line))
