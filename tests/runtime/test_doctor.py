"""The examination of an installation: what is sound passes, each fault is named with its cure."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.runtime import doctor
from dllm2rec.runtime.doctor import examine


def test_this_installation_is_sound(tmp_path: Path) -> None:
    findings = {one.name: one for one in examine(tmp_path)}
    assert [one for one in findings.values() if one.fault] == []
    assert {"dllm2rec", "torch", "Rust kernels", "processor", "GPU", "disk here"} <= set(findings)
    assert findings["extra report"].value == "installed"  # the tests need it
    assert "extra lint" not in findings
    assert list(tmp_path.iterdir()) == []


def test_an_extra_that_is_missing_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "_is_installed", lambda name: name != "optuna")
    (found,) = (one for one in examine(tmp_path) if one.name == "extra tune")
    assert (found.value, found.fault) == ("without optuna", "")
    assert found.cure == "in a clone: pip install '.[tune]'"


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.import_module

    def broken(name: str) -> Any:
        if name == "pyarrow":
            raise ImportError("libarrow.so: cannot open\nmore")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    (found,) = (one for one in examine(tmp_path) if one.name == "pyarrow")
    assert found.fault == "ImportError: libarrow.so: cannot open"
    assert found.cure == "pip install --force-reinstall pyarrow"


def test_kernels_that_rank_wrongly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = np.zeros(64, np.uint32), np.zeros(64, np.uint32)
    monkeypatch.setattr(doctor._core, "rank_counts", lambda *_: wrong)
    (found,) = (one for one in examine(tmp_path) if one.name == "Rust kernels")
    assert found.fault == "ranks differ from NumPy's"


def test_a_gpu_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "has_gpu", lambda: True)
    hardware = SimpleNamespace(cpu="", cores=2, memory_bytes=0, gpus=[], cuda=None)
    monkeypatch.setattr("dllm2rec.runtime.hardware.this_hardware", lambda: hardware)
    (found,) = (one for one in examine(tmp_path) if one.name == "GPU")
    assert found.fault == "a build of torch without CUDA"


def test_a_disk_that_is_full_or_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    (found,) = (one for one in examine(tmp_path) if one.name == "disk here")
    assert found.fault == "too little for a run's checkpoints"

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", refuse)
    (found,) = (one for one in examine(tmp_path) if one.name == "disk here")
    assert found.fault == "nothing can be written: Permission denied"


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no fault found"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    assert main(["doctor"]) == 2
    assert "disk here: too little for a run's checkpoints; free some" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert {"name": "dllm2rec", "value": told["findings"][0]["value"], "fault": "", "cure": ""} in (
        told["findings"]
    )
