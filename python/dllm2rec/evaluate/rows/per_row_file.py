"""A Parquet file of every scorer's rank on every row, which says of itself which rows they are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.text.arrow_buffers import numbers_of, text_array
from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.parquet_text import opened
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity, ScoredRows, Scorer
from dllm2rec.storage.atomic_file import replace_file

FORMAT = 2  # from 2 on the file carries the sha256 of its users
KEY = b"dllm2rec"  # of the metadata
BLOCK_ROWS = 1 << 16  # made and read at a time
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("scorer", pa.string()),
        ("seed", pa.int64()),
        ("greater", pa.int64()),
        ("equal", pa.int64()),
        ("rank", pa.float64()),
    ]
)
# The others are for people, but for the users: the metadata say whose ranks they are.
_READ = ["row", "greater", "equal"]


@dataclass(frozen=True)
class _ScorerRecord:
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    seed: int | None
    depth: int | None
    settings: str
    sha256: str


@dataclass(frozen=True)
class _FileRecord:
    """What the metadata hold, as JSON."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    format: int
    identity: RowsIdentity
    scorers: list[_ScorerRecord]
    users: str = ""  # sha256 of the column user_id, the same for every scorer


_RECORD = TypeAdapter(_FileRecord)


def write_per_row(
    file: str | os.PathLike[str], scored: ScoredRows, dataset: SequenceDataset
) -> None:
    """Write a line for each scorer and row, scorer after scorer; the file is there whole or not.

    Columns: `row` from 0; `user_id`, null where the data does not say; `item_id` of the target;
    `scorer`; `seed`, null for what is not trained; `greater` and `equal`, how many candidates score
    above the target and as it does; `rank`, its expected rank from 1, `greater` + `equal` / 2 + 1.
    The last three are null for a target that an explicit list does not hold.

    Args:
        file: a Parquet file, which is replaced.
        scored: what `score_rows` returned.
        dataset: the one it was made from.

    Raises:
        InputError: the rows are not this dataset's.
        ResourceError: it cannot be written; what was there before is unchanged.
    """
    one, path = scored.identity, Path(os.fspath(file))
    if RowsIdentity.of(dataset, one.split, exclude_seen=one.exclude_seen) != one:
        raise InputError(
            f"rows of {one.dataset}, expected those of {dataset.name}, the dataset given"
        )
    scorers = [
        _ScorerRecord(s.name, s.seed, s.depth, s.settings, _digest(s.counts))
        for s in scored.scorers
    ]
    users = _UserDigest()
    for block in _blocks(one.n_rows):
        users.add(_user_ids(dataset, dataset.splits()[one.split].take(block).end))
    text = json.dumps(asdict(_FileRecord(FORMAT, one, scorers, users.hexdigest())))
    schema = SCHEMA.with_metadata({KEY: text.encode()})

    def write(aside: Path) -> None:
        with pq.ParquetWriter(aside, schema) as writer:
            for scorer in scored.scorers:
                for block in _blocks(one.n_rows):
                    part = dataset.splits()[one.split].take(block)
                    writer.write_table(_lines(scorer, block, part, dataset, schema))

    replace_file(path, write)


def _blocks(n_rows: int) -> Iterator[slice]:
    edges = [*range(0, n_rows, BLOCK_ROWS), n_rows]
    return (slice(begin, end) for begin, end in pairwise(edges))


def _lines(
    scorer: Scorer, block: slice, rows: Rows, dataset: SequenceDataset, schema: pa.Schema
) -> pa.Table:
    greater, equal = scorer.counts.greater[block], scorer.counts.equal[block]
    unknown = np.zeros(len(rows), np.bool_) if scorer.depth is None else greater >= scorer.depth
    ids = dataset.catalogue.item_ids
    columns = [
        pa.array(np.arange(block.start, block.start + len(rows))),
        _user_ids(dataset, rows.end),
        text_array([ids[item] for item in dataset.targets(rows)]).cast(pa.string()),
        pa.repeat(scorer.name, len(rows)),
        pa.nulls(len(rows), pa.int64())
        if scorer.seed is None
        else pa.repeat(scorer.seed, len(rows)),
        pa.array(greater, mask=unknown),
        pa.array(equal, mask=unknown),
        pa.array(greater + equal / 2 + 1, mask=unknown),
    ]
    return pa.table(columns, schema=schema)


def _user_ids(dataset: SequenceDataset, events: npt.NDArray[np.int64]) -> pa.Array:
    if dataset.users is None:
        return pa.nulls(len(events), pa.string())
    users = np.searchsorted(dataset.users.starts, events, side="right") - 1
    return dataset.users.ids.take(pa.array(users)).cast(pa.string())


def read_per_row(file: str | os.PathLike[str]) -> ScoredRows:
    """Read what `write_per_row` wrote: all of it, or none.

    A file of format 1 has no sha256 of its users: it is read without them.

    Raises:
        InputError: there is no such file, or it changes meanwhile.
        ArtifactError: it is none of these files, of a newer version, or not as it was written.
    """
    path = Path(os.fspath(file))
    if not path.is_file():
        message = "no such file, expected one that dllm2rec evaluate --per-row wrote"
        raise InputError(message, code="E-FILE", path=path)
    with at_rest(path):
        try:
            with opened(path) as parquet:
                record = _record_of(path, parquet)
                scorers = tuple(_scorers_of(path, parquet, record))
                users = _users_of(path, parquet, record)
        except (OSError, pa.ArrowException, KeyError) as err:
            raise ArtifactError(f"{path}: {err}, expected a file of evaluate --per-row") from err
    return ScoredRows(record.identity, scorers, users)


