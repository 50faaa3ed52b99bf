"""`report.html`: one file that holds everything of a run that a reader asks for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dllm2rec.report.conclusion import METRIC_TEXT, Conclusion, conclusion_of
from dllm2rec.report.curves import Curves, can_draw, draw_curves
from dllm2rec.report.evidence import Evidence
from dllm2rec.report.facts import Epochs, RunFacts, read_facts
from dllm2rec.report.fill_template import fill_template
from dllm2rec.report.slices import shown_slices
from dllm2rec.report.teacher.pictures import calibration_pictures
from dllm2rec.runs.held_out_log import openings_text
from dllm2rec.runs.run_manifest import RunManifest
from dllm2rec.runs.run_result import RunResult
from dllm2rec.runtime.hardware import Energy, Hardware
from dllm2rec.storage.atomic_file import replace_text
from dllm2rec.tracking.metric_names import EPOCH_METRICS
from dllm2rec.tracking.metric_table import (
    TAUGHT,
    MetricRow,
    MetricTable,
    best_text,
    shown_metrics,
    teacher_gains,
)

REPORT_FILE = "report.html"
TEMPLATE = "run.html"
# With one target per row the other metrics are these again: recall is HR, MAP is MRR.
KINDS = ("hr", "ndcg", "mrr")
# How a page heads what files name for programs.
LABELS = {
    "ranking_weight": "ranking weight",
    "memory_weight": "memory weight",
    "train_s_per_epoch": "s per epoch",
    "seconds": "s in all",
    "answer_ms": "ms per row scored",
    "train_s": "train, s",
    "validation_s": "validation, s",
    "rows_per_s": "rows/s",
    "tie_rate": "tie rate",
}


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a run's folder, from the files of that folder alone.

    The page needs no network and no other file. A run that has not ended has a page too, without
    its table. Curves need matplotlib; without it the page has the same figures as numbers.

    Args:
        folder: a run's folder; its `report.html` is replaced.

    Returns:
        The path of the page.

    Raises:
        ArtifactError: it is no run, or one of its files is not what a run writes.
        ResourceError: the page cannot be written.
    """
    folder = Path(folder)
    page = folder / REPORT_FILE
    replace_text(page, render(read_facts(folder)))
    return page


def render(facts: RunFacts) -> str:
    """Return the page of a run; all that comes from data or files is escaped."""
    test, validation = facts.table("test"), facts.table("validation")
    conclusion = None if facts.result is None else conclusion_of(facts.result, facts.manifest)
    return fill_template(
        TEMPLATE,
        dataset=facts.manifest.dataset,
        result=facts.result,
        main=None if test is None else _table(test, shown_metrics(test.rows)),
        full=[_table(table, _columns(table.rows)) for table in (test, validation) if table],
        conclusion=conclusion,
        bars=[] if conclusion is None else _bars(conclusion),
        bar_metric=METRIC_TEXT,
        gains={} if test is None or conclusion is None else _gains(test, conclusion.unready()),
        chosen=_chosen(facts),
        fitted=_fitted(facts),
        curves=draw_curves(facts.trainings) if can_draw() else None,
        evidence=facts.evidence,
        slices=_slices(facts.evidence),
        calibration=_calibration(facts.evidence) if can_draw() else [],
        commands=[] if facts.result is None else _commands(facts.result, facts.manifest),
        epochs=[(one.name, *_epoch_table(one)) for one in facts.trainings if one.records],
        checkpoints=facts.checkpoints,
        environment=_environment(facts.manifest, facts.energy),
        openings=openings_text(facts.openings),
        settings=facts.settings,
    )


def _bars(conclusion: Conclusion) -> list[tuple[str, str, str, str]]:
    """The chart: name, kind, length in percent of the longest, and the figure of each row."""
    longest = max((bar.value for bar in conclusion.bars), default=0.0) or 1.0
    return [
        (
            bar.name,
            bar.kind,
            f"{100 * bar.value / longest:.1f}",
            f"{bar.value:.4f}" + ("" if bar.deviation is None else f" ±{bar.deviation:.4f}"),
        )
        for bar in conclusion.bars
    ]


def _columns(rows: Sequence[MetricRow]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row.metrics)
    ordered = [key for kind in KINDS for key in keys if key.startswith(f"{kind}@")]
    if "hr@1" in keys:  # the first place counts 1 in all of them
        ordered = [key for key in ordered if key not in {"ndcg@1", "mrr@1"}]
    return [*ordered, *(key for key in ("tie_rate",) if key in keys)]


def _table(table: MetricTable, columns: Sequence[str]) -> dict[str, Any]:
    """A table as the page lays it out; the best of each column carries a star, but for ties."""
    best = {key: best_text(table.rows, key) for key in columns if key != "tie_rate"}
    rows = []
    for row in table.rows:
        texts = [f"{row.metrics[key]:.4f}" if key in row.metrics else "-" for key in columns]
        stars = [text == best.get(key) for key, text in zip(columns, texts, strict=True)]
        spread = [f" ±{row.deviation[key]:.4f}" if key in row.deviation else "" for key in columns]
        shown = [text + more for text, more in zip(texts, spread, strict=True)]
        rows.append((row.name, list(zip(shown, stars, strict=True))))
    heads = [LABELS.get(key, key) for key in columns]
    return {"title": table.title, "protocol": table.protocol(), "columns": heads, "rows": rows}


