"""Ids of any kind from a log to lists and exports and back: the same texts."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from dllm2rec import export, load_dataset, load_export, prepare, read_interactions, save_dataset
from dllm2rec.cli.recommend_files import write_lists
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import InputError
from dllm2rec.serve.recommender import Recommender
from tests.battery.trials import Tell, Trials
from tests.server.made_up import made_up_recommender

pytestmark = [pytest.mark.battery, pytest.mark.timeout(3600)]
EXPORTED = 0.02  # of the catalogues; each takes seconds
LETTERS = {
    "words": "abcdefghij",
    "numbers": "00123456789",
    "signs": "+-0123456789.eE",
    "blanks": "a b\u00a0\u3000",
    "quotes": "a\"'`\\,;|:#",
    "unicode": "é\u0301e漢\U0001f600\u200d\u202eא\ufeff\u2028\u0085ß",
    "formulas": "=@+-A1()",
    "control": "a\x01\x1b\x7f\t",
    "lines": "a\nb\r",
}
NAMED = ["nan", "NaN", "null", "None", "NA", "N/A", "true", "False", "inf", "-", "0", "-0", "00"]
NAMED += ["9007199254740993", "18446744073709551616", "1e5", "0x10", "[]", "{}", "x" * 2000]


def some_ids(chance: random.Random) -> list[str]:
    """Ids of one kind, no two alike."""
    kind = chance.choice([*LETTERS, "named", "integers"])
    n = chance.randint(5, 16)
    if kind == "named":
        return chance.sample(NAMED, n)
    if kind == "integers":
        largest = chance.choice([20, 2**31, 2**53, 2**63])
        return list({str(chance.randrange(-largest, largest)): None for _ in range(4 * n)})[:n]
    found: dict[str, None] = {}
    while len(found) < n:
        item_id = "".join(chance.choices(LETTERS[kind], k=chance.randint(1, 9)))
        if item_id.strip() == item_id:  # white space around an id is refused
            found[item_id] = None
    return list(found)


Log = list[tuple[str, str, int]]  # user, item, time


def as_csv(log: Log, path: Path, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([("user_id", "item_id", "timestamp"), *log])


def as_jsonl(log: Log, path: Path) -> None:
    names = ("user_id", "item_id", "timestamp")
    lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in log)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def as_parquet(log: Log, path: Path) -> None:
    users, items, times = (list(column) for column in zip(*log, strict=True))
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    if all(re.fullmatch(r"0|-?[1-9]\d{0,17}", item, re.ASCII) for item in items):
        table = table.set_column(1, "item_id", pa.array([int(item) for item in items]))
    parquet.write_table(table, path)


FORMS: dict[str, tuple[str, Callable[[Log, Path], None]]] = {
    "csv": ("log.csv", as_csv),
    "tsv": ("log.tsv", lambda log, path: as_csv(log, path, "\t")),
    "json-lines": ("log.jsonl", as_jsonl),
    "parquet": ("log.parquet", as_parquet),
}


def read_back(path: Path) -> dict[str, list[str]]:
    """The lists of a file, read by other means than ours."""
    if path.suffix == ".parquet":
        rows = parquet.read_table(path).to_pylist()
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    else:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    lists: dict[str, list[str]] = {}
    for row in rows:
        lists.setdefault(row["user_id"], []).append(row["item_id"])
    return lists


def recommender_of(catalogue: Catalogue) -> Recommender:
    """A student of random weights for these items."""
    scorer = made_up_recommender(catalogue.n_items, width=8, followers=2).scorer
    return Recommender("sasrec", replace(scorer, catalogue=catalogue))


@pytest.mark.parametrize("form", FORMS)
def test_ids_come_back_as_they_were(form: str, tmp_path: Path, trials: Trials, tell: Tell) -> None:
    file, write = FORMS[form]
    counts = {"catalogues": 0, "refused": 0, "ids": 0, "exports": 0, "ids changed": 0}
    for chance in trials.of(250):
        items, users = some_ids(chance), some_ids(chance)
        given = {user: chance.sample(items, chance.randint(3, len(items))) for user in users}
        log = [(user, item, t) for user in given for t, item in enumerate(given[user])]
        write(log, tmp_path / file)
        counts["catalogues"] += 1
        if file.endswith("sv") and re.search(
            r"\r(?!\n)", " ".join(f"{user} {item}" for user, item, _ in log)
        ):
            with pytest.raises(InputError, match="E-EOL"):
                read_interactions(tmp_path / file)
            counts["refused"] += 1
            continue
        prepared = prepare(read_interactions(tmp_path / file))
        folder = tmp_path / f"{trials.now}"
        save_dataset(prepared, folder)
        catalogue = load_dataset(folder).catalogue
        seen = list(dict.fromkeys(item for _, item, _ in log))
        assert list(catalogue.item_ids) == seen
        assert prepared.user_ids.to_pylist() == users
        model = recommender_of(catalogue)
        lists = model.recommend(given.values(), k=len(seen))
        told = [[place.item_id for place in places] for places in lists]
        for had, answer in zip(given.values(), told, strict=True):
            assert sorted(answer) == sorted({*seen} - {*had})
        out = folder / f"lists{chance.choice(['.csv', '.jsonl', '.parquet'])}"
        write_lists(out, zip(users, lists, strict=True))
        assert read_back(out) == {u: ids for u, ids in zip(users, told, strict=True) if ids}
        with pytest.raises(InputError, match="E-ITEM-UNKNOWN"):
            model.recommend([[*seen, "no such id"]], k=1)
        if chance.random() < EXPORTED:
            export(model, folder / "export")
            again = load_export(folder / "export", threads=1).recommend(given.values(), len(seen))
            assert [[place.item_id for place in places] for places in again] == told
            counts["exports"] += 1
        counts["ids"] += len(seen) + len(users)
    tell(counts, "forms of logs", form)


def test_control_a_plain_reader_changes_ids(tmp_path: Path, trials: Trials) -> None:
    """What pandas guesses to be numbers, dates or missing."""
    n_changed = 0
    for chance in trials.of(100):
        items = some_ids(chance)
        as_csv([("u", item, t) for t, item in enumerate(items)], tmp_path / "log.csv")
        found = pd.read_csv(tmp_path / "log.csv")["item_id"]
        n_changed += [str(value) for value in found] != items
    assert n_changed
