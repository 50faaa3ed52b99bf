"""The scores of any model in a file: ranked as those of a run's students are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.evaluate import score_file
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.evaluate.score_file import evaluate_scores
from dllm2rec.storage.atomic_folder import write_folder
from tests.evaluate.test_evaluate_split import fresh_student
from tests.support.worlds import N_ITEMS, cycle_dataset


@pytest.fixture(scope="module")
def dataset() -> SequenceDataset:
    return cycle_dataset(60)


@pytest.fixture
def scores(dataset) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((len(dataset.test), N_ITEMS)).astype(np.float32)


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_students_own_scores_have_its_metrics(tmp_path, dataset, split, exclude_seen):
    student = fresh_student(dataset, 1).eval()
    if exclude_seen:  # a target that is seen is then ranked without the offset
        torch.nn.init.zeros_(student.window_offset)
    rows = device_rows(dataset, dataset.splits()[split], torch.device("cpu"))
    sequences, lengths, _ = rows.windows(torch.arange(len(rows)))
    with torch.no_grad():
        np.save(tmp_path / "own.npy", student(sequences, lengths).numpy())
    table = evaluate_scores(
        tmp_path / "own.npy", dataset, split=split, ks=(5, 10), exclude_seen=exclude_seen
    )
    counts = split_counts(student, rows, exclude_seen=exclude_seen)
    row = table.rows[-1]
    assert [row.name for row in table.rows] == ["popularity", "window counts", "own"]
    assert row.metrics == pytest.approx(rank_metrics(counts, (5, 10)), abs=1e-6)
    assert (table.n_rows, table.n_items, table.exclude_seen) == (60, N_ITEMS, exclude_seen)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_blocks_files_and_arrays_agree(tmp_path, monkeypatch, dataset, scores, dtype):
    typed = scores.astype(np.float16).astype(dtype)
    np.save(tmp_path / "a.npy", typed)
    whole = evaluate_scores(tmp_path / "a.npy", dataset, exclude_seen=True).rows[-1].metrics
    before = typed.copy()
    monkeypatch.setattr(score_file, "BLOCK_BYTES", 7 * N_ITEMS * typed.itemsize)
    assert evaluate_scores(tmp_path / "a.npy", dataset, exclude_seen=True).rows[-1].metrics == whole
    assert evaluate_scores(typed, dataset, exclude_seen=True).rows[-1].metrics == whole
    np.testing.assert_array_equal(typed, before)  # what is masked is a copy


def test_what_is_no_matrix_of_scores_is_refused(tmp_path, dataset, scores):
    def refusal(array: np.ndarray, kind: type[Exception] = InputError) -> str:
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(kind) as caught:
            evaluate_scores(tmp_path / "a.npy", dataset)
        return str(caught.value)

    text = refusal(scores[1:])
    assert f"E-SHAPE {tmp_path / 'a.npy'}: scores of shape (59, 40), expected (60, 40)" in text
    assert "one row for each test row of cycle" in text
    assert "E-SHAPE" in refusal(scores.ravel())
    assert "E-DTYPE" in refusal(scores.astype(np.int64))
    assert "E-LAYOUT" in refusal(np.asfortranarray(scores))
    for bad in (np.nan, np.inf):
        broken = scores.copy()
        broken[7, 3] = bad
        assert f"row 7, item 3: {bad}, expected a finite score" in refusal(broken)
    target = int(dataset.targets(dataset.test)[5])
    broken = scores.copy()
    broken[5, target] = -np.inf
    assert f"E-SCORE-TARGET {tmp_path / 'a.npy'}: row 5, item {target}" in refusal(broken)
    assert "E-PICKLE" in refusal(scores.astype(object), ArtifactError)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:40])
    with pytest.raises(ArtifactError, match="E-NPY"):
        evaluate_scores(tmp_path / "a.npy", dataset)
    with pytest.raises(InputError, match="E-OPEN"):
        evaluate_scores(tmp_path / "none.npy", dataset)


def test_a_split_or_cut_off_that_is_not_there_is_refused(dataset, scores):
    with pytest.raises(ConfigError, match="split = 'train', expected one of"):
        evaluate_scores(scores, dataset, split="train")
    with pytest.raises(ConfigError, match=r"k = \[41\], expected 1..40"):
        evaluate_scores(scores, dataset, ks=(41,))


def written(folder: Path, dataset: SequenceDataset) -> Path:
    write_folder(folder, authors_files(dataset), kind="authors", version=1, facts={})
    return folder


def test_the_command_prints_the_table_of_a_file(tmp_path, capsys, dataset, scores):
    data = written(tmp_path / "data", dataset)
    np.save(tmp_path / "other.npy", scores)
    words = ["evaluate", "--scores", str(tmp_path / "other.npy"), "--dataset", str(data)]
    assert main(words) == 0
    assert "other" in capsys.readouterr().out
    assert main([*words, "--k", "10", "--exclude-seen", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    table = evaluate_scores(scores, load_dataset(data), ks=(10,), exclude_seen=True)
    assert shown["rows"][-1] == {"name": "other", "metrics": dict(table.rows[-1].metrics)}
    assert shown["scores"] == str(tmp_path / "other.npy")
    np.save(tmp_path / "other.npy", scores[:3])
    assert main(words) == 3
    assert "E-SHAPE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--scores", "a.npy", "--dataset", "data"],
        ["--scores", "a.npy"],
        ["--lists", "a.csv", "--dataset", "data", "--device", "cpu"],
    ],
)
def test_what_does_not_go_together_is_a_usage_error(words):
    assert main(["evaluate", *words]) == 2
