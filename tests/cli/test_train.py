"""`dllm2rec train`: devices, threads and the folder that it writes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dllm2rec.cli import main
from dllm2rec.cli.train_options import names_student


def test_cuda_is_never_replaced_in_silence(capsys, monkeypatch, tmp_path):
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "--device", "cuda"]) == 2
    assert "device cuda: none is present" in capsys.readouterr().err
    assert main(["train", "--set", "train.device=cuda"]) == 2
    assert main(["evaluate", "x", "--device", "cuda"]) == 2


def test_too_many_threads_are_brought_down_with_a_note(monkeypatch, caplog):
    import torch

    from dllm2rec import _core
    from dllm2rec.cli.options import use_threads

    seen = []
    monkeypatch.setattr(_core, "set_threads", seen.append)
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    with caplog.at_level(logging.INFO, "dllm2rec"):
        use_threads(10**6)
    assert seen == [os.cpu_count()] * 2
    assert "--threads 1000000" in caplog.text
    use_threads(1)
    assert seen[2:] == [1, 1]


def test_output_that_holds_something_is_refused_and_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    assert main(["train", "--out", "run"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["train", "--out", "run", "--overwrite"]) == 2
    assert "expected a folder that dllm2rec wrote" in capsys.readouterr().err
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"
    assert main(["train", "--out", "run/mine.txt"]) == 2


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs a place that nobody can write to")
def test_a_place_that_cannot_be_written_to_exits_6(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--out", "/proc/dllm2rec"]) == 6
    assert "expected a place that can be written to" in capsys.readouterr().err


def test_train_knows_whether_an_override_names_the_student():
    assert names_student(["train.seed=1", " student.name = caser"])
    assert not names_student(["student.hidden_size=8"])


FIRST_LINE = """
import sys
from dllm2rec.cli import main
from dllm2rec.cli.commands import train

def told(line):
    print(line, "torch" in sys.modules)
    raise SystemExit(0)

train.tell = told
main(["train"])
"""


def test_the_first_line_comes_before_torch_is_loaded(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FIRST_LINE], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == "note: the run is written to runs/demo-1 False\n"
