"""Score and vector files of every kind: the same rows, items and figures as an array's."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from dllm2rec import set_threads
from dllm2rec.cli import main
from dllm2rec.errors import ArtifactError, InputError, NonFiniteError
from dllm2rec.evaluate import score_file
from dllm2rec.evaluate.baselines import baseline_rows
from dllm2rec.evaluate.lists.evaluate_lists import evaluate_lists
from dllm2rec.evaluate.matrices import evaluate_vectors as vectors_module
from dllm2rec.evaluate.matrices.evaluate_vectors import evaluate_vectors
from dllm2rec.evaluate.score_file import evaluate_scores
from tests.evaluate.test_score_file import written
from tests.support.worlds import N_ITEMS, cycle_dataset, random_teacher

N_ROWS, WIDTH = 60, 8


@pytest.fixture(scope="module")
def dataset():
    return cycle_dataset(N_ROWS)


@pytest.fixture(scope="module")
def vectors():
    """Small whole numbers: their products are exact, and many tie."""
    rng = np.random.default_rng(0)
    users, items = (rng.integers(-2, 3, (n, WIDTH)).astype(np.float32) for n in (N_ROWS, N_ITEMS))
    return users, items, rng.integers(-3, 4, N_ITEMS).astype(np.float32)


@pytest.fixture(scope="module")
def scores(vectors):
    users, items, bias = vectors
    return users @ items.T + bias


def last(table):
    return dict(table.rows[-1].metrics)


def save_parquet(path, matrix, **columns):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    parquet.write_table(pa.table({**columns, "scores": lists}), path, row_group_size=7)


@pytest.mark.parametrize("ending", ["safetensors", "parquet", "npy"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_file_of_scores_is_what_its_array_is(
    tmp_path, monkeypatch, dataset, scores, ending, dtype
):
    typed, path = scores.astype(dtype), tmp_path / f"s.{ending}"
    if ending == "parquet":
        save_parquet(path, typed, row=np.arange(N_ROWS))
    elif ending == "safetensors":
        save_file({"scores": typed, "other": np.zeros(3, np.float32)}, path)
    else:
        np.save(path, typed)
    wanted = evaluate_scores(scores, dataset, exclude_seen=True)
    assert evaluate_scores(path, dataset, exclude_seen=True).rows[-1].metrics == last(wanted)
    monkeypatch.setattr(score_file, "BLOCK_BYTES", 9 * N_ITEMS * typed.itemsize)
    assert last(evaluate_scores(path, dataset, exclude_seen=True)) == last(wanted)


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("few", [False, True])
def test_vectors_are_ranked_as_their_scores(
    monkeypatch, dataset, vectors, scores, exclude_seen, few
):
    candidates = [f"item-{n}" for n in range(0, N_ITEMS, 3)] if few else None
    asked = {"exclude_seen": exclude_seen, "candidates": candidates}
    found = evaluate_vectors(vectors, dataset, **asked)
    wanted = evaluate_scores(scores, dataset, **asked)
    assert last(found) == last(wanted)
    assert found.protocol() == wanted.protocol()
    monkeypatch.setattr(vectors_module, "BLOCK_ROWS", 7)
    set_threads(1)
    assert last(evaluate_vectors(vectors, dataset, **asked)) == last(wanted)
    set_threads(2)
    without = evaluate_vectors(vectors[:2], dataset, **asked)
    assert last(without) == last(evaluate_scores(scores - vectors[2], dataset, **asked))


def test_baselines_and_the_teacher_are_rows_masked_as_the_header_says(dataset, vectors, scores):
    lists = np.tile(np.arange(8, dtype=np.uint32), (N_ROWS, 1))
    teacher = random_teacher(dataset)
    teacher = type(teacher)(**{**vars(teacher), "ranking_test": lists})
    for exclude_seen in (False, True):
        asked = {"ks": (1, 5), "exclude_seen": exclude_seen, "teacher": teacher}
        wanted = baseline_rows(
            dataset, teacher, (1, 5), exclude_seen=exclude_seen, splits=("test",)
        )
        for table in (
            evaluate_scores(scores, dataset, **asked),
            evaluate_vectors(vectors, dataset, **asked),
        ):
            assert [row.name for row in table.rows[:-1]] == [row.name for row in wanted]
            assert [row.metrics for row in table.rows[:-1]] == [row.test for row in wanted]


def test_many_targets_a_row_are_counted_as_in_lists(dataset, vectors, scores):
    rng = np.random.default_rng(1)
    rows = rng.permutation(N_ROWS)[:40]
    targets = {
        "row": np.repeat(rows, 3),
        "item": [f"item-{i}" for _ in rows for i in rng.permutation(N_ITEMS)[:3]],
    }
    targets = pa.table(targets)
    lists = {
        "row": np.repeat(np.arange(N_ROWS), N_ITEMS),
        "item": [f"item-{i}" for i in np.tile(np.arange(N_ITEMS), N_ROWS)],
        "score": scores.ravel(),
    }
    wanted = evaluate_lists(pa.table(lists), dataset, targets=targets)
    for found in (
        evaluate_scores(scores, dataset, targets=targets),
        evaluate_vectors(vectors, dataset, targets=targets),
    ):
        assert last(found) == pytest.approx(last(wanted), abs=1e-12)
        assert (found.n_rows, found.notes[0][:12]) == (40, "no baselines")
    masked = evaluate_scores(scores, dataset, targets=targets, exclude_seen=True)
    also = evaluate_vectors(vectors, dataset, targets=targets, exclude_seen=True)
    assert last(masked) == last(also)
    assert last(masked)["recall@20"] > last(wanted)["recall@20"]
    one = pa.table(
        {"row": np.arange(N_ROWS), "item": [f"item-{i}" for i in dataset.targets(dataset.test)]}
    )
    assert last(evaluate_scores(scores, dataset, targets=one)) == last(
        evaluate_scores(scores, dataset)
    )


def test_targets_that_are_no_candidates_are_missed_and_said(dataset, scores):
    table = evaluate_scores(scores, dataset, ks=20, candidates=["item-1", "item-2"])
    targets = dataset.targets(dataset.test)
    share = np.isin(targets, [1, 2]).mean()
    assert last(table)["hr@20"] == pytest.approx(share)
    assert f"{int(N_ROWS - share * N_ROWS)} targets are no candidates" in table.notes[0]
    assert "full ranking over 2 candidates of 40 items" in table.protocol()


def test_what_is_no_matrix_is_refused(tmp_path, dataset, scores, vectors):
    def code(function, *args):
        with pytest.raises((InputError, ArtifactError, NonFiniteError)) as caught:
            function(*args)
        return str(caught.value)

    path = tmp_path / "s.parquet"
    save_parquet(path, scores, row=np.arange(N_ROWS)[::-1])
    assert "row 59 stands at place 0, expected rows in order" in code(
        evaluate_scores, path, dataset
    )
    parquet.write_table(pa.table({"row": [1]}), path)
    assert "E-COLUMN" in code(evaluate_scores, path, dataset)
    parquet.write_table(pa.table({"s": [[1.0]] * 59 + [[1.0, 2.0]]}), path)
    assert "E-SHAPE" in code(evaluate_scores, path, dataset)
    ragged = [list(map(float, line)) for line in scores]
    ragged[7] = ragged[7][:-1]
    parquet.write_table(pa.table({"s": ragged}), path)
    assert "row 7: 39 numbers, expected 40" in code(evaluate_scores, path, dataset)
    ragged[7] = [*ragged[7], None]
    parquet.write_table(pa.table({"s": ragged}), path)
    assert "row 7: a number is missing" in code(evaluate_scores, path, dataset)
    path.write_bytes(b"PAR1")
    assert "E-PARQUET" in code(evaluate_scores, path, dataset)
    path = tmp_path / "s.safetensors"
    save_file({"a": scores, "b": scores}, path)
    assert "E-TENSOR" in code(evaluate_scores, path, dataset)
    save_file({"a": scores.astype(np.int64)}, path)
    assert "E-DTYPE" in code(evaluate_scores, path, dataset)
    save_file({"a": scores}, path)
    path.write_bytes(path.read_bytes()[:-1])
    assert "E-SAFETENSORS" in code(evaluate_scores, path, dataset)
    path.write_bytes(b"\xff" * 30)
    assert "E-SAFETENSORS" in code(evaluate_scores, path, dataset)
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40, 4], "data_offsets": [0, 4]}})
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"1234")
    assert "E-SAFETENSORS" in code(evaluate_scores, path, dataset)
    assert "E-OPEN" in code(evaluate_scores, tmp_path / "none.safetensors", dataset)
    users, items, bias = vectors
    assert "users of shape" in code(evaluate_vectors, (users[1:], items), dataset)
    assert "users of shape" in code(evaluate_vectors, (users[:, 1:], items), dataset)
    assert "items of float32" in code(evaluate_vectors, (users, items[1:]), dataset)
    assert "bias of shape" in code(evaluate_vectors, (users, items, bias[1:]), dataset)
    assert "expected users, items" in code(evaluate_vectors, (users,), dataset)
    bias = bias.copy()
    bias[3] = np.inf
    assert "bias of item 3: inf" in code(evaluate_vectors, (users, items, bias), dataset)
    users = users.copy()
    users[5, 1] = np.nan
    assert "5" in code(evaluate_vectors, (users, items), dataset)


def test_the_command_ranks_vectors_and_candidates(tmp_path, capsys, dataset, vectors, scores):
    data = written(tmp_path / "data", dataset)
    names = ["users.npy", "items.npy", "bias.npy"]
    for name, array in zip(names, vectors, strict=True):
        np.save(tmp_path / name, array)
    users, items, bias = (str(tmp_path / name) for name in names)
    words = ["evaluate", "--vectors", users, items, "--dataset", str(data), "--json"]
    assert main([*words, "--bias", bias, "--k", "10"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["vectors"] == f"{users} {items}"
    assert shown["rows"][-1]["metrics"] == last(evaluate_scores(scores, dataset, ks=10))
    (tmp_path / "few.txt").write_text("1\n2\n")
    assert main([*words, "--k", "1", "--candidates", str(tmp_path / "few.txt")]) == 0
    assert "2 candidates of 40" in json.loads(capsys.readouterr().out)["ranking"]
    assert main(["evaluate", "--vectors", users, items]) == 2
    assert main(["evaluate", "--scores", users, "--dataset", str(data), "--bias", bias]) == 2
    assert main(["evaluate", "run", "--targets", bias]) == 2
    assert main([*words, "--lists", bias]) == 2
    assert "expected one of RUN" in capsys.readouterr().err
