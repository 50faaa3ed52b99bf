"""Any folder that holds a dataset, opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.authors import load_authors_dataset
from dllm2rec.data.formats.dataset_folder import load_dataset_folder
from dllm2rec.data.text.csv_table import find_csv
from dllm2rec.errors import InputError
from dllm2rec.storage.atomic_folder import MANIFEST


def load_dataset(path: str | Path, *, strict: bool = False) -> SequenceDataset:
    """Read the dataset in a folder.

    Args:
        path: a folder that `dllm2rec prepare` made, or one in the authors' layout.
        strict: refuse what is otherwise only counted in the dataset's notes: rows that are in train
            and in another split.

    Raises:
        InputError: the folder or one of its files is missing or breaks a rule.
        ArtifactError: a prepared folder changed since it was written.
    """
    folder = Path(path)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise InputError(
            f"{found}, expected a folder that dllm2rec prepare made, or one with train_data.csv, "
            "val_data.csv and test_data.csv",
            code="E-FILE",
            path=folder,
        )
    # What `--write authors` wrote has a manifest too.
    if (folder / MANIFEST).is_file() and find_csv(folder, "train_data") is None:
        dataset = load_dataset_folder(folder, strict=strict)
    else:
        dataset = load_authors_dataset(folder, strict=strict)
    return replace(dataset, folder=folder.resolve())
