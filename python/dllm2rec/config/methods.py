"""The rows of the paper's tables as settings: other papers' distillation, and the ablations."""

from __future__ import annotations

from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.errors import ConfigError

_LISTS = ("rd", "cd", "rrd", "dcd", "unkd")
_VECTORS = ("hint", "htd")
_WEIGHTS = ("position", "confidence", "consistency")

# name -> what it changes of `distillation`
METHODS: dict[str, dict[str, str | float | bool]] = {
    **{name: {"ranking_method": name, "embedding_weight": 0.0} for name in _LISTS},
    **{name: {"embedding_method": name, "ranking_weight": 0.0} for name in _VECTORS},
    **{f"{name}-instead": {"embedding_method": name} for name in _VECTORS},
    **{f"without-{name}": {f"{name}_gamma": 0.0} for name in _WEIGHTS},
    "without-ranking": {"ranking_weight": 0.0},
    "without-embedding": {"embedding_weight": 0.0},
    "without-offset": {"item_offset": False},
}


def with_method(config: Config, name: str) -> Config:
    """The configuration of a row of the paper's tables; all else stays as it is.

    Args:
        config: of the paper's method.
        name: one of `METHODS`: a baseline (`rd`, `cd`, `rrd`, `dcd`, `unkd`, `hint`, `htd`),
            `hint-instead` or `htd-instead` of the projection, or an ablation (`without-...`).

    Raises:
        ConfigError: no such row, or one without a weight that the configuration does not read.
    """
    if name not in METHODS:
        raise ConfigError(f"method {name!r}, expected one of {', '.join(METHODS)}")
    weighs = [f"without-{weight}" for weight in _WEIGHTS]
    if name in weighs and config.distillation.takes_share:
        raise ConfigError(
            f'method {name!r} with distillation.ranking_form = "soft_targets", expected '
            '"importance": the form of the lists has no such weight; take the recipe paper'
        )
    return changed(config, distillation=METHODS[name])
