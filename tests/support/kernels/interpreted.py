"""The kernels of training, run by Triton's interpreter on the CPU, against torch.

Only for a process of its own with TRITON_INTERPRET=1 (`tests.support.kernels.interpreter`): Triton
reads the variable when a kernel is declared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.errors import InterpreterError

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import StudentConfig, TrainConfig
from dllm2rec.distill import catalogue_loss, catalogue_loss_cpu
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.catalogue_loss import catalogue_terms
from dllm2rec.kernels import item_table, launch
from dllm2rec.kernels.catalogue import grid
from dllm2rec.kernels.catalogue import loss as catalogue_kernels
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.tiles import backward, forward, halves, shape
from dllm2rec.kernels.tiles.entries import entries_of
from dllm2rec.kernels.tiles.loss import tiled_terms
from dllm2rec.kernels.tiles.shape import Shape
from dllm2rec.runs.training_state import TrainingState
from dllm2rec.runs.trial import trial_of
from dllm2rec.students import build_student, score_items
from dllm2rec.students.fused_sasrec import encode_fused
from dllm2rec.students.item_scores import scatter_buffer_size
from dllm2rec.students.window_offset import keep_real
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training
from dllm2rec.train.nonfinite.guard import NonFiniteGuard
from dllm2rec.train.optimizer import DeviceOptimizer, HostOptimizer, Schedule
from tests.distill.test_catalogue_loss import SPECS, plain, problem, results
from tests.support.kernels.gpu_step import Step, step_of
from tests.support.kernels.ranks import check_lists as check_lists
from tests.support.kernels.ranks import check_ranks as check_ranks
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher

B, N, L, K, D = 7, 201, 5, 5, 16
# Small blocks, so that a few hundred items are several of them.
grid.BLOCK, grid.COUNTING_BLOCK, halves.LARGEST_PROGRAMS = 64, 4, 2


def check_terms(max_scores: int, *, with_offset: bool) -> None:
    """Lists of the student's own best items, and of any: which of them are among its best."""
    # With one piece of a row, its few lanes cannot tell which items are among the best.
    grid.ENOUGH_PROGRAMS = 1 if with_offset else 512
    users, matrix, bias = torch.randn(B, D), torch.randn(N, D), torch.randn(N) * 0.1
    matrix[50:60] = matrix[40:50]  # ties
    lists = torch.stack([torch.randperm(N)[:K] for _ in range(B)])
    lists[:4] = (users @ matrix.T + bias).topk(8).indices[:4, [0, 3, 7, 2, 5]]
    inputs = TermInputs(
        items=torch.cat([torch.randint(N, (B, 2)), lists], 1),
        weight=torch.rand(B, K),
        kept=torch.ones(B, K),
        windows=torch.randint(N + 1, (B, L)),
        dro_slope=torch.rand(N) * 0.1,
        in_softmax=None,
        n_items=N,
    )
    spec = TermSpec("bce", 1, 0.5, 0.3, has_ranking=True, consistency=0.4, top_k=4)
    found = []
    for backend in (catalogue_loss_cpu, catalogue_kernels):
        leaves = [x.clone().requires_grad_() for x in (users, matrix, bias)]
        offset = torch.tensor(0.3, requires_grad=True) if with_offset else None
        terms = catalogue_terms(
            *leaves, offset, inputs, spec, backend=backend, max_scores=max_scores
        )
        wanted = [*leaves, *([] if offset is None else [offset])]
        found.append([terms, *torch.autograd.grad(terms.sum(), wanted)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def check_tiles(name: str, n_halves: int, *, extras: bool) -> None:
    """Terms and gradients from tiles against the plain form in float64; the same bits twice."""
    spec = SPECS[name]
    leaves, inputs = problem(spec, "cpu", torch.float64, extras=extras)
    expected = results(plain(leaves, inputs, spec), leaves)
    shapes = (Shape(n_halves, 16, 32, 4, 1), Shape(n_halves, 32, 16, 4, 1))
    found = []
    for _ in range(2):
        leaves, inputs = problem(spec, "cpu", torch.float32, extras=extras)
        found.append(results(tiled_terms(*leaves, inputs, spec, shapes), leaves))
    close = {1: (2e-4, 1e-3), 2: (1e-6, 2e-6)}[n_halves]
    for n, (mine, again, theirs) in enumerate(zip(*found, expected, strict=True)):
        scale = theirs.norm() if theirs.ndim else expected[1].norm()
        assert float((mine - theirs).norm() / scale) < close[min(n, 1)], (n, mine, theirs)
        assert torch.equal(mine, again)


def check_tiles_in_launches() -> None:
    """Items taken in several launches, ranges and blocks of rows: the same terms and gradients."""
    spec = SPECS["softmax and all"]
    found = []
    for shape.ITEMS_AT_ONCE in (1 << 20, 96):
        leaves, inputs = problem(spec, "cpu", torch.float32, extras=True)
        shapes = (Shape(2, 16, 32, 4, 1), Shape(2, 32, 16, 4, 1))
        found.append(results(tiled_terms(*leaves, inputs, spec, shapes), leaves))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def check_exact_in_tiles(name: str) -> None:
    """What a GPU makes of few scores and of many: the same terms and gradients, as torch does."""
    spec = SPECS[name]
    exact = catalogue_loss.catalogue_terms_of(torch.device("cuda"), "exact")
    leaves, inputs = problem(spec, "cpu", torch.float64, extras=True)
    expected = results(plain(leaves, inputs, spec), leaves)
    assert catalogue_loss.can_tile(spec, size=16)
    for catalogue_loss.FEW_SCORES in (0, 1 << 27):
        leaves, inputs = problem(spec, "cpu", torch.float32, extras=True)
        inputs = replace(inputs, to_matrix=torch.full_like(leaves[1], torch.nan))
        with only_tiles(wanted=catalogue_loss.FEW_SCORES == 0):
            found = results(exact(*leaves, inputs, spec), leaves)
        for mine, theirs in zip(found, expected, strict=True):
            scale = theirs.norm() if theirs.ndim else expected[1].norm()
            assert float((mine - theirs).norm() / scale) < 4e-6
        assert torch.equal(leaves[1].grad, inputs.to_matrix)


@contextmanager
def only_tiles(*, wanted: bool) -> Iterator[None]:
    """See whether a step launches the kernels of tiles."""
    launched, real = set(), launch.launch

    def note(kernel: Any, *rest: Any, **constants: Any) -> None:
        launched.add(kernel.fn.__name__)
        real(kernel, *rest, **constants)

    for module in (forward, backward):
        module.launch = note
    try:
        yield
    finally:
        for module in (forward, backward):
            module.launch = real
    assert ({"_sums", "_to_items"} <= launched) is wanted, launched


def check_scales() -> None:
    """A factor's largest number comes to 2^13 to 2^14; what is not finite shows, but in a user."""
    users, matrix = torch.randn(3, 16) * 1e-3, torch.randn(500, 16) * 40
    weights = torch.rand(500)
    found = halves.scales_of(users, matrix, weights)
    assert 2**13 <= float(users.abs().max() * found[0]) < 2**14
    assert 2**13 <= float(matrix.abs().max() * found[1]) < 2**14
    assert all(math.frexp(float(scale))[0] == 0.5 for scale in found[:3])
    assert float(found[0] * found[1] * found[2]) == 1
    assert found[3] == weights.max()
    for wrong in (torch.nan, torch.inf, -torch.inf):
        worse = users.clone()
        worse[1, 3] = wrong
        worse[1, 4:] = 0
        assert torch.isfinite(halves.scales_of(worse, matrix, weights)).all()
        worse = matrix.clone()
        worse[-1, -1] = wrong
        assert not torch.isfinite(halves.scales_of(users, worse, weights)[1])
    assert torch.isfinite(halves.scales_of(users * 0, matrix * 0, weights)[:2]).all()


def check_entries(*, once: bool) -> None:
    """Each tile's entries add up to the cells of the matrix that they were sorted from."""
    n_rows, n_items, shape = 37, 101, Shape(1, 16, 32, 4, 1)
    items = torch.randint(n_items + 5, (n_rows, 6))
    items[3] = 7
    values = torch.tensor(0.25) if once else torch.randn(n_rows, 6)
    expected = torch.zeros(48, n_items + 5)
    for row, cells in enumerate(items.tolist()):
        for place, item in enumerate(dict.fromkeys(cells) if once else cells):
            expected[row, item] += float(values if once else values[row, place])
    keys, added, starts = entries_of(items, values, n_items, shape, once=once)
    found = torch.zeros(48, n_items + 5)
    n_tiles = starts.shape[1] - 1
    for block in range(len(starts)):
        for tile in range(n_tiles):
            for at in range(int(starts[block, tile]), int(starts[block, tile + 1])):
                item, lane = divmod(int(keys.flatten()[at]), shape.rows)
                assert item // shape.columns == tile
                found[block * shape.rows + lane, item] += float(added.flatten()[at])
    torch.testing.assert_close(found[:, :n_items], expected[:, :n_items])


def check_tile_that_is_not_finite() -> None:
    """A user that is no number changes its own terms and no other user's gradient."""
    spec = SPECS["soft targets"]
    leaves, inputs = problem(spec, "cpu", torch.float32, extras=False)
    with torch.no_grad():
        leaves[0][4, 0] = torch.nan
    shapes = (Shape(2, 16, 32, 4, 1), Shape(2, 32, 16, 4, 1))
    terms = tiled_terms(*leaves, inputs, spec, shapes)
    assert (~torch.isfinite(terms).all(0)).nonzero().flatten().tolist() == [4]
    terms.sum().backward()
    assert not torch.isfinite(leaves[0].grad[4]).all()
    assert torch.isfinite(leaves[0].grad[:4]).all()
    assert not torch.isfinite(leaves[1].grad).all()


def check_encoder(size: int, n_heads: int, n_sums: int) -> None:
    """Users, and all gradients, without dropout; sums of all items or of those of the windows."""
    student = build_student(
        StudentConfig(hidden_size=size, n_heads=n_heads, dropout=0.0),
        n_items=N,
        max_length=L,
        teacher_embeddings=None,
        embedding_weight=0.0,
        embedding_sides="both",
        variant="default",
    )
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    lengths = torch.arange(B) % (L + 1)
    windows = keep_real(torch.randint(0, N, (B, L)), lengths, N)
    up, both = torch.randn(B, size), torch.randn(N + 1, size)
    found = []
    for fused in (False, True):
        table = student.embedding.ids.weight.detach().clone().requires_grad_()
        if fused:
            scatter_buffer = torch.zeros(n_sums, size, dtype=torch.int64)
            users, rows = encode_fused(
                student, table, windows, lengths, torch.tensor(3), scatter_buffer
            )
        else:
            users, rows = student.encode(windows, lengths, table), table
        weights = student.encoder.parameters()
        loss = (users * up).sum() + (rows * both).sum()
        gradient, *rest = torch.autograd.grad(loss, [table, *weights])
        found.append([users, gradient[:N], *rest])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)


def check_table(n_items: int, width: int, size: int) -> None:
    rows, teacher = torch.randn(n_items + 1, size), torch.randn(n_items, width)
    matrix, shift = torch.randn(size, width), torch.randn(size)
    expected = rows.clone()
    expected[:-1] += 0.3 * (teacher @ matrix.T + shift)
    got = item_table.project(rows, teacher, matrix, shift, 0.3)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(item_table.row_sums(rows[None])[0], rows.sum(0))


def check_listed(n_listed: int, width: int) -> None:
    """Picked items, some of them twice in a row, with biases and without."""
    items = torch.randint(N, (B, n_listed))
    items[:, -1] = items[:, 0]
    up = torch.randn(B, n_listed)
    up[2] = 0
    leaves = [torch.randn(B, width), torch.randn(N + 1, width), torch.randn(N)]
    for parts in (leaves, leaves[:2]):
        found = []
        for scatter_buffer in (None, torch.zeros(scatter_buffer_size(N, width), dtype=torch.int64)):
            inputs = [part.clone().requires_grad_() for part in parts]
            scores = score_items(
                *inputs[:2], inputs[2] if inputs[2:] else None, items, scatter_buffer
            )
            found.append([scores, *torch.autograd.grad((scores * up).sum(), inputs)])
            assert scatter_buffer is None or not scatter_buffer.any()
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


class Stream:
    """What a CUDA graph asks of the streams whose work it records."""

    def __init__(self, *, is_recorded: bool) -> None:
        self.is_recorded = is_recorded
        self.has_unjoined_work = False

    def wait_stream(self, other: Stream) -> None:
        assert other.is_recorded or not self.is_recorded, "waits for work outside the graph"
        self.is_recorded = self.is_recorded or other.is_recorded
        other.has_unjoined_work = False


@contextmanager
def recorded() -> Iterator[Stream]:
    """As inside a CUDA graph: the current stream is recorded; yields another that is not yet."""
    current = [Stream(is_recorded=True)]
    side = Stream(is_recorded=False)

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        assert stream.is_recorded, "work outside the graph"
        stream.has_unjoined_work = True
        current.append(stream)
        yield
        current.pop()

    before = torch.cuda.current_stream, torch.cuda.stream, Tensor.record_stream
    torch.cuda.current_stream, torch.cuda.stream = lambda: current[-1], on
    Tensor.record_stream = lambda *_: None
    try:
        yield side
    finally:
        torch.cuda.current_stream, torch.cuda.stream, Tensor.record_stream = before
    assert side.is_recorded
    assert not side.has_unjoined_work, "work that the graph's end does not wait for"


def check_step(recipe: str, overrides: list[str], *, histories: bool = False) -> None:
    """A whole step as CUDA takes it, recorded in a graph with its second stream, and as torch."""
    step = step_of(recipe, overrides, hidden_size=16, histories=histories)
    stepper, n_rows, batch = step.stepper, len(step.rows), step.batch()
    for one, other in zip(flat(batch), flat(step.gathered()), strict=True):
        assert torch.equal(one, other)
    plain, terms = stepper._of_batch(batch, n_rows)
    with recorded() as side:
        step.use_aids_of_cuda(side)
        fused, fused_terms = stepper._of_batch(batch, n_rows)
    assert stepper.buffers.scatter_buffer is not None
    assert not stepper.buffers.scatter_buffer.any()
    is_exact = stepper.config.train.precision == "exact"
    torch.testing.assert_close(fused_terms, terms, rtol=1e-5 if is_exact else 1e-3, atol=1e-5)
    for one, other in zip(fused, plain, strict=True):
        assert (one is None) == (other is None)
        if one is None or other is None:
            continue
        if is_exact:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)
        else:
            assert float((one - other).norm()) <= 3e-3 * float(other.norm())


