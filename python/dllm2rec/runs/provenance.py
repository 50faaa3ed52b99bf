"""What a run was made from, and where: the contents of `run.json`."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from dllm2rec._core import __version__
from dllm2rec.config.load import config_to_toml
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.runs.run_folder import data_fingerprints
from dllm2rec.runs.source import Source
from dllm2rec.runtime.distributed import size
from dllm2rec.teacher.knowledge import TeacherKnowledge

FORMAT = 1


def provenance(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    source: Source | None,
    device: torch.device,
) -> dict[str, Any]:
    """What it takes to make a run again: data, configuration, versions, machine."""
    return {
        "format": FORMAT,
        "source": None if source is None else asdict(source),
        "dataset": dataset.name,
        **data_fingerprints(dataset, teacher),
        "seed": config.train.seed,
        "config": config.model_dump(mode="json"),
        **surroundings(device),
    }


def inputs(config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None) -> str:
    """What the result of a run depends on, in a few words."""
    return f"{data_fingerprints(dataset, teacher)} {config_to_toml(config)}"


def surroundings(device: torch.device) -> dict[str, Any]:
    """What the bits of a training may depend on besides its configuration and its data."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "processes": size(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        # Not from the packages' metadata: torch's takes .1 s to read.
        "versions": {"dllm2rec": __version__, "torch": torch.__version__, "numpy": np.__version__},
    }


def device_name(device: torch.device) -> str:
    """What reports call a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
