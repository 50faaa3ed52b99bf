"""What provokes each error and warning code: small files, and the command or call that meets them.

The page of error codes shows the message of each; `test_error_page.py` holds the table to these.
`python -m tests.docs.provoked` writes the present messages into the table, after one was reworded.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

import dllm2rec
from dllm2rec import Catalogue, Dllm2RecError, _core, error_codes
from dllm2rec.cli import main
from dllm2rec.serve.histories import history_blocks
from dllm2rec.teacher.embedding_file import load_embeddings

N_ITEMS = 20
HEAD = "user_id,item_id,timestamp,rating\n"
T = 1_600_000_000


@dataclass(frozen=True)
class Provoked:
    """Files, and what meets them: the words of a command, or a call in their folder."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    words: str = ""
    call: Callable[[], object] | None = None


def log(*rows: str, head: str = HEAD) -> bytes:
    return (head + "".join(f"{row}\n" for row in rows)).encode()


# Users who walk over six items: enough for leave-one-out.
WALKS = [f"u{n},i{(n + k) % 6},{T + 10 * n + k},5" for n in range(4) for k in range(4)]
AUTHORS = {
    "data/train_data.csv": b"seq,len_seq,next\n"
    b'"[0, 20, 20]",1,1\n"[0, 1, 20]",2,2\n"[4, 5, 6]",3,7\n',
    "data/val_data.csv": b'seq,len_seq,next\n"[3, 20, 20]",1,4\n',
    "data/test_data.csv": b'seq,len_seq,next\n"[2, 4, 1]",3,0\n',
    "data/items.csv": b"item,title\n" + b"".join(b"%d,Title %d\n" % (n, n) for n in range(N_ITEMS)),
}
RANKING = b"1 3 9\n2 11 0\n7 12 4\n"
DISTANCES = b"0.4 0.5 0.7\n0.3 0.6 0.6\n0.5 0.5 0.8\n"
IMPORT = "teacher import teacher --dataset data --out teachers/x"


def teacher(**files: bytes | None) -> Provoked:
    """A dataset of 20 items and 3 train rows in the authors' layout, and a teacher of it."""
    named = {
        "ranking": "myrank_train.txt",
        "ranking_gz": "myrank_train.txt.gz",
        "ranking_digest": "myrank_train.txt.sha256",
        "distances": "confidence_train.txt",
        "vectors": "all_embeddings.pt",
    }
    contents = {"ranking": RANKING, "distances": DISTANCES} | files
    there = {f"teacher/{named[k]}": data for k, data in contents.items() if data is not None}
    return Provoked({**AUTHORS, **there}, IMPORT)


def batch_results(texts: list[str | None], reason: str = "stop") -> bytes:
    """Results of an OpenAI batch for the first train rows; a text of None is a failed request."""
    lines = []
    for row, text in enumerate(texts):
        choice = {"index": 0, "message": {"content": text}, "finish_reason": reason}
        answered = {"status_code": 200, "body": {"choices": [choice]}}
        failed = {"status_code": 429, "body": {"error": {"message": "rate limit reached"}}}
        response = failed if text is None else answered
        lines.append({"custom_id": f"train-{row}", "response": response, "error": None})
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def authors(**files: bytes) -> Provoked:
    """The same dataset with other files, looked at by `prepare`."""
    changed = {f"data/{name}.csv": data for name, data in files.items()}
    return Provoked({**AUTHORS, **changed}, "prepare data --out datasets/x --write recbole")


def prepare(data: bytes, options: str = "", name: str = "log.csv", **others: bytes) -> Provoked:
    """A log, looked at by `prepare`."""
    files = {name: data} | {key.replace("_", "."): value for key, value in others.items()}
    return Provoked(files, f"prepare {name} --out datasets/x {options}".strip())


def scores(row: list[float]) -> Provoked:
    """A score file for the one test row of the dataset, whose target is item 0."""
    matrix = np.zeros((1, N_ITEMS), np.float32)
    matrix[0, : len(row)] = row
    files = {**AUTHORS, "scores.npy": npy_bytes(matrix)}
    return Provoked(files, "evaluate --scores scores.npy --dataset data")


