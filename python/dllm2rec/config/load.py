"""Where a `Config` comes from (recipe, then the user's TOML file, then `--set`) and goes to.

Each value remembers which of the three it came from, so that an error can say so.
"""

from __future__ import annotations

import json
import logging
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from dllm2rec.caller import one_or_more
from dllm2rec.config.messages import first_error, shown, spelled, unknown_key, unknown_name
from dllm2rec.config.model import Config, Section
from dllm2rec.errors import ConfigError

Recipe = Literal["strong", "light", "paper", "authors", "demo"]
RECIPES: tuple[str, ...] = get_args(Recipe)
MAX_BYTES = 100_000
MAX_DOTS = 16  # in one key; the parser's memory grows with their square

Table = dict[str, Any]
Origins = dict[tuple[str, ...], str]

_log = logging.getLogger(__name__)


def load_config(
    *,
    recipe: str | None = None,
    path: str | Path | None = None,
    overrides: str | Sequence[str] = (),
) -> Config:
    """Read a configuration: recipe < the user's file < overrides.

    Args:
        recipe: one of `RECIPES`; without it the file's `recipe`, and without that "strong";
            `default_recipe` gives the one that suits this machine.
        path: a TOML file with the sections of `Config`; what it leaves out the recipe holds.
        overrides: `section.field=value`, one or several, the value in TOML or a bare word; later
            ones win.

    Raises:
        ConfigError: an unreadable file, an unknown key or a value that is refused; the
            message says which file, section or override holds it.
    """
    table: Table = {}
    origins: Origins = {}
    from_file = {} if path is None else read_toml(Path(path))
    named = from_file.pop("recipe", "strong")
    chosen = named if recipe is None else recipe
    if chosen not in RECIPES:
        where = "--recipe" if recipe is not None else f"{path}"
        raise ConfigError(unknown_name(where, "recipe", chosen, RECIPES))
    _lay_over(table, origins, _shipped(chosen), f"recipe {chosen}")
    _lay_over(table, origins, from_file, str(path))
    for text in one_or_more(overrides, str):
        origin = f"--set {spelled(text)}"
        _lay_over(table, origins, _override(text, origin), origin)
    config = _validated(table, origins)
    for name in ("evaluation.ks", "student.dropout", "distillation.ranking_weight"):
        _note_if_reordered(name, table, config)
    return config


def changed(config: Config, **sections: Mapping[str, object]) -> Config:
    """Return a copy with some fields of some sections changed, checked like any other.

    Example:
        `changed(config, student={"name": "caser"}, distillation={"ranking_weight": 0.3})`

    Raises:
        ConfigError: an unknown key or a value that is refused.
    """
    table = config.model_dump()
    origins: Origins = {}
    _lay_over(table, origins, {name: dict(part) for name, part in sections.items()}, "changed()")
    return _validated(table, origins)


