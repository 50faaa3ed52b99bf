"""`dllm2rec bench`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import JsonOption, print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:  # read when the command runs
    from dllm2rec.cli.output.bench_report import Row

EXAMPLES = """\b
Examples:
  dllm2rec bench
  dllm2rec bench --scale 0.1 --only weights --out quick
  dllm2rec bench --gpu
"""


def bench(
    benches: Annotated[
        Path, typer.Option(metavar="DIR", help="The benches of a clone of this project.")
    ] = Path("benches"),
    out: Annotated[
        Path, typer.Option(metavar="NAME", help="Writes NAME.json and, with matplotlib, NAME.png.")
    ] = Path("bench"),
    scale: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="Fraction of the full sizes.")
    ] = 1.0,
    only: Annotated[
        str | None, typer.Option(metavar="WORD", help="Only benches whose name contains this.")
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="The benches of a GPU instead of the CPU's.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Time every kernel against its peers, equality asserted first; print ratios."""
    from dllm2rec.cli.output.bench_report import plot, read_times, summary
    from dllm2rec.cli.output.tables import bench_table, print_table

    if not any(benches.glob("bench_*.py")):
        raise ConfigError(
            f"{benches}: no bench_*.py, expected the benches folder of a clone of this project; "
            "run there, or give --benches"
        )
    if gpu:
        need_gpu()
    raw = out.with_suffix(".json")
    command = [
        *(sys.executable, "-m", "pytest", str(benches), "--benchmark-only", "-q", "-rs"),
        *("-o", f"python_files={'bench_gpu_*.py' if gpu else 'bench_*.py'}"),
        *([] if gpu else ["--ignore-glob=*/bench_gpu_*.py"]),
        *("-p", "no:cacheprovider", "--timeout=0"),
        *(
            "--benchmark-disable-gc",
            "--benchmark-quiet",
            "--benchmark-warmup=on",
            f"--benchmark-json={raw}",
        ),
        *(["-k", only] if only else []),
    ]
    environment = os.environ | {"DLLM2REC_BENCH_SCALE": str(scale)}
    status = subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode  # noqa: S603
    if status != 0:
        raise ConfigError(f"the benches ended with status {status}; what failed is printed above")
    rows = summary(read_times(raw))
    picture = plot(rows, out.with_suffix(".png"))
    if json:
        print_json({"json": str(raw), "plot": picture and str(picture), "rows": rows_json(rows)})
        return
    print_table(bench_table(rows))
    say(f"written to {raw}" + (f" and {picture}" if picture else "; no plot: no matplotlib"))


def need_gpu() -> None:
    """Refuse to go on without one."""
    import torch

    if not torch.cuda.is_available():
        raise ConfigError("--gpu without a CUDA device, expected one; leave it out for the CPU's")


def rows_json(rows: list[Row]) -> list[dict[str, object]]:
    """What `--json` prints of the table."""
    return [
        {"bench": row.group, "ours_s": row.ours_s, "times_as_long": dict(row.ratios)}
        for row in rows
    ]
