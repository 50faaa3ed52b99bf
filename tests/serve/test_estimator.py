"""The estimator: scikit-learn's manner over runs on disk."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

import dllm2rec
from dllm2rec import DLLM2Rec, load, load_config
from dllm2rec.errors import ArtifactError, ConfigError
from tests.support.worlds import cycle_dataset, oracle_teacher
from tests.test_public_calls import EVENTS
from tests.train.test_train_run import CONFIG, changed

FEW = changed(CONFIG, train={"max_epochs": 1}, distillation={"ranking_weight": 0.3})
HISTORY = [["item-3", "item-4"]]


def estimator(**options: Any) -> DLLM2Rec:
    return DLLM2Rec("gru4rec", **({"config": FEW, "progress": False} | options))


@pytest.fixture(scope="module")
def fitted() -> DLLM2Rec:
    dataset = cycle_dataset()
    return estimator().fit(dataset, oracle_teacher(dataset))


def test_what_is_fitted_recommends_evaluates_and_is_saved(fitted: DLLM2Rec, tmp_path: Path) -> None:
    lists = fitted.recommend(HISTORY, 4, filter=["item-9"])
    assert lists == fitted.recommender_.recommend(HISTORY, 4, filter=["item-9"])
    assert [row.name for row in fitted.result_.rows][-1] == "gru4rec + dllm2rec"
    table = fitted.evaluate("validation", ks=10)
    assert table.rows[-1].metrics["hr@10"] > 0
    assert fitted.evaluate().rows[-1].metrics == pytest.approx(fitted.result_.rows[-1].test)

    run = fitted.save(str(tmp_path / "kept"))
    again = DLLM2Rec.load(run, device="cpu")
    assert again.recommend(HISTORY, 4, filter=["item-9"]) == lists
    assert again.student == "gru4rec"
    assert again.evaluate(dataset=cycle_dataset()).rows[-1] == fitted.evaluate().rows[-1]
    assert load(run, device="cpu").recommend(HISTORY, 4, filter=["item-9"]) == lists
    with pytest.raises(ConfigError, match="it exists, expected a new or empty folder"):
        fitted.save(run)
    with pytest.raises(ConfigError, match="expected a place outside of it"):
        fitted.save(fitted.run_ / "within")


def test_parameters_are_those_of_scikit_learn() -> None:
    one = estimator()
    # What clone() does: the same objects go in again.
    params = one.get_params(deep=False)
    assert all(getattr(type(one)(**params), name) is value for name, value in params.items())
    assert one.get_params()["train__max_epochs"] == 1
    assert one.set_params(train__max_epochs=2, student="sasrec") is one
    assert (one.student, one.get_params()["train__max_epochs"]) == ("sasrec", 2)
    assert FEW.train.max_epochs == 1
    assert DLLM2Rec(config="paper").set_params(train__seed=7).get_params()["train__seed"] == 7
    for wrong in ({"nope": 1}, {"train__nope": 1}, {"train__max_epochs": 0}, {"nope__x": 1}):
        with pytest.raises(ConfigError):
            one.set_params(student="caser", **wrong)
    assert one.student == "sasrec"
    with pytest.raises(ConfigError, match="nope"):
        DLLM2Rec(config="nope").get_params()


@pytest.mark.parametrize(("gpu", "recipe"), [(True, "strong"), (False, "light")])
def test_without_a_configuration_it_takes_the_recipe_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, recipe: str
) -> None:
    monkeypatch.setattr("dllm2rec.train.default_recipe.has_gpu", lambda: gpu)
    assert dllm2rec.default_recipe() == recipe
    assert dllm2rec.default_recipe("cpu") == "light"
    one = DLLM2Rec()
    assert repr(one) == f"DLLM2Rec: sasrec, {recipe}, not fitted"
    assert one.get_params(deep=False)["config"] is None
    wanted = load_config(recipe=recipe).student.hidden_size
    assert one.get_params()["student__hidden_size"] == wanted
    set_ = DLLM2Rec().set_params(train__seed=7).get_params()
    assert (set_["student__hidden_size"], set_["train__seed"]) == (wanted, 7)


def test_what_is_not_fitted_says_so() -> None:
    one = estimator()
    assert repr(one) == "DLLM2Rec: gru4rec, a configuration, not fitted"
    calls = (one.evaluate, lambda: one.recommend(HISTORY), lambda: one.save("x"))
    for call in calls:
        with pytest.raises(ConfigError, match="not fitted, expected fit"):
            call()
    with pytest.raises(ArtifactError):
        DLLM2Rec.load("nowhere")


@pytest.mark.slow
def test_a_run_is_where_it_was_asked_for_or_goes_with_the_object(tmp_path: Path) -> None:
    dataset = cycle_dataset()
    one = estimator(folder=str(tmp_path / "run")).fit(dataset)
    assert one.run_ == tmp_path / "run"
    assert [row.name for row in one.result_.rows][-1] == "gru4rec"
    with pytest.raises(ConfigError):
        one.fit(dataset)  # nothing is written over
    assert one.recommend(HISTORY, 2) == load(tmp_path / "run", device="cpu").recommend(HISTORY, 2)
    two = estimator().fit(dataset)
    before = two.run_
    two.fit(dataset)
    assert not before.exists()
    after = two.run_
    assert after.is_dir()
    assert str(after) in repr(two)
    del two
    gc.collect()
    assert not after.parent.exists()


@pytest.mark.slow
def test_folders_will_do(tmp_path: Path) -> None:
    dataset = cycle_dataset()
    dllm2rec.save_dataset(dllm2rec.prepare(EVENTS), tmp_path / "data")
    few = load_config(recipe="light", overrides=["train.max_epochs=1", "student.hidden_size=16"])
    one = estimator(config=few).fit(str(tmp_path / "data"))
    assert one.evaluate().n_rows > 0
    dllm2rec.save_teacher(tmp_path / "teacher", oracle_teacher(dataset), dataset)
    taught = estimator().fit(dataset, str(tmp_path / "teacher"))
    assert taught.result_.rows[-1].name == "gru4rec + dllm2rec"
