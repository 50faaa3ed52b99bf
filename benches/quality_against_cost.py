"""The first page's picture: NDCG@20 against the time of one answer, from a run on the demo data.

    python benches/quality_against_cost.py --run runs/demo-1

Without `--run` it trains one first, in about a minute. NDCG@20 is that of the run's test rows. The
students are timed here: one history in, its 20 best items out, one call after the other on one CPU
thread; the median of `--calls`. The demo's teacher is generated and has no time: it stands where
the paper's teacher would, by the time that the paper reports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib import pyplot as plt

import dllm2rec
from dllm2rec.cli import main as dllm2rec_command

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "images" / "quality-against-cost"
# DLLM2Rec, RecSys 2024, Table 6: seconds of BIGRec (LLaMA2-7B, four A800) for the test rows of
# Amazon Games, and how many rows these are. Not measured here.
TEACHER_S, TEACHER_ROWS = 2.3e4, 14_980
TAUGHT = " + dllm2rec"
TEACHER_LABEL = """teacher (LLM)
time not measured:
1.5 s on 4 GPUs,
as the paper reports
for its own teacher"""
LABELS = {"gru4rec": "GRU4Rec", "caser": "Caser", "sasrec": "SASRec"}
SIDES = {"gru4rec": "right", "caser": "left", "sasrec": "right"}  # where a label has room
COLOURS = {"gru4rec": "#0b7285", "caser": "#c2410c", "sasrec": "#4338ca"}
INK, SOFT = "#1f2430", "#6b7280"


def answer_ms(folder: Path, dataset: dllm2rec.SequenceDataset, calls: int) -> float:
    """The median time of one answer of a student, in milliseconds."""
    checkpoint = dllm2rec.load_checkpoint(folder)
    student = checkpoint.student
    windows = dataset.windows(dataset.test)
    with torch.inference_mode():
        table = student.item_table()
        matrix, bias = student.output_items(table)

        def answer(row: int) -> torch.Tensor:
            sequence = torch.from_numpy(windows.sequences[row : row + 1].astype("int64"))
            length = torch.from_numpy(windows.lengths[row : row + 1].astype("int64"))
            scores = student.encode(sequence, length, table) @ matrix.T
            return torch.topk(scores if bias is None else scores + bias, 20).indices

        times = []
        for call in range(calls + 100):
            began = time.perf_counter()
            answer(call % len(windows))
            times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times[100:])  # the first ones warm up


def measure(run: Path, calls: int) -> dict[str, dict[str, float]]:
    """NDCG@20 and milliseconds of each student and, by its source, of the teacher."""
    dataset, _ = dllm2rec.demo_world()
    torch.set_num_threads(1)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    points = {}
    for row in results["rows"]:
        name, ndcg = row["name"], row["test"]["ndcg@20"]
        if name == "teacher":
            points[name] = {"ndcg@20": ndcg, "ms": 1e3 * TEACHER_S / TEACHER_ROWS}
        elif name.removesuffix(TAUGHT) in LABELS:
            folder = run / name.replace(" ", "")
            points[name] = {"ndcg@20": ndcg, "ms": answer_ms(folder, dataset, calls)}
    return points


def draw(points: dict[str, dict[str, float]], out: Path) -> None:
    """Draw the picture as PNG; letters are large enough for a phone."""
    mpl.rcParams.update({"font.size": 12, "font.family": "DejaVu Sans", "text.color": INK})
    figure, axes = plt.subplots(figsize=(6.4, 4.6), dpi=200, layout="constrained")
    teacher = points["teacher"]
    axes.axhline(teacher["ndcg@20"], color=SOFT, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    for name, label in LABELS.items():
        alone, taught = points[name], points[name + TAUGHT]
        style = {"color": COLOURS[name], "markersize": 10, "markeredgewidth": 2}
        axes.annotate(
            "",
            (taught["ms"], taught["ndcg@20"]),
            (alone["ms"], alone["ndcg@20"]),
            arrowprops={
                "arrowstyle": "-|>",
                "color": COLOURS[name],
                "shrinkA": 7,
                "shrinkB": 7,
                "linewidth": 1.6,
            },
        )
        axes.plot(alone["ms"], alone["ndcg@20"], "o", markerfacecolor="white", **style)
        axes.plot(taught["ms"], taught["ndcg@20"], "o", **style)
        axes.annotate(
            label,
            (alone["ms"], alone["ndcg@20"]),
            (-11 if SIDES[name] == "left" else 11, 0),
            textcoords="offset points",
            ha="right" if SIDES[name] == "left" else "left",
            va="center",
            color=COLOURS[name],
        )
    axes.plot(
        teacher["ms"],
        teacher["ndcg@20"],
        "D",
        markersize=10,
        markerfacecolor="white",
        markeredgecolor=INK,
        markeredgewidth=2,
    )
    axes.annotate(
        TEACHER_LABEL,
        (teacher["ms"], teacher["ndcg@20"]),
        (6, -12),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=11,
    )
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=SOFT, markersize=9, label="distilled"),
        plt.Line2D(
            [], [], marker="o", linestyle="", color=SOFT, markerfacecolor="white", markersize=9,
            markeredgewidth=2, label="alone",
        ),
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower right", frameon=False)
    axes.set_xscale("log")
    axes.set_xlim(0.04, 12_000)
    axes.set_ylim(0.03, 0.13)
    axes.set_xticks([0.1, 1, 10, 100, 1000], ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s"])
    axes.minorticks_off()
    axes.set_yticks([0.04, 0.06, 0.08, 0.10, 0.12])
    axes.set_xlabel("time of one answer (students: one CPU thread)")
    axes.set_title("NDCG@20, synthetic demo data", loc="left", fontsize=13)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.savefig(out.with_suffix(".png"), metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--run", type=Path, help="a run of `dllm2rec train` without arguments")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=OUT, help="writes OUT.png and OUT.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = asked.run or Path(folder) / "run"
        if asked.run is None and dllm2rec_command(["train", "--out", str(run)]):
            sys.exit("the training failed")
        points = measure(run, asked.calls)
    text = json.dumps(points, indent=1) + "\n"
    asked.out.with_suffix(".json").write_text(text, encoding="utf-8")
    draw(points, asked.out)


if __name__ == "__main__":
    main()