def parquet_bytes(**columns: list[object]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def torch_bytes(value: object, *, zipped: bool = True) -> bytes:
    sink = io.BytesIO()
    torch.save(value, sink, _use_new_zipfile_serialization=zipped)
    return sink.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getvalue()


def vectors(width: int = 2) -> torch.Tensor:
    return torch.arange(1.0, N_ITEMS * width + 1).reshape(N_ITEMS, width)


def nan_vectors() -> torch.Tensor:
    matrix = vectors()
    matrix[7, 1] = torch.nan
    return matrix


def zero_vectors() -> torch.Tensor:
    matrix = vectors()
    matrix[3:5] = 0
    return matrix


def embedding_file(name: str, data: bytes) -> Provoked:
    return Provoked({name: data}, call=lambda: load_embeddings(name, n_items=N_ITEMS))


def parse_items(data: bytes, **options: object) -> Provoked:
    name = "myrank_train.txt"
    return Provoked(
        {name: data},
        call=lambda: _core.parse_items(
            Path(name), **{"n_items": N_ITEMS, "expected_rows": None, **options}
        ),
    )


def answers(data: bytes, name: str = "answers.jsonl") -> Provoked:
    """What a model answered for the three train rows of the same dataset."""
    return Provoked(
        {**AUTHORS, name: data}, f"teacher import {name} --dataset data --out teachers/x"
    )


def titleless(name: str) -> object:
    """Answers for a dataset without titles."""
    frame = {"user_id": ["u"] * 4, "item_id": [*"abcd"], "timestamp": [1, 2, 3, 4]}
    known = dllm2rec.prepare(dllm2rec.from_frame(pa.table(frame)))
    return dllm2rec.import_answers(name, known.dataset)


GZIPPED = gzip.compress(RANKING, mtime=0)
JSON = b'{"user_id": "u1", "item_id": "i1"}\n'

PROVOKED: dict[str, Provoked] = {
    # The teacher's files.
    "E-AMBIGUOUS": teacher(ranking_gz=GZIPPED),
    "E-BLANK": teacher(ranking=b"1 3 9\n\n7 12 4\n"),
    "E-CHAR": teacher(ranking=RANKING.replace(b"2 11", b"2\xc2\xa011")),
    "E-COMMENT": teacher(ranking=b"1 3 9\n# row 2\n2 11 0\n7 12 4\n"),
    "E-COMPRESSION": teacher(ranking=bz2.compress(RANKING)),
    "E-CONF-KIND": teacher(distances=b"0.9 0.8 0.1\n0.7 0.2 0.1\n0.6 0.3 0.1\n"),
    "E-CONF-NEGATIVE": teacher(distances=DISTANCES.replace(b"0.3 ", b"-0.3 ")),
    "E-CONF-NONFINITE": teacher(distances=DISTANCES.replace(b"0.3 ", b"nan ")),
    "E-CONTENT": teacher(ranking=b"<!DOCTYPE html>\n<html><body>404</body></html>\n"),
    "E-DIGEST": teacher(ranking_digest=b"0123abcd  myrank_train.txt\n"),
    "E-EMB-NONFINITE": teacher(vectors=torch_bytes(nan_vectors())),
    "E-EMPTY": teacher(ranking=b""),
    "E-ENC": teacher(ranking="1 3 9\n".encode("utf-16")),
    "E-EOL": teacher(ranking=RANKING.replace(b"\n", b"\r")),
    "E-GZIP": teacher(ranking=GZIPPED[:-6] + b"\0" + GZIPPED[-5:]),
    "E-LAYOUT": teacher(vectors=torch_bytes(vectors().to_sparse())),
    "E-LEGACY": teacher(vectors=torch_bytes(vectors(), zipped=False)),
    "E-LINE-LONG": teacher(ranking=RANKING + b"1 2 " * (1 << 22)),
    "E-NO-EOL": parse_items(RANKING[:-1], strict=True),
    "E-NOT-INTEGER": teacher(ranking=DISTANCES, distances=RANKING),
    "E-NPY": embedding_file("vectors.npy", b"\x93NUMPY\x01\x00\x10\x00 no header here"),
    "E-NUL": teacher(ranking=RANKING.replace(b"11", b"1\x001")),
    "E-OPEN": teacher(ranking=None),
    "E-OVERFLOW": teacher(ranking=RANKING.replace(b"11", b"99999999999999999999")),
    "E-PICKLE": teacher(vectors=torch_bytes(vectors().numpy())),
    "E-RAGGED": teacher(ranking=b"1 3 9\n2 11\n7 12 4\n"),
    "E-RANK-COLS": Provoked(
        teacher().files,
        "train --dataset data --teacher teacher --student sasrec --no-baseline"
        " --set distillation.embedding_weight=0",
    ),
    "E-RANK-DUP": teacher(ranking=b"1 3 9\n2 11 2\n7 12 4\n"),
    "E-RANK-RANGE": teacher(ranking=b"1 3 9\n2 20 0\n7 12 4\n"),
    "E-ROWS": teacher(ranking=RANKING + b"1 2 3\n"),
    "E-SAFETENSORS": embedding_file("vectors.safetensors", b"\x02\0\0"),
    "E-SAME-FILE": teacher(distances=RANKING),
    "E-SHAPE": teacher(distances=b"0.4 0.5\n0.3 0.6\n0.5 0.5\n"),
    "E-TENSOR": teacher(vectors=torch_bytes(list(vectors()))),
    "E-TOKEN": teacher(ranking=b"rank1 rank2 rank3\n" + RANKING),
    "E-TOKEN-LONG": teacher(ranking=RANKING.replace(b"11", b"1" * 600)),
    "E-TRAILING": embedding_file("vectors.npy", npy_bytes(vectors().numpy()) + bytes(8)),
    "E-TRUNC": teacher(ranking=None, ranking_gz=GZIPPED[:-10]),
    "E-VECTOR-IDS": teacher(vectors=torch_bytes({str(n): torch.ones(2) for n in range(19)})),
    "W-FILES-UNREAD": Provoked({**teacher().files, "teacher/vectors.npy": b"x"}, IMPORT),
    "W-CONF-FLAT": teacher(distances=b"30 31 32\n30 31 32\n1 2 3\n"),
    "W-CONF-INTEGERS": teacher(distances=b"1 2 1001\n2 3 1002\n3 4 1003\n"),
    "W-CONF-ITEMS": teacher(distances=b"1 2 1001\n2 3 1002\n3 4 1003\n"),
    "W-EMB-DTYPE": teacher(vectors=torch_bytes(vectors().half())),
    "W-EMB-ZERO": teacher(vectors=torch_bytes(zero_vectors())),
    "W-NO-EOL": teacher(ranking=RANKING[:-1]),
    "W-RANK-DUP": parse_items(b"1 3 9\n2 11 2\n7 12 4\n", on_duplicate="keep"),
    "W-STORAGE": teacher(vectors=torch_bytes(torch.ones(1000, 2)[:N_ITEMS])),
    "W-TEACHER-RANDOM": teacher(ranking=b"9\n11\n12\n", distances=None),
    # Answers of a language model.
    "E-FOREIGN": answers(b'{"row": 0, "titles": ["Title 3", "Tetris", "Doom", "Myst"]}\n'),
    "E-LIST-KEY": answers(b'{"row": "first", "item_ids": [3, 4]}\n'),
    "E-LIST-TWICE": answers(b'{"row": 0, "item_ids": [3]}\n{"row": 0, "item_ids": [4]}\n'),
    "E-ROW-OTHER": answers(b'{"row": 2, "history": [0, 1], "item_ids": [3, 4]}\n'),
    "E-TITLES": Provoked(
        {"a.csv": b"row,title,rank\n0,Tetris,1\n"},
        call=lambda: titleless("a.csv"),
    ),
    "E-USERS": answers(b"user_id,item_id,rank\nu7,3,1\n", "answers.csv"),
    "W-ANSWERS-CUT": answers(batch_results(["3\n4\n5", "6\n7"], reason="length")),
    "W-ANSWERS-FAILED": answers(batch_results(["3\n4", None])),
    "W-LISTS-CUT": answers(b'{"row": 0, "item_ids": [3, 4]}\n{"row": 1, "item_ids": [5]}\n'),
    "W-LISTS-MIXED": answers(
        b'{"row": 0, "item_ids": [3, 4, 5, 6, 7]}\n'
        b'{"row": 1, "item_ids": ["a", "b", "c", "d", "e"]}\n'
    ),
    "W-LISTS-UNKNOWN": answers(b'{"row": 0, "item_ids": [3, "B00", 4]}\n'),
    "W-TITLES-UNMATCHED": answers(b'{"row": 0, "titles": ["Title 3", "Tetris", "title 4"]}\n'),
    # Logs.
    "E-BOMB": prepare(
        gzip.compress(log() + b"u1,i1,1600000000,5\n" * 2_000_000), name="log.csv.gz"
    ),
    "E-CATALOGUE": prepare(log(*[f"u1,i1,{T + n},5" for n in range(3)])),
    "E-COLUMN": prepare(log("u1,i1", head="user_id,item_id\n"), "--set min_rating=4"),
    "E-CSV": prepare(log(*WALKS), "--titles titles.csv", titles_csv=b'item_id,title\ni1,"A\n'),
    "E-DELIM": prepare(log(*WALKS).replace(b",", b";")),
    "E-DTYPE": prepare(parquet_bytes(user_id=["u1", "u1"], item_id=[1.0, 2.0]), name="log.parquet"),
    "E-FILE": Provoked({}, "train --dataset data/gmaes"),
    "E-FORMAT": Provoked({"logs/log.xlsx": b"x"}, "prepare logs --out datasets/x"),
    "E-HEADER": prepare(log(*WALKS, head="user_id,itme_id,timestamp,rating\n")),
    "E-JSON": prepare(JSON + b'{"user_id": "u1", "item_id": "i2",}\n', name="log.jsonl"),
    "E-JSON-DEPTH": prepare(
        JSON + b'{"user_id": "u1", "item_id": ' + b"[" * 100 + b"]" * 100 + b"}\n",
        name="log.jsonl",
    ),
    "E-JSON-KEY": prepare(
        JSON + b'{"user_id": "u1", "item_id": "i2", "item_id": "i3"}\n', name="log.jsonl"
    ),
    "E-LINE": prepare(log(*WALKS, "u1," + "x" * (1 << 24) + ",1,5")),
    "E-LOG-MISSING": prepare(log("u1,i1,1600000000,5", "u1,,1600000001,5")),
    "E-LOG-SPACE": prepare(log("u1,5,1600000000,5", "u1, 5,1600000001,5")),
    "E-PARQUET": prepare(
        parquet_bytes(user_id=["u1", "u1"], item_id=["i1", "i2"])[:-30], name="log.parquet"
    ),
    "E-QUOTE": prepare(log("u1,i1,1600000000,5", 'u1,21" screen,1600000001,5')),
    "E-RATING": prepare(log("u1,i1,1600000000,5", "u1,i2,1600000001,good"), "--set min_rating=4"),
    "E-SPLIT": prepare(
        log("u1,i1,train", "u1,i2,dev", head="user_id,item_id,split\n"), "--set split=given"
    ),
    "E-TS": prepare(log("u1,i1,31.05.2024,5")),
    "E-TS-UNIT": prepare(log(*(f"u1,i{n},{T + n},5" for n in range(9)), f"u1,i9,{T}000,5")),
    "W-COLD": prepare(log(*WALKS, f"u0,new,{T + 9},5")),
    "W-ORDER": prepare(log(*reversed(WALKS))),
    "W-SEEN": prepare(log(*WALKS, f"u0,i1,{T + 9},5")),
    "W-SHORT": prepare(log(*WALKS, f"u9,i1,{T},5")),
    "W-TIES": prepare(log(*WALKS, f"u0,i5,{T + 3},5")),
    "W-SPLIT": prepare(
        log("u,a,train", "u,b,train", "u,c,test", head="user_id,item_id,split\n"),
        "--set split=given",
    ),
    "W-TITLES": Provoked(
        {"log.csv": log(*WALKS), "titles.csv": b"item_id,title\n1,A\n"},
        "prepare log.csv --out datasets/x --titles titles.csv",
    ),
    "W-TS-CUT": prepare(log(*(row.replace(",5", "123456789,5") for row in WALKS))),
    "W-TS-RANGE": prepare(log(*WALKS, "u0,i5,0,5")),
    "W-TS-ZONE": prepare(
        log(*(f"u{n},i{(n + k) % 6},2024-05-{10 + k},5" for n in range(4) for k in range(4)))
    ),
    # Datasets in the authors' layout.
    "E-ITEM-RANGE": authors(train_data=b'seq,len_seq,next\n"[0, 21, 20]",2,1\n'),
    "E-LEAK": Provoked(
        {**AUTHORS, "data/test_data.csv": b'seq,len_seq,next\n"[0, 1, 20]",2,2\n'},
        "prepare data --out datasets/x --write recbole --strict",
    ),
    "E-LEN-SEQ": authors(train_data=b'seq,len_seq,next\n"[0, 1, 20]",3,1\n'),
    "E-PAD": authors(train_data=b'seq,len_seq,next\n"[20, 0, 1]",2,1\n'),
    "E-TARGET-RANGE": authors(train_data=b'seq,len_seq,next\n"[0, 1, 20]",2,20\n'),
    "W-LEAK": Provoked(
        {**AUTHORS, "data/test_data.csv": b'seq,len_seq,next\n"[0, 1, 20]",2,2\n'},
        "prepare data --out datasets/x --write recbole",
    ),
    # Training and recommending.
    "E-HISTORIES": Provoked({}, call=lambda: [*history_blocks(["168", "172"])]),
    "E-ITEM-UNKNOWN": Provoked({}, call=lambda: Catalogue(["12", "7", "401"]).index_of("41")),
    "E-NEG": Provoked(
        {
            **AUTHORS,
            "data/train_data.csv": b'seq,len_seq,next\n"[0, 1, 2]",3,3\n',
            "data/val_data.csv": b'seq,len_seq,next\n"[0, 4, 4]",1,1\n',
            "data/test_data.csv": b'seq,len_seq,next\n"[2, 1, 4]",2,0\n',
            "data/items.csv": b"item,title\n0,A\n1,B\n2,C\n3,D\n",
        },
        "train --dataset data --recipe paper --student gru4rec --set evaluation.ks=[1]"
        " --set distillation.top_k=2",
    ),
    # Score files of other models.
    "E-SCORE-NONFINITE": scores([0.0, float("nan")]),
    "E-SCORE-TARGET": scores([float("-inf")]),
}

# Not provoked here: code -> the test or the circumstances that show it.
ELSEWHERE = {
    "W-LISTS-PERMUTED": "tests/teacher/test_answer_fit.py: needs fifty lists",
    "W-TEACHER-LEAK": "tests/teacher/test_leak.py",
    "W-TEACHER-LACKS": "tests/train/test_part_teachers.py: said before a training",
    "E-ADMIN": "tests/server/test_refusals.py",
    "E-BUSY": "tests/server/test_refusals.py",
    "E-LIMIT": "tests/server/test_refusals.py",
    "E-REQUEST": "tests/server/test_refusals.py",
    "E-BYTES": "a text file above the limit of bytes, terabytes by default",
    "E-CHANGED": "tests of files at rest: one that is cut, grown or replaced while it is read",
    "E-CKPT-NONFINITE": "tests of checkpoints",
    "E-MEM": "tests of the teacher's vectors: a machine without memory",
    "E-NONFINITE": "tests of training",
    "E-READ": "a disk that fails",
    "E-TREC": "tests of the files of recommend: an id with a blank",
    "W-DATA-CHANGED": "tests of resuming",
    "W-ITEMS-SKIPPED": "tests of histories: it is logged",
    "W-NOT-BIT-IDENTICAL": "tests of resuming",
    "W-NO-LIST": "tests of histories: it is logged",
    "W-POPULAR": "tests of histories: it is logged",
    "W-VECTORS-SKIPPED": "tests of a teacher's vectors with ids",
    "W-TORCH": "tests of what torch keeps private: a torch that lacks it",
    "W-TRITON": "tests of launching kernels: a GPU without a compiler",
    "W-UNVERIFIED": "tests of every bit of a run",
    "W-WEIGHTS-ONLY": "tests of resuming",
}


def message_of(code: str, folder: Path) -> tuple[int, str]:
    """Provoke a code in an empty folder: the exit code, and its message as the page shows it."""
    case, shown, status = PROVOKED[code], io.StringIO(), 0
    for name, data in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with contextlib.chdir(folder), contextlib.redirect_stdout(shown):
        if case.call is not None:
            try:
                _, notes = case.call()
                shown.write("\n".join(notes))
            except Dllm2RecError as err:
                status = err.exit_code
                shown.write(str(err))
        else:
            with contextlib.redirect_stderr(shown):
                status = main(shlex.split(case.words))
    found = re.search(rf"(?m)^(?:\w+: )?({code}[ :].*)$", shown.getvalue())
    assert found, f"{code} did not come up: {shown.getvalue()[:500]}"
    return status, found[1].replace(f"{os.fspath(folder)}/", "")


def update() -> None:
    """Write the present messages into `error_codes.py`."""
    path = Path(error_codes.__file__)
    text = path.read_text(encoding="utf-8")
    for code in PROVOKED:
        with tempfile.TemporaryDirectory() as folder:
            _, message = message_of(code, Path(folder).resolve())
        # As `ruff format` has it: the quotes that need fewer escapes.
        shown = min(json.dumps(message, ensure_ascii=False), repr(message), key=len)
        entry = re.compile(rf'("{code}",\n(?:(?!    Code\().*\n)*?\s+example=).*(,\n)')
        text, count = entry.subn(lambda m, shown=shown: f"{m[1]}{shown}{m[2]}", text, count=1)
        assert count == 1, code
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    update()
