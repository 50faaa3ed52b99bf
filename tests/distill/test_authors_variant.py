"""Figures printed by the authors' code; see tests/golden/README.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.config.model import StudentConfig
from dllm2rec.distill import authors_objective, weights
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.students import build_student, load_authors_state
from tests.reference import losses as reference

GOLDEN = Path(__file__).parents[1] / "golden"
STUDENTS = {"gru4rec": "GRU", "caser": "Caser", "sasrec": "SASRec"}
SETTINGS = {"tied": False, "window_offset": False, "n_heads": 1, "dropout": 0.1}


def golden_student(name, *, with_teacher):
    arrays = np.load(GOLDEN / f"student_{STUDENTS[name]}_seed7.npz", allow_pickle=False)
    student = build_student(
        StudentConfig(name=name, **SETTINGS),
        n_items=50,
        max_length=10,
        teacher_embeddings=torch.from_numpy(arrays["teacher_embeddings"]) if with_teacher else None,
        embedding_weight=float(arrays["ed_weight"]),
        embedding_sides="input",
        variant="authors",
    )
    return student.eval(), arrays


def test_caser_draws_its_filters_as_wide_as_the_authors_convolutions():
    """Xavier's rule for Conv2d(1, 16, (h, 64)) and Conv2d(1, 1, (L, 1))."""
    torch.manual_seed(1)
    length = 2000  # of a window so long that its one vertical filter shows its deviation
    student = build_student(
        StudentConfig(name="caser", **SETTINGS),
        n_items=50,
        max_length=length,
        teacher_embeddings=None,
        embedding_weight=0.0,
        embedding_sides="input",
        variant="authors",
    )
    for height, layer in zip((2, 3, 4), student.encoder.horizontal, strict=True):
        expected = np.sqrt(2 / (height * 64 + 16 * height * 64))
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.1)
    expected = np.sqrt(2 / (length + length))
    assert student.encoder.vertical.weight.std().item() == pytest.approx(expected, rel=0.1)


def parameters(arrays):
    return {k.removeprefix("param/"): arrays[k] for k in arrays.files if k.startswith("param/")}


@pytest.mark.parametrize("with_teacher", [True, False])
@pytest.mark.parametrize("name", STUDENTS)
def test_student_with_the_authors_weights_gives_their_scores(name, with_teacher):
    student, arrays = golden_student(name, with_teacher=with_teacher)
    load_authors_state(student, parameters(arrays))
    windows = [torch.from_numpy(arrays[key]) for key in ("seq", "len")]
    expected = arrays["scores_with_embeddings" if with_teacher else "scores_without_embeddings"]
    for model in (student, student.fold()):
        np.testing.assert_allclose(model(*windows).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", STUDENTS)
def test_every_golden_parameter_matters(name):
    student, arrays = golden_student(name, with_teacher=True)
    load_authors_state(student, parameters(arrays))
    windows = [torch.from_numpy(arrays[key]) for key in ("seq", "len")]
    with torch.no_grad():
        before = student(*windows)
        for parameter_name, parameter in student.named_parameters():
            if parameter_name == "encoder.key.bias":
                continue  # the same for every key: the softmax takes it out
            kept = parameter.clone()
            parameter.add_(torch.rand_like(parameter))
            assert (student(*windows) - before).abs().max() > 1e-5, parameter_name
            parameter.copy_(kept)


@pytest.mark.parametrize("name", STUDENTS)
def test_rows_without_items_are_finite(name):
    student, arrays = golden_student(name, with_teacher=True)
    load_authors_state(student, parameters(arrays))
    sequences = torch.from_numpy(arrays["seq"])
    scores = student(sequences, torch.tensor([0, 7, 0, 10, 7, 8, 9, 4]))
    assert scores.isfinite().all()
    torch.testing.assert_close(scores[0], scores[2])


def test_gru4rec_of_the_authors_has_no_dropout():
    student, arrays = golden_student("gru4rec", with_teacher=True)
    windows = [torch.from_numpy(arrays[key]) for key in ("seq", "len")]
    assert torch.equal(student.train()(*windows), student.eval()(*windows))


def test_load_authors_state_refuses_what_does_not_fit():
    student, arrays = golden_student("sasrec", with_teacher=True)
    good = parameters(arrays)
    with pytest.raises(ArtifactError, match=r"nothing for encoder\.norm\.bias"):
        load_authors_state(student, {k: v for k, v in good.items() if k != "ln_3.bias"})
    with pytest.raises(ArtifactError, match="unknown ln_9"):
        load_authors_state(student, good | {"ln_9.bias": good["ln_3.bias"]})
    with pytest.raises(ArtifactError, match=r"s_fc\.weight is \(50, 32\)"):
        load_authors_state(student, good | {"s_fc.weight": good["s_fc.weight"][:, :32]})
    with pytest.raises(ArtifactError, match="no place"):
        load_authors_state(student, good | {"ln_3.scale": good["ln_3.bias"]})


@pytest.mark.parametrize(
    ("change", "found"),
    [({"tied": True}, "student.tied = true"), ({"n_heads": 2}, "student.n_heads = 2")],
)
def test_authors_variant_refuses_other_settings(change, found):
    config = StudentConfig(name="sasrec", **(SETTINGS | change))
    with pytest.raises(ConfigError, match=found):
        build_student(
            config,
            n_items=5,
            max_length=4,
            teacher_embeddings=None,
            embedding_weight=0.0,
            embedding_sides="input",
            variant="authors",
        )


# The objective


@pytest.fixture(scope="module")
def objective():
    arrays = np.load(GOLDEN / "objective_seed7.npz", allow_pickle=False)
    return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def compute(golden, alpha):
    scores = golden["logits"].clone().requires_grad_()
    ranking, distance = golden["cand"][:, :10], golden["conf"][:, :10]
    position, confidence = weights.position_weight(10), weights.candidate_confidence(distance)
    static = weights.blend_weights(position, confidence, None, (0.3, 0.5, 0.0))
    blended = authors_objective.authors_weights(scores, ranking, torch.from_numpy(static), 0.1)
    agreed = weights.consistency_from_scores(scores, ranking, 10)
    parts = {
        "w_rank": torch.from_numpy(position).expand(8, 10),
        "w_conf": torch.from_numpy(confidence),
        "w_com": agreed + authors_objective.EPSILON,
        "weight": blended,
    }
    rows = authors_objective.authors_losses(
        scores,
        golden["target"],
        golden["neg"],
        ranking,
        blended,
        dros_propensity(golden["counts"], torch.float64),
        dro_weight=alpha,
        dro_temperature=1.0,
    )
    return scores, parts, rows


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_objective_equals_the_authors(objective, alpha):
    scores, parts, rows = compute(objective, alpha)
    total = rows.total(alpha, 0.7)
    assert total.shape == (8,)
    ours = {
        **parts,
        "bce": rows.base.mean(),
        "dros": rows.dros.mean(),
        "rd": rows.distillation.mean(),
        "total": total.mean(),
    }
    for key, value in ours.items():
        expected = objective[f"{key}@alpha{alpha}"].double()
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=1e-6, msg=key)
    total.mean().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    n_moved = (scores.grad != 0).sum(1)  # with the robust part, every item of every row
    assert (n_moved == 50).all() if alpha else (n_moved <= 12).all()


