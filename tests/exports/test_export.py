"""Exports answer as the recommender that was exported, in a process that never imports torch."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from dllm2rec import Recommender, export, load, load_export, train_run
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.exports.export import Export
from dllm2rec.exports.files import ITEM_TABLE
from dllm2rec.exports.int8 import Probe, full_rows, loss_of, random_probe, rounded_rows
from dllm2rec.runs.source import Source
from dllm2rec.serve.encoder import ItemVectors
from dllm2rec.train.check_run import RunOptions
from tests.runs.test_mutations import sealed
from tests.support.worlds import LENGTH, N_ITEMS, cycle_dataset, oracle_teacher
from tests.train.test_train_run import CONFIG, changed

pytestmark = pytest.mark.slow  # torch.export takes seconds

STUDENTS = ("sasrec", "gru4rec", "caser")
# Every length from one item to beyond a window, repeats, one row and many.
ROWS = [[3], [4, 5], [*range(7, 7 + LENGTH)], [*range(20, 29)], [7, 7, 7], [1, 2, 1]]
HISTORIES = [[f"item-{item % N_ITEMS}" for item in row] for row in ROWS]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three taught students; Caser's without a pair memory, all with one held-out item's text."""
    folder = tmp_path_factory.mktemp("exported") / "run"
    dataset = cycle_dataset()
    config = changed(
        CONFIG,
        student={"pair_memory": True},
        train={"max_epochs": 1},
        distillation={"ranking_weight": 0.3},
    )
    options = RunOptions(baseline=False, source=Source("nowhere", None))
    teacher = oracle_teacher(dataset)
    train_run(config, dataset, teacher, folder, students=STUDENTS, options=options, progress=False)
    return folder


@pytest.fixture(scope="module")
def folders(run: Path) -> dict[str, Path]:
    found = {}
    for name in STUDENTS:
        found[name] = run.parent / f"{name}-export"
        export(run, found[name], student=name)
    return found


