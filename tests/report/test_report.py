"""report.html: everything of a run in one file, whatever the data calls itself."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.config.load import changed, load_config
from dllm2rec.errors import ArtifactError
from dllm2rec.report import page as report_page
from dllm2rec.report.conclusion import conclude
from dllm2rec.report.drawing import FONT, WIDTH
from dllm2rec.report.evidence import read_evidence, write_evidence
from dllm2rec.report.facts import read_facts
from dllm2rec.report.page import write_report
from dllm2rec.runs.epoch_log import METRICS_FILE, rewrite_epochs
from dllm2rec.runs.run_result import read_result
from dllm2rec.storage.atomic_file import record_of
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.storage.sealed_json import seal
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import TAUGHT, MetricRow, teacher_gains
from dllm2rec.train.train_run import train_run
from dllm2rec.train.train_student import student_label
from tests.support.worlds import cycle_dataset, oracle_teacher

HOSTILE = '<script>alert("1")</script>'
CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 16},
    distillation={"ranking_weight": [0.0, 0.3], "top_k": 6},
    train={"batch_size": 64, "max_epochs": 2, "device": "cpu"},
)


# As a process, in which torch cannot be loaded.
DRAW = "import sys; sys.modules['torch'] = None; from dllm2rec.cli import run; run()"


class Page(HTMLParser):
    """What a browser would make of a page: its tags, its text, and where it would fetch from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.policy = ""
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attrs)
        self.fetched += [known[key] or "" for key in ("src", "href", "srcset") if key in known]
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cycle-1"
    dataset = dataclasses.replace(cycle_dataset(), name=HOSTILE, notes=[f"note {HOSTILE}"])
    train_run(CONFIG, dataset, oracle_teacher(dataset), folder, students=["sasrec"])
    return folder


