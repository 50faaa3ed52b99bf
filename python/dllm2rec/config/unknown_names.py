"""What to say about a key that the configuration does not have."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dllm2rec.config.messages import shown
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


def unknown_name(where: str, what: str, got: object, known: Iterable[str]) -> str:
    """Say that `got` is none of the `known` names of a `what`, and which one is near."""
    known = sorted(known)
    text = f"{where}: unknown {what} {shown(got)}, expected one of {', '.join(known)}"
    near = get_close_matches(got, known, n=1) if isinstance(got, str) else []
    return f"{text}; did you mean {near[0]!r}?" if near else text


def unknown_key(origin: str, section: str | None, key: str) -> str:
    """Say that `section` (None: the top level) has no `key`, and which field may be meant."""
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
    """The nearest meaning: this field elsewhere, an authors' flag, then what is spelled alike."""
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
