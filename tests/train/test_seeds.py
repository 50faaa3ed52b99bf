"""Several seeds of a student: each is what it is alone, and the table has their mean and spread."""

from __future__ import annotations

import json
import signal
import statistics
from pathlib import Path
from types import SimpleNamespace

import pytest

from dllm2rec.cli import main
from dllm2rec.cli.output.tables import metric_table, print_table
from dllm2rec.config.load import changed, load_config
from dllm2rec.report.facts import read_facts
from dllm2rec.runs.evaluate_run import evaluate_run
from dllm2rec.runs.run_result import RunResult
from dllm2rec.runs.source import Source
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.storage.sealed_json import seal
from dllm2rec.tracking.metric_table import ResultRow, mean_row
from dllm2rec.tracking.progress import BufferedProgress, Silent, TrainingName
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.train_run import train_run
from dllm2rec.train.train_student import draws_from_own_seed
from tests.support.worlds import cycle_dataset
from tests.train.test_resume_run import CONFIG, DATASET, SELDOM, TEACHER, signal_at

# Several seeds are trained, together and alone.
pytestmark = pytest.mark.slow

QUICK = changed(SELDOM, train={"max_epochs": 2, "seed": 7})
ARMS = ("sasrec", "sasrec+dllm2rec")


def train(folder: Path, n_seeds: int, seed: int = 7) -> RunResult:
    config = changed(QUICK, train={"seed": seed})
    return train_run(
        config, DATASET, TEACHER, folder, students=["sasrec"], options=RunOptions(n_seeds=n_seeds)
    )


