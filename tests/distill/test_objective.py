"""The loss of a batch against the same terms computed slowly from the full score matrix."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.distill.objective import choose_objective
from dllm2rec.errors import ConfigError
from dllm2rec.students import Student, in_window
from tests.support.worlds import cycle_dataset, oracle_teacher

CPU = torch.device("cpu")
# Other terms may be computed by another path, which adds the eight products of a score in another
# order: by up to eight halves of a step of float32 each, of sums a few times the loss. Bits are
# promised for one path alone.
ROUNDING = 16 * torch.finfo(torch.float32).eps
DATASET = cycle_dataset()
TEACHER = oracle_teacher(DATASET)
ROWS = torch.tensor([0, 3, 77, 200, 511])
SMALL = changed(
    Config(),
    student={"hidden_size": 8, "dropout": 0.0},
    distillation={"top_k": 6, "ranking_weight": 0.3},
)
IMPORTANCE = {
    "ranking_form": "importance",
    "ranking_weight": 0.7,
    "confidence_temperature": 0.2,
    "drop_window_items": False,
}


def prepared(config: Config) -> tuple[Student, Batch, dict[str, Tensor], Tensor]:
    """A student with non-trivial weights, a batch, its terms and the full scores, in float64."""
    torch.manual_seed(3)
    student = make_student(config, DATASET, TEACHER)
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    task = make_training_data(config, DATASET, TEACHER, CPU)
    negatives = None if task.sampler is None else task.sampler.epoch(0, 0)
    batch = task.rows.batch(ROWS, negatives)
    propensity = dros_propensity(task.target_counts)
    objective = choose_objective(
        student,
        config,
        propensity,
        task.rows.in_softmax,
        len(ROWS),
        has_lists=batch.lists is not None,
    )
    terms = dict(zip(objective.names, objective.terms(student, batch), strict=True))
    with torch.no_grad():
        scores = student(batch.sequences, batch.lengths).double()
    return student, batch, terms, scores


def softplus(values: Tensor) -> Tensor:
    return torch.log1p(torch.exp(values))


@pytest.mark.parametrize("base", ["gbce", "bpr"])
@pytest.mark.parametrize("window_offset", [False, True])
def test_losses_people_compare_with_are_what_their_papers_say(
    base: str, window_offset: bool
) -> None:
    config = changed(
        SMALL,
        student={"window_offset": window_offset},
        loss={"base": base, "n_negatives": 3, "calibration": 0.6},
        distillation={"ranking_weight": 0.0},
    )
    student, batch, terms, scores = prepared(config)
    assert batch.negatives is not None
    target = scores.gather(1, batch.targets[:, None])
    drawn = scores.gather(1, batch.negatives)
    for row in range(len(ROWS)):
        window = set(batch.sequences[row, : batch.lengths[row]].tolist())
        met = sorted(window - {int(batch.targets[row])}) if window_offset else []
        # An item of the window counts as often as one outside it is drawn.
        outside = student.n_items - len(window | {int(batch.targets[row])})
        weights = torch.tensor([1.0] * 3 + [3 / outside] * len(met), dtype=torch.float64)
        negative = torch.cat([drawn[row], scores[row, met]])
        if base == "gbce":
            beta = 1 - 0.6 * (1 - 3 / (student.n_items - 1))
            expected = beta * softplus(-target[row]) + (weights * softplus(negative)).sum()
        else:
            expected = (weights * softplus(negative - target[row])).sum() / weights.sum()
        assert terms["base"][row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_bce_with_dros_and_importance_is_the_sum_of_the_papers_terms() -> None:
    config = changed(
        SMALL,
        student={"window_offset": False},
        loss={"base": "bce", "n_negatives": 3, "dro_weight": 0.5, "dro_temperature": 2.0},
        distillation={**IMPORTANCE, "ranking_weight": 0.7},
    )
    _, batch, terms, scores = prepared(config)
    assert set(terms) == {"base", "dro", "ranking"}
    assert batch.negatives is not None
    assert batch.lists is not None
    target = scores.gather(1, batch.targets[:, None])
    negative = scores.gather(1, batch.negatives)
    base = softplus(-target).sum(1) + softplus(negative).sum(1)
    torch.testing.assert_close(terms["base"].double(), base, rtol=1e-5, atol=1e-6)

    p = dros_propensity(torch.from_numpy(DATASET.target_counts())).double()
    z = p * scores**2 / 2
    z_target = p[batch.targets, None] * (target - 1) ** 2 / 2
    dro = torch.log(
        torch.exp(z).sum(1, keepdim=True)
        - torch.exp(z.gather(1, batch.targets[:, None]))
        + torch.exp(z_target)
    ).squeeze(1)
    torch.testing.assert_close(terms["dro"].double(), 0.5 * dro, rtol=1e-5, atol=1e-6)

    student_top = scores.topk(6, dim=1).indices
    agreed = (batch.lists.items[:, :, None] == student_top[:, None, :]).any(2).double()
    weight = batch.lists.weight.double() + 0.1 * agreed
    assert 0 < agreed.sum() < agreed.numel()
    candidate = scores.gather(1, batch.lists.items)
    ranking = 0.7 * (weight * softplus(-candidate)).sum(1)
    torch.testing.assert_close(terms["ranking"].double(), ranking, rtol=1e-5, atol=1e-6)


def test_softmax_with_soft_targets_is_a_mixture_of_two_cross_entropies() -> None:
    config = changed(SMALL, distillation={"ranking_weight": 0.3})
    _, batch, terms, scores = prepared(config)
    assert set(terms) == {"base"}
    assert batch.lists is not None
    log_p = scores.log_softmax(1)
    target = -log_p.gather(1, batch.targets[:, None]).squeeze(1)
    soft = -(batch.lists.probability * log_p.gather(1, batch.lists.items)).sum(1)
    share = 0.3 * (batch.lists.probability.sum(1) > 0)
    torch.testing.assert_close(
        terms["base"].double(), (1 - share) * target + share * soft, rtol=1e-5, atol=1e-6
    )


def test_sampled_softmax_weighs_each_negative_by_how_often_it_is_expected() -> None:
    config = changed(
        SMALL, loss={"base": "sampled_softmax", "n_negatives": 9}, distillation=IMPORTANCE
    )
    _, batch, terms, scores = prepared(config)
    assert batch.negatives is not None
    assert batch.log_expected is not None
    for row, base in enumerate(terms["base"].tolist()):
        own = scores[row].exp()
        drawn = own[batch.negatives[row]].sum() / batch.log_expected[row].exp().double()
        met = own[others_in_window(batch, row)].sum()  # never drawn: each once
        target = own[batch.targets[row]]
        assert base == pytest.approx(float(((target + met + drawn) / target).log()), rel=1e-5)
    assert set(terms) == {"base", "ranking"}


def others_in_window(batch: Batch, row: int) -> list[int]:
    items = batch.sequences[row, : batch.lengths[row]].tolist()
    return sorted(set(items) - {int(batch.targets[row])})


def test_bce_weighs_a_window_item_as_often_as_another_item_is_drawn() -> None:
    loss = {"base": "bce", "n_negatives": 9}
    with_offset = changed(SMALL, loss=loss, distillation=IMPORTANCE)
    _, batch, terms, scores = prepared(with_offset)
    assert batch.negatives is not None
    for row, base in enumerate(terms["base"].tolist()):
        window = others_in_window(batch, row)
        possible = DATASET.n_items - len(window) - 1
        drawn, met = scores[row, batch.negatives[row]], scores[row, window]
        target = scores[row, batch.targets[row]]
        expected = softplus(-target) + softplus(drawn).sum() + softplus(met).sum() * 9 / possible
        assert base == pytest.approx(float(expected), rel=1e-5)


def with_every_other_item(config: Config) -> Batch:
    """Rows whose negatives are all items outside window and target, each once."""
    task = make_training_data(config, DATASET, TEACHER, CPU)
    assert task.sampler is not None
    whole = task.rows.batch(torch.arange(len(DATASET.train)), task.sampler.epoch(0, 0))
    left = {}
    for row in range(len(whole.targets)):
        met = {*others_in_window(whole, row), int(whole.targets[row])}
        others = [item for item in range(DATASET.n_items) if item not in met]
        if len(others) == config.loss.n_negatives:
            left[row] = others
    rows = torch.tensor(list(left))
    batch, negatives = task.rows.batch(rows, whole.negatives), torch.tensor(list(left.values()))
    assert batch.lists is not None
    return replace(
        batch,
        negatives=negatives,
        log_expected=torch.zeros(len(rows)),
        listed=torch.cat([batch.targets[:, None], negatives, batch.lists.items], dim=1),
    )


def gradients_of(
    config: Config, student: Student, batch: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    propensity = dros_propensity(torch.from_numpy(DATASET.target_counts()))
    objective = choose_objective(
        student, config, propensity, None, len(batch.targets), has_lists=True
    )
    terms = objective.terms(student, batch)
    student.zero_grad()
    terms.sum().backward()
    found = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    return terms.detach(), found


# Of 40 items: windows of five others, and of four, such as those that hold the target.
@pytest.mark.parametrize("n_drawn", [34, 35])
@pytest.mark.parametrize("dro_weight", [0.0, 0.5], ids=["step by step", "in one pass"])
def test_sampled_softmax_with_every_item_is_the_full_softmax(
    dro_weight: float, n_drawn: int
) -> None:
    """In value and in every gradient, that of the window's offset among them."""
    sampled = changed(
        SMALL,
        loss={"base": "sampled_softmax", "n_negatives": n_drawn, "dro_weight": dro_weight},
        distillation={"drop_window_items": False},
    )
    full = changed(sampled, loss={"base": "softmax"})
    batch = with_every_other_item(sampled)
    holds_target = in_window(batch.targets[:, None], batch.sequences)
    assert holds_target.any() == (n_drawn == 35)
    student, *_ = prepared(sampled)
    assert batch.lists is not None
    plain = replace(
        batch,
        negatives=None,
        log_expected=None,
        listed=torch.cat([batch.targets[:, None], batch.lists.items], dim=1),
    )
    terms, gradients = gradients_of(sampled, student, batch)
    expected_terms, expected = gradients_of(full, student, plain)
    torch.testing.assert_close(terms, expected_terms, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-4)
    assert "window_offset" in gradients


