"""dllm2rec: distil a large language model's recommendations into a small sequential model.

Names are imported when first used: `import dllm2rec` alone costs milliseconds and no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dllm2rec._core import __version__ as __version__
    from dllm2rec._core import set_threads as set_threads
    from dllm2rec.config import Config as Config
    from dllm2rec.errors import ArtifactError as ArtifactError
    from dllm2rec.errors import ConfigError as ConfigError
    from dllm2rec.errors import Dllm2RecError as Dllm2RecError
    from dllm2rec.errors import InputError as InputError
    from dllm2rec.errors import InternalError as InternalError
    from dllm2rec.errors import NonFiniteError as NonFiniteError
    from dllm2rec.errors import ResourceError as ResourceError
    from dllm2rec.progress import Progress as Progress
    from dllm2rec.results import MetricRow as MetricRow
    from dllm2rec.results import MetricTable as MetricTable
    from dllm2rec.results import Recommendation as Recommendation
    from dllm2rec.settings import config_to_toml as config_to_toml
    from dllm2rec.settings import load_config as load_config

# name -> module; tests/test_public_api.py holds it to the imports above.
_HOMES = {
    "ArtifactError": "errors",
    "Config": "config",
    "ConfigError": "errors",
    "Dllm2RecError": "errors",
    "InputError": "errors",
    "InternalError": "errors",
    "MetricRow": "results",
    "MetricTable": "results",
    "NonFiniteError": "errors",
    "Progress": "progress",
    "Recommendation": "results",
    "ResourceError": "errors",
    "__version__": "_core",
    "config_to_toml": "settings",
    "load_config": "settings",
    "set_threads": "_core",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'dllm2rec' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dllm2rec.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