@pytest.mark.slow
def test_a_page_is_drawn_again_without_torch(trained):
    (trained / "report.html").unlink()
    words = [sys.executable, "-c", DRAW, "report", str(trained)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (trained / "report.html").is_file()


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written without pictures, which take longer than the rest."""
    monkeypatch.setattr(report_page, "can_draw", lambda: False)


def read(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_training_writes_the_page_and_it_needs_nothing_but_the_folder(run: Path) -> None:
    written = (run / "report.html").read_bytes()
    assert write_report(run).read_bytes() == written


def test_nothing_is_fetched_and_nothing_is_run(run: Path) -> None:
    page = read(run)
    assert page.fetched
    assert all(place.startswith("data:image/svg+xml;base64,") for place in page.fetched)
    assert page.policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not {"script", "iframe", "link", "object", "form"} & set(page.tags)


def test_names_and_notes_are_text(run: Path) -> None:
    page = read(run)
    assert page.text.count(HOSTILE) >= 2  # the title and the heading
    assert f"note {HOSTILE}" in page.text
    assert HOSTILE not in (run / "report.html").read_text(encoding="utf-8")


def test_every_text_that_a_file_can_hold_is_escaped(run: Path) -> None:
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    results["rows"][0]["name"] = results["device"] = HOSTILE
    results["rows"][0]["detail"] = {HOSTILE: 1.0}
    (run / "results.json").write_bytes(seal(results))
    made = json.loads((run / "run.json").read_text(encoding="utf-8"))
    made |= {"platform": HOSTILE, "versions": {HOSTILE: HOSTILE}, "source": {"dataset": HOSTILE}}
    (run / "config.toml").write_text(f"# {HOSTILE}", encoding="utf-8")
    made["files"]["config.toml"] = dataclasses.asdict(record_of(run / "config.toml"))
    (run / "run.json").write_bytes(seal(made))
    (run / "sasrec").rename(run / "<script>")
    write_report(run)
    assert "script" not in read(run).tags
    assert "<script" not in (run / "report.html").read_text(encoding="utf-8")


def test_the_table_is_the_runs_and_its_best_carry_stars(run: Path) -> None:
    page = read(run)
    rows = json.loads((run / "results.json").read_text(encoding="utf-8"))["rows"]
    for key in ("hr@20", "ndcg@20"):
        texts = [f"{row['test'][key]:.4f}" for row in rows]
        for text in texts:
            assert (f"*{text}" if text == max(texts) else text) in page.text
    made = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert {made["fingerprint"], "sasrec + dllm2rec", "What the teacher added"} <= set(page.text)


def test_settings_checkpoints_and_every_epoch_are_there(run: Path) -> None:
    text = " ".join(read(run).text)
    assert "max_epochs = 2" in text
    for student in ("sasrec", "sasrec+dllm2rec"):
        assert read_pointer(run / student, "best").name in text
        for line in (run / student / METRICS_FILE).read_text(encoding="utf-8").splitlines():
            assert f"{json.loads(line)['loss']:.4f}" in text


def test_without_matplotlib_the_figures_are_there_as_numbers(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_curves = read(run).text
    monkeypatch.setattr(report_page, "can_draw", lambda: False)
    write_report(run)
    page = read(run)
    assert "img" not in page.tags
    assert "pip install matplotlib" in page.text
    drawn = {"validation ndcg@20", "validation hr@20", "train loss"}
    drawn |= {"hit rate by place", "hit rate by distance"}
    assert set(with_curves) - set(page.text) == drawn


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_goes_on_has_a_page_and_a_line_in_the_making_is_left_out(run: Path) -> None:
    (run / "results.json").unlink()
    with (run / "sasrec" / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write('{"epoch": 3.0, "lo')
    write_report(run)
    page = read(run)
    assert "This run has not ended: there is no table yet" in " ".join(page.text)
    assert [len(one.records) for one in read_facts(run).trainings] == [2, 2, 2]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("run.json", '{"dataset": "a"}'),
        ("results.json", '{"dataset": "a", "rows": []}'),
        ("sasrec/metrics.jsonl", '{"loss": 1.0}\n'),
        ("sasrec/metrics.jsonl", '{"epoch": "x"}\n'),
        ("sasrec/best", "../../elsewhere"),
        ("sasrec/best", "nowhere"),
    ],
)
def test_a_file_that_no_run_writes_is_named(run: Path, name: str, text: str) -> None:
    (run / name).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=name):
        write_report(run)


def test_a_folder_that_is_no_run_is_refused(run: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no run\.json"):
        write_report(run / "sasrec")


def test_gains_are_percentages_of_the_same_student_alone() -> None:
    rows = [
        MetricRow("a", {"hr@1": 0.0, "hr@20": 0.2, "ndcg@20": 0.1}),
        MetricRow(f"a{TAUGHT}", {"hr@1": 0.5, "hr@20": 0.3, "ndcg@20": 0.05}),
        MetricRow(f"b{TAUGHT}", {"hr@20": 0.3}),
    ]
    (gain,) = teacher_gains(rows)
    assert gain.student == "a"
    assert gain.percent == pytest.approx({"hr@20": 50.0, "ndcg@20": -50.0})


def test_taught_students_are_called_as_the_gains_expect() -> None:
    assert (
        student_label(CONFIG, with_teacher=True)
        == student_label(CONFIG, with_teacher=False) + TAUGHT
    )


def test_what_was_chosen_is_a_table_with_a_column_for_each_figure(run: Path) -> None:
    page = read(run)
    at = page.text.index("What validation chose")
    heads = [word for word in page.text[at:] if word][1:7]
    times = ["s per epoch", "ms per row scored", "s in all"]
    assert heads == ["epoch", "ranking weight", "memory weight", *times]
    assert any(text.startswith("window counts: power ") for text in page.text)


def test_trainings_stand_in_the_order_of_the_table(run: Path) -> None:
    assert next(iter(read_facts(run).trainings)).name == "sasrec"
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    results["rows"].reverse()
    (run / "results.json").write_bytes(seal(results))
    assert read_facts(run).trainings[-1].name == "sasrec"


@pytest.mark.usefixtures("undrawn")
def test_a_loss_of_one_part_is_shown_once(run: Path) -> None:
    text = read(run).text
    assert "loss" in text
    assert "loss: base" not in text
    file = run / "sasrec" / METRICS_FILE
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    parts = [line | {"loss_base": 3.0, "loss_dros": 1.0} for line in lines]
    rewrite_epochs(run / "sasrec", parts)
    write_report(run)
    assert {"loss: base", "loss: dros"} <= set(read(run).text)


def with_figures(run: Path, *, student: float, taught: float, epoch: float) -> Path:
    """The run with other test figures: window counts reach an NDCG@20 of 0.5."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    reached = {"popularity": 0.1, "window counts": 0.5, "sasrec": student}
    for row in results["rows"]:
        row["test"] |= {"ndcg@20": reached.get(row["name"], taught)}
        if "epoch" in row["detail"]:
            row["detail"]["epoch"] = epoch
    (run / "results.json").write_bytes(seal(results))
    return write_report(run)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("student", "taught", "epoch", "why"),
    [
        (0.2, 0.4, 1.0, "is below window counts"),
        (0.05, 0.6, 1.0, "is below popularity and window counts"),
        (0.6, 0.7, 2.0, "is best at its last epoch"),
        (0.2, 0.4, 2.0, "is below window counts and best at its last epoch"),
    ],
)
def test_no_gain_is_told_of_students_that_are_not_yet_trained(
    run: Path, student: float, taught: float, epoch: float, why: str
) -> None:
    with_figures(run, student=student, taught=taught, epoch=epoch)
    text = " ".join(read(run).text)
    assert f"sasrec {why} (ndcg@20)" in text
    assert "Not told for sasrec: see above." in text
    assert "over sasrec alone" not in text
    assert "What the teacher added Not told" in " ".join(text.split())


