"""A run trained again from its card: the same figures, or a word on what is not as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dllm2rec import conclude, reproduce
from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.rerun.compare import TOLERANCE
from dllm2rec.runs.evaluate_run import evaluate_run
from dllm2rec.runs.held_out_log import openings_text, read_openings
from dllm2rec.runs.run_card import CARD_FILE, read_card
from dllm2rec.runs.source import Source
from dllm2rec.runtime import hardware
from dllm2rec.runtime.hardware import EnergyMeter
from dllm2rec.storage.sealed_json import seal
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.train_run import train_run
from tests.support.run_home import CONFIG
from tests.support.worlds import cycle_dataset, oracle_teacher


def changed_card(run: Path, to: Path, change: object) -> Path:
    """The card of a run with something else in it, sealed again."""
    card = json.loads((run / CARD_FILE).read_text(encoding="utf-8"))
    change(card)  # type: ignore[operator]
    to.write_bytes(seal(card))
    return to


def test_a_card_holds_hashes_protocol_ties_versions_hardware_and_energy(home: Path) -> None:
    card = read_card(home / "run")
    assert card.run.fingerprint == load_dataset(home / "data").fingerprint()
    assert card.protocol["split"] == "leave_one_out"
    assert card.evaluation == "40 rows, full ranking over 40 items, seen items not masked"
    for row in card.result.rows:
        assert card.tie_share[row.name] == {
            split: getattr(row, split)["tie_rate"]
            for split in ("validation", "test")
            if "tie_rate" in getattr(row, split)
        }
    assert set(card.students) == {"sasrec", "sasrec+dllm2rec"}
    assert {Path(name).name for name in card.run.inputs} >= {"rows.parquet", "manifest.json"}
    assert card.run.hardware is not None
    assert card.run.hardware.cores >= 1
    assert card.run.versions["torch"] == torch.__version__
    assert card.run.command == []  # from Python
    assert card.energy.joules is None
    assert "CPU" in card.energy.note


def test_the_same_machine_gives_the_same_figures(home: Path, tmp_path: Path) -> None:
    found = reproduce(home / "run", tmp_path / "again", progress=False)
    assert found.differences == ()
    assert found.tolerance == 0
    assert found.matches
    assert all(one.difference() == 0 for one in found.figures)
    assert len(found.figures) > 100
    assert found.sentence() == f"all {len(found.figures)} figures are the same to the last digit"


def test_a_figure_that_is_not_the_same_fails_and_is_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(card: dict[str, object]) -> None:
        rows = card["result"]["rows"]  # type: ignore[index]
        rows[-1]["test"]["ndcg@20"] *= 1.001

    card = changed_card(home / "run", tmp_path / "card.json", change)
    assert main(["reproduce", str(card), "--out", str(tmp_path / "again")]) == 1
    told = capsys.readouterr().out
    assert "off by 0.1 %: too far" in told
    assert "ndcg@20 of sasrec + dllm2rec on test" in told
    words = ["reproduce", str(card), "--out", str(tmp_path / "b"), "--tolerance", "0.01", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["matches"] is True
    assert len(told["differences"]) == 0


def test_elsewhere_figures_may_be_off_and_what_differs_is_named(home: Path, tmp_path: Path) -> None:
    def change(card: dict[str, object]) -> None:
        card["run"]["versions"]["torch"] = "2.10.0"  # type: ignore[index]
        card["run"]["hardware"]["cpu"] = "another"  # type: ignore[index]
        card["result"]["rows"][-1]["test"]["hr@20"] *= 1.05  # type: ignore[index]

    card = changed_card(home / "run", tmp_path / "card.json", change)
    found = reproduce(card, tmp_path / "again", progress=False)
    assert found.matches
    assert found.tolerance == TOLERANCE
    assert found.differences[0] == f"torch 2.10.0 -> {torch.__version__}"
    assert found.differences[1].startswith("cpu another -> ")
    assert "0 beyond the 10 % allowed" in found.sentence()


@pytest.fixture
def away(home: Path, tmp_path: Path) -> Path:
    """A run of the authors' layout with a teacher, in folders that a test may change."""
    data = Path(shutil.copytree(home / "theirs", tmp_path / "theirs"))
    (data / "manifest.json").unlink()  # as the authors' own folders: no sha256 anywhere
    dataset = load_dataset(data)
    train_run(
        CONFIG,
        dataset,
        None,
        tmp_path / "run",
        students="gru4rec",
        options=RunOptions(source=Source.of(data)),
        progress=False,
    )
    return tmp_path


