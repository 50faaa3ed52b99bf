"""Pages from templates: all that comes from data or files is escaped, and nothing is left blank."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dllm2rec.runtime.visible import visible_lines


def fill_template(name: str, **values: Any) -> str:  # noqa: ANN401 - whatever a template names
    """Fill a template of `report/templates`; a value that it names must be there."""
    environment = Environment(
        loader=PackageLoader("dllm2rec.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever a template names
    """Text without what controls a terminal or turns the direction of the text around it."""
    return visible_lines(value) if type(value) is str else value
