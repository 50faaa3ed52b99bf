"""Which settings a search varies, and between what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dllm2rec.caller import words
from dllm2rec.config.load import changed, read_toml
from dllm2rec.config.messages import shown
from dllm2rec.config.model import Config
from dllm2rec.errors import ConfigError

Value: TypeAlias = bool | int | float | str


@dataclass(frozen=True)
class Between:
    """Any number from `low` to `high`; a whole one where both are.

    Attributes:
        low: the least.
        high: the most.
        log: whether as much is tried from 1 to 10 as from 10 to 100.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class OneOf:
    """One of some values, in any order."""

    values: tuple[Value, ...]


# `section.field` -> what is tried.
Space: TypeAlias = Mapping[str, Between | OneOf]

# They change what is measured, or where: the best of such a search would mean nothing.
_FIXED = ("train.seed", "train.device", "train.save_every_s")
_KEYS = {"low", "high", "log"}


def default_space(config: Config, *, has_lists: bool) -> Space:
    """What is searched where nothing is said; the recipe's own values are always among it.

    Args:
        config: of the first trial.
        has_lists: whether there are lists of a teacher to weigh.
    """
    heads = config.student.n_heads if config.student.name == "sasrec" else 1
    widths = [width for width in (32, 64, 128, 256) if width % heads == 0]
    space: dict[str, Between | OneOf] = {
        "train.learning_rate": Between(1e-4, 1e-2, log=True),
        "student.dropout": Between(0.0, 0.7),
        "student.hidden_size": OneOf(tuple(widths)),
        "train.batch_size": OneOf((256, 512, 1024, 2048)),
    }
    if config.student.name == "sasrec" and config.variant == "default":
        space["student.n_blocks"] = OneOf((1, 2, 3))
    if has_lists:
        space["distillation.ranking_weight"] = Between(0.0, 0.8)
    return space


def read_space(path: Path) -> Space:
    """Read a space from a TOML file: a list of values, or a table of low, high and log.

    Raises:
        ConfigError: it cannot be read, or says neither of a setting; the message names it.
    """
    space: dict[str, Between | OneOf] = {}
    for section, fields in read_toml(path).items():
        if not isinstance(fields, dict):
            raise ConfigError(f"{path}: {section} = {shown(fields)}, expected a table [{section}]")
        for field, value in fields.items():
            space[f"{section}.{field}"] = _range(value, f"{path} [{section}]: {field}")
    if not space:
        raise ConfigError(f"{path}: nothing to search, expected a setting such as dropout")
    return space


def _range(value: Any, where: str) -> Between | OneOf:  # noqa: ANN401 - whatever TOML can hold
    if isinstance(value, list) and value and all(isinstance(one, Value) for one in value):
        return OneOf(tuple(dict.fromkeys(value)))
    if isinstance(value, dict) and {"low", "high"} <= value.keys() <= _KEYS:
        low, high, log = value["low"], value["high"], value.get("log", False)
        numbers = all(type(one) in {int, float} for one in (low, high))
        if numbers and isinstance(log, bool) and low < high and (low > 0 or not log):
            return Between(low, high, log)
    raise ConfigError(
        f"{where} = {shown(value)}, expected values to choose from, such as [64, 128], or a range, "
        "such as { low = 1e-4, high = 1e-2, log = true }, low below high and above 0 with log"
    )


def checked_space(space: Space, config: Config) -> Space:
    """The space with the values of `config` in it, once each of its ends makes a configuration.

    Raises:
        ConfigError: a setting that is unknown or not to be searched, or a value that is refused.
    """
    checked = {}
    for name, range_ in space.items():
        if name in _FIXED or name.startswith("evaluation."):
            raise ConfigError(
                f"{name}: cannot be searched, since it changes what is measured or where; expected "
                "settings of the student, its losses or its training; leave it out of "
                f"{words(python='space', option='--search')}"
            )
        ends = range_.values if isinstance(range_, OneOf) else (range_.low, range_.high)
        for value in ends:
            with_values(config, {name: value})
        checked[name] = _with(range_, value_of(config, name), name)
    return checked


def _with(range_: Between | OneOf, value: Value, name: str) -> Between | OneOf:
    if isinstance(range_, OneOf):
        values = range_.values
        return range_ if value in values else OneOf((*values, value))
    assert not isinstance(value, str)  # noqa: S101 - the ends are numbers, so the field takes them
    if range_.log and value <= 0:
        raise ConfigError(
            f"{name}: searched with log = true, and trial 0 has {value}, expected one above 0; "
            f"give it with --set {name}={range_.low}"
        )
    return Between(min(range_.low, value), max(range_.high, value), range_.log)


def value_of(config: Config, name: str) -> Value:
    """What a configuration has for `section.field`."""
    section, _, field = name.partition(".")
    return getattr(getattr(config, section), field)  # type: ignore[no-any-return]


def with_values(config: Config, values: Mapping[str, Value]) -> Config:
    """A configuration with some values of the search.

    Raises:
        ConfigError: a setting that is unknown, or a value that is refused.
    """
    sections: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        section, _, field = name.partition(".")
        sections.setdefault(section, {})[field] = value
    return changed(config, **sections)
