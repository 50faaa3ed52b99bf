"""Recommenders of random weights and any size: what answers, without a training."""

from __future__ import annotations

import numpy as np
import torch

from dllm2rec import Catalogue, load_config
from dllm2rec.config.load import changed
from dllm2rec.serve.recommender import Recommender
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.serve.torch_encoder import TorchEncoder
from dllm2rec.students import build_student
from dllm2rec.students.memory.pair_memory import MemoryForm, PairMemory
from dllm2rec.students.text_projection import TextProjection

KINDS = ("Adventure", "Racer", "Puzzle", "Quest", "Football", "Chess", "Galaxy", "Dungeon")
SIGNS = ("Red", "Blue", "Lost", "Golden", "Hidden", "Last", "Super", "Tiny")


def made_up_title(item: int) -> str:
    """A title of three words; the last is a number of its own."""
    return f"{SIGNS[item % 8]} {KINDS[item // 8 % 8]} {item}"


def made_up_recommender(
    n_items: int,
    *,
    width: int = 64,
    length: int = 10,
    followers: int = 20,
    text_width: int = 8,
    seed: int = 0,
) -> Recommender:
    """A SASRec of random weights with a random pair memory over items `item-0`, `item-1`, ..."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    config = changed(load_config(recipe="light"), student={"hidden_size": width})
    student = build_student(
        config.student,
        n_items=n_items,
        max_length=length,
        teacher_embeddings=None,
        embedding_weight=0.0,
        embedding_sides="both",
        variant="default",
    )
    encoder = TorchEncoder.of(student.fold().eval(), torch.device("cpu"))
    offsets = np.arange(n_items + 1, dtype=np.int64) * followers
    items = np.sort(rng.integers(0, n_items, (n_items, followers), dtype=np.uint32), axis=1)
    values = rng.random(n_items * followers, dtype=np.float32) * 0.5
    return Recommender(
        "sasrec",
        ItemScorer(
            encoder,
            Catalogue(
                [f"item-{item}" for item in range(n_items)],
                [made_up_title(item) for item in range(n_items)],
            ),
            encoder.items,
            -0.5,
            PairMemory(MemoryForm(), offsets, items.ravel(), values),
            TextProjection(
                rng.standard_normal((width, text_width)).astype(np.float32),
                np.zeros(width, np.float32),
                np.array(1.0, np.float32),
            ),
            rng.integers(0, 50, n_items),
        ),
    )
