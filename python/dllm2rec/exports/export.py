"""From a trained student to a folder that serves alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from dllm2rec.caller import one_or_more, words
from dllm2rec.data.formats.catalogue_file import ITEMS_FILE, save_catalogue
from dllm2rec.errors import ArtifactError, ConfigError, InputError
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
from dllm2rec.exports.graph import NEEDED, in_int8, onnx_of_student, read_model, with_table
from dllm2rec.exports.int8 import Probe, full_rows, loss_of, random_probe, rounded_rows
from dllm2rec.serve.encoder import Encoder, ItemVectors, Windows
from dllm2rec.serve.recommender import Recommender
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.storage.atomic_file import check_space
from dllm2rec.storage.atomic_folder import write_folder
from dllm2rec.storage.npy_file import save_npy
from dllm2rec.storage.output_folder import check_writable
from dllm2rec.students.memory.pair_memory import memory_arrays
from dllm2rec.students.text_projection import projection_arrays

PARTS = ("items", "encoder")
_PROBED = 2000  # validation rows that int8 is measured on


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        folder: where.
        name: which student it is.
        n_items: N.
        n_bytes: size of all files.
        int8: which parts are in eight bits.
        loss: what those cost, as `exports.int8.loss_of` says; empty in full precision.
    """

    folder: Path
    name: str
    n_items: int
    n_bytes: int
    int8: tuple[str, ...]
    loss: dict[str, float]


def export(
    model: str | Path | Recommender,
    out: str | Path,
    *,
    student: str | None = None,
    int8: str | Iterable[str] = (),
) -> Export:
    """Write a trained student as a folder that answers without torch.

    It holds the network as ONNX, the item table, pair memory, what scores new items by their text,
    ids and titles; `load_export` needs nothing else.

    Args:
        model: the folder of a run or of one of its students; or a recommender, with the items that
            were added to it and without those removed.
        out: a new folder.
        student: a name of `student.name`; by default all, of which validation's best is taken.
        int8: "items" keeps the item table in eight bits, a quarter of the size on disk; "encoder"
            the weights of the network's products. The loss is measured, on validation rows where
            the run's dataset is where it was.

    Returns:
        What was written, and what int8 costs.

    Raises:
        ConfigError: a package that exporting needs is missing, `out` is there already, or another
            part for int8.
        ArtifactError: it is no run, holds no such student, or is corrupt.
        ResourceError: it cannot be written; nothing is left behind.
    """
    parts = tuple(part for part in PARTS if part in _checked_parts(int8))
    place = Path(out)
    _check_new(place)
    check_packages(NEEDED, "export", "export")
    run = None if isinstance(model, Recommender) else Path(model)
    recommender = model if isinstance(model, Recommender) else _loaded(Path(model), student)
    scorer = recommender.scorer
    network = _network(scorer.encoder)
    rounded, loss = scorer, {}
    if parts:
        network, rounded = _rounded(scorer, network, parts)
        loss = loss_of(scorer, rounded, _probe(run, scorer))
    facts = ExportFacts(
        recommender.name,
        scorer.n_items,
        scorer.encoder.max_length,
        scorer.window_offset,
        None if scorer.memory is None else asdict(scorer.memory.form),
        parts,
        loss,
    )
    n_bytes = _write(place, facts, rounded, network)
    return Export(place, facts.name, facts.n_items, n_bytes, parts, loss)


