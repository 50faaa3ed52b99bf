"""What three language models answered for MovieLens-small, each in by one command."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.teacher.folder import load_teacher

pytestmark = pytest.mark.real

# Lists, places of lists, and how many of these are exact, normalised, nearest, doubtful, unmatched.
# A hundred drawn ones of the normalised and nearest were looked at: all are right.
FILES = {
    "gpt-3.5-turbo": (603, [15098, 13781, 32, 211, 853]),
    "text-davinci-003": (603, [11775, 17303, 10, 72, 489]),
    "palm-2": (577, [12790, 13162, 29, 415, 1627]),
}


def rows(path: Path, delimiter: str = "\t") -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [*csv.reader(file, delimiter=delimiter)]


@pytest.fixture(scope="module")
def ml_small(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset whose train events are those that the models were shown."""
    source, folder = real_data / "llm_lists" / "ml_small", tmp_path_factory.mktemp("ml_small")
    lines = [
        [*row, split] for split in ("train", "test") for row in rows(source / f"{split}.tsv.gz")
    ]
    head = "user_id,item_id,rating,timestamp,split\n"
    text = head + "".join(f"{','.join(line)}\n" for line in lines)
    (folder / "log.csv").write_text(text, encoding="utf-8")
    words = ["prepare", str(folder / "log.csv"), "--titles", str(source / "movies.csv.gz")]
    sets = ["--set", "split=given", "--set", "catalogue=titles", "--set", "cut_validation=true"]
    assert main([*words, *sets, "--out", str(folder / "data")]) == 0
    return folder


@pytest.fixture(scope="module")
def dataset(ml_small: Path) -> SequenceDataset:
    return load_dataset(ml_small / "data")


@pytest.mark.parametrize("model", FILES)
def test_answers_come_in_by_one_command(
    real_data: Path, ml_small: Path, dataset: SequenceDataset, model: str
):
    path = real_data / "llm_lists" / "ml_small" / f"{model}.tsv.gz"
    words = ["teacher", "import", str(path), "--dataset", str(ml_small / "data")]
    assert main([*words, "--out", str(ml_small / model)]) == 0
    n_lists, counts = FILES[model]
    asked = load_teacher(ml_small / model, dataset).histories
    assert asked is not None
    assert len(asked) == n_lists

    # The histories are the users' lines of train.tsv, but for the last one, held out here.
    train = rows(real_data / "llm_lists" / "ml_small" / "train.tsv.gz")
    first = path and rows(path)[1][0]
    shown = sorted((row for row in train if row[0] == first), key=lambda row: int(row[3]))
    items = asked.items[: asked.offsets[1]]
    known = [dataset.catalogue.item_ids[item] for item in items]
    assert sorted(known, key=int) == sorted((row[1] for row in shown[:-1]), key=int)

    with (ml_small / model / "titles.csv").open(encoding="utf-8", newline="") as file:
        table = [*csv.DictReader(file)]
    hows = ["exact", "normalised", "nearest", "doubtful", "unmatched"]
    found = [sum(int(r["times"]) for r in table if r["how"] == how) for how in hows]
    assert found == counts
    items_of = {r["title"].strip(): r["item_id"] for r in table}
    assert items_of["The Silence of the Lambs (1991)"] == "593"
    assert items_of["Braveheart (1995)"] == "110"
    assert items_of["The Shawshank Redemption (1994)"] == "318"


def test_titles_that_the_catalogue_lacks_are_not_made_up(
    real_data: Path, ml_small: Path, dataset: SequenceDataset
):
    """Films behind the catalogue's last year can only be told by their years."""
    from dllm2rec.teacher.answers.import_answers import import_answers

    path = real_data / "llm_lists" / "ml_small" / "palm-2.tsv.gz"
    titles = import_answers(path, dataset).titles
    assert titles is not None
    late = [line for line in titles.lines if "(2020)" in line.title or "(2021)" in line.title]
    assert len(late) > 10
    assert not any(line.found.is_match for line in late)
    assert np.mean([line.found.is_match for line in titles.lines]) > 0.8
