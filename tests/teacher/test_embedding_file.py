"""Embedding files: what is read, what is refused and why, and that nothing is executed."""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from dllm2rec.errors import ArtifactError, Dllm2RecError, InputError, ResourceError
from dllm2rec.teacher import embedding_file, tensor_files
from dllm2rec.teacher.embedding_file import load_embeddings

N, E = 6, 4
MATRIX = np.arange(1, N * E + 1, dtype=np.float32).reshape(N, E)


def torch_bytes(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def npy_bytes(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npy_header(text: str) -> bytes:
    """A version 1.0 header with any text, and no data."""
    body = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


def load(tmp_path: Path, name: str, data: bytes, **options: Any) -> tuple[np.ndarray, list[str]]:
    (tmp_path / name).write_bytes(data)
    return load_embeddings(tmp_path / name, **{"n_items": N, **options})


def refusal(
    tmp_path: Path, name: str, data: bytes, kind: type[Dllm2RecError], **options: Any
) -> str:
    with pytest.raises(kind) as caught:
        load(tmp_path, name, data, **options)
    text = str(caught.value)
    assert str(tmp_path / name) in text
    assert "weights_only" not in text
    assert caught.value.__cause__ is None
    return text


def tensor() -> torch.Tensor:
    return torch.from_numpy(MATRIX.copy())


# --- what is read --------------------------------------------------------------------------------

WIDE = torch.arange(1.0, 4 * N * E + 1).reshape(4 * N, E)

ACCEPTED = {
    "E01": ("a.pt", torch_bytes(tensor()), []),
    "E02-single": ("a.pt", torch_bytes({"emb": tensor()}), []),
    "E07": ("a.pt", torch_bytes(tensor().requires_grad_()), []),
    "E07-parameter": ("a.pt", torch_bytes(torch.nn.Parameter(tensor())), []),
    "E09-f16": ("a.pt", torch_bytes(tensor().half()), ["W-EMB-DTYPE"]),
    "E09-bf16": ("a.pt", torch_bytes(tensor().bfloat16()), ["W-EMB-DTYPE"]),
    "E09-f64": ("a.pt", torch_bytes(tensor().double()), ["W-EMB-DTYPE"]),
    "E10": ("a.pt", torch_bytes(tensor().T.contiguous().T), []),
    "E11": ("a.pt", torch_bytes(WIDE[:N]), ["W-STORAGE"]),
    "npy": ("a.npy", npy_bytes(MATRIX), []),
    "npy-f16": ("a.npy", npy_bytes(MATRIX.astype(np.float16)), []),
    "E29": ("a.npy", npy_bytes(MATRIX.astype(">f8")), []),
    "E30": ("a.npy", npy_bytes(np.asfortranarray(MATRIX)), []),
    "safetensors": ("a.safetensors", safetensors.torch.save({"emb": tensor()}), []),
    "safetensors-bf16": (
        "a.safetensors",
        safetensors.torch.save({"emb": tensor().bfloat16()}),
        ["W-EMB-DTYPE"],
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_files_give_the_matrix(name: str, tmp_path: Path) -> None:
    file, data, codes = ACCEPTED[name]
    matrix, warnings = load(tmp_path, file, data)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert np.array_equal(matrix, MATRIX)
    assert [warning.split()[0] for warning in warnings] == codes


def test_zero_rows_are_counted(tmp_path: Path) -> None:  # E17
    matrix = MATRIX.copy()
    matrix[[1, 3]] = 0
    _, warnings = load(tmp_path, "a.npy", npy_bytes(matrix))
    assert warnings == ["W-EMB-ZERO 2 items have an all-zero vector"]


def test_pad_row_is_dropped_only_when_told(tmp_path: Path) -> None:  # E34
    for extra in (-1, 1, 2):
        data = torch_bytes(torch.ones(N + extra, E))
        text = refusal(tmp_path, "a.pt", data, InputError)
        assert f"E-SHAPE {tmp_path}/a.pt: {N + extra} rows, expected {N}" in text
        assert ('embeddings_pad_row="last"' in text) == (extra == 1)
    padded = torch_bytes(torch.cat([tensor(), torch.zeros(1, E)]))
    matrix, warnings = load(tmp_path, "a.pt", padded, has_pad_row=True)
    assert np.array_equal(matrix, MATRIX)
    assert not any("W-EMB-ZERO" in warning for warning in warnings)
    assert np.array_equal(
        load(tmp_path, "a.pt", torch_bytes(tensor()), has_pad_row=True)[0], MATRIX
    )


def test_tensor_is_chosen_by_its_key(tmp_path: Path) -> None:  # E02, E39
    both = {"item": tensor(), "user": torch.ones(3, E)}
    for name, data in (
        ("a.pt", torch_bytes(both)),
        ("a.safetensors", safetensors.torch.save(both)),
    ):
        assert np.array_equal(load(tmp_path, name, data, tensor_key="item")[0], MATRIX)
        text = refusal(tmp_path, name, data, InputError)
        assert "item (6, 4)" in text
        assert "user (3, 4)" in text
        assert "no tensor 'x'" in refusal(tmp_path, name, data, InputError, tensor_key="x")


# --- what is refused -----------------------------------------------------------------------------


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def deflated(data: bytes) -> bytes:
    """The same archive with compressed members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", 8) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return out.getvalue()


def short_storage() -> bytes:
    """A tensor whose payload is shorter than its shape says."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torch_bytes(tensor()))) as old,
        zipfile.ZipFile(out, "w") as new,
    ):
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member.filename, data[:8] if "/data/" in member.filename else data)
    return out.getvalue()


GOOD = torch_bytes(tensor())
NPY = npy_bytes(MATRIX)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"
SPARSE = torch.eye(N).to_sparse()
HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
INVALID = MATRIX.copy()
INVALID[2, 1], INVALID[4, 0] = np.nan, np.inf

REFUSED: dict[str, tuple[type[Dllm2RecError], str, bytes, str, str]] = {
    "E03": (InputError, "a.pt", torch_bytes(list(tensor())), "E-TENSOR", "torch.stack"),
    "E04": (ArtifactError, "a.pt", torch_bytes(MATRIX), "E-PICKLE", ".npy"),
    "E06": (ArtifactError, "a.pt", torch_bytes(torch.nn.Linear(2, 2)), "E-PICKLE", "Python objects"),
    "E08-sparse": (InputError, "a.pt", torch_bytes(SPARSE), "E-LAYOUT", "to_dense"),
    "E08-complex": (InputError, "a.pt", torch_bytes(tensor() * 1j), "E-LAYOUT", "complex64"),
    "E12": (InputError, "a.pt", torch_bytes(torch.ones(1, 1).expand(N, 10**9)), "E-BOMB", "clone"),
    "E14-empty": (ArtifactError, "a.pt", b"", "E-EMPTY", "empty"),
    "E14-text": (ArtifactError, "a.pt", b"0.1 0.2\n", "E-CONTENT", "a text file"),
    "E14-html": (ArtifactError, "a.pt", b"<!DOCTYPE html>", "E-CONTENT", "HTML"),
    "E14-lfs": (ArtifactError, "a.pt", LFS, "E-CONTENT", "git lfs pull"),
    "E14-npy": (ArtifactError, "a.pt", NPY, "E-CONTENT", "rename it to a.npy"),
    "E14-safetensors": (
        ArtifactError, "a.pt", safetensors.torch.save({"a": tensor()}), "E-CONTENT", "a.safetensors"
    ),
    "E14-gzip": (ArtifactError, "a.pt", gzip.compress(GOOD), "E-CONTENT", "unknown kind"),
    "E14-pt-as-npy": (ArtifactError, "a.safetensors", GOOD, "E-SAFETENSORS", "header"),
    "E16": (InputError, "a.npy", npy_bytes(INVALID), "E-EMB-NONFINITE", "item 2: not finite"),
    "E16-f64": (InputError, "a.npy", npy_bytes(MATRIX.astype(np.float64) * 1e300), "E-EMB-NONFINITE", "6 such items"),
    "E18": (InputError, "a.pt", torch_bytes(torch.empty(N, E, device="meta")), "E-LAYOUT", "data"),
    "E20": (ArtifactError, "a.pt", deflated(GOOD), "E-BOMB", "compressed members"),
    "E21": (ArtifactError, "a.pt", short_storage(), "E-PICKLE", "damaged"),
    "E22": (
        ArtifactError,
        "a.pt",
        torch_bytes(tensor(), _use_new_zipfile_serialization=False),
        "E-LEGACY",
        "torch.save",
    ),
    "E24": (ArtifactError, "a.npy", npy_bytes(np.array([{}]), allow_pickle=True), "E-PICKLE", ""),
    "E25": (ArtifactError, "a.npy", NPY[:-7], "E-TRUNC", "89 bytes of data, the header asks for 96"),
    "E26": (ArtifactError, "a.npy", NPY + bytes(8), "E-TRAILING", "104 bytes"),
    "E27": (ArtifactError, "a.npy", npy_header(HUGE % f"{2**40}, {2**12}"), "E-TRUNC", "asks for"),
    "E28-negative": (ArtifactError, "a.npy", npy_header(HUGE % "-1, 4"), "E-NPY", "negative"),
    "E28-overflow": (ArtifactError, "a.npy", npy_header(HUGE % f"{2**62}, {2**62}"), "E-TRUNC", ""),
    "E28-header": (ArtifactError, "a.npy", npy_header("__import__('os')"), "E-NPY", "header"),
    "E31-int": (InputError, "a.npy", npy_bytes(MATRIX.astype(np.int64)), "E-DTYPE", "int64"),
    "E31-bool": (InputError, "a.pt", torch_bytes(tensor() > 2), "E-DTYPE", "torch.bool"),
    "E31-complex": (InputError, "a.npy", npy_bytes(MATRIX * 1j), "E-DTYPE", "complex"),
    "E31-text": (InputError, "a.npy", npy_bytes(MATRIX.astype("U8")), "E-DTYPE", "U8"),
    "E32-1d": (InputError, "a.npy", npy_bytes(MATRIX[0]), "E-SHAPE", "(4,)"),
    "E32-3d": (InputError, "a.pt", torch_bytes(tensor()[None]), "E-SHAPE", "(1, 6, 4)"),
    "E32-no-rows": (InputError, "a.pt", torch_bytes(torch.ones(0, 4)), "E-SHAPE", "(0, 4)"),
    "E32-no-columns": (InputError, "a.npy", npy_bytes(np.ones((N, 0))), "E-SHAPE", "(6, 0)"),
    "E33": (ArtifactError, "a.npz", b"", "E-EMPTY", ""),
    "E35-short": (ArtifactError, "a.safetensors", b"\x02\0\0", "E-SAFETENSORS", "header"),
    "E35-long": (ArtifactError, "a.safetensors", struct.pack("<Q", 2**63) + b"{}", "E-SAFETENSORS", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files_are_named_for_what_they_are(name: str, tmp_path: Path) -> None:
    kind, file, data, code, says = REFUSED[name]
    text = refusal(tmp_path, file, data, kind)
    assert text.startswith(f"{code} ")
    assert says in text


@pytest.mark.filterwarnings("ignore:.*(nested tensors|quantize)")
def test_nested_and_quantized_tensors_are_refused(tmp_path: Path) -> None:  # E08
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(2)], layout=torch.strided)
    quantized = torch.quantize_per_tensor(tensor(), 0.1, 0, torch.qint8)
    for value in (nested, quantized):
        text = refusal(tmp_path, "a.pt", torch_bytes(value), Dllm2RecError)
        assert text.startswith(("E-LAYOUT", "E-PICKLE"))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:  # E05, E24
    trace = tmp_path / "trace"
    evil = Evil(trace)
    object_array = np.array([evil], dtype=object)
    payloads = [
        ("a.pt", torch_bytes(evil)),
        ("a.pt", torch_bytes({"emb": tensor(), "more": evil})),
        ("a.pt", torch_bytes([tensor(), [evil]])),
        ("a.pt", torch_bytes(evil, _use_new_zipfile_serialization=False)),
        ("a.pt", pickle.dumps(evil)),
        ("a.npy", pickle.dumps(evil)),
        ("a.npy", npy_bytes(object_array, allow_pickle=True)),
        ("a.npz", pickle.dumps(evil)),
    ]
    for name, data in payloads:
        refusal(tmp_path, name, data, ArtifactError)
        assert not trace.exists()
    pickle.loads(pickle.dumps(evil))  # noqa: S301 - shows that the payload would work
    assert trace.exists()


def test_cut_files_are_refused(tmp_path: Path) -> None:  # E13
    data = torch_bytes(torch.ones(N, 500))
    for percent in (20, 50, 90, 99):
        text = refusal(tmp_path, "a.pt", data[: len(data) * percent // 100], ArtifactError)
        assert text.startswith("E-TRUNC ")


def test_npz_gives_the_array_that_is_named_or_alone(tmp_path: Path) -> None:  # E33
    buffer, alone = io.BytesIO(), io.BytesIO()
    np.savez(buffer, a=MATRIX, b=MATRIX[:2])
    np.savez_compressed(alone, a=MATRIX.astype(np.float64))
    text = refusal(tmp_path, "a.npz", buffer.getvalue(), InputError)
    assert "a (6, 4), b (2, 4)" in text
    assert np.array_equal(load(tmp_path, "a.npz", buffer.getvalue(), tensor_key="a")[0], MATRIX)
    assert np.array_equal(load(tmp_path, "a.npz", alone.getvalue())[0], MATRIX)


def test_npz_that_is_hostile_is_refused(tmp_path: Path) -> None:  # E33
    bomb, objects, header = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez_compressed(bomb, a=np.zeros((1 << 20, 8), np.float32))
    np.savez(objects, a=np.array([{}]))
    with zipfile.ZipFile(header, "w") as archive:
        archive.writestr("a.npy", npy_header(HUGE % f"{2**40}, {2**12}"))
    cut = bomb.getvalue()[:-40]
    twice, plain, squeezed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a.npy", NPY)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", NPY)
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a.npy", NPY)
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", NPY)
    entry = plain.getvalue().index(b"PK\x01\x02")

    def changed(data: bytes, *bytes_: tuple[int, int]) -> bytes:
        made = bytearray(data)
        for place, value in bytes_:
            made[place] = value
        return bytes(made)

    for data, code in (
        (twice.getvalue(), "E-NPY"),
        (changed(plain.getvalue(), (6, 1), (entry + 8, 1)), "E-NPY"),  # encrypted
        (changed(plain.getvalue(), (8, 99), (entry + 10, 99)), "E-NPY"),  # no known compression
        (changed(squeezed.getvalue(), *((place, 255) for place in range(44, 80))), "E-TRUNC"),
        (bomb.getvalue(), "E-BOMB"),
        (objects.getvalue(), "E-PICKLE"),
        (header.getvalue(), "E-NPY"),
        (cut, "E-TRUNC"),
    ):
        assert refusal(tmp_path, "a.npz", data, ArtifactError).startswith(f"{code} ")


def test_safetensors_rules(tmp_path: Path) -> None:  # E36, E37, E38
    def framed(header: str, data: bytes) -> bytes:
        return struct.pack("<Q", len(header)) + header.encode() + data

    entry = json.dumps({"dtype": "F32", "shape": [N, E], "data_offsets": [0, 4 * N * E]})
    payload = MATRIX.tobytes()
    good = framed(f'{{"a": {entry}}}', payload)
    assert np.array_equal(load(tmp_path, "a.safetensors", good)[0], MATRIX)
    padded = framed(f'{{"a": {entry}}}'.ljust(0x2078), payload)  # its first bytes are "x "
    assert padded[:2] == b"x "
    assert np.array_equal(load(tmp_path, "a.safetensors", padded)[0], MATRIX)
    for bad in (
        framed(f'{{"a": {entry}, "a": {entry}}}', payload),
        framed(f'{{"a": {entry}}}', payload + b"more"),
        framed(f'{{"a": {entry}}}', payload[:-1]),
        framed("[1, 2]", payload),
        framed("{not json}", payload),
        framed("[" * 100_000, payload),
        framed(f'{{"a": {entry.replace("F32", "F99")}}}', payload),
    ):
        assert refusal(tmp_path, "a.safetensors", bad, ArtifactError).startswith("E-SAFETENSORS ")


def test_file_beyond_memory_is_refused_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # E44
    monkeypatch.setattr(embedding_file, "_free_memory", lambda: 100)
    with pytest.raises(ResourceError, match=r"E-MEM .*a\.npy: needs 448 bytes of memory, 100 are"):
        load(tmp_path, "a.npy", NPY)
    monkeypatch.undo()
    free = embedding_file._free_memory()
    assert free is None or free > 2**20


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_embeddings(tmp_path / "none.pt", n_items=N)


def test_no_source_line_allows_pickle_or_eval() -> None:
    source = "".join(
        Path(module.__file__).read_text(encoding="utf-8")
        for module in (embedding_file, tensor_files)
    )
    assert "weights_only=True" in source
    for word in ("weights_only=False", "allow_pickle=True", "eval(", "mmap=True", "mmap_mode"):
        assert word not in source
