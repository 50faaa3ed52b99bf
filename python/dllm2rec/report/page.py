"""`report.html`: one file that holds everything of a run that a reader asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dllm2rec.artifact import replace_text
from dllm2rec.report.curves import can_draw, draw_curves
from dllm2rec.report.facts import Epochs, RunFacts, read_facts
from dllm2rec.results import MetricRow, MetricTable, best_text, shown_metrics, teacher_gains

REPORT_FILE = "report.html"
TEMPLATE = "run.html"
# With one target a row the other metrics are these again: recall is HR, MAP is MRR.
KINDS = ("hr", "ndcg", "mrr")


def write_report(folder: Path) -> Path:
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
    page = folder / REPORT_FILE
    replace_text(page, render(read_facts(folder)))
    return page


def render(facts: RunFacts) -> str:
    """Return the page of a run; all that comes from data or files is escaped."""
    environment = Environment(
        loader=PackageLoader("dllm2rec.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    test, validation = facts.table("test"), facts.table("validation")
    return environment.get_template(TEMPLATE).render(
        dataset=facts.made_from["dataset"],
        finished=facts.finished,
        main=None if test is None else _table(test, shown_metrics(test.rows)),
        full=[_table(table, _columns(table.rows)) for table in (test, validation) if table],
        gains=[] if test is None else _gains(test),
        trained=_trained(facts),
        curves=draw_curves(facts.trainings) if can_draw() else None,
        epochs=[(one.name, *_epoch_table(one)) for one in facts.trainings if one.records],
        checkpoints=facts.checkpoints,
        environment=_environment(facts.made_from),
        settings=facts.settings,
    )


def _columns(rows: Sequence[MetricRow]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row.metrics)
    ordered = [key for kind in KINDS for key in keys if key.startswith(f"{kind}@")]
    return [*ordered, *(key for key in ("tie_rate",) if key in keys)]


def _table(table: MetricTable, columns: Sequence[str]) -> dict[str, Any]:
    """A table as the page lays it out; the best of each column carries a star, but for ties."""
    best = {key: best_text(table.rows, key) for key in columns if key != "tie_rate"}
    rows = []
    for row in table.rows:
        texts = [f"{row.metrics[key]:.4f}" if key in row.metrics else "-" for key in columns]
        stars = [text == best.get(key) for key, text in zip(columns, texts, strict=True)]
        rows.append((row.name, list(zip(texts, stars, strict=True))))
    return {"title": table.title, "protocol": table.protocol(), "columns": columns, "rows": rows}


def _gains(table: MetricTable) -> dict[str, Any]:
    gains = teacher_gains(table.rows)
    columns = shown_metrics(table.rows)
    rows = [
        (gain.student, [f"{gain.percent[k]:+.1f} %" if k in gain.percent else "-" for k in columns])
        for gain in gains
    ]
    return {"columns": columns, "rows": rows} if rows else {}


def _trained(facts: RunFacts) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was chosen for each row that has something to say: epoch, ranking weight, seconds."""
    rows = [] if facts.finished is None else facts.finished["rows"]
    return [
        (row["name"], [(key, f"{value:.4g}") for key, value in row["detail"].items()])
        for row in rows
        if row.get("detail")
    ]


def _epoch_table(training: Epochs) -> tuple[list[str], list[list[str]]]:
    keys = list(dict.fromkeys(key for record in training.records for key in record))
    losses = [key for key in keys if key.startswith("loss")]
    tail = [
        key for key in ("hr@20", "ndcg@20", "train_s", "validation_s", "rows_per_s") if key in keys
    ]
    columns = ["epoch", *losses, *tail]
    return columns, [[_number(key, record) for key in columns] for record in training.records]


def _number(key: str, record: dict[str, float]) -> str:
    if key not in record:
        return "-"
    if key in {"epoch", "rows_per_s"}:
        return f"{record[key]:,.0f}"
    return f"{record[key]:.3f}" if key.endswith("_s") else f"{record[key]:.4f}"


def _environment(made_from: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts of `run.json` but for the configuration, which the page shows as TOML."""
    source = made_from.get("source") or {}
    versions = made_from.get("versions") or {}
    plain = {key: value for key, value in made_from.items() if isinstance(value, (str, int, float))}
    return [
        *(
            (
                f"source: {key}",
                "the embedded world" if v is None and key == "dataset" else v or "none",
            )
            for key, v in source.items()
        ),
        *((key, str(value)) for key, value in plain.items()),
        *((f"version: {name}", str(value)) for name, value in versions.items()),
    ]
