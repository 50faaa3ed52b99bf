"""The files that the pages name, made small: logs, a dataset with its teacher, a finished run."""

from __future__ import annotations

import contextlib
import gzip
import json
from pathlib import Path

import numpy as np
import torch

from dllm2rec import SequenceDataset, TeacherKnowledge, demo_world
from dllm2rec.cli import main

N_ROWS = {"train": 600, "validation": 100, "test": 100}
FILES = {"train": "train_data", "validation": "val_data", "test": "test_data"}
N_USERS, N_EVENTS, N_SKUS = 60, 12, 30
T = 1_600_000_000


def build(folder: Path) -> None:
    """Write everything into an empty folder."""
    dataset, teacher = demo_world()
    write_authors(folder / "data" / "games", dataset)
    write_teacher(folder / "data" / "games" / "teacher", dataset, teacher)
    write_logs(folder)
    scores = np.random.default_rng(0).random((N_ROWS["test"], dataset.n_items), np.float32)
    np.save(folder / "scores.npy", scores)
    for name, n_rows in (("users", N_ROWS["test"]), ("items", dataset.n_items)):
        np.save(
            folder / f"{name}.npy", scores[:n_rows, :16] if n_rows < 200 else np.eye(n_rows, 16)
        )
    write_lists(folder, teacher)
    write_answers(folder, dataset, teacher)
    users = [{"user_id": f"u{n}", "history": [str(n), str(n + 1)]} for n in range(5)]
    lines = "".join(f"{json.dumps(user)}\n" for user in users)
    (folder / "users.jsonl").write_text(lines, encoding="utf-8")
    (folder / "in-stock.txt").write_text("".join(f"{n}\n" for n in range(100)), encoding="utf-8")
    (folder / "sold-out.txt").write_text("7\n12\n", encoding="utf-8")
    with contextlib.chdir(folder):
        games = [
            "--dataset",
            "data/games",
            "--teacher",
            "data/games/teacher",
            "--student",
            "sasrec",
        ]
        assert main(["train", *games, "--set", "train.max_epochs=1"]) == 0
        shop = ["--out", "datasets/shop", "--user-column", "customer", "--item-column", "sku"]
        assert main(["prepare", "log.csv.gz", *shop]) == 0


def write_authors(folder: Path, dataset: SequenceDataset) -> None:
    """The first rows of each split in the authors' layout."""
    folder.mkdir(parents=True)
    for split, rows in dataset.splits().items():
        windows = dataset.windows(rows.take(slice(N_ROWS[split])))
        lines = [
            f'"{sequence.tolist()}",{length},{target}'
            for sequence, length, target in zip(
                windows.sequences, windows.lengths, windows.targets, strict=True
            )
        ]
        text = "\n".join(["seq,len_seq,next", *lines, ""])
        (folder / f"{FILES[split]}.csv").write_text(text, encoding="utf-8")
    titles = [f"{n},{title}" for n, title in enumerate(dataset.catalogue.titles or [])]
    (folder / "items.csv").write_text("\n".join(["item,title", *titles, ""]), encoding="utf-8")


def write_teacher(folder: Path, dataset: SequenceDataset, teacher: TeacherKnowledge) -> None:
    """What the demo's teacher says of these rows, in the authors' files."""
    folder.mkdir(parents=True)
    train = slice(N_ROWS["train"])
    assert teacher.distance is not None
    assert teacher.target_distance is not None
    assert teacher.ranking_test is not None
    np.savetxt(folder / "myrank_train.txt", teacher.ranking[train], fmt="%d")
    np.savetxt(folder / "confidence_train.txt", teacher.distance[train], fmt="%.6f")
    np.savetxt(folder / "target_distance_train.txt", teacher.target_distance[train], fmt="%.6f")
    np.savetxt(folder / "myrank_test.txt", teacher.ranking_test[: N_ROWS["test"]], fmt="%d")
    torch.save(torch.from_numpy(teacher.item_embeddings), folder / "all_embeddings.pt")


