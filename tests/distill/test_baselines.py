"""Other papers' losses: against plain Python, gradients, and in a training."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.cli import main
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.methods import METHODS, with_method
from dllm2rec.config.model import Config
from dllm2rec.distill.baselines import list_losses
from dllm2rec.distill.baselines.embedding_losses import (
    N_GROUPS,
    TOPOLOGY_SHARE,
    Hint,
    TopologyHint,
    group_topology,
)
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.distill.objective import choose_objective
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.students.text_projection import projection_arrays, read_projection
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit
from tests.reference import other_papers as slow
from tests.support.worlds import N_ITEMS, asked_histories, cycle_dataset, oracle_teacher

B, N, K = 7, 12, 5
RNG = np.random.default_rng(5)
SCORES = torch.from_numpy(RNG.normal(size=(B, N)) * 2)
ITEMS = torch.from_numpy(np.stack([RNG.permutation(N)[:K] for _ in range(B)]))
# Full, shorter and empty lists; an empty place holds item 0.
SIZES = [5, 5, 3, 1, 0, 4, 5]
KEPT = (torch.arange(K) < torch.tensor(SIZES)[:, None]).double()
LISTS = (torch.where(KEPT > 0, ITEMS, 0), KEPT)
LABELS = torch.from_numpy(RNG.random((B, K))) * KEPT
GROUPS = torch.from_numpy(RNG.integers(0, 3, N))
DRAWN = torch.from_numpy(RNG.integers(0, N, (B, K)))


def lists() -> list[list[int]]:
    return [row[:size] for row, size in zip(ITEMS.tolist(), SIZES, strict=True)]


def loss(name: str, scores: Tensor) -> Tensor:
    """One list loss, with every setting that it has."""
    match name:
        case "rd":
            rd = list_losses.ranking_distillation_rd
            return rd(scores, LISTS, temperature=2.0, discrepancy=0.3)
        case "cd":
            return list_losses.collaborative_distillation(scores, LISTS, LABELS, temperature=3.0)
        case "rrd":
            return list_losses.relaxed_ranking(scores, LISTS, n_others=4)
        case "dcd":
            return list_losses.dual_correction(scores, LISTS, discrepancy=0.3)
    assert name == "unkd"
    return list_losses.unbiased_distillation(scores, LISTS, DRAWN, GROUPS, temperature=2.0)


def slowly(row: int) -> dict[str, float]:
    scores, listed = SCORES[row].tolist(), lists()[row]
    drawn, group = DRAWN[row].tolist(), GROUPS.tolist()
    return {
        "rd": slow.rd(scores, listed, 2.0, 0.3),
        "cd": slow.cd(scores, listed, LABELS[row].tolist(), K, 3.0),
        "rrd": slow.rrd(scores, listed, 4),
        "dcd": slow.dcd(scores, listed, K, 0.3),
        "unkd": slow.unkd(scores, listed, drawn, group, 2.0),
    }


LIST_METHODS = ["rd", "cd", "rrd", "dcd", "unkd"]


@pytest.mark.parametrize("name", LIST_METHODS)
def test_a_list_loss_is_the_papers_formula(name: str) -> None:
    found = loss(name, SCORES)
    expected = [slowly(row)[name] for row in range(B)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert found[4] == 0  # no list, nothing to learn
    assert len({round(float(value), 6) for value in found}) > 4


@pytest.mark.parametrize("name", LIST_METHODS)
def test_a_list_loss_passes_gradcheck(name: str) -> None:
    scores = SCORES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(name, x), scores)


@pytest.mark.parametrize("name", LIST_METHODS)
@pytest.mark.parametrize("size", [0.0, 80.0])
def test_a_list_loss_is_finite_for_equal_and_for_large_scores(name: str, size: float) -> None:
    scores = (size * SCORES.sign() * SCORES.abs().clamp(min=1)).float().requires_grad_()
    found = loss(name, scores)
    (gradient,) = torch.autograd.grad(found.sum(), scores)
    assert found.isfinite().all()
    assert gradient.isfinite().all()


def test_ranks_are_counted_over_all_items_and_ties_do_not_count() -> None:
    scores = torch.tensor([[3.0, 1.0, 3.0, 2.0]])
    ranks = list_losses.student_ranks(scores, torch.tensor([[0, 1, 2, 3]]))
    assert ranks.tolist() == [[1, 4, 1, 3]]


def test_groups_of_popularity_hold_like_many_targets() -> None:
    counts = torch.from_numpy(RNG.integers(0, 40, 500))
    group = list_losses.popularity_groups(dros_propensity(counts), 4)
    sums = np.bincount(group.numpy(), counts.numpy() + 1)
    assert sums.max() - sums.min() <= 2 * (int(counts.max()) + 1)
    assert counts[group == 0].max() <= counts[group == 3].min()
    assert list_losses.popularity_groups(dros_propensity(counts), 1).tolist() == [0] * 500


def test_hint_is_half_the_squared_distance_to_the_teachers_vector() -> None:
    teacher, vectors = torch.randn(9, 6).double(), torch.randn(4, 3).double()
    hint, items = Hint(teacher, 3).double(), torch.tensor([0, 8, 3, 3])
    made = vectors @ hint.regressor.weight.T + hint.regressor.bias
    expected = [0.5 * ((made[n] - teacher[i]) ** 2).sum() for n, i in enumerate(items)]
    np.testing.assert_allclose(
        hint(vectors, items).detach(), torch.stack(expected).detach(), rtol=1e-12
    )
    vectors.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: hint(x, items), vectors)


def topology_world() -> tuple[TopologyHint, Tensor, Tensor]:
    torch.manual_seed(2)
    teacher = F.normalize(torch.randn(30, 6).double(), dim=1)
    hint = TopologyHint(teacher, 3).double()
    torch.nn.init.normal_(hint.groups.weight, std=2.0)
    return hint, torch.randn(11, 3).double(), torch.randint(0, 30, (11,))


def test_topology_is_the_papers_formula() -> None:
    hint, vectors, items = topology_world()
    teacher = hint.teacher[items]
    group = hint.groups(teacher).argmax(1).tolist()
    assert 1 < len(set(group)) <= N_GROUPS
    topology = slow.topology(vectors.numpy(), teacher.numpy(), group)
    experts = hint.experts(vectors).view(11, N_GROUPS, 6).detach().numpy()
    assignment = [
        ((experts[n, one] - teacher[n].numpy()) ** 2).sum() for n, one in enumerate(group)
    ]
    expected = [
        TOPOLOGY_SHARE * a + (1 - TOPOLOGY_SHARE) * b
        for a, b in zip(topology, assignment, strict=True)
    ]
    np.testing.assert_allclose(hint(vectors, items).detach(), expected, rtol=1e-10)


def test_topology_passes_gradcheck() -> None:
    hint, vectors, items = topology_world()
    assigned = hint.assigned(hint.teacher[items]).detach()
    teacher = hint.teacher[items]
    vectors.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: group_topology(x, teacher, assigned), vectors)
    assert torch.autograd.gradcheck(lambda x: hint(x, items), vectors)
    gradient = torch.autograd.grad(hint(vectors, items).sum(), hint.groups.weight)[0]
    assert gradient.abs().max() > 0  # the softmax's, though the group is the likeliest


# -- In a training ---------------------------------------------------------------------------------

DATASET = cycle_dataset(40)
TEACHER = oracle_teacher(DATASET)
PAPER = changed(
    load_config(recipe="paper"),
    student={"hidden_size": 8, "n_heads": 1},
    distillation={"ranking_weight": 0.5, "top_k": 6},
    train={"max_epochs": 2, "batch_size": 64, "learning_rate": 0.01, "device": "cpu"},
)
SOFT = changed(
    load_config(recipe="light"),
    student={"hidden_size": 8},
    distillation={"ranking_weight": 0.3, "top_k": 6},
    train={"max_epochs": 2, "batch_size": 64, "learning_rate": 0.01, "device": "cpu"},
)
RECIPES = {"paper": PAPER, "light": SOFT}


def trained(config: Config) -> tuple[list[dict[str, float]], list[bytes]]:
    torch.manual_seed(config.train.seed)
    student = make_student(config, DATASET, TEACHER)
    task = make_training_data(config, DATASET, TEACHER, torch.device("cpu"))
    records = [*fit(Training(student, task, config), Silent())]
    folded = student.fold()
    before, after = (split_counts(one, task.validation) for one in (student, folded))
    np.testing.assert_array_equal(before.greater, after.greater)
    assert not any("embedding_loss" in name for name in folded.state_dict())
    return records, [part.detach().numpy().tobytes() for part in student.parameters()]


@cache
def weights_of_recipe(recipe: str) -> list[bytes]:
    return trained(RECIPES[recipe])[1]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_trains_repeats_and_is_another_one(name: str, recipe: str) -> None:
    config = RECIPES[recipe]
    weighs = name in ("without-position", "without-confidence", "without-consistency")
    if weighs and recipe == "light":
        with pytest.raises(ConfigError, match="take the recipe paper"):
            with_method(config, name)
        return
    own = with_method(config, name)
    records, weights = trained(own)
    assert trained(own)[1] == weights
    assert weights_of_recipe(recipe) != weights
    terms = {key for key in records[-1] if key.startswith("loss_")}
    if name in LIST_METHODS:
        assert "loss_ranking" in terms
    assert ("loss_embedding" in terms) == ("h" in name and "without" not in name)
    if "loss_embedding" in terms:
        assert records[1]["loss_embedding"] < records[0]["loss_embedding"]
    assert all(np.isfinite(value) for value in records[-1].values())


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="'ranking', expected one of rd, cd"):
        with_method(PAPER, "ranking")


@pytest.mark.parametrize("name", ["rrd", "hint", "unkd"])
def test_histories_without_a_target_learn_from_their_list_alone(name: str) -> None:
    config = changed(with_method(SOFT, name), distillation={"ranking_weight": 0.5})
    teacher = oracle_teacher(DATASET)
    teacher = type(teacher)(
        ranking=teacher.ranking,
        distance=teacher.distance,
        item_embeddings=teacher.item_embeddings,
        histories=asked_histories(),
    )
    student = make_student(config, DATASET, teacher)
    task = make_training_data(config, DATASET, teacher, torch.device("cpu"))
    objective = choose_objective(
        student, config, dros_propensity(task.target_counts), task.rows.in_softmax, 64,
        has_lists=True,
    )  # fmt: skip
    rows = torch.arange(task.rows.n_targets - 3, task.rows.n_targets + 20)
    terms = dict(zip(objective.names, objective.terms(student, task.rows.batch(rows, None)),
                     strict=True))  # fmt: skip
    if name == "hint":
        assert (terms["embedding"][:3] > 0).all()
        assert not terms["embedding"][3:].any()
    else:
        assert not terms["base"][3:].any()
        assert (terms["ranking"][3:] > 0).any()


def test_the_deep_projector_makes_vectors_of_new_items_as_the_student_does() -> None:
    config = changed(SOFT, student={"projector": "mlp"})
    torch.manual_seed(0)
    student = make_student(config, DATASET, TEACHER)
    with torch.no_grad():
        for part in (student.embedding.hidden, student.embedding.projector):
            assert part is not None
            part.bias.normal_()
    projection = student.text_projection()
    assert projection is not None
    vectors = TEACHER.item_embeddings
    assert vectors is not None
    own = student.embedding.table() - student.embedding.id_rows()
    expected = own[:-1].detach().numpy()
    np.testing.assert_allclose(projection.vectors(vectors), expected, rtol=2e-4, atol=1e-6)
    again = read_projection(projection_arrays(projection), config.student.hidden_size)
    np.testing.assert_array_equal(again.vectors(vectors), projection.vectors(vectors))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    hidden, last = (
        {key: value.detach().numpy() for key, value in part.named_parameters()}
        for part in (student.embedding.hidden, student.embedding.projector)
        if part is not None
    )
    deep = np.maximum(unit @ hidden["weight"].T + hidden["bias"], 0)
    plain = config.distillation.embedding_weight * (deep @ last["weight"].T + last["bias"])
    np.testing.assert_allclose(expected, plain, rtol=1e-3, atol=1e-5)
    broken = projection_arrays(projection) | {"hidden_shift": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match="hidden layer"):
        read_projection(broken, config.student.hidden_size)


def test_without_offset_an_items_vector_is_the_projected_one_alone() -> None:
    config = with_method(SOFT, "without-offset")
    student = make_student(config, DATASET, TEACHER)
    embedding = student.embedding
    assert embedding.projector is not None
    assert embedding.teacher is not None
    expected = embedding.weight * embedding.projector(embedding.teacher)
    torch.testing.assert_close(embedding.table()[:N_ITEMS], expected)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an offset left out on one side": (
        {"item_offset": False, "embedding_sides": "input"}, "items would be scored by nothing"
    ),
    "an unknown loss": ({"ranking_method": "kd"}, "ranking_method"),
}  # fmt: skip


@pytest.mark.parametrize(("distillation", "told"), REFUSED.values(), ids=list(REFUSED))
def test_settings_that_leave_nothing_are_refused(distillation: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        changed(PAPER, distillation=distillation)


def test_the_authors_objective_has_no_other_method() -> None:
    for name in ("rd", "hint", "without-offset"):
        with pytest.raises(ConfigError, match=r'with variant = "authors"|items would be scored'):
            with_method(load_config(recipe="authors"), name)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["paper", "light"])
@pytest.mark.parametrize("name", METHODS)
def test_train_runs_each_method_on_the_demo(name: str, recipe: str, tmp_path: Path) -> None:
    if recipe == "light" and name.removeprefix("without-") in "position confidence consistency":
        pytest.skip("the recipe has no such weight")
    sets = ["train.max_epochs=2", "student.hidden_size=8", "student.pair_memory=false"]
    words = ["train", "--recipe", recipe, "--method", name, "--student", "gru4rec", "--no-baseline"]
    chosen = [] if "ranking_weight" in METHODS[name] else ["distillation.ranking_weight=0.3"]
    settings = [word for text in [*sets, *chosen] for word in ("--set", text)]
    out = ["--device", "cpu", "--threads", "1", "--out", str(tmp_path / "run")]
    assert main([*words, *settings, *out]) == 0
    assert (tmp_path / "run" / "gru4rec+dllm2rec" / "result.json").is_file()
