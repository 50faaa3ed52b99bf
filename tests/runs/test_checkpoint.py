"""Checkpoints: what is loaded scores as what was saved, and what changed on disk is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dllm2rec.batches.training_data import make_student
from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dllm2rec.storage.pointers import move_pointers, read_pointer
from tests.support.worlds import LENGTH, N_ITEMS, cycle_dataset, oracle_teacher

CONFIG = changed(Config(), student={"hidden_size": 8}, distillation={"ranking_weight": 0.3})
SEQUENCES = torch.tensor([[1, 2, 3, N_ITEMS, N_ITEMS], [5, 6, 7, 8, 9]])
LENGTHS = torch.tensor([3, 5])


def save(folder: Path, name: str, config: Config = CONFIG) -> torch.Tensor:
    """Save a fresh student under `name` and return its scores."""
    dataset = cycle_dataset()
    student = make_student(config, dataset, oracle_teacher(dataset)).eval()
    record = {"epoch": 1.0, "ndcg@20": 0.5}
    save_checkpoint(folder, name, Checkpoint(student, config, N_ITEMS, LENGTH, record))
    return student(SEQUENCES, LENGTHS).detach()


@pytest.mark.parametrize("name", ["gru4rec", "caser", "sasrec"])
def test_a_loaded_student_scores_as_the_saved_one(tmp_path: Path, name: str) -> None:
    scores = save(tmp_path, "epoch-1", config=changed(CONFIG, student={"name": name}))
    loaded = load_checkpoint(tmp_path)
    torch.testing.assert_close(loaded.student(SEQUENCES, LENGTHS), scores, rtol=1e-5, atol=1e-6)
    assert loaded.config.student.name == name
    assert loaded.record["ndcg@20"] == 0.5
    assert (loaded.n_items, loaded.max_length) == (N_ITEMS, LENGTH)


def test_a_student_with_the_teacher_on_the_input_side_is_loaded_untied(tmp_path: Path) -> None:
    config = changed(CONFIG, distillation={"embedding_sides": "input"})
    scores = save(tmp_path, "epoch-1", config=config)
    loaded = load_checkpoint(tmp_path)
    torch.testing.assert_close(loaded.student(SEQUENCES, LENGTHS), scores, rtol=1e-5, atol=1e-6)


def test_no_teacher_tensor_is_saved(tmp_path: Path) -> None:
    save(tmp_path, "epoch-1")
    names = load_checkpoint(tmp_path).student.state_dict()
    assert not any("projector" in name or "teacher" in name for name in names)


def test_pointers_move_and_what_nothing_names_is_deleted(tmp_path: Path) -> None:
    for name in ("epoch-1", "epoch-2", "epoch-3"):
        (tmp_path / name).mkdir()
    move_pointers(tmp_path, {"best": "epoch-1", "last": "epoch-3"})
    assert sorted(child.name for child in tmp_path.iterdir() if child.is_dir()) == [
        "epoch-1",
        "epoch-3",
    ]
    save(tmp_path, "epoch-3")  # an epoch that was begun again may have ended otherwise
    assert sorted(child.name for child in tmp_path.iterdir() if child.is_dir()) == [
        "epoch-3",
        "epoch-3-2",
    ]
    assert read_pointer(tmp_path, "best").name == "epoch-3-2"
    assert read_pointer(tmp_path, "last").name == "epoch-3"


@pytest.mark.parametrize("file", ["model.safetensors", "state.json", "manifest.json"])
def test_a_flipped_bit_is_refused(tmp_path: Path, file: str) -> None:
    save(tmp_path, "epoch-1")
    path = tmp_path / "epoch-1" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["epoch-9", "../elsewhere", ""])
def test_a_pointer_to_nothing_names_what_is_there(tmp_path: Path, name: str) -> None:
    save(tmp_path, "epoch-1")
    (tmp_path / "best").write_text(name + "\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="epoch-1"):
        load_checkpoint(tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no file named best"):
        load_checkpoint(tmp_path)


def test_nan_among_the_weights_is_refused(tmp_path: Path) -> None:
    dataset = cycle_dataset()
    student = make_student(CONFIG, dataset, oracle_teacher(dataset))
    with torch.no_grad():
        student.embedding.ids.weight[0, 0] = torch.nan
    record = {"ndcg@20": 0.5}
    save_checkpoint(tmp_path, "x", Checkpoint(student, CONFIG, N_ITEMS, LENGTH, record))
    with pytest.raises(ArtifactError, match="E-CKPT-NONFINITE"):
        load_checkpoint(tmp_path)