@pytest.mark.parametrize("base", ["sampled_softmax", "bce"])
@pytest.mark.parametrize("exclude", ["window", "history"])
def test_the_offset_of_the_window_falls_where_no_window_holds_the_target(
    base: str, exclude: str
) -> None:
    """Were the window missing from the loss, the offset would have no gradient but upwards."""
    loss = {"base": base, "n_negatives": 5, "exclude": exclude}
    config = changed(SMALL, loss=loss, distillation={"ranking_weight": 0.0})
    student, batch, terms, _ = prepared(config)
    assert not in_window(batch.targets[:, None], batch.sequences).any()
    torch.stack(tuple(terms.values())).sum().backward()
    assert student.window_offset is not None
    assert student.window_offset.grad is not None
    assert student.window_offset.grad > 0.01  # a step goes against it: downwards


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"distillation": {"ranking_weight": 0.0}}, "ranking"),
        ({"loss": {"dro_weight": 0.0}}, "dro"),
    ],
)
def test_a_part_switched_off_leaves_the_others_as_they_are(
    change: dict[str, dict[str, float]], gone: str
) -> None:
    # With the lists out of the way, other items may be drawn as negatives.
    loss = {"base": "bce", "dro_weight": 0.5, "exclude_listed": False}
    config = changed(SMALL, loss=loss, distillation=IMPORTANCE)
    _, _, full, _ = prepared(config)
    _, _, part, _ = prepared(changed(config, **change))
    assert set(full) - set(part) == {gone}
    for name, term in part.items():
        torch.testing.assert_close(term, full[name], rtol=ROUNDING, atol=0)