def check_packages(names: Iterable[str], what: str, extra: str) -> None:
    """Refuse work whose packages are missing; nothing is imported.

    Raises:
        ConfigError: one is not installed; the message says how to get all of them.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"{what}: the package {name} is not installed, expected it; "
                f"pip install '.[{extra}]' in a clone"
            )


def _checked_parts(int8: str | Iterable[str]) -> tuple[str, ...]:
    parts = one_or_more(int8, str)
    for part in parts:
        if part not in PARTS:
            name = words(python=f"int8 = {part!r}", option=f"--int8 {part}")
            raise ConfigError(f"{name}: expected {' or '.join(PARTS)}")
    return parts


def _check_new(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out}: it exists, expected a new or empty folder; name another")
    check_writable(out)


def _loaded(run: Path, student: str | None) -> Recommender:
    from dllm2rec.serve.load import load

    return load(run, student=student, device="cpu")


def _network(encoder: Encoder) -> Any:  # noqa: ANN401 - onnx has no types
    """The network as an ONNX model without an item table."""
    read_from = getattr(encoder, "model", None)  # of an export
    if read_from is not None:
        return read_model(read_from if isinstance(read_from, bytes) else read_from.read_bytes())
    from dllm2rec.serve.torch_encoder import TorchEncoder

    if not isinstance(encoder, TorchEncoder):
        raise TypeError(f"an encoder of {type(encoder).__name__}, expected torch's or an export's")
    return onnx_of_student(encoder.student)


def _rounded(
    scorer: ItemScorer,
    network: Any,  # noqa: ANN401 - onnx has no types
    parts: tuple[str, ...],
) -> tuple[Any, ItemScorer]:
    """The network and the scorer with some parts in eight bits."""
    from dllm2rec.exports.onnx_encoder import OnnxEncoder

    items = scorer.items
    if "items" in parts:
        items = ItemVectors(full_rows(*rounded_rows(items.table)), items.output, items.bias)
    if "encoder" in parts:
        network = in_int8(network)
    encoder = OnnxEncoder.of(network.SerializeToString(), items, scorer.encoder.max_length)
    return network, replace(scorer, encoder=encoder, items=items)


def _probe(run: Path | None, scorer: ItemScorer) -> Probe:
    """Validation rows of the run's dataset; or random windows, where it is not to be had."""
    from dllm2rec.runs.run_folder import open_dataset

    random = random_probe(scorer.n_items, scorer.encoder.max_length)
    if run is None:
        return random
    try:
        dataset = open_dataset(run, None)
    except (ArtifactError, InputError):
        return random
    rows = dataset.validation
    if not len(rows) or dataset.catalogue.item_ids != scorer.catalogue.item_ids:
        return random
    some = np.linspace(0, len(rows) - 1, min(_PROBED, len(rows))).astype(np.int64)
    cut = dataset.windows(rows.take(some))
    return Probe(Windows(cut.sequences, cut.lengths), cut.targets)


def _write(out: Path, facts: ExportFacts, scorer: ItemScorer, network: Any) -> int:  # noqa: ANN401
    """Write the folder, whole or not at all; returns its size in bytes."""
    items, counts = scorer.items, scorer.popularity
    table = np.ascontiguousarray(items.table, dtype=np.float32)
    arrays: dict[str, np.ndarray[Any, Any]] = {TABLE: table}
    if "items" in facts.int8:
        arrays[TABLE], arrays[SCALES] = rounded_rows(table)
    if items.output is not None:
        arrays[OUTPUT] = items.output
    if items.bias is not None:
        arrays[BIAS] = items.bias
    groups = {}
    if scorer.memory is not None:
        groups[MEMORY] = memory_arrays(scorer.memory)
    if scorer.projection is not None:
        groups[PROJECTION] = projection_arrays(scorer.projection)

    def write_model(file: Path) -> None:
        if SCALES in arrays:  # a table in eight bits is no default: it is always given
            file.write_bytes(network.SerializeToString())
            return
        offset = (file.parent / TABLE).stat().st_size - table.nbytes
        file.write_bytes(with_table(network, TABLE, table.shape, offset))

    writers: dict[str, Callable[[Path], object]] = {
        name: _saver(values) for name, values in arrays.items()
    }
    writers |= {name: _group_saver(group) for name, group in groups.items()}
    writers[ITEMS_FILE] = lambda file: save_catalogue(
        file.parent, scorer.catalogue, None if isinstance(counts, ArtifactError) else counts
    )
    writers[MODEL] = write_model  # after the table, whose place in its file it names
    parts = [*arrays.values(), *(part for group in groups.values() for part in group.values())]
    check_space(out, sum(part.nbytes for part in parts))
    manifest = write_folder(
        out,
        writers,
        kind=KIND,
        version=VERSION,
        facts=FACTS.dump_python(facts, mode="json"),
    )
    return sum(record.size for record in manifest.files.values())


def _saver(values: np.ndarray[Any, Any]) -> Callable[[Path], object]:
    return lambda file: save_npy(file, values)


def _group_saver(group: dict[str, np.ndarray[Any, Any]]) -> Callable[[Path], object]:
    return lambda file: save_file(group, file)
