"""What to say about a key that `Config` lacks, or a value that it refuses: one line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dllm2rec.config.model import Config, Section

# The flags of the authors' main.py, and the fields that stand for them.
AUTHORS_FLAGS = {
    "alpha": "loss.dro_weight",
    "beta": "loss.dro_temperature",
    "beta2": "distillation.position_temperature",
    "candidate_topk": "distillation.top_k",
    "cuda": "train.device",
    "dropout_rate": "student.dropout",
    "ed_weight": "distillation.embedding_weight",
    "epoch": "train.max_epochs",
    "epochs": "train.max_epochs",
    "filter_sizes": "student.filter_heights",
    "gamma_confidence": "distillation.confidence_gamma",
    "gamma_consistency": "distillation.consistency_gamma",
    "gamma_position": "distillation.position_gamma",
    "hidden_factor": "student.hidden_size",
    "l2_decay": "train.weight_decay",
    "lam": "distillation.ranking_weight",
    "lr": "train.learning_rate",
    "model_name": "student.name",
    "num_filters": "student.n_filters",
    "num_negtive_items": "loss.n_negatives",
    "topk": "evaluation.ks",
}
_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def shown(value: object, limit: int = 40) -> str:
    """Return `value` as an error shows it: escaped, as TOML would spell it, not too long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def spelled(text: str, limit: int = 80) -> str:
    """Return `text` on one line, escaped, not too long."""
    line = text.encode("unicode_escape").decode()
    return line if len(line) <= limit else f"{line[:limit]}..."


def first_error(err: ValidationError, origins: Mapping[tuple[str, ...], str]) -> str:
    """Return the first finding in one line, with where its value came from, and how many follow.

    Args:
        err: what pydantic found.
        origins: for each value's path, such as ("train", "seed"), the file or option it is from.
    """
    findings = err.errors(include_url=False)
    paths = list(dict.fromkeys(_path(finding) for finding in findings))
    path = paths[0]
    same = [finding for finding in findings if _path(finding) == path]
    text = _line(same, path, origins)
    return text if len(paths) == 1 else f"{text} (and {len(paths) - 1} more)"


def _path(finding: ErrorDetails) -> tuple[str, ...]:
    return tuple(str(part) for part in finding["loc"][:2])


def _line(
    findings: list[ErrorDetails], path: tuple[str, ...], origins: Mapping[tuple[str, ...], str]
) -> str:
    first = findings[0]
    if first["type"] == "value_error":  # a rule between fields, which names them itself
        return f"configuration{f' [{path[0]}]' if path else ''}: {first['ctx']['error']}"
    origin = origins.get(path, "configuration")
    if origin.startswith("--set"):
        where = f"{origin}:"
    elif len(path) > 1:
        where = f"{origin} [{path[0]}] {path[1]}:"
    else:
        where = f"{origin} {'.'.join(path)}:"
    found = _most_telling(findings)
    expected = " or ".join(dict.fromkeys(map(_expected, found)))
    return f"{where} {shown(found[0]['input'])}, expected {expected}"


def _most_telling(findings: list[ErrorDetails]) -> list[ErrorDetails]:
    """Where a number or a list of numbers is allowed, keep the findings for what was given."""
    value = findings[0]["input"]
    if isinstance(value, (list, tuple)):
        return [max(reversed(findings), key=lambda finding: len(finding["loc"]))]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return findings[:1]
    return findings


def _expected(finding: ErrorDetails) -> str:
    kind, context = finding["type"], _context(finding)
    if kind in _BOUNDS:
        key, word = _BOUNDS[kind]
        bound = context[key]
        return f"a number {word} {f'{bound:g}' if isinstance(bound, float) else bound}"
    if kind == "literal_error":
        return f"one of {context['expected']}"
    if kind == "too_short":
        return "at least one value"
    return _EXPECTED.get(kind, finding["msg"])


def _context(finding: ErrorDetails) -> dict[str, Any]:
    return finding.get("ctx", {})


def unknown_name(where: str, what: str, got: object, known: Iterable[str]) -> str:
    """Say that `got` is not one of the `known` names of a `what`, and which one is close."""
    known = sorted(known)
    text = f"{where}: unknown {what} {shown(got)}, expected one of {', '.join(known)}"
    near = get_close_matches(got, known, n=1) if isinstance(got, str) else []
    return f"{text}; did you mean {near[0]!r}?" if near else text


def unknown_key(origin: str, section: str | None, key: str) -> str:
    """Say that `section` (None: the top level) has no `key`, and which field was probably meant."""
    fields = _fields()
    known = fields[section] if section in fields else sorted([*Config.model_fields, "recipe"])
    where = f"{origin} [{section}]" if section and not origin.startswith("--set") else origin
    text = f"{where}: unknown key {shown(key)}, expected one of {', '.join(known)}"
    hint = _meant(section, key, known, fields)
    return f"{text}; {hint}" if hint else text


def _fields() -> dict[str | None, list[str]]:
    kinds = {name: field.annotation for name, field in Config.model_fields.items()}
    return {
        name: sorted(kind.model_fields)
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }


def _meant(
    section: str | None, key: str, known: list[str], fields: dict[str | None, list[str]]
) -> str:
    """The likely meaning: this field elsewhere, an authors' flag, then a similar spelling."""
    name = key.lower().lstrip("-").replace("-", "_")
    elsewhere = [f"{other}.{name}" for other, names in fields.items() if name in names]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    if name in AUTHORS_FLAGS:
        return f"the authors' --{name} is {AUTHORS_FLAGS[name]} here"
    if near := get_close_matches(name, known, n=1):
        return f"did you mean {near[0]!r}?"
    if near := get_close_matches(name, AUTHORS_FLAGS, n=1):
        return f"did you mean {near[0]!r}? the authors' --{near[0]} is {AUTHORS_FLAGS[near[0]]}"
    every = {field: f"{other}.{field}" for other, names in fields.items() for field in names}
    near = get_close_matches(name, every, n=1)
    return f"did you mean {every[near[0]]}?" if near else ""