def test_data_that_changed_is_refused_before_training_naming_the_file(
    away: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next((away / "theirs").glob("train_data.csv"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(ArtifactError, match=rf"{file.name}: sha256 .*, expected sha256 "):
        reproduce(away / "run", away / "again", progress=False)
    assert main(["reproduce", str(away / "run"), "--out", str(away / "again")]) == 4
    assert "give --dataset with the dataset that the run had" in capsys.readouterr().err
    assert not (away / "again").exists()


def test_a_moved_dataset_is_given_and_another_teacher_is_refused(home: Path, away: Path) -> None:
    (away / "theirs").rename(away / "moved")
    found = reproduce(away / "run", away / "again", dataset=away / "moved", progress=False)
    assert found.matches
    dataset = load_dataset(away / "moved")
    teacher = oracle_teacher(cycle_dataset(40))
    with pytest.raises(ArtifactError, match="another teacher than its own"):
        reproduce(away / "run", away / "b", dataset=dataset, teacher=teacher, progress=False)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda place: place / "nothing", ConfigError, "no such file"),
        (lambda place: place, ArtifactError, r"no run\.json"),
    ],
)
def test_what_is_no_card_is_refused(
    tmp_path: Path, make: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        reproduce(make(tmp_path), progress=False)  # type: ignore[operator]


def test_a_card_that_changed_is_refused(home: Path, tmp_path: Path) -> None:
    card = Path(shutil.copy(home / "run" / CARD_FILE, tmp_path))
    card.write_bytes(card.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    with pytest.raises(ArtifactError, match="changed since it was written"):
        reproduce(card, tmp_path / "again", progress=False)


def test_each_scoring_of_the_test_rows_is_a_line_of_the_log(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(home / "run", tmp_path / "run"))
    assert [one.by for one in read_openings(run)] == ["train"]
    evaluate_run(run, split="validation", device="cpu")
    assert len(read_openings(run)) == 1
    evaluate_run(run / "sasrec", device="cpu")
    assert main(["evaluate", str(run), "--device", "cpu"]) == 0
    said = "the test rows of this run have been scored 3 times: by train once, by evaluate twice"
    assert said in capsys.readouterr().err
    assert openings_text(read_openings(run)) == said
    assert main(["report", str(run)]) == 0
    assert said in (run / "report.html").read_text(encoding="utf-8")
    (run / "test-rows.jsonl").write_text('{"at": 1}\n')
    with pytest.raises(ArtifactError, match=r"test-rows\.jsonl"):
        read_openings(run)


def test_energy_is_the_difference_of_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([5_000, 12_500])
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(readings),
    )
    monkeypatch.setattr(hardware.importlib, "import_module", lambda name: nvml)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="a-b")
    )
    meter = EnergyMeter(torch.device("cuda", 0))
    assert meter.read().joules == 7.5


def test_a_gpu_without_a_counter_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("Not Supported")

    nvml = SimpleNamespace(NVMLError=RuntimeError, nvmlInit=refuse)
    monkeypatch.setattr(hardware.importlib, "import_module", lambda name: nvml)
    found = EnergyMeter(torch.device("cuda", 0)).read()
    assert found.joules is None
    assert found.note == "not measured: Not Supported"


def test_the_cost_is_told_where_the_teachers_is_known(home: Path, tmp_path: Path) -> None:
    dataset = cycle_dataset()
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="teacher_ms"):
        train_run(
            CONFIG, dataset, None, run, students="sasrec", options=RunOptions(teacher_ms=-1.0)
        )
    options = RunOptions(teacher_ms=500.0)
    train_run(CONFIG, dataset, oracle_teacher(dataset), run, students="sasrec", options=options)
    found = conclude(run)
    (row,) = (one for one in read_card(run).result.rows if one.name == found.student)
    assert found.cost_ratio == pytest.approx(500 / row.detail["answer_ms"])
