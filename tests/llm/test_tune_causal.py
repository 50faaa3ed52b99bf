"""A causal model tuned on title sequences: it learns the cycle, and can be generated with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.metrics import list_metrics
from dllm2rec.llm.causal import load_causal
from dllm2rec.llm.generate import GenerateForm, generate_lists
from dllm2rec.llm.tune_causal import TuneForm, _padded, _sequences, save_causal, tune_causal
from tests.support.tiny_models import tiny_causal, tiny_gguf
from tests.support.worlds import cycle_dataset

pytestmark = pytest.mark.slow

FORM = TuneForm(epochs=3, learning_rate=1e-2, batch_size=16, n_history=2, rank=4)


@pytest.fixture(scope="module")
def dataset():
    plain = cycle_dataset(n_users=60, noise=0.0)
    letters = [f"{'abcdefgh'[i // 5]}{i % 5}" for i in range(40)]
    return replace(plain, catalogue=Catalogue(plain.catalogue.item_ids, letters))


# What peft asks transformers for.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("method", ["full", "lora"])
def test_tuned_model_lists_what_follows(dataset, tmp_path, method):
    if method == "lora":
        pytest.importorskip("peft", reason="the extra llm is not installed")
    causal = load_causal(tiny_causal(tmp_path / "model"), device="cpu", precision="float32")
    form = GenerateForm(top=3, n_beams=6, n_history=2)
    before = generate_lists(causal, dataset, form, tmp_path / "before")
    losses = tune_causal(causal, dataset, replace(FORM, method=method))
    assert losses[-1] < losses[0]
    save_causal(causal, tmp_path / "tuned")
    again = load_causal(str(tmp_path / "tuned"), device="cpu", precision="float32")
    after = generate_lists(again, dataset, form, tmp_path / "after")
    targets = dataset.targets(dataset.test)
    hit = [list_metrics(one.ranking_test, targets, 3)["hr@3"] for one in (before, after)]
    assert hit[1] > hit[0] + 0.1


def test_a_model_that_refuses_another_precision_is_tuned(dataset, tmp_path, monkeypatch):
    causal = load_causal(tiny_causal(tmp_path / "model"), device="cpu", precision="float32")

    def refuses(*_):
        raise ValueError("not supported for quantized model")  # as of one read from a GGUF file

    monkeypatch.setattr(causal.model, "float", refuses)
    monkeypatch.setattr(causal.model, "to", refuses)
    assert tune_causal(causal, dataset, replace(FORM, epochs=1, rows=16))


def test_a_model_in_a_gguf_file_is_tuned_saved_and_loaded_again(dataset, tmp_path):
    model = tiny_gguf(tmp_path / "model.gguf")
    causal = load_causal(model, device="cpu", precision="float32")
    tune_causal(causal, dataset, replace(FORM, epochs=1, rows=64))
    save_causal(causal, tmp_path / "tuned")
    again = load_causal(str(tmp_path / "tuned"), device="cpu", precision="float32")
    untuned = load_causal(model, device="cpu", precision="float32")
    weights = [one.model.state_dict() for one in (causal, again, untuned)]
    for name, tuned in weights[0].items():
        assert torch.equal(tuned, weights[1][name])
        assert not torch.equal(tuned, weights[2][name]), name


def test_a_quantised_model_is_refused_before_it_is_tuned(dataset, tmp_path):
    causal = load_causal(tiny_causal(tmp_path / "model"), device="cpu", precision="float32")
    causal.model.hf_quantizer = object()
    with pytest.raises(
        ConfigError, match="the model is quantised, expected one with plain weights"
    ):
        tune_causal(causal, dataset, FORM)


def test_a_row_learns_every_title_but_the_first(dataset, tmp_path):
    causal = load_causal(tiny_causal(tmp_path / "model"), device="cpu", precision="float32")
    row = _sequences(causal, dataset, FORM)[1]
    tokens, wanted = _padded(
        [row, ([causal.end, 1, causal.end], 1)], causal.end, torch.device("cpu")
    )
    learnt = wanted[0] != -100
    # <end> a0 <end> a1 <end> a2 <end>: all from a1 on.
    first = (tokens[0, 1:] == causal.end).nonzero()[0, 0] + 2
    assert learnt.tolist() == [place >= first for place in range(len(learnt))]
    assert (wanted[0][learnt] == tokens[0][learnt]).all()
    assert (wanted[1][3:] == -100).all()


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ConfigError, match="method = 'half', expected one of full, lora"):
        TuneForm(method="half")
    with pytest.raises(ConfigError, match="epochs = 0"):
        TuneForm(epochs=0)


def test_command_writes_a_model_to_generate_with(dataset, tmp_path, capsys):
    model = tiny_causal(tmp_path / "model")
    (tmp_path / "data").mkdir()
    for name, write in authors_files(dataset).items():
        write(tmp_path / "data" / name)
    words = ["teacher", "fit", "--dataset", str(tmp_path / "data"), "--model", model]
    words += ["--device", "cpu", "--rows"]
    n_train = len(dataset.train)
    few, many = str(n_train // 3), str(n_train // 3 * 2)
    assert main([*words, few, "--out", str(tmp_path / "tuned")]) == 0
    told = capsys.readouterr().out
    assert "written to" in told
    assert "note:" not in told
    load_causal(str(tmp_path / "tuned"), device="cpu")
    assert main([*words, few, "--out", str(tmp_path / "tuned")]) == 2
    assert main([*words, many, "--out", str(tmp_path / "again")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"tuned on the targets of {many} of {n_train} train rows" in told
    assert f"--rows {few} leaves most rows unseen" in told
