"""The public functions as people call them: paths as text, one name where several may be."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import dllm2rec
from dllm2rec import ConfigError, InputError
from tests.support.worlds import cycle_dataset, oracle_teacher

FEW = ["train.max_epochs=1", "student.hidden_size=16", "train.device=cpu"]
EVENTS = pd.DataFrame(
    {
        "user_id": np.repeat(np.arange(30), 6),
        "item_id": (np.arange(180) * 7) % 40,
        "timestamp": 1_600_000_000 + np.arange(180),
    }
)


def functions() -> dict[str, object]:
    public = {name: getattr(dllm2rec, name) for name in dllm2rec.__all__}
    found = {name: value for name, value in public.items() if inspect.isroutine(value)}
    found["Source.of"] = dllm2rec.Source.of
    return {name: value for name, value in found.items() if name != "set_threads"}


@pytest.mark.parametrize("name", functions())
def test_no_public_function_takes_a_path_as_path_alone(name: str) -> None:
    for parameter in inspect.signature(functions()[name]).parameters.values():
        kinds = [part.strip() for part in str(parameter.annotation).split("|")]
        assert "Path" not in kinds or "str" in kinds, f"{name}({parameter})"


@pytest.mark.slow
def test_a_whole_run_with_paths_as_text(tmp_path: Path) -> None:
    dataset = cycle_dataset()
    run, folder, teacher = str(tmp_path / "run"), str(tmp_path / "data"), str(tmp_path / "teacher")
    prepared = dllm2rec.prepare(EVENTS)
    dllm2rec.save_dataset(prepared, folder)
    assert dllm2rec.load_dataset(folder).fingerprint() == prepared.dataset.fingerprint()
    dllm2rec.save_teacher(teacher, oracle_teacher(dataset), dataset)
    assert dllm2rec.load_teacher(teacher, dataset).top_n > 1
    settings = str(tmp_path / "config.toml")
    Path(settings).write_text(
        dllm2rec.config_to_toml(dllm2rec.load_config(recipe="light", overrides=FEW))
    )
    config = dllm2rec.load_config(path=settings)
    source = dllm2rec.Source.of(folder)
    options = dllm2rec.RunOptions(source=source)
    result = dllm2rec.train_run(
        config, prepared.dataset, None, run, students="sasrec", options=options
    )
    assert [row.name for row in result.rows][-1] == "sasrec"
    assert dllm2rec.evaluate_run(run, ks=10, device="cpu").rows[0].metrics["hr@10"] >= 0
    moved = dllm2rec.evaluate_run(run, dataset=folder, ks=[1, 10], device="cpu")
    assert moved.rows[0].metrics["hr@1"] <= moved.rows[0].metrics["hr@10"]
    assert dllm2rec.load_checkpoint(f"{run}/sasrec").n_items == prepared.dataset.n_items
    assert dllm2rec.write_report(run).is_file()
    resumed = dllm2rec.resume_run(run, prepared.dataset, None)
    assert resumed.rows == result.rows
    assert len(dllm2rec.recommend(run, [EVENTS["item_id"][:3]], k=5)[0]) == 5
    np.save(tmp_path / "scores.npy", np.zeros((len(prepared.dataset.test), 40), np.float32))
    scored = dllm2rec.evaluate_scores(str(tmp_path / "scores.npy"), prepared.dataset, ks=10)
    assert scored.rows[-1].metrics["hr@10"] == pytest.approx(10 / 40)
    with dllm2rec.logging_to([], run):
        pass


def test_one_name_stands_for_a_list_of_it(tmp_path: Path) -> None:
    assert dllm2rec.load_config(overrides="train.max_epochs=7").train.max_epochs == 7
    with pytest.raises(ConfigError, match="nope"), dllm2rec.logging_to("nope", tmp_path):
        pass
    counts = dllm2rec.RankCounts(np.array([0, 3]), np.array([0, 0]))
    assert dllm2rec.rank_metrics(counts, 1)["hr@1"] == 0.5
    assert dllm2rec.list_metrics([[0, 1], [1, 0]], [0, 0], 1)["hr@1"] == 0.5
    for texts in ({"item_ids": "abc"}, {"item_ids": ["a", "b", "c"], "titles": "abc"}):
        with pytest.raises(InputError, match="is one text, expected a list of texts"):
            dllm2rec.Catalogue(**texts)


@pytest.mark.parametrize("form", ["pandas", "polars", "arrow", "file", "files", "read"])
def test_prepare_takes_a_log_in_every_form(form: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    EVENTS.to_csv(log, index=False)
    forms = {
        "pandas": EVENTS,
        "polars": pl.from_pandas(EVENTS),
        "arrow": pa.Table.from_pandas(EVENTS),
        "file": str(log),
        "files": [log],
        "read": dllm2rec.from_frame(EVENTS),
    }
    dataset = dllm2rec.prepare(forms[form], "leave-one-out").dataset
    assert dataset.n_items == 40
    assert dataset.catalogue.item_ids[1] == "7"


def test_prepare_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"a builtins\.dict, expected a pandas, polars or Arrow"):
        dllm2rec.prepare({"user_id": [1]})
    with pytest.raises(ConfigError, match="nope"):
        dllm2rec.prepare(EVENTS, "nope")
