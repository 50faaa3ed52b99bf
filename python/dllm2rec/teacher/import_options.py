"""How a teacher's files are to be read where they are not what the defaults expect."""

from __future__ import annotations

from dataclasses import dataclass

from dllm2rec.errors import ConfigError


@dataclass(frozen=True)
class TeacherOptions:
    """How the authors' files are to be read; the defaults refuse whatever is in doubt.

    Attributes:
        min_columns: the shortest list that is of use, in items.
        id_base: the number of the first item in the ranking files.
        skip_rows: header lines of the ranking files.
        on_duplicate: "error", "keep" or "keep-first": an item twice in one list.
        confidence_kind: "distance" (small is sure) or "similarity" (large is sure).
        strict: refuse a text file whose last line has no newline.
        tensor_key: which tensor holds the embeddings, where their file has several by name.
        embeddings_have_pad_row: the embeddings may end with one row for the padding item.
        embeddings_pad_row: "none", "first" or "last": which row of a matrix is the padding item's.
        embeddings: the name of the file of vectors in the folder, where it holds several or one of
            another name.
        embedding_ids: the name of the file with the ids of a matrix's rows; by default
            `all_embeddings_ids.txt` or `.npy`, where it is there.
        unknown_vectors: "error", or "skip": vectors of items that the catalogue lacks.
        short_lists: lists may be shorter than the longest: lines may have fewer numbers, and -1,
            nan and the number after the last item (with `id_base=1` also 0) stand for no item.
    """

    min_columns: int = 1
    id_base: int = 0
    skip_rows: int = 0
    on_duplicate: str = "error"
    confidence_kind: str = "distance"
    strict: bool = False
    tensor_key: str | None = None
    embeddings_have_pad_row: bool = False
    embeddings_pad_row: str = "none"
    embeddings: str | None = None
    embedding_ids: str | None = None
    unknown_vectors: str = "error"
    short_lists: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("on_duplicate", ("error", "keep", "keep-first")),
            ("confidence_kind", ("distance", "similarity")),
            ("embeddings_pad_row", ("none", "first", "last")),
            ("unknown_vectors", ("error", "skip")),
        ):
            if getattr(self, name) not in allowed:
                got = f"{name} = {getattr(self, name)!r}"
                raise ConfigError(f"{got}, expected one of {', '.join(allowed)}")
        for name, least in (("min_columns", 1), ("id_base", 0), ("skip_rows", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}, expected at least {least}")