def check_same_lists(mine: Recommender, theirs: Recommender, k: int, **options: Any) -> None:
    """The same lists, scores within 1e-5; where places differ, their scores are equal so far."""
    for histories in (HISTORIES, HISTORIES[:1], HISTORIES * 50):
        ours = mine.recommend(histories, k, **options)
        torchs = theirs.recommend(histories, k, **options)
        np.testing.assert_allclose(ours.scores, torchs.scores, rtol=1e-5, atol=1e-5)
        differs = ours.items != torchs.items
        with np.errstate(invalid="ignore"):  # between places that no item is left for
            gaps = np.abs(np.diff(torchs.scores, axis=1, prepend=np.inf, append=-np.inf))
        near = np.minimum(gaps[:, :-1], gaps[:, 1:])
        assert (near[differs] < 1e-5).all()
        assert ours.counts == torchs.counts


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("student", STUDENTS)
def test_an_export_gives_the_lists_of_torch(
    run: Path, folders: dict[str, Path], student: str, runtime: Any
) -> None:
    theirs, mine = (
        load(run, student=student, device="cpu"),
        load_export(folders[student], runtime=runtime),
    )
    assert f"on {runtime}" in repr(mine)
    assert (mine.name, mine.n_items) == (theirs.name, theirs.n_items)
    assert mine.catalogue.titles == theirs.catalogue.titles
    users = mine.embed_users(HISTORIES)
    np.testing.assert_allclose(users, theirs.embed_users(HISTORIES), atol=2e-6)
    check_same_lists(mine, theirs, N_ITEMS)
    check_same_lists(mine, theirs, 7, exclude_seen=False)
    some = [f"item-{item}" for item in range(0, N_ITEMS, 3)]
    check_same_lists(mine, theirs, 5, candidates=some, filter=["item-6", "item-9"])
    near = [model.similar_items(["item-3", "item-9"], 5) for model in (mine, theirs)]
    assert near[0] == near[1]
    for a, b in zip(
        mine.score(HISTORIES, HISTORIES), theirs.score(HISTORIES, HISTORIES), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_unknown_items_and_new_ones_are_as_with_torch(
    run: Path, folders: dict[str, Path], runtime: Any
) -> None:
    theirs = load(run, student="sasrec", device="cpu")
    mine = load_export(folders["sasrec"], runtime=runtime)
    histories = [["gone", "item-3"], [], ["gone"]]
    asked = {"unknown": "skip", "empty": "popular"}
    assert [[p.item_id for p in row] for row in mine.recommend(histories, 4, **asked)] == [
        [p.item_id for p in row] for row in theirs.recommend(histories, 4, **asked)
    ]
    for model in (theirs, mine):
        with pytest.raises(InputError, match="E-ITEM-UNKNOWN"):
            model.recommend(histories)
        assert model.text_width == 4
        model.remove_items(["item-39", "item-0"])
        model.add_items(["new", "newer"], titles=["New", "Newer"], vectors=np.eye(4)[:2])
    more = [["item-3", "new"], ["newer"]]
    for model in (mine, theirs):
        assert "new" in {place.item_id for place in model.recommend([["item-5"]], N_ITEMS)[0]}
    ours, torchs = (model.recommend(more, N_ITEMS) for model in (mine, theirs))
    np.testing.assert_allclose(ours.scores, torchs.scores, rtol=1e-5, atol=1e-5)
    check_same_lists(mine, theirs, N_ITEMS - 1, unknown="skip")


def test_a_recommender_with_new_items_is_exported_with_them(
    run: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    theirs = load(run, student="gru4rec", device="cpu")
    changed_export = load_export(folders["gru4rec"])
    for model in (theirs, changed_export):
        model.remove_items(["item-20"])
        model.add_items(["new"], titles=["New"], vectors=np.ones((1, 4)))
    for model, name in ((theirs, "of-torch"), (changed_export, "of-export")):
        export(model, tmp_path / name)
        again = load_export(tmp_path / name)
        assert again.catalogue.item_ids[-1] == "new"
        check_same_lists(again, theirs, N_ITEMS, unknown="skip")
        # Another program that gives no table has these items, and not those of before too.
        network = onnx.load(tmp_path / name / "model.onnx", load_external_data=False)
        tables = [one for one in network.graph.initializer if one.name == ITEM_TABLE]
        assert [one.dims[0] for one in tables] == [N_ITEMS + 1]  # one new, one gone, the padding


def test_an_untied_student_without_memory_is_exported(run: Path, tmp_path: Path) -> None:
    theirs = load(run, student="caser", device="cpu")
    scorer = theirs.scorer
    untied = replace(
        scorer.items, output=scorer.items.matrix * 2, bias=np.arange(N_ITEMS, dtype="f4")
    )
    scorer = replace(scorer, items=untied, encoder=scorer.encoder.over(untied), memory=None)
    theirs = Recommender("untied", scorer)
    report = export(theirs, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("manifest.json", "model.onnx", "items.npy", "items.parquet", "output.npy", "bias.npy"),
        "projection.safetensors",
    }
    assert report.n_bytes > 0
    check_same_lists(load_export(tmp_path / "out"), theirs, N_ITEMS)


def test_int8_parts_are_smaller_and_their_loss_is_told(
    run: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    report = export(run, tmp_path / "both", student="sasrec", int8=["encoder", "items"])
    assert report.int8 == ("items", "encoder")
    assert 0.7 < report.loss["kept@20"] < 1
    small, full = load_export(tmp_path / "both"), load_export(folders["sasrec"])
    sizes = [
        (folder / "items.npy").stat().st_size for folder in (tmp_path / "both", folders["sasrec"])
    ]
    assert sizes[0] - 128 == (sizes[1] - 128) / 4
    probe = random_probe(N_ITEMS, LENGTH)
    assert loss_of(full.scorer, small.scorer, probe) == pytest.approx(report.loss, abs=1e-3)
    assert loss_of(full.scorer, full.scorer, probe) == {"kept@20": 1.0}
    facts = json.loads((tmp_path / "both" / "manifest.json").read_text())["facts"]
    assert facts["loss"] == report.loss


def test_int8_is_measured_on_validation_where_there_is_a_dataset(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = cycle_dataset()
    monkeypatch.setattr(Source, "open_dataset", lambda _: dataset)
    loss = export(run, tmp_path / "a", student="sasrec", int8="items").loss
    assert loss["ndcg@20"] == pytest.approx(loss["ndcg@20 int8"], abs=0.05)
    assert 0 < loss["ndcg@20"] < loss["hr@20"] <= 1


def scorer_of(lists: list[list[int]]) -> Any:
    """What lists these items, whatever it is asked."""
    encoder = SimpleNamespace(top_n=lambda *_: (np.array(lists, np.uint32), None))
    items = SimpleNamespace(bias=None)
    nothing = dict.fromkeys(("users", "bonuses"), lambda _: None)
    return SimpleNamespace(n_items=4, window_offset=0.0, items=items, encoder=encoder, **nothing)


def test_the_loss_is_that_of_the_rounded_lists() -> None:
    windows = random_probe(4, 3, n_rows=2).windows
    full, rounded = scorer_of([[0, 1, 2, 3], [3, 2, 1, 0]]), scorer_of([[1, 0, 2, 9], [8, 2, 1, 3]])
    probe = Probe(windows, np.array([0, 3], np.uint32))
    second, fourth = 1 / np.log2(3), 1 / np.log2(5)
    assert loss_of(full, rounded, probe) == pytest.approx(
        {
            "kept@20": 6 / 8,
            "hr@20": 1.0,
            "ndcg@20": 1.0,
            "hr@20 int8": 1.0,
            "ndcg@20 int8": (second + fourth) / 2,
        }
    )
    missed = Probe(windows, np.array([3, 0], np.uint32))
    assert loss_of(full, rounded, missed)["hr@20 int8"] == 0.0
    assert loss_of(full, rounded, Probe(windows, None)) == {"kept@20": 6 / 8}


def test_rounding_is_within_half_a_step() -> None:
    table = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    table[3] = 0
    rows, scales = rounded_rows(table)
    assert rows.dtype == np.int8
    assert (np.abs(full_rows(rows, scales) - table) <= scales[:, None] * 0.5001).all()


ALONE = """
import sys
import numpy as np
import dllm2rec
model = dllm2rec.load_export(sys.argv[1])
lists = model.recommend([["item-3", "item-4"]], k=5)
model.similar_items(["item-3"])
model.add_items(["new"], vectors=np.ones((1, 4)))
print([place.item_id for place in lists[0]], "torch" in sys.modules, "pandas" in sys.modules)
"""


def test_the_folder_alone_answers_without_torch(folders: dict[str, Path], tmp_path: Path) -> None:
    moved = Path(shutil.copytree(folders["sasrec"], tmp_path / "elsewhere"))
    # What would import torch fails.
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not to be imported')")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(moved)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    expected = load_export(moved).recommend([["item-3", "item-4"]], k=5)[0]
    assert done.stdout.strip() == f"{[place.item_id for place in expected]} False False"
    assert done.stderr == ""


def test_another_program_needs_neither_the_table_nor_this_package(folders: dict[str, Path]) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = onnxruntime.InferenceSession(folders["sasrec"] / "model.onnx", options)
    sequences = np.full((2, LENGTH), N_ITEMS)
    sequences[0, :2], sequences[1, 0] = (3, 4), 7
    (users,) = model.run(["users"], {"sequences": sequences, "lengths": np.array([2, 1])})
    expected = load_export(folders["sasrec"]).embed_users([["item-3", "item-4"], ["item-7"]])
    np.testing.assert_allclose(users, expected, atol=1e-6)


def test_the_network_names_no_file_of_the_machine_that_exported_it(
    folders: dict[str, Path],
) -> None:
    for folder in folders.values():
        content = (folder / "model.onnx").read_bytes()
        for word in (b".py", b"site-packages", b"stack_trace", bytes(Path.cwd())):
            assert word not in content, folder


def test_a_damaged_export_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for number, name in enumerate(sorted(path.name for path in folders["sasrec"].iterdir())):
        copy = Path(shutil.copytree(folders["sasrec"], tmp_path / f"{number}"))
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(ArtifactError, match=name if name != "manifest.json" else "manifest"):
            load_export(copy)
        (copy / name).unlink()
        with pytest.raises(ArtifactError, match=name):
            load_export(copy)


def test_items_that_are_not_as_many_as_the_table_has_are_refused(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Catalogue([f"item-{n}" for n in range(N_ITEMS - 1)])
    module = importlib.import_module("dllm2rec.exports.load_export")
    monkeypatch.setattr(module, "load_catalogue", lambda *_: few)
    with pytest.raises(ArtifactError, match=f"{N_ITEMS - 1} items in items.*, expected {N_ITEMS}"):
        load_export(folders["gru4rec"])


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((3, 2)),
        np.ones(3, np.float32),
        np.ones((2, 2), np.float32),
        np.asfortranarray(np.ones((3, 2), np.float32)),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(
    tmp_path: Path, wrong: np.ndarray[Any, Any]
) -> None:
    module = importlib.import_module("dllm2rec.exports.load_export")
    np.save(tmp_path / "items.npy", wrong)
    with pytest.raises(ValueError, match=r"items\.npy: float.*, expected 3 rows of float32"):
        module._array(tmp_path / "items.npy", np.float32, 3, 2)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_network_of_other_windows_or_users_is_refused(
    folders: dict[str, Path], tmp_path: Path, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(runtime)
    shutil.copytree(folders["sasrec"], tmp_path / "forged")
    file = tmp_path / "forged" / "manifest.json"
    content = json.loads(file.read_bytes())
    content["facts"]["max_length"] = LENGTH - 1
    file.write_bytes(sealed(content))
    with pytest.raises(ArtifactError, match=f"network for windows of {LENGTH - 1} items"):
        load_export(tmp_path / "forged", runtime=runtime)
    content["facts"]["max_length"] = 2**70
    file.write_bytes(sealed(content))
    with pytest.raises(ArtifactError, match=r"facts\.max_length: Input should be less"):
        load_export(tmp_path / "forged", runtime=runtime)
    monkeypatch.setattr(ItemVectors, "matrix", np.zeros((N_ITEMS, 3), np.float32))
    with pytest.raises(ArtifactError, match=r"users \(1, \d+\), expected \(1, 3\)"):
        load_export(folders["sasrec"], runtime=runtime)


def test_what_cannot_be_meant_is_refused(
    run: Path, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="it exists, expected a new or empty folder"):
        export(run, folders["sasrec"])
    with pytest.raises(ConfigError, match="int8 = 'all': expected items or encoder"):
        export(run, tmp_path / "a", int8="all")
    with pytest.raises(ArtifactError, match="no trained student"):
        export(tmp_path, tmp_path / "a")
    with pytest.raises(ArtifactError, match="expected the manifest of a whole folder"):
        load_export(run)
    runtime: Any = "tensorrt"
    with pytest.raises(ConfigError, match="expected one of onnxruntime, openvino"):
        load_export(folders["sasrec"], runtime=runtime)
    with pytest.raises(ConfigError, match="threads = 0"):
        load_export(folders["sasrec"], threads=0)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for call in (lambda: export(run, tmp_path / "a"), lambda: load_export(folders["sasrec"])):
        with pytest.raises(ConfigError, match=r"is not installed, .*pip install '\.\["):
            call()
    assert not (tmp_path / "a").exists()


def test_a_report_says_what_was_written() -> None:
    assert Export(Path("x"), "sasrec", 3, 10, (), {}).name == "sasrec"