def config_to_toml(config: Config) -> str:
    """Write every field as TOML; `load_config` reads it back equal, whatever the recipe."""
    dump = config.model_dump()
    flat = [f"{key} = {_toml(value)}" for key, value in dump.items() if not isinstance(value, dict)]
    blocks = ["\n".join(flat)]
    for name, part in dump.items():
        if isinstance(part, dict):
            lines = [f"{key} = {_toml(value)}" for key, value in part.items()]
            blocks.append("\n".join([f"[{name}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, (bool, str)):
        return json.dumps(value)
    return repr(value)


def _shipped(recipe: str) -> Table:
    source = resources.files("dllm2rec.config") / "recipes" / f"{recipe}.toml"
    return tomllib.loads(source.read_text(encoding="utf-8"))


def read_toml(path: Path) -> Table:
    """Read the user's file: TOML in UTF-8, with or without BOM, at most `MAX_BYTES`.

    Raises:
        ConfigError: it cannot be read or is no TOML; the message says where.
    """
    if path.suffix.lower() in {".yaml", ".yml", ".json"}:
        raise ConfigError(f"{path}: a {path.suffix} file, expected TOML, such as config.toml")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or err
        raise ConfigError(f"{spelled(str(path))}: {reason}, expected a TOML file") from err
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: over {MAX_BYTES:,} bytes, expected a configuration in TOML")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: byte {err.start} is not UTF-8, expected TOML in UTF-8") from err
    if (tab := re.search(r"^\t", text, re.MULTILINE)) is not None:
        line = text.count("\n", 0, tab.start()) + 1
        raise ConfigError(f"{path}:{line}: a tab at the start of the line, expected spaces or none")
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> Table:
    """Parse TOML; what the parser refuses or nests too deeply is the user's error."""
    code = re.sub(r"^[ \t]*#.*$", "", text, flags=re.MULTILINE)
    if any(part.count(".") > MAX_DOTS for part in re.split(r"[,=\[\]{}\n]", code)):
        raise ConfigError(f"{where}: a key of over {MAX_DOTS} dots, expected section.field")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as err:
        reason = "nested too deeply" if isinstance(err, RecursionError) else str(err)
        reason = reason[:1].lower() + reason[1:200]
        hint = "; write a digit on both sides of a decimal point: 0.5, 5.0"
        asks = re.search(r"(?<![\w.])\.\d|\d\.(?!\d)", code) is not None
        raise ConfigError(f"{where}: {reason}, expected TOML{hint if asks else ''}") from err


def _override(text: str, where: str) -> Table:
    """Turn `section.field=value` into nested tables."""
    name, equals, value = text.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys) or len(keys) > MAX_DOTS:
        raise ConfigError(f"{where}: expected section.field=value, such as train.max_epochs=20")
    if keys == ["recipe"]:
        raise ConfigError(f"{where}: a recipe is no field; choose it with --recipe")
    result = override_value(value, where)
    for key in reversed(keys):
        result = {key: result}
    return result  # type: ignore[no-any-return] # keys is never empty


def override_value(value: str, where: str) -> Any:  # noqa: ANN401 - whatever TOML can hold
    """Read the right side of `--set name=value`: a value in TOML or a bare word.

    Raises:
        ConfigError: it is neither.
    """
    value = value.strip()
    if re.fullmatch(r"[A-Za-z_][\w-]*", value) and value not in {"true", "false", "nan", "inf"}:
        return value
    if not re.search("[\"']", value):
        value = _with_digits_around_points(value)
    parsed = _parsed(f"value = {value}", where)
    if set(parsed) != {"value"}:
        raise ConfigError(f"{where}: several lines, expected one value")
    return parsed["value"]


def _with_digits_around_points(value: str) -> str:
    """Write .5 and 5. as TOML does, 0.5 and 5.0: most other languages take them as they are."""
    return re.sub(r"(?<=\d)\.(?!\d)", ".0", re.sub(r"(?<![\w.])\.(?=\d)", "0.", value))


def _lay_over(table: Table, origins: Origins, layer: Table, origin: str) -> None:
    """Put `layer` on top of `table`, noting where each value came from.

    Raises:
        ConfigError: a key that `Config` lacks, or a value where a section stands.
    """
    for path, value in _leaves(layer, origin):
        place = table
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
        origins[path] = origin


def _leaves(layer: Table, origin: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in layer.items():
        section = section_model(name)
        if section is None:
            if name not in Config.model_fields:
                raise ConfigError(unknown_key(origin, None, name))
            yield (name,), value
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{origin}: {name} is {shown(value)}, expected a table [{name}]")
        for key, inner in value.items():
            if key not in section.model_fields:
                raise ConfigError(unknown_key(origin, name, key))
            yield (name, key), inner


def section_model(name: str) -> type[Section] | None:
    """The model of the section `name`, None where `Config` has no such section."""
    field = Config.model_fields.get(name)
    kind = None if field is None else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _validated(table: Table, origins: Origins) -> Config:
    try:
        return Config.model_validate(table)
    except ValidationError as err:
        raise ConfigError(first_error(err, origins)) from err


def _note_if_reordered(name: str, table: Table, config: Config) -> None:
    section, field = name.split(".")
    given = table.get(section, {}).get(field)
    kept = getattr(getattr(config, section), field)
    if isinstance(given, (list, tuple)) and list(given) != list(kept):
        _log.info("%s: %s is read as %s, sorted and without repeats", name, given, list(kept))
