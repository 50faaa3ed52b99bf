"""What a training looks like: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Sequence

import pytest
import torch
from rich.console import Console
from rich.text import Text

from dllm2rec.cli.output import training_status as standings
from dllm2rec.cli.output.progress_table import (
    DRAW_EVERY_S,
    Drawn,
    Lines,
    drawing,
    heading,
    line,
    picture,
    record_text,
    watching,
)
from dllm2rec.cli.output.training_status import RunStatus, TrainingStatus, gpu_text
from dllm2rec.tracking.metric_table import MetricTable
from dllm2rec.tracking.progress import Outlook, ProgressGroup, Record, Silent, TrainingName

TAUGHT = TrainingName("gru4rec+dros + dllm2rec", 0.3)
EPOCH = {
    "loss_base": 4.1,
    "loss_dros": 0.1,
    "loss_ranking": 0.2,
    "loss": 4.4,
    "ndcg@20": 0.05,
    "rows_per_s": 21345.6,
}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def after(n: int, *, seconds: float = 3.0, training: TrainingName = TAUGHT) -> TrainingStatus:
    """A training of 40 epochs after `n` of `seconds` each; its best is epoch 2."""
    clock = Clock()
    status = TrainingStatus(training, 40, clock=clock)
    for epoch in range(1, n + 1):
        clock.now += seconds
        status.batch(405, 405, 4.4)
        status.epoch(EPOCH | {"epoch": epoch, "ndcg@20": 0.08 if epoch == 2 else 0.05})
    return status


def test_a_training_is_named_by_what_tells_it_from_others() -> None:
    assert str(TrainingName("sasrec")) == "sasrec"
    assert str(TrainingName("sasrec", 0.0)) == "sasrec (ranking weight 0)"
    assert str(TrainingName("sasrec", 0.3, 1)) == "sasrec (ranking weight 0.3, seed 1)"
    assert str(TrainingName("sasrec", seed=2)) == "sasrec (seed 2)"


def test_several_watchers_are_told_everything_in_their_order() -> None:
    told: list[tuple[str, str]] = []

    class Noted(Silent):
        def __init__(self, name: str) -> None:
            self.name = name

        def start(
            self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()
        ) -> None:
            told.append((self.name, "start"))

        def results(self, table: MetricTable) -> None:
            told.append((self.name, "results"))

    both = ProgressGroup([Noted("a"), Noted("b")])
    both.run({})
    both.start(TAUGHT, 3)
    both.batch(1, 2, 0.5)
    both.epoch(EPOCH)
    both.finish("")
    both.results(MetricTable("t", (), 0, 0))
    assert told == [("a", "start"), ("b", "start"), ("a", "results"), ("b", "results")]


# --- how a training stands -----------------------------------------------------------------------


def test_the_best_epoch_is_the_first_that_reached_it() -> None:
    status = after(5)
    status.epoch(EPOCH | {"epoch": 6, "ndcg@20": 0.08})
    assert (status.best, status.best_epoch) == (0.08, 2)


def test_what_is_left_follows_the_pace_of_the_newest_epochs() -> None:
    status = after(10)
    assert status.left_s() == pytest.approx(90)
    clock = status._clock
    assert isinstance(clock, Clock)
    clock.now += 1.0
    assert status.left_s() == pytest.approx(89)
    clock.now += 9.0  # an epoch that takes longer than the pace does not count below nothing
    assert status.left_s() == pytest.approx(87)


def test_the_first_epoch_makes_the_pace_only_while_it_is_alone() -> None:
    clock = Clock()
    status = TrainingStatus(TAUGHT, 10, clock=clock)
    assert status.left_s() is None
    clock.now += 20.0
    status.batch(1, 2, 4.0)
    assert status.left_s() == pytest.approx(20 * (10 * 2 - 1))
    clock.now += 10.0
    status.epoch(EPOCH | {"epoch": 1})
    assert status.left_s() == pytest.approx(270)
    clock.now += 1.0
    status.epoch(EPOCH | {"epoch": 2})
    assert status.left_s() == pytest.approx(8)


def test_a_resumed_training_counts_the_epochs_that_are_left() -> None:
    clock = Clock()
    status = TrainingStatus(TAUGHT, 40, clock=clock)
    for epoch in (31, 32, 33):
        clock.now += 2.0
        status.epoch(EPOCH | {"epoch": epoch})
    assert status.left_s() == pytest.approx(14)


def test_a_resumed_training_remembers_its_best_epoch_and_where_it_is() -> None:
    earlier = [EPOCH | {"epoch": n, "ndcg@20": 0.1 if n == 2 else 0.05} for n in (1, 2, 3)]
    status = TrainingStatus(TAUGHT, 40, earlier)
    assert (status.best, status.best_epoch, status.epochs) == (0.1, 2, 3)
    assert status.left_s() is None
    status.epoch(EPOCH | {"epoch": 4})
    assert (status.best_epoch, status.epochs) == (2, 4)


def test_one_loss_has_no_parts() -> None:
    status = TrainingStatus(TAUGHT, 3)
    status.epoch({"epoch": 1, "loss_base": 4.0, "loss": 4.0})
    assert status.loss_parts() == {}
    assert list(after(1).loss_parts()) == ["base", "dros", "ranking"]


def test_the_memory_of_a_gpu_is_told_where_one_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert gpu_text() == ""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 1_200_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3_400_000_000)
    assert gpu_text() == "GPU 1.2 GB, peak 3.4 GB"


# --- the table -----------------------------------------------------------------------------------


def rows_of(status: TrainingStatus, width: int, *, seeds: bool = False) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(picture(status, width, seeds=seeds))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [20, 60, 80, 100, 140, 300])
@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("name", ["a", "gru4rec+dros + dllm2rec", "x" * 80])
def test_a_running_training_is_three_lines_at_any_width(width: int, n: int, name: str) -> None:
    status = after(n, training=TrainingName(name, 0.3, 12))
    status.batch(100_000, 200_000, 12345.6789)
    rows = rows_of(status, width, seeds=True)
    assert len(rows) == 3
    assert max(map(len, rows)) <= width


@pytest.mark.parametrize("width", [80, 140])
def test_everything_is_there_and_below_its_heading(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dllm2rec.cli.output.progress_table.gpu_text", lambda: "GPU 1.2 GB, peak 3.4 GB"
    )
    status = after(7)
    status.batch(120, 405, 4.3)
    first, second, third = rows_of(status, width)
    names = heading(width, seeds=False).plain
    for title, cell in {
        "weight": "0.3",
        "epoch": "8/40",
        "loss": "4.3000",
        "ndcg@20": "0.0500",
    }.items():
        end = names.index(title) + len(title)
        assert first[:end].endswith(" " + cell), title
    assert "0.0800   (2)" in first
    assert "120/405  base 4.1000  dros 0.1000  ranking 0.2000" in second
    assert "21,346 rows/s  at most 1 min 39 s left  GPU 1.2 GB, peak 3.4 GB" in third
    assert ("21 s" in first) == (width == 140)


def test_a_finished_training_says_the_epochs_that_it_took() -> None:
    assert " 7/40 " in line(after(7), 80, seeds=False).plain
    assert " 8/40 " in line(after(7), 80, seeds=False, runs=True).plain
    assert " 40/40 " in line(after(40), 80, seeds=False, runs=True).plain


def test_finished_trainings_stay_as_one_line_each_below_one_heading() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=100)
    with drawing(console) as drawn:
        assert isinstance(drawn, Drawn)
        for name in ("gru4rec", "sasrec [x]"):
            drawn.start(TrainingName(name), 4)
            drawn.batch(5, 10, 0.25)
            drawn.epoch({"epoch": 1, "loss": 0.25, "ndcg@20": 0.1})
            drawn.finish("")
    screen = replayed(stream.getvalue())
    assert [row.split()[0] for row in screen] == ["training", "gru4rec", "sasrec"]
    assert "1/4   0.2500   0.1000" in screen[1]
    assert "[x]" in screen[2]


def replayed(text: str) -> list[str]:
    """What a terminal shows in the end: cursor up, erase line, carriage return, line feed."""
    screen, row = [""], 0
    for piece in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if piece == "\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif piece.endswith("A") and piece[0] == "\x1b":
            row -= int(piece[2:-1] or 1)
        elif piece == "\x1b[2K":
            screen[row] = ""
        elif piece[0] not in "\x1b\r":
            screen[row] += piece
    return [row for row in screen if row.strip()]


def test_nothing_is_drawn_more_often_than_people_read() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    drawings = 0
    with drawing(console) as drawn:
        drawn.start(TAUGHT, 10)
        refresh = drawn._live.refresh

        def counted() -> None:
            nonlocal drawings
            drawings += 1
            refresh()

        drawn._live.refresh = counted  # type: ignore[method-assign]
        began = time.monotonic()
        for n in range(2000):
            drawn.batch(n, 2000, 1.0)
            drawn.epoch(EPOCH | {"epoch": n + 1})
        took = time.monotonic() - began
        assert drawings <= 1 + took / DRAW_EVERY_S


# --- plain lines ---------------------------------------------------------------------------------


def test_record_text_shows_losses_selection_and_speed() -> None:
    record = {"hr@1": 0.5, "ndcg@20": 0.01, "epoch": 3, "loss": 1.5, "rows_per_s": 1234.5}
    assert record_text(record) == "epoch 3  loss 1.5000  ndcg@20 0.0100  1,234 rows/s"
    terms = record_text(record | {"loss_base": 1.0, "loss_dro": 0.5})
    assert terms.startswith("epoch 3  loss 1.5000  base 1.0000  dro 0.5000")


def test_progress_is_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with watching(stream) as lines:
        assert isinstance(lines, Lines)
        lines.start(TrainingName("sasrec", 0.3), 5)
        lines.batch(1, 10, 0.5)
        lines.epoch({"epoch": 1, "loss": 0.5, "ndcg@20": 0.25})
        lines.epoch({"epoch": 2, "loss": 0.4, "ndcg@20": 0.125})
        lines.finish("best epoch 1")
    shown = stream.getvalue().splitlines()
    assert shown[0] == "sasrec (ranking weight 0.3): at most 5 epochs"
    assert "epoch 1  loss 0.5000  ndcg@20 0.2500  best 0.2500 (1)" in shown[1]
    assert "epoch 2  loss 0.4000  ndcg@20 0.1250  best 0.2500 (1)  at most 0 s left" in shown[2]
    assert shown[3].startswith("sasrec (ranking weight 0.3): best epoch 1 (0.")
    assert "\x1b" not in stream.getvalue()


def test_a_line_is_text_without_markup() -> None:
    assert isinstance(line(after(1, training=TrainingName("[red]x")), 80, seeds=False), Text)
    assert "[red]x" in rows_of(after(1, training=TrainingName("[red]x")), 80)[0]


def test_the_module_asks_for_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings.sys, "modules", {})
    assert gpu_text() == ""


def test_a_run_says_which_training_the_time_for_all_and_what_to_beat() -> None:
    run = RunStatus()
    assert (run.number_text(), run.beat_text(), run.left_text(after(2, seconds=10))) == ("", "", "")
    run.outlook = Outlook(4, ("window counts", 0.04))
    run.start()
    assert run.number_text() == "training 1 of at most 4"
    assert run.beat_text() == "to beat: window counts 0.0400"
    # 38 epochs of 10 s are left, and three trainings of 40 each.
    assert run.left_text(after(2, seconds=10)) == "at most 26 min 20 s for all"
    run.finish(30.0)
    run.start()
    assert run.left_text(after(2, seconds=10)) == "about 7 min 20 s for all"  # 380 s and twice 30 s


def test_one_training_has_no_number_and_more_than_were_told_neither() -> None:
    run = RunStatus()
    run.outlook = Outlook(1)
    run.start()
    assert run.number_text() == run.beat_text() == ""
    run.start()
    assert run.number_text() == ""


def test_a_terminal_shows_the_stage_until_a_training_begins() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with drawing(console) as drawn:
        drawn.stage("reading the data")
        assert "reading the data ..." in stream.getvalue()
        drawn.outlook(Outlook(2, ("popularity", 0.02)))
        drawn.start(TrainingName("sasrec"), 5)
        assert "training 1 of at most 2  to beat: popularity 0.0200" in stream.getvalue()
        before = len(stream.getvalue())
        drawn.stage("too late")
        assert "too late" not in stream.getvalue()[before:]


def test_lines_say_what_to_beat_and_number_trainings() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.outlook(Outlook(2))
    assert stream.getvalue() == ""
    lines.outlook(Outlook(2, ("window counts", 0.04)))
    lines.start(TrainingName("sasrec"), 5)
    assert stream.getvalue().splitlines() == [
        "to beat: window counts 0.0400 (ndcg@20 on validation)",
        "sasrec: at most 5 epochs, training 1 of at most 2",
    ]
