"""Build a student from its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dllm2rec.config.model import StudentConfig
from dllm2rec.errors import ConfigError, InputError, NonFiniteError
from dllm2rec.students.authors_sasrec import AuthorsSASRec
from dllm2rec.students.caser import Caser
from dllm2rec.students.embedding import ItemEmbedding
from dllm2rec.students.gru4rec import GRU4Rec
from dllm2rec.students.sasrec import SASRec
from dllm2rec.students.student import Encoder, Sides, Student

Variant = Literal["default", "authors"]
# Of the hidden layer's first weights, so that what it leads to begins about as large as what a
# linear projector makes of vectors of unit length.
HIDDEN_STD = 0.25


def build_student(
    config: StudentConfig,
    *,
    n_items: int,
    max_length: int,
    teacher_embeddings: Tensor | None,
    embedding_weight: float,
    embedding_sides: Sides,
    variant: Variant,
    known_items: Tensor | None = None,
) -> Student:
    """Build a student with fresh weights, drawn from torch's global generator.

    Args:
        config: the `student` section.
        n_items: N.
        max_length: L, the width of the windows.
        teacher_embeddings: the teacher's item vectors, (N, E) of any float dtype and any E, or
            None. The paper's variant scales them to unit length, the authors' takes them raw.
        embedding_weight: lambda_e; at 0 the vectors are left out.
        embedding_sides: "input": only the window's items carry the vectors; "both": also the items
            that are scored, which needs `config.tied`. Without vectors it says nothing.
        variant: "authors" for the architectures of the authors' code, whose settings must then
            be in `config`.
        known_items: which items get an id vector, (N,) bool, or None for all. Of the others, such
            as those never seen in training, only the text counts.

    Raises:
        ConfigError: settings that exclude each other.
        InputError: tensors of another shape than N asks for.
        NonFiniteError: a NaN or infinity in the teacher's vectors.
    """
    is_authors = variant == "authors"
    has_vectors = teacher_embeddings is not None and embedding_weight != 0
    sides = embedding_sides if has_vectors else "both"
    for fault in student_faults(
        config, max_length, sides, has_vectors=has_vectors, variant=variant
    ):
        raise fault
    teacher = None
    if teacher_embeddings is not None and embedding_weight != 0:
        teacher = _teacher_vectors(teacher_embeddings, n_items, normalise=not is_authors)
    if known_items is not None and known_items.shape != (n_items,):
        raise InputError(f"known_items {tuple(known_items.shape)}, expected ({n_items},)")
    embedding = ItemEmbedding(
        n_items,
        config.hidden_size,
        teacher,
        embedding_weight,
        known_items,
        mlp=config.projector == "mlp",
    )
    build_encoder = _authors_encoder if is_authors else _default_encoder
    encoder = build_encoder(config, max_length)
    student = Student(embedding, encoder, config, sides, max_length)
    # authors' code: torch's defaults for all but the item vectors
    _initialise(student, config.init_std, [] if is_authors else _drawn_layers(student))
    return student


def student_faults(
    config: StudentConfig, max_length: int, sides: Sides, *, has_vectors: bool, variant: Variant
) -> Iterator[ConfigError]:
    """Say all that keeps a student from being built, before anything is.

    Args:
        config: the `student` section.
        max_length: L, the width of the windows.
        sides: which items carry the teacher's vectors.
        has_vectors: whether there are any, and they count.
        variant: as for `build_student`.
    """
    if has_vectors and sides == "both" and not config.tied:
        yield ConfigError(
            'distillation.embedding_sides = "both" with student.tied = false: an untied output has '
            'no item table for the vectors; set student.tied = true or embedding_sides = "input"'
        )
    if variant == "authors":
        yield from _other_than_authors(config)
    tallest = max(config.filter_heights, default=0)
    if config.name == "caser" and not 1 <= tallest <= max_length:
        yield ConfigError(
            f"student.filter_heights = {list(config.filter_heights)}, expected at least one, "
            f"and none above the window's length {max_length}"
        )


def _teacher_vectors(vectors: Tensor, n_items: int, *, normalise: bool) -> Tensor:
    if vectors.ndim != 2 or vectors.shape[0] != n_items or vectors.shape[1] == 0:
        raise InputError(
            f"teacher_embeddings {tuple(vectors.shape)}, expected ({n_items}, width): one row an "
            f"item; export the teacher's vectors for this catalogue again"
        )
    vectors = vectors.detach().float()
    finite_rows = vectors.isfinite().all(1)
    if not finite_rows.all():
        row = int(finite_rows.logical_not().nonzero()[0])
        raise NonFiniteError(f"teacher_embeddings[{row}]: a NaN or infinity, expected numbers")
    return F.normalize(vectors, dim=1) if normalise else vectors


def _other_than_authors(config: StudentConfig) -> Iterator[ConfigError]:
    needed: dict[str, bool | int] = {"tied": False, "window_offset": False, "n_blocks": 1}
    if config.name == "sasrec":
        needed["n_heads"] = 1
    wrong = [name for name, value in needed.items() if getattr(config, name) != value]
    if wrong:
        found = ", ".join(f"student.{name} = {getattr(config, name)}" for name in wrong)
        expected = ", ".join(f"{name} = {needed[name]}" for name in wrong)
        yield ConfigError(f'{found} with variant = "authors", expected {expected}'.lower())


def _default_encoder(config: StudentConfig, max_length: int) -> Encoder:
    size = config.hidden_size
    (dropout,) = config.dropouts
    if config.name == "gru4rec":
        return GRU4Rec(size, config.n_blocks, dropout)
    if config.name == "caser":
        return _caser(config, max_length, is_authors=False)
    return SASRec(size, max_length, config.n_blocks, config.n_heads, dropout)


def _authors_encoder(config: StudentConfig, max_length: int) -> Encoder:
    size = config.hidden_size
    if config.name == "gru4rec":
        return GRU4Rec(size, config.n_blocks, dropout=0.0)
    if config.name == "caser":
        return _caser(config, max_length, is_authors=True)
    return AuthorsSASRec(size, max_length, *config.dropouts)


def _caser(config: StudentConfig, max_length: int, *, is_authors: bool) -> Caser:
    (dropout,) = config.dropouts
    filters = (config.n_filters, config.filter_heights, dropout)
    return Caser(
        config.hidden_size,
        max_length,
        *filters,
        newest_last=not is_authors,
        drawn_as_convolutions=is_authors,
    )


def _drawn_layers(student: Student) -> list[nn.Module]:
    """The layers that are drawn like the item vectors: GRU and convolution keep torch's schemes."""
    parts = (student.embedding.projector, student.bridge, student.output)
    of_encoder = student.encoder.modules() if isinstance(student.encoder, SASRec) else ()
    return [*(part for part in parts if part is not None), *of_encoder]


def _initialise(student: Student, std: float, layers: list[nn.Module]) -> None:
    """Draw N(0, std) item vectors and linear layers; biases are 0, and the padding's vector."""
    for module in (student.embedding.ids, *layers):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    hidden = student.embedding.hidden
    if hidden is not None:
        nn.init.normal_(hidden.weight, std=HIDDEN_STD)
        nn.init.zeros_(hidden.bias)
    with torch.no_grad():
        student.embedding.ids.weight[student.n_items].zero_()
