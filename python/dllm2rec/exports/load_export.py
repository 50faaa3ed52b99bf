"""From the folder of an export to a recommender, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dllm2rec.data.formats.catalogue_file import ITEMS_FILE, load_catalogue, load_train_counts
from dllm2rec.errors import ArtifactError, ConfigError, Dllm2RecError
from dllm2rec.exports.export import check_packages
from dllm2rec.exports.files import (
    BIAS,
    FACTS,
    KIND,
    MEMORY,
    MODEL,
    OUTPUT,
    PROJECTION,
    SCALES,
    TABLE,
    VERSION,
    ExportFacts,
)
from dllm2rec.exports.int8 import full_rows
from dllm2rec.serve.encoder import Encoder, ItemVectors, Windows
from dllm2rec.serve.recommender import Recommender
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.storage.atomic_folder import Manifest, read_manifest
from dllm2rec.storage.npy_file import load_npy
from dllm2rec.students.memory.pair_memory import PairMemory, read_memory
from dllm2rec.students.text_projection import TextProjection, read_projection

Runtime = Literal["onnxruntime", "openvino"]


def load_export(
    folder: str | Path, *, runtime: Runtime = "onnxruntime", threads: int | None = None
) -> Recommender:
    """Read and verify an export once, and hold it ready to answer; torch is not imported.

    It answers as the recommender that was exported: the same lists, but for ties and the last bits
    of scores.

    Args:
        folder: what `export` wrote.
        runtime: "onnxruntime" or "openvino" runs the network; the package of that name must be
            installed.
        threads: of the network in one answer; None leaves it to the runtime. Threads of the
            listing are set by `set_threads`.

    Raises:
        ArtifactError: it is no export, is corrupt, or of a newer version.
        ConfigError: another runtime, one that is not installed, or threads below 1.
    """
    if runtime not in get_args(Runtime):
        raise ConfigError(f"runtime = {runtime!r}, expected one of {', '.join(get_args(Runtime))}")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads = {threads}, expected at least 1")
    extra = "serve" if runtime == "onnxruntime" else "openvino"
    check_packages([runtime], f"runtime {runtime}", extra)
    place = Path(folder)
    manifest = read_manifest(place, KIND, newest_version=VERSION)
    try:
        facts = FACTS.validate_python(manifest.facts)
        items = _items(place, manifest, facts)
        encoder = _encoder(runtime, place / MODEL, items, facts, threads)
        scorer = ItemScorer(
            encoder,
            load_catalogue(place, manifest.files[ITEMS_FILE]),
            items,
            facts.window_offset,
            _memory(place, facts),
            _projection(place, manifest, items),
            _popularity(place, manifest),
        )
    except Dllm2RecError:
        raise
    except (OSError, KeyError, TypeError, ValueError, ValidationError, SafetensorError) as err:
        reason = _problem(err) if isinstance(err, ValidationError) else str(err).partition("\n")[0]
        raise ArtifactError(
            f"{place}: {reason}, expected an export that this version can read; export again"
        ) from err
    for name, n_items in (
        (ITEMS_FILE, scorer.n_items),
        (MEMORY, facts.n_items if scorer.memory is None else scorer.memory.n_items),
    ):
        if n_items != facts.n_items:
            raise ArtifactError(
                f"{place}: {n_items} items in {name}, expected {facts.n_items}; export again"
            )
    return Recommender(facts.name, scorer)


def _problem(err: ValidationError) -> str:
    first = err.errors()[0]
    return f"facts.{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _encoder(
    runtime: Runtime, model: Path, items: ItemVectors, facts: ExportFacts, threads: int | None
) -> Encoder:
    # Each is imported when it is asked for.
    if runtime == "openvino":
        from dllm2rec.exports.openvino_encoder import OpenVinoEncoder

        return _answering(OpenVinoEncoder.of(model, items, facts.max_length, threads), model, items)
    from dllm2rec.exports.onnx_encoder import OnnxEncoder

    return _answering(OnnxEncoder.of(model, items, facts.max_length, threads), model, items)


def _answering(encoder: Encoder, model: Path, items: ItemVectors) -> Encoder:
    """The same encoder, after a window that it encodes: a network may be of other windows."""
    sequences = np.zeros((1, encoder.max_length), np.uint32)
    expected = (1, items.matrix.shape[1])
    try:
        found = encoder.users(Windows(sequences, np.ones(1, np.uint32))).shape
    except Exception as err:
        reason = " ".join(str(err).split())[:300]
        raise ArtifactError(
            f"{model}: {reason}, expected a network for windows of {encoder.max_length} items; "
            "export again"
        ) from err
    if found != expected:
        raise ArtifactError(f"{model}: users {found}, expected {expected}; export again")
    return encoder


def _items(place: Path, manifest: Manifest, facts: ExportFacts) -> ItemVectors:
    """The vectors; in full precision they stay in their file, mapped."""
    n_items = facts.n_items
    if "items" in facts.int8:
        scales = _array(place / SCALES, np.float32, n_items + 1)
        table = full_rows(_array(place / TABLE, np.int8, n_items + 1, 2), scales)
    else:
        table = _array(place / TABLE, np.float32, n_items + 1, 2)
    output = bias = None
    if OUTPUT in manifest.files:
        output = _array(place / OUTPUT, np.float32, n_items, 2)
    if BIAS in manifest.files:
        bias = _array(place / BIAS, np.float32, n_items)
    return ItemVectors(table, output, bias)


def _array(file: Path, dtype: npt.DTypeLike, n_rows: int, ndim: int = 1) -> npt.NDArray[Any]:
    found = load_npy(file, mapped=True)
    is_as_written = found.ndim == ndim and found.flags.c_contiguous  # kernels take it as it lies
    if found.dtype != dtype or not is_as_written or len(found) != n_rows:
        raise ValueError(
            f"{file.name}: {found.dtype} {found.shape}, expected {n_rows} rows of "
            f"{np.dtype(dtype)} in C order"
        )
    return found


def _memory(place: Path, facts: ExportFacts) -> PairMemory | None:
    return None if facts.memory is None else read_memory(load_file(place / MEMORY), facts.memory)


def _projection(place: Path, manifest: Manifest, items: ItemVectors) -> TextProjection | None:
    if PROJECTION not in manifest.files:
        return None
    return read_projection(load_file(place / PROJECTION), items.table.shape[1])


def _popularity(place: Path, manifest: Manifest) -> npt.NDArray[np.int64] | ArtifactError:
    """What is popular; or, where the run did not keep it, what to tell who asks for it."""
    try:
        return load_train_counts(place, manifest.files[ITEMS_FILE])
    except ArtifactError as err:
        return err