@pytest.mark.usefixtures("undrawn")
def test_gains_of_trained_students_are_told(run: Path) -> None:
    with_figures(run, student=0.6, taught=0.9, epoch=1.0)
    text = " ".join(read(run).text)
    assert "+50.0 %" in text
    assert "Not told" not in text
    assert "train longer" not in text


def test_a_phone_shows_every_column_and_legible_plots(run: Path) -> None:
    """What of it can be told without a browser: 390 px wide, of which the page leaves 358."""
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "@media (max-width: 40rem)" in text
    for table in text.split('<div class="wide">')[1:]:
        body = table.partition("</table>")[0]
        for row in body.partition("<tbody>")[2].split("<tr>")[1:]:
            _, *others = row.split("<td")[1:]
            assert all(cell.startswith(' data-of="') for cell in others), row
    points = FONT / 72 * 96  # CSS pixels of the drawing itself
    assert points * 358 / (WIDTH * 96) >= 11


def test_a_run_has_lists_with_titles_agreement_and_calibration(run: Path) -> None:
    text = " ".join(read(run).text)
    evidence = read_evidence(run)
    assert evidence is not None
    assert evidence.student == "sasrec + dllm2rec"
    hits = [one.is_hit for one in evidence.examples]
    assert hits == sorted(hits, reverse=True)
    for one in evidence.examples:
        assert one.is_hit == (one.target in one.listed)
        assert one.target.startswith("Title ")
        assert one.target in text
    assert "Calibration of the teacher" in text


@pytest.mark.usefixtures("undrawn")
def test_titles_of_the_examples_are_escaped(run: Path) -> None:
    evidence = read_evidence(run)
    assert evidence is not None
    hostile = dataclasses.replace(
        evidence.examples[0], history=[HOSTILE], target=HOSTILE, listed=[HOSTILE]
    )
    write_evidence(run, dataclasses.replace(evidence, student=HOSTILE, examples=[hostile]))
    write_report(run)
    page = read(run)
    assert HOSTILE in page.text
    assert "script" not in page.tags


@pytest.mark.usefixtures("undrawn")
def test_slices_of_the_page_are_those_of_the_test_rows(run: Path) -> None:
    evidence = read_evidence(run)
    assert evidence is not None
    result = read_result(run)
    tested = {row.name: row.test[SELECTION] for row in result.rows}
    names = {one.name for one in evidence.slices}
    assert {"target popularity", "repeats", "history length", "user activity"} <= names
    for one in evidence.slices:
        assert sum(one.n_rows) == result.n_test
        for name in ("popularity", "sasrec", "sasrec + dllm2rec"):
            parts = [part[SELECTION] for part in one.metrics[name]]
            assert np.average(parts, weights=one.n_rows) == pytest.approx(tested[name], abs=1e-6)
    page = write_report(run).read_text(encoding="utf-8")
    assert "Where it is good" in page
    assert 'aria-label="NDCG@20 by popularity of the target"' in page


@pytest.mark.usefixtures("undrawn")
def test_evidence_that_changed_is_refused_and_a_run_without_has_a_page(run: Path) -> None:
    file = run / "evidence.json"
    file.write_bytes(file.read_bytes().replace(b"Title", b"Titel"))
    with pytest.raises(ArtifactError, match=r"evidence\.json"):
        write_report(run)
    file.unlink()
    write_report(run)
    assert "Lists" not in read(run).text


def test_the_chart_has_a_bar_for_each_row_and_the_longest_is_the_best(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    conclusion = conclude(run)
    chart = text.split('<div class="bars"')[1]
    assert chart.count('<div class="bar ') == len(conclusion.bars) == 4
    best = max(bar.value for bar in conclusion.bars)
    for bar in conclusion.bars:  # in proportion: the room for the figure is taken off before
        length = f"width: calc((100% - 8.5rem) * {100 * bar.value / best:.1f} / 100)"
        assert f'<div class="bar {bar.kind}" style="{length}">' in chart
    assert html.escape(conclusion.sentence()) in text.replace("&#39;", "&#x27;")


def test_both_pages_have_a_dark_mode_and_pictures_without_a_ground(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "@media (prefers-color-scheme: dark)" in text
    image = base64.b64decode(text.partition("data:image/svg+xml;base64,")[2].partition('"')[0])
    assert b"fill: #ffffff" not in image