def best_bytes(student: Path) -> bytes:
    return (read_pointer(student, "best") / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("seeds") / "three"
    return folder, train(folder, 3)


def test_each_seed_is_what_it_is_alone(three: tuple[Path, RunResult], tmp_path: Path) -> None:
    folder, result = three
    for seed in (7, 8, 9):
        alone = train(tmp_path / str(seed), 1, seed)
        for place, row in zip(ARMS, alone.rows[-2:], strict=True):
            own = folder / f"{place}-seed-{seed}"
            assert best_bytes(own) == best_bytes(tmp_path / str(seed) / place)
            assert json.loads((own / "result.json").read_text())["test"] == row.test
    assert len({best_bytes(folder / f"sasrec-seed-{seed}") for seed in (7, 8, 9)}) == 3
    tests = [row["ndcg@20"] for row in result.rows[-1].seeds]
    assert result.rows[-1].test["ndcg@20"] == statistics.fmean(tests)
    assert result.rows[-1].deviation["ndcg@20"] == statistics.stdev(tests) > 0


def test_a_mean_over_one_is_the_row_itself() -> None:
    row = ResultRow("sasrec", {"ndcg@20": 0.1}, {"ndcg@20": 0.2})
    assert mean_row([row]) is row
    other = ResultRow("sasrec", {"ndcg@20": 0.3}, {"ndcg@20": 0.6})
    joined = mean_row([row, other])
    assert joined.validation == {"ndcg@20": pytest.approx(0.2)}
    assert joined.test == {"ndcg@20": pytest.approx(0.4)}
    assert joined.deviation == {"ndcg@20": pytest.approx(0.2 * 2**0.5)}  # of a sample: n - 1


def test_the_table_and_the_page_show_the_spread(
    three: tuple[Path, RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, result = three
    spread = f"±{result.rows[-1].deviation['ndcg@20']:.4f}"
    print_table(metric_table(result.table("test")))
    printed = capsys.readouterr().out
    assert spread in printed
    assert "±" not in next(line for line in printed.splitlines() if "popularity" in line)
    assert spread in (folder / "report.html").read_text(encoding="utf-8")
    table = read_facts(folder).table("validation")
    assert table is not None
    assert not any(row.deviation for row in table.rows)


def test_every_seed_is_evaluated_by_itself(
    three: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "open_dataset", lambda _: cycle_dataset())
    folder, result = three
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_bytes(seal({**facts, "source": {}}))
    _, _, *students = evaluate_run(folder, device="cpu").rows  # after the two baselines
    rows = {row.name: row.metrics["ndcg@20"] for row in students}
    assert sorted(rows) == sorted(f"{arm}-seed-{seed}" for arm in ARMS for seed in (7, 8, 9))
    assert rows["sasrec-seed-8"] == result.rows[-2].seeds[1]["ndcg@20"]


def test_seeds_go_on_where_they_were(three: tuple[Path, RunResult], tmp_path: Path) -> None:
    folder, result = three
    # In the second seed of the first student: the first one is done and stays as it is.
    with signal_at(60, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", 3)
    done = tmp_path / "run" / "sasrec-seed-7" / "result.json"
    written = done.stat().st_mtime_ns
    again = resume_run(tmp_path / "run", DATASET, TEACHER)
    assert done.stat().st_mtime_ns == written
    assert [row.test for row in again.rows] == [row.test for row in result.rows]
    for seed in (7, 8, 9):
        for arm in ARMS:
            name = f"{arm}-seed-{seed}"
            assert best_bytes(tmp_path / "run" / name) == best_bytes(folder / name)


def test_holds_of_trainings_side_by_side_may_end_in_any_order() -> None:
    own = Interrupts()
    first, second = own.deferred(), own.deferred()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    own._handle(signal.SIGINT, None)  # held back: the second still holds
    with pytest.raises(KeyboardInterrupt):
        own.check()
    second.__exit__(None, None, None)
    with pytest.raises(KeyboardInterrupt):
        own._handle(signal.SIGINT, None)


def test_what_is_told_later_is_told_in_order() -> None:
    told: list[object] = []

    class Noting(Silent):
        def start(self, training: TrainingName, n_epochs: int, records: object = ()) -> None:
            told.append((str(training), n_epochs))

        def epoch(self, record: object) -> None:
            told.append(record)

        def finish(self, summary: str) -> None:
            told.append(summary)

    later = BufferedProgress()
    later.start(TrainingName("sasrec", seed=8), 3)
    later.batch(1, 2, 0.5)
    later.epoch({"epoch": 1.0})
    later.finish("done")
    assert told == []
    later.tell(Noting())
    later.tell(Noting())
    assert told == [("sasrec (seed 8)", 3), {"epoch": 1.0}, "done"]


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "n_blocks"), [("sasrec", 1), ("sasrec", 2), ("gru4rec", 1)])
def test_seeds_side_by_side_on_a_gpu_are_what_they_are_alone(
    tmp_path: Path, name: str, n_blocks: int
) -> None:
    student = {"name": name, "n_blocks": n_blocks}
    config = changed(CONFIG, student=student, train={"device": "cuda", "seed": 3})
    train_run(
        config, DATASET, TEACHER, tmp_path / "all", students=[name], options=RunOptions(n_seeds=3)
    )
    for seed in (3, 4, 5):
        one = changed(config, train={"seed": seed})
        train_run(one, DATASET, TEACHER, tmp_path / str(seed), students=[name])
        for arm in (name, f"{name}+dllm2rec"):
            own = best_bytes(tmp_path / "all" / f"{arm}-seed-{seed}")
            assert own == best_bytes(tmp_path / str(seed) / arm)


@pytest.mark.parametrize(
    ("sections", "own"),
    [
        ({}, True),
        ({"student": {"n_blocks": 2}}, False),
        ({"student": {"n_blocks": 2, "dropout": 0.0}}, True),
        ({"student": {"name": "gru4rec"}}, False),
        ({"train": {"all_places": True}}, False),
        ({"student": {"tied": False}, "distillation": {"embedding_sides": "input"}}, False),
        ({"student": {"hidden_size": 24}}, False),
    ],
)
def test_seeds_that_share_a_generator_are_trained_one_after_the_other(
    sections: dict[str, dict[str, object]], own: bool
) -> None:
    light = changed(load_config(recipe="light"), **sections)
    context = SimpleNamespace(dataset=DATASET)
    assert draws_from_own_seed(light, context) == own


def test_the_command_takes_a_number_of_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Source, "open", lambda _: (DATASET, TEACHER))
    words = ["train", "--student", "gru4rec", "--no-baseline", "--out", str(tmp_path / "run")]
    words += ["--device", "cpu", "--set", "train.max_epochs=1", "--seeds", "2", "--json"]
    words += ["--set", "distillation.ranking_weight=0.3", "--set", "distillation.top_k=6"]
    assert main(words) == 0
    row = json.loads(capsys.readouterr().out)["rows"][-1]
    assert len(row["seeds"]) == 2
    assert main([*words[:-5], "--resume", str(tmp_path / "run")]) == 2
    assert "beside --resume" in capsys.readouterr().err
    assert main(["train", "--seeds", "0"]) == 2
