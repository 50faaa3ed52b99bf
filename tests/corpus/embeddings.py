"""Rows E: files of item vectors. A `.pt` is met by `dllm2rec teacher import`, others by the loader."""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch
from pyarrow import parquet

from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.teacher.embedding_file import load_embeddings
from dllm2rec.teacher.folder import load_teacher
from tests.corpus.case import Case, accepted, files, refused
from tests.corpus.teacher_import import dataset, import_words
from tests.corpus.worlds import replaced

N, E_WIDTH = 6, 4
MATRIX = np.arange(1, N * E_WIDTH + 1, dtype=np.float32).reshape(N, E_WIDTH)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
Words = Callable[[Path], list[str]]


def tensor() -> torch.Tensor:
    return torch.from_numpy(MATRIX.copy())


def torch_bytes(value: object, *, zipped: bool = True) -> bytes:
    sink = io.BytesIO()
    torch.save(value, sink, _use_new_zipfile_serialization=zipped)
    return sink.getvalue()


def npy_bytes(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=allow_pickle)
    return sink.getvalue()


def npz_bytes(save: Callable[..., None], **arrays: np.ndarray) -> bytes:
    sink = io.BytesIO()
    save(sink, **arrays)
    return sink.getvalue()


def npz_member(data: bytes, name: str = "item.npy") -> bytes:
    """An archive of one file."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(name, data)
    return sink.getvalue()


def parquet_bytes(ids: list[Any], vectors: list[Any], **options: Any) -> bytes:
    """Ids and vectors, a row per item."""
    sink = io.BytesIO()
    columns = {
        "item_id": pa.array(ids, pa.string()),
        "vector": pa.array(vectors, pa.list_(pa.float32())),
    }
    parquet.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def npy_header(shape: str) -> bytes:
    """A header that asks for an array of this shape, and no data."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


# --- what a file is made of ----------------------------------------------------------------------