def check_collecting(recipe: str, overrides: list[str]) -> None:
    """A step whose kernels are noted, not launched: nothing reads what they would have filled."""
    step = step_of(recipe, overrides, hidden_size=16)
    launch._collected = []
    torch.use_deterministic_algorithms(mode=True)  # fresh memory then holds what no index may be
    try:
        batch = step.gathered().zero_()
        with recorded() as side:
            step.use_aids_of_cuda(side)
            step.stepper._of_batch(batch, len(step.rows))
        names = [wish[0].fn.__name__ for wish in launch._collected]
        locked = [
            part for wish in launch._collected for part in wish[2] if isinstance(part, Tensor)
        ]
    finally:
        launch._collected = None
        torch.use_deterministic_algorithms(mode=False)
    assert not locked  # all scores of a large catalogue would be among them, chunk by chunk
    assert names[0] == "_gather"
    assert "_attention_backward" in names


def check_update(change: dict[str, object]) -> None:
    """Some updates, the last of them not finite, by the kernels and by torch's Adam."""
    config = TrainConfig.model_validate({"learning_rate": 0.01, **change})
    schedule = Schedule.of(config, 50)
    shapes = [(300, 20), (7,), (1,), ()]
    first = [torch.randn(shape) for shape in shapes]
    weights = [[torch.nn.Parameter(value.clone()) for value in first] for _ in range(2)]
    optimizers = (
        HostOptimizer(weights[0], config, schedule),
        DeviceOptimizer(weights[1], config, schedule),
    )
    troubles = [NonFiniteGuard.none(torch.device("cpu")) for _ in range(2)]
    scatter_buffer = [torch.zeros(3) for _ in range(2)]
    for step in range(6):
        gradients: list[Tensor | None] = [torch.randn(shape) * (step + 1) for shape in shapes]
        gradients[1] = None
        if step == 5:
            gradients[0] = torch.full((300, 20), torch.nan)
        terms = torch.rand(2, 40)
        for optimizer, guard, total in zip(optimizers, troubles, scatter_buffer, strict=True):
            optimizer.update(gradients, terms, guard, total)
    for optimizer in optimizers:
        optimizer.swap_average()
    for mine, theirs in zip(*weights, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*scatter_buffer)
    assert [(int(t.first), float(t.flag)) for t in troubles] == [(5, 1.0)] * 2


