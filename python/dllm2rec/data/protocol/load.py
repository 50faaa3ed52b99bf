"""Where a `Protocol` comes from: a name or a TOML file, then `--set`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dllm2rec.config.load import override_value, read_toml
from dllm2rec.config.messages import first_error, spelled, unknown_name
from dllm2rec.data.protocol.model import Protocol, named_protocol
from dllm2rec.errors import ConfigError


def load_protocol(name: str | None = None, overrides: Sequence[str] = ()) -> Protocol:
    """Read a protocol: a named one or a file's, then the overrides.

    Args:
        name: one of `PRESETS`, or a TOML file (`.toml`) of fields of `Protocol`, in which
            `protocol = "five-core"` names what it starts from; None for leave-one-out.
        overrides: `field=value`, the value in TOML or a bare word; later ones win.

    Raises:
        ConfigError: an unknown name or field, an unreadable file, or a value out of range.
    """
    from_file: dict[str, Any] = {}
    base: object = name
    if name is not None and name.endswith(".toml"):
        from_file = read_toml(Path(name))
        base = from_file.pop("protocol", None)
    fields = {} if base is None else named_protocol(str(base)).model_dump()
    origins: dict[tuple[str, ...], str] = {}
    for field, value in from_file.items():
        _set(fields, origins, field, value, str(name))
    for text in overrides:
        where = f"--set {spelled(text)}"
        field, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{where}: expected field=value, such as min_user_events=5")
        _set(fields, origins, field.strip(), override_value(value, where), where)
    try:
        return Protocol.model_validate(fields)
    except ValidationError as err:
        raise ConfigError(first_error(err, origins)) from err


def _set(
    fields: dict[str, Any],
    origins: dict[tuple[str, ...], str],
    field: str,
    value: object,
    origin: str,
) -> None:
    if field not in Protocol.model_fields:
        raise ConfigError(unknown_name(origin, "field", field, Protocol.model_fields))
    # TOML has dates of its own.
    fields[field] = value.isoformat() if isinstance(value, dt.date) else value
    origins[field,] = origin