def _gains(table: MetricTable, unready: Mapping[str, str]) -> dict[str, Any]:
    """What the teacher added, but for students whose figures do not yet say so."""
    taught = {gain.student: f"{gain.student}{TAUGHT}" for gain in teacher_gains(table.rows)}
    columns = shown_metrics(table.rows)
    rows, left_out = [], []
    for gain in teacher_gains(table.rows):
        if {gain.student, taught[gain.student]} & unready.keys():
            left_out.append(gain.student)
            continue
        percent = gain.percent
        cells = [f"{percent[k]:+.1f} %" if k in percent else "-" for k in columns]
        rows.append((gain.student, cells))
    return {"columns": columns, "rows": rows, "left_out": left_out} if rows or left_out else {}


def _chosen(facts: RunFacts) -> dict[str, Any]:
    """What validation chose for each student, and how long it took: a column each."""
    details = [(name, detail) for name, detail in _details(facts) if "epoch" in detail]
    if not details:
        return {}
    keys = list(dict.fromkeys(key for _, detail in details for key in detail))
    rows = [(name, [_figure(key, detail) for key in keys]) for name, detail in details]
    return {"columns": [LABELS.get(key, key) for key in keys], "rows": rows}


def _fitted(facts: RunFacts) -> list[tuple[str, str]]:
    """What the rows that are not trained have to say of themselves."""
    return [
        (name, ", ".join(f"{key} {value:.4g}" for key, value in detail.items()))
        for name, detail in _details(facts)
        if detail and "epoch" not in detail
    ]


def _details(facts: RunFacts) -> list[tuple[str, dict[str, float]]]:
    return [] if facts.result is None else [(row.name, row.detail) for row in facts.result.rows]


def _figure(key: str, detail: dict[str, float]) -> str:
    if key not in detail:
        return "-"
    return f"{detail[key]:,.1f}" if key == "seconds" else f"{detail[key]:.3g}"


def _epoch_table(training: Epochs) -> tuple[list[str], list[list[str]]]:
    keys = list(dict.fromkeys(key for record in training.records for key in record))
    parts = [key for key in keys if key.startswith("loss_")]
    shown = ("loss", *EPOCH_METRICS, "train_s", "validation_s", "rows_per_s")
    # One part is the loss itself.
    wanted = ["epoch", *(parts if len(parts) > 1 else []), *(key for key in shown if key in keys)]
    heads = [LABELS.get(key, key.replace("loss_", "loss: ")) for key in wanted]
    return heads, [[_number(key, record) for key in wanted] for record in training.records]


def _number(key: str, record: dict[str, float]) -> str:
    if key not in record:
        return "-"
    if key in {"epoch", "rows_per_s"}:
        return f"{record[key]:,.0f}"
    return f"{record[key]:.3f}" if key.endswith("_s") else f"{record[key]:.4f}"


def _calibration(evidence: Evidence | None) -> list[Curves]:
    return [] if evidence is None else calibration_pictures(evidence.places, evidence.distances)


def _slices(evidence: Evidence | None) -> dict[str, Any]:
    return {} if evidence is None else shown_slices(evidence.slices, evidence.student)


def _commands(result: RunResult, manifest: RunManifest) -> list[tuple[str, str]]:
    """What a reader may run next; a dataset that came from Python has no folder to name."""
    run = shlex.quote(result.folder)
    seeds = f" --seeds {max(3, manifest.n_seeds)}"
    again = f"dllm2rec train --config {shlex.quote(f'{result.folder}/config.toml')}{seeds}"
    source = manifest.source
    if source is not None:
        again += f" --dataset {shlex.quote(source.dataset)}" if source.dataset else ""
        again += f" --teacher {shlex.quote(source.teacher)}" if source.teacher else ""
    again += "".join(f" --student {name}" for name in manifest.students)
    return [
        ("recommend", f"dllm2rec recommend {run} --history ID,ID,ID"),
        ("train it again and compare", f"dllm2rec reproduce {run}"),
        ("score again, at other cut-offs", f"dllm2rec evaluate {run} --k 10 --k 50"),
        *([("with more seeds", again)] if source is not None else []),
        ("serve", f"dllm2rec export {run} --out exported, then dllm2rec serve exported"),
    ]


def _environment(manifest: RunManifest, energy: Energy | None) -> list[tuple[str, str]]:
    """The facts of `run.json` but for the configuration, which the page shows as TOML."""
    content = manifest.as_json()
    source = content["source"] or {}
    plain = {key: value for key, value in content.items() if isinstance(value, (str, int, float))}
    # Without a dataset of one's own there is the demo world, which brings its teacher.
    missing = "none" if source.get("dataset") else "the demo world's"
    return [
        *([("command", shlex.join(manifest.command))] if manifest.command else []),
        *((f"source: {key}", value or missing) for key, value in source.items()),
        *((key, str(value)) for key, value in plain.items()),
        *((f"version: {name}", value) for name, value in manifest.versions.items()),
        *_machine(manifest.hardware),
        *([] if energy is None else [("energy", _energy(energy))]),
        *((f"sha256: {path}", record.sha256) for path, record in manifest.inputs.items()),
    ]


def _machine(hardware: Hardware | None) -> list[tuple[str, str]]:
    if hardware is None:
        return []
    facts = {
        "processor": f"{hardware.cpu}, {hardware.cores} logical cores",
        "memory": f"{hardware.memory_bytes / 2**30:.0f} GiB",
        "GPUs": ", ".join(hardware.gpus) or "none",
        "CUDA of torch": hardware.cuda or "none",
    }
    return list(facts.items())


def _energy(energy: Energy) -> str:
    if energy.joules is None:
        return energy.note
    return f"{energy.joules:,.0f} J ({energy.joules / 3.6e6:.4f} kWh), {energy.note}"