@pytest.mark.parametrize("gamma", ["position_gamma", "confidence_gamma", "consistency_gamma"])
def test_each_gamma_can_be_switched_off_alone(gamma: str) -> None:
    config = changed(SMALL, loss={"base": "bce"}, distillation=IMPORTANCE)
    _, _, full, _ = prepared(config)
    _, _, part, _ = prepared(changed(config, distillation={gamma: 0.0}))
    assert (part["ranking"] < (1 - ROUNDING) * full["ranking"]).any()
    assert (part["ranking"] <= (1 + ROUNDING) * full["ranking"]).all()
    torch.testing.assert_close(part["base"], full["base"], rtol=ROUNDING, atol=0)


def test_embedding_distillation_can_be_switched_off_alone() -> None:
    student, *_ = prepared(changed(SMALL, distillation={"embedding_weight": 0.0}))
    assert not any("projector" in name for name, _ in student.named_parameters())
    taught, *_ = prepared(SMALL)
    assert any("projector" in name for name, _ in taught.named_parameters())


def test_the_gradient_is_that_of_the_full_score_matrix() -> None:
    config = changed(
        SMALL,
        student={"window_offset": False},
        loss={"base": "bce", "n_negatives": 3, "dro_weight": 0.5},
        distillation=IMPORTANCE,
    )
    student, batch, terms, _ = prepared(config)
    torch.stack(tuple(terms.values())).sum(0).mean().backward()
    got = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    assert batch.negatives is not None
    assert batch.lists is not None
    scores = student(batch.sequences, batch.lengths)
    target = scores.gather(1, batch.targets[:, None])
    base = softplus(-target).sum(1) + softplus(scores.gather(1, batch.negatives)).sum(1)
    p = dros_propensity(torch.from_numpy(DATASET.target_counts()))
    z = (p * scores**2).scatter(
        1, batch.targets[:, None], p[batch.targets, None] * (target - 1) ** 2
    )
    agreed = scores.topk(6, dim=1).indices
    agreed = (batch.lists.items[:, :, None] == agreed[:, None, :]).any(2).float()
    weight = batch.lists.weight + 0.1 * agreed
    ranking = (weight * softplus(-scores.gather(1, batch.lists.items))).sum(1)
    (base + 0.5 * z.logsumexp(1) + 0.7 * ranking).mean().backward()
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_the_authors_variant_trains_on_their_own_objective() -> None:
    config = changed(
        load_config(recipe="authors"), student={"hidden_size": 8}, distillation={"top_k": 6}
    )
    student, batch, terms, _ = prepared(config)
    assert set(terms) == {"base", "dro", "ranking"}
    assert batch.lists is not None
    assert batch.lists.meaning == "authors' weight"
    assert student.output is not None
    torch.stack(tuple(terms.values())).sum(0).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)


def test_the_authors_variant_without_dros_is_their_objective_at_alpha_zero() -> None:
    config = changed(
        load_config(recipe="authors"),
        student={"hidden_size": 8},
        loss={"dro_weight": 0.0},
        distillation={"top_k": 6},
    )
    _, _, terms, _ = prepared(config)
    assert set(terms) == {"base", "ranking"}
    assert all(torch.isfinite(term).all() for term in terms.values())


@pytest.mark.parametrize(
    "change",
    [
        {"loss": {"base": "softmax"}},
        {"loss": {"n_negatives": 2}},
        {"distillation": {"drop_window_items": True}},
        {"train": {"prefix_rows": True}},
    ],
)
def test_settings_that_the_authors_objective_would_not_read_are_refused(
    change: dict[str, dict[str, object]],
) -> None:
    with pytest.raises(ConfigError, match='variant = "authors", expected'):
        changed(load_config(recipe="authors"), **change)