def write_lists(folder: Path, teacher: TeacherKnowledge) -> None:
    """What other systems recommended for the test rows, and what was relevant."""
    assert teacher.ranking_test is not None
    rows = teacher.ranking_test[: N_ROWS["test"]].tolist()
    lines = [f"{n},{item},{rank}" for n, row in enumerate(rows) for rank, item in enumerate(row, 1)]
    (folder / "bm25.csv").write_text("\n".join(["row,item_id,rank", *lines, ""]), encoding="utf-8")
    run = {
        f"u{n}": {str(item): 1 / rank for rank, item in enumerate(row, 1)}
        for n, row in enumerate(rows)
    }
    (folder / "run.json").write_text(json.dumps(run, indent=2), encoding="utf-8")
    wanted = "".join(f"u{n} 0 {row[n % 5]} 1\n" for n, row in enumerate(rows))
    (folder / "qrels.txt").write_text(wanted, encoding="utf-8")


def write_answers(folder: Path, dataset: SequenceDataset, teacher: TeacherKnowledge) -> None:
    """What models said: by user of the log of films, for some rows, and with their histories."""
    assert teacher.ranking is not None
    titles = dataset.catalogue.titles or []
    windows = dataset.windows(dataset.train.take(slice(80)))
    by_user = [
        {
            "user_id": str(user + 1),
            "titles": [f"{n}. Film {(7 * user + n) % N_SKUS + 1} (1999)" for n in range(1, 25)],
        }
        for user in range(N_USERS)
    ]
    by_row = [
        {"row": 5 * row, "item_ids": [str(item) for item in teacher.ranking[5 * row]]}
        for row in range(100)
    ]
    by_history = [
        {
            "history": [titles[item] for item in sequence[:length]],
            "titles": [titles[item] for item in ranking],
        }
        for sequence, length, ranking in zip(
            windows.sequences, windows.lengths, teacher.ranking, strict=False
        )
    ]
    batch = [
        {
            "custom_id": f"train-{7 * row}",
            "response": {"status_code": 200, "body": {"choices": [{"message": {"content": text}}]}},
            "error": None,
        }
        for row in range(60)
        for text in ["\n".join(titles[item] for item in teacher.ranking[7 * row][:15])]
    ]
    files = {
        "answers": by_user, "rows": by_row, "histories": by_history, "batch-output": batch
    }  # fmt: skip
    for name, records in files.items():
        text = "".join(f"{json.dumps(record)}\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def write_logs(folder: Path) -> None:
    """Logs of users who walk over thirty items, in the spellings of their sources."""
    events = [
        (user, (7 * user + 3 * place) % N_SKUS, T + 86_400 * place + user)
        for user in range(N_USERS)
        for place in range(N_EVENTS)
    ]
    csv = [f"c{user},sku-{item},{time}" for user, item, time in events]
    (folder / "log.csv.gz").write_bytes(packed(["customer,sku,timestamp", *csv]))
    movielens = folder / "ml-1m"
    movielens.mkdir()
    ratings = [f"{user + 1}::{item + 1}::4::{time}" for user, item, time in events]
    movies = [f"{item + 1}::Film {item + 1} (1999)::Drama" for item in range(N_SKUS)]
    (movielens / "ratings.dat").write_text("\n".join([*ratings, ""]), encoding="utf-8")
    (movielens / "movies.dat").write_text("\n".join([*movies, ""]), encoding="utf-8")
    reviews = [
        {"reviewerID": f"A{user}", "asin": f"B{item}", "overall": 5.0, "unixReviewTime": time}
        for user, item, time in events
    ]
    titles = [{"asin": f"B{item}", "title": f"Game {item}"} for item in range(N_SKUS)]
    for name, records in (("Video_Games_5", reviews), ("meta_Video_Games", titles)):
        (folder / f"{name}.json.gz").write_bytes(packed(list(map(json.dumps, records))))


def packed(lines: list[str]) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
