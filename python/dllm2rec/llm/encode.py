"""Titles to vectors, by a sentence encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import InputError, NonFiniteError
from dllm2rec.llm.packages import check_packages, loading

_BLOCK = 1024  # titles between two reports of progress

Report = Callable[[int, int], None]


def item_titles(dataset: SequenceDataset) -> list[str]:
    """The titles of a dataset, for work that is nothing without them.

    Raises:
        InputError: it has none.
    """
    titles = dataset.catalogue.titles
    if titles is None or not any(title.strip() for title in titles):
        raise InputError(
            f"{dataset.name}: no titles, expected one per item; prepare the data again with titles",
        )
    return titles


def encode_titles(
    titles: Sequence[str],
    model: str,
    *,
    device: str = "cpu",
    batch_size: int = 64,
    report: Report | None = None,
) -> npt.NDArray[np.float32]:
    """Encode each title by a sentence encoder; equal titles are encoded once.

    Args:
        titles: N of them; an empty one gives a vector of zeros: there is nothing to say of it.
        model: a folder, or a name of the Hugging Face hub, that sentence-transformers loads; a
            plain transformers encoder is read with mean pooling.
        device: where the encoder runs, as torch names it.
        batch_size: titles per step.
        report: told how many distinct titles are done, and of how many.

    Returns:
        Vectors of length 1, or 0 for an empty title, float32 (N, E).

    Raises:
        ConfigError: sentence-transformers is not installed, or the model cannot be loaded.
        NonFiniteError: the model gives no finite vector for a title.
    """
    check_packages("sentence_transformers")
    from sentence_transformers import SentenceTransformer

    with loading(model):
        encoder = SentenceTransformer(model, device=device)
    # By length, so that a batch has little padding.
    distinct = sorted({title for title in titles if title.strip()}, key=lambda t: (len(t), t))
    parts = []
    for begin in range(0, len(distinct), _BLOCK):
        block = distinct[begin : begin + _BLOCK]
        parts.append(
            np.asarray(
                encoder.encode(block, batch_size=batch_size, show_progress_bar=False),
                dtype=np.float32,
            )
        )
        if report is not None:
            report(begin + len(block), len(distinct))
    if not parts:
        raise InputError("titles: all are empty, expected some text")
    encoded = np.concatenate(parts)
    bad = ~np.isfinite(encoded).all(axis=1)
    if bad.any():
        title = distinct[int(bad.argmax())]
        raise NonFiniteError(f"model {model!r}: no finite vector for the title {title[:60]!r}")
    place = {title: number for number, title in enumerate(distinct)}
    vectors = np.zeros((len(titles), encoded.shape[1]), dtype=np.float32)
    titled = [number for number, title in enumerate(titles) if title in place]
    vectors[titled] = unit(encoded)[[place[titles[number]] for number in titled]]
    return vectors


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Bring every vector to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