def members(data: bytes, change: Callable[[str, bytes], bytes], method: int = 0) -> bytes:
    """The same archive, each member changed or compressed."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(sink, "w", method) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(member.filename, old.read(member)))
    return sink.getvalue()


def short_storage(name: str, data: bytes) -> bytes:
    return data[:8] if "/data/" in name else data


def on_cuda(name: str, data: bytes) -> bytes:
    """The pickle of a tensor that was saved from a GPU."""
    here, there = (b"X" + struct.pack("<I", len(where)) + where for where in (b"cpu", b"cuda:0"))
    if name.endswith("/data.pkl"):
        assert here in data
    return data.replace(here, there) if name.endswith("/data.pkl") else data


def tar_bytes() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"\x80\x02N."))
    return sink.getvalue()


# The header of MATRIX.
PLAIN = "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 4)}\n"


def npy_text(header: str, version: int) -> bytes:
    """MATRIX behind any header of a version."""
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes((version, 0)) + size + header.encode() + MATRIX.tobytes()


def framed(header: object, data: bytes = MATRIX.tobytes()) -> bytes:
    """A safetensors file with any header: JSON of it, or text or bytes as they are."""
    text = header if isinstance(header, str | bytes) else json.dumps(header)
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + data


def entry(
    *,
    dtype: str = "F32",
    shape: tuple[int, ...] = (N, E_WIDTH),
    begin: int = 0,
    end: int = MATRIX.nbytes,
) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


ENTRY = json.dumps(entry())
SAFETENSORS = framed({"a": entry()})


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


# --- what reads it -------------------------------------------------------------------------------


def pt(data: bytes, *words: str, more: dict[str, bytes | str] | None = None) -> Words:
    """An import of a teacher whose vectors are `data`, for a dataset of six items."""

    def write(folder: Path) -> list[str]:
        dataset(folder, 3, N, history="0")
        lists = {"myrank_train.txt": "1 3\n" * 3, "all_embeddings.pt": data}
        files(folder / "teacher", {**lists, **(more or {})})
        return import_words(folder, *words)

    return write


def table(data: bytes, *words: str) -> Words:
    """An import of a teacher whose vectors are a Parquet file."""

    def write(folder: Path) -> list[str]:
        found = pt(GOOD, *words)(folder)
        (folder / "teacher" / "all_embeddings.pt").unlink()
        files(folder / "teacher", {"all_embeddings.parquet": data})
        return found

    return write


def bad_table(name: str, data: bytes, status: int, code: str, *says: str) -> Case:
    return refused(name, table(data), status, "all_embeddings.parquet", *says, code=code)


def vectors_are(folder: Path, expected: np.ndarray = MATRIX) -> None:
    teacher = load_teacher(folder / "out", load_dataset(folder / "data"))
    assert teacher.item_embeddings is not None
    assert np.array_equal(teacher.item_embeddings, expected)


def load(folder: Path, name: str, data: bytes, **options: Any) -> tuple[np.ndarray, list[str]]:
    files(folder, {name: data})
    return load_embeddings(folder / name, n_items=N, **options)


def loads(folder: Path, name: str, data: bytes, **options: Any) -> None:
    matrix, _ = load(folder, name, data, **options)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert np.array_equal(matrix, MATRIX)


def takes(
    name: str, data: bytes, *words: str, says: tuple[str, ...] = (), expected: np.ndarray = MATRIX
) -> Case:
    """A `.pt` that is accepted and gives `expected`."""
    return accepted(name, pt(data, *words), *says, check=partial(vectors_are, expected=expected))


def bad_pt(name: str, data: bytes, status: int, code: str, *says: str, **more: Any) -> Case:
    return refused(name, pt(data), status, "all_embeddings.pt", *says, code=code, **more)


def bad_file(
    name: str, file: str, data: bytes, status: int, code: str, *says: str, **options: Any
) -> Case:
    return Case(
        name=name,
        call=partial(load, name=file, data=data, **options),
        exit=status,
        code=code,
        says=says,
    )


def good_file(name: str, file: str, data: bytes, **options: Any) -> Case:
    return Case(name=name, call=partial(loads, name=file, data=data, **options))


def evil(name: str, data: bytes, code: str) -> Case:
    """A payload: refused, and what it would make is not there."""
    return refused(name, pt(data), 4, code=code, unmade="executed")


def truncated_after_loading(folder: Path) -> None:
    """A mapped file that shrinks would kill this process."""
    for name, data in (
        ("a.npy", npy_bytes(MATRIX)),
        ("a.pt", torch_bytes(tensor())),
        ("a.safetensors", SAFETENSORS),
    ):
        matrix, _ = load(folder, name, data)
        os.truncate(folder / name, 10)
        assert np.array_equal(matrix, MATRIX)


def with_row(value: float, rows: tuple[int, ...]) -> np.ndarray:
    matrix = MATRIX.copy()
    matrix[list(rows), 1] = value
    return matrix


def quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor(), 0.1, 0, torch.qint8)


def nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(2)], layout=torch.strided)


IDS = [str(item) for item in range(N)]
ROWS = MATRIX.tolist()
PARQUET = parquet_bytes(IDS, ROWS)
NO_NUMBERS = [np.zeros(800_000, np.float32)] * N
BOTH = {"item": tensor(), "user": torch.ones(3, E_WIDTH)}
LARGE = torch_bytes(torch.ones(N, 500))
ZEROS = with_row(0, ())
ZEROS[[1, 3]] = 0
PADDED = torch.cat([tensor(), torch.zeros(1, E_WIDTH)])
GOOD = torch_bytes(tensor())
DIGEST = hashlib.sha256(GOOD).hexdigest()
FLIPPED = GOOD.replace(MATRIX.tobytes(), MATRIX.tobytes()[:-1] + b"\x00")
assert FLIPPED != GOOD

E = [
    takes("E01-float32", GOOD),
    takes("E02-one-entry", torch_bytes({"emb": tensor()})),
    takes("E02-key", torch_bytes(BOTH), "--tensor-key", "item"),
    bad_pt("E02-two-entries", torch_bytes(BOTH), 3, "E-TENSOR", "item (6, 4)", "user (3, 4)", "--tensor-key"),
    bad_pt("E03-list", torch_bytes(list(tensor())), 3, "E-TENSOR", "torch.stack"),
    bad_pt("E04-numpy-array", torch_bytes(MATRIX), 4, "E-PICKLE", ".npy"),
    evil("E05-reduce", torch_bytes(Evil()), "E-PICKLE"),
    evil("E05-beside-a-tensor", torch_bytes({"emb": tensor(), "more": Evil()}), "E-PICKLE"),
    evil("E05-in-a-list", torch_bytes([tensor(), [Evil()]]), "E-PICKLE"),
    evil("E05-before-1.6", torch_bytes(Evil(), zipped=False), "E-LEGACY"),
    evil("E05-bare-pickle", pickle.dumps(Evil()), "E-LEGACY"),
    bad_pt("E06-module", torch_bytes(torch.nn.Linear(2, 2)), 4, "E-PICKLE", "Python objects"),
    takes("E07-requires-grad", torch_bytes(tensor().requires_grad_())),
    takes("E07-parameter", torch_bytes(torch.nn.Parameter(tensor()))),
    bad_pt("E08-sparse", torch_bytes(torch.eye(N).to_sparse()), 3, "E-LAYOUT", "to_dense"),
    bad_pt("E08-complex", torch_bytes(tensor() * 1j), 3, "E-LAYOUT", "complex64"),
    bad_pt("E08-quantized", torch_bytes(quantized()), 3, "E-LAYOUT"),
    bad_pt("E08-nested", torch_bytes(nested()), 4, "E-PICKLE", instead="exit 3 E-LAYOUT: torch's safe reader does not open a nested tensor, so that its layout is never seen"),
    takes("E09-f16", torch_bytes(tensor().half()), says=("W-EMB-DTYPE",)),
    takes("E09-bf16", torch_bytes(tensor().bfloat16()), says=("W-EMB-DTYPE",)),
    takes("E09-f64", torch_bytes(tensor().double()), says=("W-EMB-DTYPE",)),
    bad_pt("E09-f16-inf", torch_bytes(torch.from_numpy(with_row(np.inf, (2,))).half()), 3, "E-EMB-NONFINITE", "item 2"),
    takes("E10-transposed", torch_bytes(tensor().T.contiguous().T)),
    takes("E11-view", torch_bytes(torch.cat([tensor(), torch.ones(1000, E_WIDTH)])[:N]), says=("W-STORAGE",)),
    bad_pt("E12-expanded", torch_bytes(torch.ones(1, 1).expand(N, 10**9)), 3, "E-BOMB", "clone"),
    *[bad_pt(f"E13-cut-at-{percent}", LARGE[: len(LARGE) * percent // 100], 4, "E-TRUNC") for percent in (20, 50, 90, 99)],
    bad_pt("E14-empty", b"", 4, "E-EMPTY", "the file is empty"),
    bad_pt("E14-text", b"0.1 0.2\n", 4, "E-CONTENT", "a text file"),
    bad_pt("E14-html", b"<!DOCTYPE html>", 4, "E-CONTENT", "HTML"),
    bad_pt("E14-git-lfs", LFS, 4, "E-CONTENT", "git lfs pull"),
    bad_pt("E14-npy", npy_bytes(MATRIX), 4, "E-CONTENT", "rename it to all_embeddings.npy"),
    bad_pt("E14-safetensors", SAFETENSORS, 4, "E-CONTENT", "rename it to all_embeddings.safetensors"),
    bad_pt("E14-gzip", gzip.compress(GOOD, mtime=0), 4, "E-CONTENT", "unknown kind"),
    accepted("E15-flipped-unknown", pt(FLIPPED)),
    refused("E15-flipped-known", pt(FLIPPED, more={"all_embeddings.pt.sha256": DIGEST}), 4, "all_embeddings.pt", code="E-DIGEST"),
    bad_pt("E16-nan", torch_bytes(torch.from_numpy(with_row(np.nan, (2, 4)))), 3, "E-EMB-NONFINITE", "item 2", "2 such items"),
    bad_pt("E16-inf", torch_bytes(torch.from_numpy(with_row(-np.inf, (5,)))), 3, "E-EMB-NONFINITE", "item 5", "1 such items"),
    bad_pt("E16-beyond-f32", torch_bytes(tensor().double() * 1e300), 3, "E-EMB-NONFINITE", "item 0", "6 such items"),
    takes("E17-zero-rows", torch_bytes(torch.from_numpy(ZEROS)), says=("W-EMB-ZERO", "2 items"), expected=ZEROS),
    bad_pt("E18-meta", torch_bytes(torch.empty(N, E_WIDTH, device="meta")), 3, "E-LAYOUT", "without data"),
    takes("E19-saved-on-cuda", members(GOOD, on_cuda)),
    bad_pt("E20-compressed", members(torch_bytes(torch.zeros(N, 500_000)), lambda _, data: data, zipfile.ZIP_DEFLATED), 4, "E-BOMB", "compressed members"),
    bad_pt("E21-short-storage", members(GOOD, short_storage), 4, "E-PICKLE", "damaged"),
    bad_pt("E22-before-1.6", torch_bytes(tensor(), zipped=False), 4, "E-LEGACY", "torch.save(tensor, path)"),
    bad_pt("E22-tar", tar_bytes(), 4, "E-LEGACY", "torch.save(tensor, path)"),
    Case(name="E23-truncated-after-loading", call=truncated_after_loading),
    Case(name="E24-object-array", call=partial(load, name="a.npy", data=npy_bytes(np.array([Evil()]), allow_pickle=True)), exit=4, code="E-PICKLE", unmade="executed"),
    bad_file("E24-bare-pickle", "a.npy", pickle.dumps(Evil()), 4, "E-LEGACY"),
    bad_file("E25-cut", "a.npy", npy_bytes(MATRIX)[:-7], 4, "E-TRUNC", "89 bytes of data, the header asks for 96"),
    bad_file("E26-trailing", "a.npy", npy_bytes(MATRIX) + bytes(8), 4, "E-TRAILING", "104 bytes"),
    bad_file("E27-16-PB", "a.npy", npy_header(f"{2**40}, {2**12}"), 4, "E-TRUNC", "asks for"),
    bad_file("E28-negative", "a.npy", npy_header("-1, 4"), 4, "E-NPY", "negative"),
    bad_file("E28-overflow", "a.npy", npy_header(f"{2**62}, {2**62}"), 4, "E-TRUNC"),
    bad_file("E28-no-header", "a.npy", b"\x93NUMPY\x01\x00\x16\x00__import__('os').getpid()\n", 4, "E-NPY", "header"),
    *[bad_file(f"E28-header-{kind}-{name}", f"a.{kind}", pack(npy_text(text, version)), 4, "E-NPY")
      for kind, pack in (("npy", bytes), ("npz", npz_member))
      for name, text, version in (("version-9", PLAIN, 9), ("nested", "(" * 5000, 1), ("cut", PLAIN[:40], 1),
                                  ("text-for-order", PLAIN.replace("False", "'x'"), 1), ("text-for-shape", PLAIN.replace("(6, 4)", "'ab'"), 1))],
    good_file("E28-header-of-version-3", "a.npy", npy_text(PLAIN, 3)),
    good_file("E29-big-endian", "a.npy", npy_bytes(MATRIX.astype(">f4"))),
    good_file("E29-big-endian-f64", "a.npy", npy_bytes(MATRIX.astype(">f8"))),
    good_file("E30-c", "a.npy", npy_bytes(MATRIX)),
    good_file("E30-c-f16", "a.npy", npy_bytes(MATRIX.astype(np.float16))),
    good_file("E30-fortran", "a.npy", npy_bytes(np.asfortranarray(MATRIX))),
    bad_file("E31-complex", "a.npy", npy_bytes(MATRIX * 1j), 3, "E-DTYPE", "complex"),
    bad_file("E31-text", "a.npy", npy_bytes(MATRIX.astype("U8")), 3, "E-DTYPE", "U8"),
    bad_file("E31-int", "a.npy", npy_bytes(MATRIX.astype(np.int64)), 3, "E-DTYPE", "int64"),
    bad_pt("E31-bool", torch_bytes(tensor() > 2), 3, "E-DTYPE", "torch.bool"),
    bad_pt("E32-1-d", torch_bytes(tensor()[0]), 3, "E-SHAPE", "(4,)"),
    bad_pt("E32-3-d", torch_bytes(tensor()[None]), 3, "E-SHAPE", "(1, 6, 4)"),
    bad_pt("E32-no-rows", torch_bytes(torch.ones(0, 4)), 3, "E-SHAPE", "(0, 4)"),
    bad_pt("E32-no-columns", torch_bytes(torch.ones(N, 0)), 3, "E-SHAPE", "(6, 0)"),
    bad_file("E33-two-arrays", "a.npz", npz_bytes(np.savez, item=MATRIX, user=MATRIX[:3]), 3, "E-TENSOR", "item (6, 4)", "user (3, 4)"),
    bad_file("E33-bomb", "a.npz", npz_bytes(np.savez_compressed, item=np.zeros((N, 800_000), np.float32)), 4, "E-BOMB"),
    good_file("E33-named", "a.npz", npz_bytes(np.savez, item=MATRIX, user=MATRIX[:3]), tensor_key="item"),
    good_file("E33-one-array", "a.npz", npz_bytes(np.savez, item=MATRIX)),
    bad_file("E33-header-of-16-PB", "a.npz", npz_member(npy_header(f"{2**40}, {2**12}")), 4, "E-NPY"),
    bad_file("E33-objects", "a.npz", npz_member(npy_bytes(np.array([Evil()]), allow_pickle=True)), 4, "E-PICKLE"),
    bad_file("E33-cut", "a.npz", npz_bytes(np.savez, item=MATRIX)[:-9], 4, "E-TRUNC"),
    bad_pt("E34-n-1", torch_bytes(tensor()[:-1]), 3, "E-SHAPE", "5 rows, expected 6"),
    bad_pt("E34-n+1", torch_bytes(PADDED), 3, "E-SHAPE", "7 rows, expected 6", "--embeddings-have-pad-row"),
    bad_pt("E34-n+2", torch_bytes(torch.cat([PADDED, PADDED[:1]])), 3, "E-SHAPE", "8 rows, expected 6"),
    takes("E34-pad-row", torch_bytes(PADDED), "--embeddings-have-pad-row"),
    good_file("E35-sound", "a.safetensors", SAFETENSORS),
    good_file("E35-sound-bf16", "a.safetensors", safetensors.torch.save({"emb": tensor().bfloat16()})),
    bad_file("E35-a-pt", "a.safetensors", GOOD, 4, "E-SAFETENSORS", "header"),
    bad_file("E35-empty", "a.safetensors", b"", 4, "E-SAFETENSORS"),
    bad_file("E35-short", "a.safetensors", b"\x02\0\0", 4, "E-SAFETENSORS", "header"),
    bad_file("E35-length-2-63", "a.safetensors", struct.pack("<Q", 2**63) + b"{}", 4, "E-SAFETENSORS"),
    bad_file("E35-header-beyond-file", "a.safetensors", struct.pack("<Q", 400) + ENTRY.encode(), 4, "E-SAFETENSORS"),
    *[bad_file(f"E36-{name}", "a.safetensors", data, 4, "E-SAFETENSORS") for name, data in {
        "overlap": framed({"a": entry(), "b": entry(shape=(1, 4), begin=80, end=96)}),
        "hole": framed({"a": entry(), "b": entry(shape=(1, 4), begin=112, end=128)}, MATRIX.tobytes() + bytes(32)),
        "trailing": SAFETENSORS + b"more",
        "shape-mismatch": framed({"a": entry(shape=(N, 5))}),
        "shape-overflow": framed({"a": entry(shape=(2**62, 2**62))}),
        "truncated": SAFETENSORS[:-1],
        "bad-utf-8": framed(b'{"\xff": ' + ENTRY.encode() + b"}"),
        "not-json": framed("{not json}"),
        "a-list": framed([1, 2]),
        "deep": framed("[" * 100_000),
        "unknown-dtype": framed({"a": entry(dtype="F99")}),
    }.items()],
    bad_file("E37-duplicate-key", "a.safetensors", framed(f'{{"a": {ENTRY}, "a": {ENTRY}}}'), 4, "E-SAFETENSORS", "'a' is there twice"),
    good_file("E38-length-like-zlib", "a.safetensors", framed(f'{{"a": {ENTRY}}}'.ljust(0x2078))),
    good_file("E38-length-like-pickle", "a.safetensors", framed(f'{{"a": {ENTRY}}}'.ljust(0x0280))),
    bad_file("E39-two-tensors", "a.safetensors", safetensors.torch.save(BOTH), 3, "E-TENSOR", "item (6, 4)", "user (3, 4)"),
    good_file("E39-named", "a.safetensors", safetensors.torch.save(BOTH), tensor_key="item"),
    accepted("E40-sound", table(PARQUET), check=vectors_are),
    accepted("E40-other-order", table(parquet_bytes(IDS[::-1], ROWS[::-1])), check=vectors_are),
    bad_table("E40-ragged", parquet_bytes(IDS, [*ROWS[:2], [1.0], *ROWS[3:]]), 3, "E-SHAPE", "row 3: 1 numbers, expected 4"),
    bad_table("E41-null-row", parquet_bytes(IDS, [*ROWS[:2], None, *ROWS[3:]]), 3, "E-SHAPE", "row 3"),
    bad_table("E41-no-id", parquet_bytes([*IDS[:2], None, *IDS[3:]], ROWS), 3, "E-VECTOR-IDS", "row 3"),
    bad_table("E41-missing-item", parquet_bytes(IDS[:-1], ROWS[:-1]), 3, "E-VECTOR-IDS", "'5'"),
    bad_table("E41-twice", parquet_bytes([*IDS[:-1], "0"], ROWS), 3, "E-VECTOR-IDS", "'0'"),
    bad_table("E41-unknown", parquet_bytes([*IDS, "x"], [*ROWS, ROWS[0]]), 3, "E-VECTOR-IDS", "'x'"),
    bad_table("E42-empty", b"", 4, "E-EMPTY"),
    bad_table("E42-cut", PARQUET[:-30], 4, "E-PARQUET"),
    bad_table("E42-zeros-inside", b"PAR1" + bytes(200) + b"PAR1", 4, "E-PARQUET"),
    bad_table("E42-bomb", parquet_bytes(IDS, NO_NUMBERS, compression="zstd", use_dictionary=False), 4, "E-BOMB"),
    bad_table("E42-bomb-in-a-dictionary", parquet_bytes(IDS, NO_NUMBERS, compression="zstd"), 4, "E-BOMB"),
    bad_pt("E44-beyond-memory", GOOD, 6, "E-MEM", "bytes of memory, 100 are free", during=replaced("dllm2rec.teacher.embedding_file._free_memory", lambda: 100)),
]  # fmt: skip