def check_training(*, first_on_gpu: bool, second_on_gpu: bool) -> None:
    """A training that is resumed after its first epoch, elsewhere or not, ends as the CPU's."""
    dataset = cycle_dataset(4)
    teacher = oracle_teacher(dataset)
    config = changed(
        load_config(recipe="light"),
        student={"dropout": 0.0, "hidden_size": 16},
        distillation={"ranking_weight": 0.3, "top_k": 6},
        train={"batch_size": 16, "max_epochs": 2, "ema_decay": 0.9, "learning_rate": 0.01},
    )

    def fresh(*, on_gpu: bool) -> Training:
        torch.manual_seed(0)
        student = make_student(config, dataset, teacher)
        task = make_training_data(config, dataset, teacher, torch.device("cpu"))
        training = Training(student, task, config)
        if on_gpu:
            stepper = training.stepper
            Step(stepper, torch.arange(16), None).use_aids_of_cuda(None)
            schedule = Schedule.of(config.train, len(task.rows.rows))
            stepper.optimizer = DeviceOptimizer(stepper.parameters, config.train, schedule)
        return training

    def epoch(training: Training) -> None:
        for _ in training.steps(Silent()):
            pass
        training.close_epoch({"ndcg@20": float(training.epoch), "loss": training.losses()["loss"]})

    def state_of(training: Training) -> TrainingState:
        trial = trial_of(config)
        records = [{**record, **trial._asdict()} for record in training.records]
        tensors = {name: value.detach().clone() for name, value in training.tensors().items()}
        return TrainingState(tensors, {}, N_ITEMS, 0, 0.0, records, trial, "elsewhere")

    def end_of(training: Training) -> list[Tensor]:
        training.stepper.optimizer.swap_average()
        averages = [value.detach().clone() for value in training.stepper.parameters]
        training.stepper.optimizer.swap_average()
        losses = torch.tensor([record["loss"] for record in training.records])
        return [losses, *averages, *(value.detach() for value in training.stepper.parameters)]

    whole = fresh(on_gpu=False)
    for _ in range(2):
        epoch(whole)
    training, moved = fresh(on_gpu=first_on_gpu), fresh(on_gpu=second_on_gpu)
    epoch(training)
    moved.load(state_of(training))
    epoch(moved)
    for one, expected in zip(end_of(moved), end_of(whole), strict=True):
        torch.testing.assert_close(one, expected, rtol=2e-3, atol=2e-4)


def flat(batch: Batch) -> list[Tensor]:
    """The tensors of a batch that are there."""
    lists = [] if batch.lists is None else [batch.lists.items, batch.lists.values, batch.lists.kept]
    parts = [batch.sequences, batch.lengths, batch.targets, batch.negatives, batch.listed, *lists]
    return [part for part in parts if part is not None]


@triton.jit
def _counted(n, out):
    total = 0
    for _ in range(n):
        total += 1
    tl.store(out, total)


def interpreter_works() -> bool:
    """Whether it runs a loop: that of Triton 3.6 cannot with numpy 2.4 and later."""
    out = torch.zeros(1, dtype=torch.int64)
    try:
        _counted[1,](3, out)
    except InterpreterError:
        return False
    return out.item() == 3
