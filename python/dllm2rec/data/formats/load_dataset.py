"""Any folder that holds a dataset, opened."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import replace
from pathlib import Path

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.authors import load_authors_dataset
from dllm2rec.data.formats.dataset_folder import load_dataset_folder
from dllm2rec.data.logs.layouts.detect_layout import recognise
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.runtime.room import check_room
from dllm2rec.storage.atomic_folder import MANIFEST, verify_folder

# What the files of the authors' layout begin with.
_STEMS = ("train_data.", "val_data.", "test_data.")


def load_dataset(path: str | Path, *, strict: bool = False) -> SequenceDataset:
    """Read the dataset in a folder.

    Args:
        path: a folder that `dllm2rec prepare` made, or one in the authors' layout.
        strict: refuse what is otherwise only counted in the dataset's notes: rows that are in train
            and in another split.

    Raises:
        InputError: the folder or one of its files is missing or breaks a rule.
        ArtifactError: a prepared folder changed since it was written.
        ResourceError: hardly any memory is left.
    """
    check_room()
    folder = Path(path)
    # What `--write authors` wrote has a manifest too.
    if folder.is_dir() and any(path.name.startswith(_STEMS) for path in folder.iterdir()):
        if (folder / MANIFEST).is_file():
            _verify_export(folder)
        dataset = load_authors_dataset(folder, strict=strict)
    elif (folder / MANIFEST).is_file():
        dataset = load_dataset_folder(folder, strict=strict)
    else:
        raise _no_dataset(folder)
    return replace(dataset, folder=folder.resolve())


def _no_dataset(path: Path) -> InputError:
    """Return the error for what is no dataset: most often a log, which is prepared first."""
    expected = "expected a folder that dllm2rec prepare made, or one with train_data.csv"
    if not path.exists():
        return InputError(f"no such folder, {expected}", code="E-FILE", path=path)
    found, out = "a file" if path.is_file() else "no dataset", "datasets/NAME"
    with contextlib.suppress(InputError):
        layout = recognise([path])
        found = f"a log ({layout.name}, told by {layout.why}) and no dataset"
        name = path.resolve().name.partition(".")[0]
        out = shlex.quote(f"datasets/{name}")
    source = shlex.quote(str(path))
    return InputError(
        f"{found}, {expected}",
        code="E-FILE",
        path=path,
        hint=f"run: dllm2rec prepare {source} --out {out}; {out} is the dataset then",
    )


def _verify_export(folder: Path) -> None:
    """Refuse a folder that `prepare --write authors` wrote and that changed since then.

    Raises:
        ArtifactError: with the file that changed.
    """
    try:
        verify_folder(folder)
    except ArtifactError as err:
        raise ArtifactError(
            f"{err}; if it was changed on purpose, remove {folder / MANIFEST}"
        ) from err
