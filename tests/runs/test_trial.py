"""Which trainings a grid asks for, in which order, and whose a record is."""

from __future__ import annotations

from itertools import islice

import pytest

from dllm2rec.config.load import changed, load_config
from dllm2rec.runs.trial import Trial, trial_of, trials

GRID = changed(
    load_config(),
    student={"dropout": [0.2, 0.6]},
    distillation={"ranking_weight": [0.0, 0.1, 0.3]},
)


def run(config, quality):
    """All trials of a grid, where `quality` gives what each one reaches."""
    records = []
    tried = []
    for trial in trials(config, records):
        tried.append(trial)
        records.append({**trial._asdict(), "ndcg@20": 0.01})
        records.append({**trial._asdict(), "ndcg@20": quality(trial)})
    assert len(tried) == len(set(tried))
    return tried


def test_other_weights_are_tried_with_the_best_dropout():
    first = [Trial(0.6, 0.1), Trial(0.2, 0.1)]
    low = run(GRID, lambda trial: 1 - trial.dropout)
    assert low == [*first, Trial(0.2, 0.0), Trial(0.2, 0.3)]
    high = run(GRID, lambda trial: trial.dropout)
    assert high == [*first, Trial(0.6, 0.0), Trial(0.6, 0.3)]
    assert run(GRID, lambda _: 0.5) == high  # of equal ones the first


def test_one_dropout_leaves_the_weights_in_their_order():
    one = changed(GRID, student={"dropout": 0.4})
    assert run(one, lambda _: 0.5) == [Trial(0.4, 0.0), Trial(0.4, 0.1), Trial(0.4, 0.3)]
    alone = changed(GRID, distillation={"ranking_weight": 0.0})
    assert run(alone, lambda _: 0.5) == [Trial(0.6, 0.0), Trial(0.2, 0.0)]


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (0.1, [0.3, 0.5, 0.2, 0.1]),
        (0.2, [0.3, 0.5, 0.2, 0.1]),
        (0.3, [0.3, 0.5, 0.2]),
        (0.5, [0.3, 0.5, 0.6]),
        (0.6, [0.3, 0.5, 0.6]),
    ],
)
def test_dropouts_are_tried_from_the_middle_to_where_validation_gains(best, tried):
    grid = changed(
        GRID,
        student={"dropout": [0.1, 0.2, 0.3, 0.5, 0.6]},
        distillation={"ranking_weight": [0.0, 0.3]},
    )
    found = run(grid, lambda trial: 1 - abs(trial.dropout - best))
    assert found == [*(Trial(one, 0.3) for one in tried), Trial(best, 0.0)]


def test_a_walk_that_is_taken_up_again_goes_the_same_way():
    """As `--resume` does: all that was tried is known, and what is yielded may be passed over."""
    grid = changed(
        GRID,
        student={"dropout": [0.1, 0.2, 0.3, 0.5, 0.6]},
        distillation={"ranking_weight": [0.0, 0.3]},
    )
    records = []
    tried = []
    for trial in trials(grid, records):
        tried.append(trial)
        records.append({**trial._asdict(), "ndcg@20": 1 - abs(trial.dropout - 0.2)})
        assert list(islice(trials(grid, records), len(tried))) == tried


def test_a_trial_is_told_from_configurations_and_records():
    trial = Trial(0.2, 0.3)
    assert trial_of(trial.config(GRID)) == trial
    assert trial.is_of({"epoch": 1, "dropout": 0.2, "ranking_weight": 0.3})
    assert not trial.is_of({"epoch": 1, "dropout": 0.6, "ranking_weight": 0.3})
    assert not trial.is_of({"epoch": 1, "dropout": 0.2, "ranking_weight": 0.1})
    assert str(trial) == "dropout-0.2-weight-0.3"