def test_propensity_equals_the_authors(objective):
    ours = dros_propensity(objective["counts"], torch.float64)
    torch.testing.assert_close(ours, objective["ps"], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_objective_gradient_passes_gradcheck(objective):
    _, parts, _ = compute(objective, 0.5)
    ps = dros_propensity(objective["counts"], torch.float64)

    def total(scores):
        rows = authors_objective.authors_losses(
            scores,
            objective["target"],
            objective["neg"],
            objective["cand"][:, :10],
            parts["weight"],
            ps,
            dro_weight=0.5,
            dro_temperature=1.0,
        )
        return rows.total(0.5, 0.7)

    scores = (objective["logits"] / 2).requires_grad_()
    assert torch.autograd.gradcheck(total, scores)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 2.0, 60.0]), st.sampled_from([0.05, 1.0]))
@settings(deadline=None)
def test_dros_of_each_equals_its_twin(seed, spread, temperature):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=spread, size=(3, 12))
    positives = np.stack([rng.permutation(12) for _ in range(3)])  # the largest term among them
    propensity = reference.dros_propensity(rng.integers(0, 99, 12))
    result = authors_objective.dros_of_each(
        *(torch.from_numpy(a) for a in (scores, positives, propensity)), temperature
    )
    expected = [
        [reference.dros_row(row, item, propensity, temperature) for item in items]
        for row, items in zip(scores, positives, strict=True)
    ]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)


def test_dros_of_each_is_finite_with_its_gradient_at_extreme_scores():
    scores = torch.tensor([[1e4, 1.0, 0.0], [0.0, 0.0, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    each = authors_objective.dros_of_each(
        scores, torch.tensor([[0, 1, 2]] * 3), torch.full((3,), 0.6), 0.1
    )
    assert each.isfinite().all()
    (gradient,) = torch.autograd.grad(each.sum(), scores)
    assert gradient.isfinite().all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
@settings(deadline=None, max_examples=30)
def test_distillation_equals_the_authors_loop(seed, alpha):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=2, size=(4, 11))
    negatives = rng.integers(11, size=4)
    ranking = np.stack([rng.permutation(11)[:5] for _ in range(4)])
    weights = rng.dirichlet(np.ones(5), size=4)
    propensity = reference.dros_propensity(rng.integers(0, 99, 11))
    arrays = (scores, np.zeros(4, int), negatives, ranking, weights, propensity)
    rows = authors_objective.authors_losses(
        *(torch.from_numpy(a) for a in arrays), dro_weight=alpha, dro_temperature=0.8
    )
    expected = reference.authors_distillation(
        scores, negatives, ranking, weights, propensity, alpha, 0.8
    )
    assert rows.distillation.mean().item() == pytest.approx(expected, rel=1e-12)
