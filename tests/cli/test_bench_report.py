"""The benches run, and from measured times to ratios: what is printed and drawn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.cli.output.bench_report import STYLES, grouped, plot, read_times, summary
from dllm2rec.cli.output.tables import bench_table, print_table
from dllm2rec.errors import InputError


def written(path: Path, times: dict[tuple[str, str], float]) -> Path:
    benches = [
        {"group": group, "extra_info": {"peer": peer}, "stats": {"median": median}}
        for (group, peer), median in times.items()
    ]
    path.write_text(json.dumps({"benchmarks": benches}), encoding="utf-8")
    return path


TIMES = {
    ("weights/k10", "dllm2rec"): 0.002,
    ("weights/k10", "numba"): 0.003,
    ("weights/k10", "torch"): 0.06,
    ("ranks/small", "dllm2rec"): 0.00002,
    ("nobody/else", "numba"): 1.0,
}


def test_ratios_are_medians_over_ours(tmp_path):
    rows = summary(read_times(written(tmp_path / "b.json", TIMES)))
    assert [row.group for row in rows] == ["ranks/small", "weights/k10"]
    assert rows[1].ratios == {"numba": pytest.approx(1.5), "torch": pytest.approx(30)}


def test_the_table_names_the_nearest_peer_first(tmp_path, capsys):
    print_table(bench_table(summary(read_times(written(tmp_path / "b.json", TIMES)))))
    lines = capsys.readouterr().out.splitlines()
    assert "numba 1.50x; torch 30x" in lines[2]
    assert "2 ms" in lines[2]
    assert "20 us" in lines[1]


@pytest.mark.slow
def test_the_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    path = plot(summary(read_times(written(tmp_path / "b.json", TIMES))), tmp_path / "b.png")
    assert path is not None
    assert path.read_bytes()[1:4] == b"PNG"


LARGE = (
    '{"benchmarks": [{"group": "g", "extra_info": {"peer": "p"}, "stats": {"median": 1%s}}]}'
    % ("0" * 400)
)


@pytest.mark.parametrize("text", ["", "[]", '{"benchmarks": [{}]}', "[" * 100_000, LARGE])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "b.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="pytest-benchmark"):
        read_times(tmp_path / "b.json")


def test_large_numbers_are_read_at_a_glance():
    assert grouped("negatives/4096x100/10000000") == "negatives/4096x100/10,000,000"
    assert grouped("order/400000/rising times") == "order/400,000/rising times"


def test_every_peer_has_a_look_of_its_own(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    looks = []
    draw = Axes.plot

    def noted(axes, *args, **kwargs):
        looks.append((args[2], kwargs["color"]))
        return draw(axes, *args, **kwargs)

    monkeypatch.setattr(Axes, "plot", noted)
    times = {("g", "dllm2rec"): 1.0} | {("g", f"peer {n}"): 2.0 + n for n in range(len(STYLES))}
    plot(summary(read_times(written(tmp_path / "b.json", times))), tmp_path / "b.png")
    assert len(set(looks)) == len(looks) == len(STYLES)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_benches_of_a_gpu_are_refused_where_there_is_none(tmp_path, capsys):
    benches = Path(__file__).resolve().parents[2] / "benches"
    out = tmp_path / "bench"
    assert main(["bench", "--benches", str(benches), "--gpu", "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("error: --gpu without a CUDA device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_benches_run_and_their_peers_give_the_same() -> None:
    words = ["-m", "pytest", "benches", "-q", "-o", "python_files=bench_*.py"]
    words += ["-o", "addopts=", "--benchmark-disable", "-p", "no:cacheprovider"]
    words += ["--ignore-glob=*/bench_gpu_*"]
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"DLLM2REC_BENCH_SCALE": "0.02"},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
