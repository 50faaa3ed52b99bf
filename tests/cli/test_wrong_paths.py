"""A wrong path is told at once: before torch, NumPy or pyarrow are loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from dllm2rec.cli import main

of_dataset = ["--dataset", "none", "--out", "out"]
for words, code in (
    (["train", "--dataset", "none"], 3),
    (["train", "--resume", "none"], 4),
    (["plan", "--dataset", "none"], 3),
    (["evaluate", "none"], 4),
    (["evaluate", "--scores", "none.npy", "--dataset", "none"], 3),
    (["recommend", "none", "--history", "a"], 4),
    (["report", "none"], 4),
    (["export", "none", "--out", "out"], 4),
    (["prepare", "none.csv", "--out", "out"], 3),
    (["compare", "none"], 3),
    (["compare-metrics", "none"], 3),
    (["serve", "none"], 4),
    (["audit", "none"], 3),
    (["tune", *of_dataset], 3),
    (["reproduce", "none"], 4),
    (["reproduce", "--dataset", "none"], 3),
    (["evaluate", "--lists", "none", "--dataset", "none"], 3),
    (["teacher", "report", "none", "none"], 3),
    (["teacher", "report", "none", "."], 3),
    (["teacher", "prompts", *of_dataset], 3),
    (["teacher", "plan", "--budget", "5", *of_dataset], 3),
    (["teacher", "ground", "none", "--model", "none", *of_dataset], 3),
    (["teacher", "import", "none", *of_dataset], 3),
    (["teacher", "embed", "--model", "none", *of_dataset], 3),
    (["teacher", "spread", "none", *of_dataset], 3),
    (["teacher", "fit", "--model", "none", *of_dataset], 3),
    (["teacher", "generate", "--model", "none", *of_dataset], 3),
):
    assert main(words) == code, words
    loaded = {"torch", "pyarrow"} & sys.modules.keys()
    assert not loaded, (words, loaded)
"""


def test_a_wrong_path_is_told_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note: no GPU")]
    assert len(lines) == 27
    assert all("none" in line and "expected" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


PREPARE = """
import sys
from dllm2rec.cli import run
try:
    run()
finally:
    loaded = [name for name in ("torch", "pandas") if sys.modules.get(name)]
    print(*loaded, "loaded", file=sys.stderr)
"""


@pytest.mark.slow
def test_a_log_is_prepared_without_torch_and_pandas(tmp_path: Path) -> None:
    rows = [f"u{n % 5},i{n % 7},{n}" for n in range(200)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    words = [sys.executable, "-c", PREPARE, "prepare", "log.csv", "--out", "data"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "loaded"
    assert (tmp_path / "data" / "items.parquet").is_file()
