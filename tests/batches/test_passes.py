"""Rows of a user share one causal pass: which ones, what each sees, and what is learnt from it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from dllm2rec.batches.passes import Passes, PassOrder
from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import ConfigError
from dllm2rec.runs.training_state import load_state
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.students import Student
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.checkpointer import Checkpointer
from dllm2rec.train.loop import Training, TrainingCallback, walk

CPU = torch.device("cpu")
N_ITEMS, LENGTH = 40, 8
# Events of users: shorter than a window, as long, much longer; one has a single row.
USERS = (2, 5, 9, 3, 60, 8, 33)


def log() -> SequenceDataset:
    """A row at every position of seven users; the last two of each are validation and test."""
    rng = np.random.default_rng(0)
    begins = np.cumsum([0, *(n + 2 for n in USERS)])
    start = np.repeat(begins[:-1], [n - 1 for n in USERS])
    end = np.concatenate([np.arange(b + 1, b + n) for b, n in zip(begins, USERS, strict=False)])
    last = begins[:-1] + np.array(USERS)
    return SequenceDataset(
        name="log",
        catalogue=Catalogue([f"i{n}" for n in range(N_ITEMS)]),
        events=rng.integers(0, N_ITEMS, begins[-1]).astype(np.uint32),
        train=Rows(start, end),
        validation=Rows(begins[:-1], last),
        test=Rows(begins[:-1], last + 1),
        max_length=LENGTH,
        has_users=True,
    )


DATASET = log()
ROWS = device_rows(DATASET, DATASET.train, CPU)


def config_of(name: str = "sasrec", **change: dict[str, object]) -> Config:
    student = {"name": name, "dropout": 0.0, "hidden_size": 8, "n_heads": 2}
    train = {"all_places": True, "batch_size": 16, "max_epochs": 3, "prefix_rows": False}
    own = {"student": student, "train": train}
    for section, values in change.items():
        own[section] = {**own.get(section, {}), **values}
    alone = {"ranking_weight": 0.0, "embedding_weight": 0.0}
    return changed(load_config(recipe="light"), distillation=alone, **own)


def training(config: Config) -> Training:
    torch.manual_seed(config.train.seed)
    student = make_student(config, DATASET, None)
    return Training(student, make_training_data(config, DATASET, None, CPU), config)


@pytest.mark.parametrize("epoch", range(20))
def test_an_epoch_holds_each_row_once_and_passes_see_enough(epoch: int) -> None:
    drawn = PassOrder(ROWS, 16, seed=3)
    order, number = (part.numpy() for part in drawn.epoch(3, epoch))
    assert sorted(order.tolist()) == list(range(len(ROWS)))
    start, end = ROWS.start.numpy(), ROWS.end.numpy()
    seen: set[int] = set()
    for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        assert number[rows[0]] not in seen  # a pass is in one piece
        seen.add(number[rows[0]])
        assert len({*start[rows].tolist()}) == 1
        assert all(a < b for a, b in pairwise(end[rows].tolist()))
        begin = max(start[rows[0]], end[rows[-1]] - LENGTH)
        history = min(end[rows[0]] - start[rows[0]], LENGTH)
        assert end[rows[0]] - begin >= min(history, LENGTH // 2)
    for step in np.split(number[order], range(16, len(order), 16)):
        assert 1 + np.count_nonzero(np.diff(step)) <= drawn.capacity


def test_epochs_and_seeds_differ_and_repeat() -> None:
    drawn = PassOrder(ROWS, 16, seed=3)
    first, again = drawn.epoch(3, 1), PassOrder(ROWS, 16, seed=3).epoch(3, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], drawn.epoch(3, 2)[0])
    assert not torch.equal(first[0], PassOrder(ROWS, 16, seed=4).epoch(4, 1)[0])
    # Long users are cut elsewhere in each epoch, so that no row has the least history for good.
    passes = [{*drawn.epoch(3, epoch)[1].tolist()} for epoch in range(10)]
    assert len({len(one) for one in passes}) > 1


def test_an_order_of_too_many_passes_a_step_is_drawn_again() -> None:
    def most(order: torch.Tensor, number: torch.Tensor) -> int:
        steps = torch.split(number[order], 16)
        return max(1 + int((step[1:] != step[:-1]).sum()) for step in steps)

    drawn = PassOrder(ROWS, 16, seed=0)
    drawn.capacity = len(ROWS)
    freely = [most(*drawn.epoch(0, epoch)) for epoch in range(40)]
    drawn.capacity = freely[0]  # that of the order it falls back on
    assert max(freely) > drawn.capacity
    assert all(most(*drawn.epoch(0, epoch)) <= drawn.capacity for epoch in range(40))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_passes_on_a_gpu_are_those_on_a_cpu(name: str) -> None:
    own = training(config_of(name))
    own._draw()
    batch = own._order[:16]
    passes = own.stepper.rows.passes
    assert passes is not None
    here = passes.of(ROWS, batch)
    cuda = torch.device("cuda")
    there = Passes(passes.number.to(cuda), passes.capacity).of(
        device_rows(DATASET, DATASET.train, cuda), batch.to(cuda)
    )
    assert torch.equal(here.own, there.own.cpu())
    assert torch.equal(here.age, there.age.cpu())
    n_passes = len(here.sequences)
    assert torch.equal(here.sequences, there.sequences[:n_passes].cpu())
    assert len(there.sequences) == passes.capacity
    users = own.student.eval().encode_places(here, None)
    found = own.student.to(cuda).encode_places(there, None)
    assert torch.allclose(users, found.cpu(), atol=1e-5)


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
@pytest.mark.parametrize("n_blocks", [1, 2])
def test_a_place_is_what_its_own_window_would_be(name: str, n_blocks: int) -> None:
    """For users whose history one window holds; positions, which shift, are set to 0."""
    own = training(config_of(name, student={"n_blocks": n_blocks}))
    student = own.student.eval()
    if name == "sasrec":
        torch.nn.init.zeros_(student.encoder.positions.weight)
    own._draw()
    short = torch.from_numpy(np.flatnonzero(DATASET.train.end - DATASET.train.start <= 4))
    batch = own.stepper.rows.batch(own._order, None)
    assert batch.passes is not None
    assert len(batch.passes.sequences) < len(batch.sequences) / 2
    users = student.encode_places(batch.passes, None)
    alone = student.encode(batch.sequences, batch.lengths, None)
    is_short = torch.isin(own._order, short) & torch.isin(ROWS.start[own._order], ROWS.start[short])
    same_window = batch.passes.lengths[batch.passes.own] - batch.passes.age == batch.lengths
    assert (is_short & same_window).sum() > 10
    assert torch.allclose(users[same_window], alone[same_window], atol=1e-6)


def test_no_place_sees_what_comes_after_it() -> None:
    own = training(config_of())
    own._draw()
    passes = own.stepper.rows.batch(own._order, None).passes
    assert passes is not None
    before = own.student.eval().encode_places(passes, None)
    age, row = int(passes.age.max()), int(passes.age.argmax())
    window = int(passes.own[row])
    newest = int(passes.lengths[window])
    passes.sequences[window, newest - age : newest] += 1
    passes.sequences.remainder_(N_ITEMS)
    after = own.student.encode_places(passes, None)
    assert torch.equal(before[row], after[row])
    assert not torch.equal(before[passes.own == window], after[passes.own == window])


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_gradients_are_those_of_plain_indexing(name: str) -> None:
    own = training(config_of(name))
    own._draw()
    batch = own.stepper.rows.batch(own._order[:16], None)
    assert batch.passes is not None
    loss = own.stepper.objective.terms(own.student, batch).sum()
    found = torch.autograd.grad(loss, own.stepper.parameters)
    expected = torch.autograd.grad(
        _plain_loss(own.student, batch.passes, batch), own.stepper.parameters
    )
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def _plain_loss(student: Student, passes, batch) -> torch.Tensor:
    """Cross entropy row by row, each from its own place of its own window."""
    losses = []
    for row in range(len(batch.targets)):
        window, age = int(passes.own[row]), int(passes.age[row])
        n = int(passes.lengths[window])
        sequence, length = passes.sequences[window], passes.lengths[window]
        items = sequence[:n]
        if student.encoder.reads_newest_last:
            items = torch.cat([sequence.new_full((LENGTH - n,), N_ITEMS), items])
            place = LENGTH - 1 - age
        else:
            items = torch.cat([items, sequence.new_full((LENGTH - n,), N_ITEMS)])
            place = n - 1 - age
        hidden = student.encoder.places(student.embedding(items[None], None), length[None])
        scores = hidden[0, place] @ student.embedding.id_rows()[:N_ITEMS].T
        scores[batch.sequences[row, : int(batch.lengths[row])].unique()] += student.window_offset
        losses.append(torch.nn.functional.cross_entropy(scores, batch.targets[row]))
    return torch.stack(losses).sum()


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_it_learns_and_repeats_to_the_last_bit(name: str) -> None:
    config = config_of(name, student={"dropout": 0.2}, train={"learning_rate": 0.01})
    first = training(config)
    losses = [[record["loss"] for record in run(first)]]
    again = training(config)
    losses.append([record["loss"] for record in run(again)])
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    for mine, theirs in zip(first.student.parameters(), again.student.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def run(one: Training) -> list[dict[str, float]]:
    return [record for record in walk(one, Silent(), TrainingCallback()) if record]


def test_a_resumed_epoch_goes_on_with_its_passes(tmp_path: Path) -> None:
    config = config_of(student={"dropout": 0.2})
    whole = training(config)
    run(whole)
    part = training(config)
    steps = part.steps(Silent())
    for _ in range(3):
        next(steps)
    Checkpointer(tmp_path, Interrupts(), LENGTH, []).save_state(part)
    state = load_state(tmp_path)
    assert state is not None
    resumed = training(config)
    resumed.load(state)
    run(resumed)
    for mine, theirs in zip(whole.student.parameters(), resumed.student.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("name", "n_blocks", "max_length", "learns"),
    [
        ("sasrec", 1, 64, False),
        ("sasrec", 1, 65, True),
        ("sasrec", 2, 10, True),
        ("gru4rec", 1, 200, True),
        ("caser", 2, 200, False),
    ],
)
def test_by_itself_it_is_for_what_the_fused_encoder_does_not_take(
    name: str, n_blocks: int, max_length: int, learns: bool
) -> None:
    config = changed(load_config(recipe="light"), student={"name": name, "n_blocks": n_blocks})
    assert config.learns_all_places(max_length, has_users=True) == learns
    assert not config.learns_all_places(max_length, has_users=False)


@pytest.mark.parametrize("recipe", ["paper", "authors"])
def test_the_paper_and_its_code_learn_one_target_a_window(recipe: str) -> None:
    assert not load_config(recipe=recipe).learns_all_places(200, has_users=True)


@pytest.mark.parametrize("sections", [{"student": {"name": "caser"}}, None])
def test_an_encoder_without_places_is_refused(
    sections: dict[str, dict[str, object]] | None,
) -> None:
    config = load_config(recipe="authors" if sections is None else "light")
    with pytest.raises(ConfigError, match=r"train.all_places = true with (variant|student.name)"):
        changed(config, train={"all_places": True}, **(sections or {}))