def _record_of(path: Path, parquet: pq.ParquetFile) -> _FileRecord:
    text = (parquet.schema_arrow.metadata or {}).get(KEY)
    if text is None:
        raise ArtifactError(
            f"{path}: does not say which rows it is of, expected a file of evaluate --per-row"
        )
    try:
        known = json.loads(text)
    except ValueError as err:
        raise ArtifactError(f"{path}: its metadata are no JSON, write it again") from err
    version = known.get("format") if isinstance(known, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise ArtifactError(
            f"{path}: format {version}, expected at most {FORMAT}; install a newer dllm2rec"
        )
    try:
        record = _RECORD.validate_python(known)
    except ValidationError as err:
        problem = err.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "its metadata"
        raise ArtifactError(
            f"{path}: {where}: {problem['msg']}, expected what evaluate --per-row writes there"
        ) from err
    if record.format < 1 or (record.format > 1) != bool(record.users):
        raise ArtifactError(f"{path}: format {record.format} was changed; write it again")
    n_lines, expected = parquet.metadata.num_rows, record.identity.n_rows * len(record.scorers)
    if n_lines != expected or not expected:
        raise ArtifactError(f"{path}: {n_lines:,} lines, expected {expected:,}; write it again")
    return record


def _scorers_of(path: Path, parquet: pq.ParquetFile, record: _FileRecord) -> Iterator[Scorer]:
    n_rows = record.identity.n_rows
    table = np.empty((len(record.scorers), 2, n_rows), np.int64)
    done = 0
    for batch in parquet.iter_batches(BLOCK_ROWS, columns=_READ):
        row = batch["row"].to_numpy(zero_copy_only=False)
        place = np.arange(done, done + len(row))
        if (row != place % n_rows).any():
            raise ArtifactError(f"{path}: rows out of their order; write it again")
        for number in range(done // n_rows, (done + len(row) - 1) // n_rows + 1):
            one, inside = record.scorers[number], place // n_rows == number
            for axis, name in enumerate(("greater", "equal")):
                unlisted = (one.depth or 0) if name == "greater" else 0
                values = batch[name].fill_null(unlisted).to_numpy(zero_copy_only=False)
                table[number, axis, row[inside]] = values[inside]
        done += len(row)
    for one, (greater, equal) in zip(record.scorers, table, strict=True):
        counts = RankCounts(greater, equal)
        if _digest(counts) != one.sha256:
            raise ArtifactError(f"{path}: ranks of {one.name} were changed; write it again")
        yield Scorer(one.name, counts, one.seed, one.depth, one.settings)


def _users_of(
    path: Path, parquet: pq.ParquetFile, record: _FileRecord
) -> npt.NDArray[np.int64] | None:
    """A number for the user of each row; None where the file does not say who they are."""
    if record.format == 1:
        return None
    n_rows, n_done = record.identity.n_rows, 0
    first: list[pa.Array] = []
    digest = _UserDigest()
    for batch in parquet.iter_batches(BLOCK_ROWS, columns=["user_id"]):
        ids = batch["user_id"]
        while len(ids):  # of one scorer at a time
            part = ids.slice(0, n_rows - n_done % n_rows)
            ids, n_done = ids.slice(len(part)), n_done + len(part)
            digest.add(part)
            if n_done <= n_rows:
                first.append(part)
            if n_done % n_rows == 0:
                if digest.hexdigest() != record.users:
                    raise ArtifactError(f"{path}: user ids were changed; write it again")
                digest = _UserDigest()
    column = pa.chunked_array(first).combine_chunks()
    if column.null_count:
        return None
    users: npt.NDArray[np.int64] = numbers_of(column.dictionary_encode().indices).astype(np.int64)
    return users


class _UserDigest:
    """The sha256 of user ids, whatever the blocks they come in.

    Of their lengths in UTF-8, int64 and -1 for null, and of their bytes one after the other.
    """

    def __init__(self) -> None:
        self._lengths, self._bytes = hashlib.sha256(), hashlib.sha256()

    def add(self, ids: pa.Array) -> None:
        lengths = numbers_of(compute.binary_length(ids).fill_null(-1)).astype("<i8")
        self._lengths.update(lengths.data)
        texts = ids.drop_null().cast(pa.large_string())
        _, ends, data = texts.buffers()
        edges = np.frombuffer(ends or bytes(8), np.int64)[texts.offset :][: len(texts) + 1]
        self._bytes.update(memoryview(data or b"")[edges[0] : edges[-1]])

    def hexdigest(self) -> str:
        both = self._lengths.digest() + self._bytes.digest()
        return hashlib.sha256(both).hexdigest()


def _digest(counts: RankCounts) -> str:
    digest = hashlib.sha256()
    for part in (counts.greater, counts.equal):
        digest.update(np.ascontiguousarray(part, np.dtype("<i8")).data)
    return digest.hexdigest()
