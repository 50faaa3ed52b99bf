"""Contrastive tuning: a tiny encoder learns what follows what, and is read by `teacher embed`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.llm.encode import encode_titles
from dllm2rec.llm.tune_encoder import EncoderTuneForm, title_pairs, tune_encoder
from tests.support.tiny_models import tiny_encoder
from tests.support.worlds import N_ITEMS, cycle_dataset

pytestmark = pytest.mark.slow

FORM = EncoderTuneForm(epochs=3, learning_rate=1e-2, batch_size=16, rows=300)
# Words of two letters that tell the items apart.
WORDS = [f"{chr(97 + n // 10)}{chr(105 + n % 10)}" for n in range(N_ITEMS)]


@pytest.fixture(scope="module")
def dataset():
    plain = cycle_dataset()
    return replace(plain, catalogue=Catalogue(plain.catalogue.item_ids, WORDS))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("datasets", reason="the extra llm is not installed")
    pytest.importorskip("accelerate", reason="the extra llm is not installed")
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def nearness(vectors):
    """How much nearer the next item of the cycle is than others, in cosines."""
    cosines = vectors @ vectors.T
    following = cosines[np.arange(N_ITEMS), (np.arange(N_ITEMS) + 1) % N_ITEMS]
    return float(following.mean() - cosines.mean())


def test_a_tuned_encoder_puts_what_follows_nearer(dataset, model, tmp_path, capsys):
    steps = []
    losses = tune_encoder(
        model, dataset, FORM, tmp_path / "tuned", report=lambda *told: steps.append(told)
    )
    assert losses[-1] < losses[0] - 0.2
    before, after = (
        nearness(encode_titles(WORDS, folder)) for folder in (model, str(tmp_path / "tuned"))
    )
    assert after > before + 0.1
    assert steps[-1][1] == steps[-1][2] == len(steps)
    assert capsys.readouterr().out == ""  # a command's output is for its results
    again = tune_encoder(model, dataset, FORM, tmp_path / "again")
    assert again == losses
    vectors = [encode_titles(WORDS, str(tmp_path / name)) for name in ("tuned", "again")]
    np.testing.assert_array_equal(*vectors)


def test_pairs_are_of_train_rows_newest_title_first(dataset):
    titles = [*WORDS]
    titles[3] = " "
    data = replace(dataset, catalogue=Catalogue(dataset.catalogue.item_ids, titles))
    pairs = title_pairs(data, EncoderTuneForm(n_history=2))
    expected = []
    for start, end in zip(data.train.start.tolist(), data.train.end.tolist(), strict=True):
        history, target = data.events[start:end].tolist()[::-1][:2], int(data.events[end])
        text = "; ".join(titles[item] for item in history if item != 3)
        if text and target != 3:
            expected.append((text, titles[target]))
    assert pairs == expected
    assert len(title_pairs(data, EncoderTuneForm(rows=20))) <= 20


def test_what_cannot_be_tuned_is_refused(dataset, model, tmp_path):
    with pytest.raises(ConfigError, match="batch_size = 1, expected at least 2"):
        EncoderTuneForm(batch_size=1)
    bare = replace(dataset, catalogue=Catalogue(dataset.catalogue.item_ids, ["x"] + [""] * 39))
    with pytest.raises(InputError, match="rows with titles, expected at least 2"):
        title_pairs(bare, EncoderTuneForm())
    with pytest.raises(ConfigError, match="expected a folder with a Hugging Face model"):
        tune_encoder(str(tmp_path / "nothing"), dataset, FORM, tmp_path / "out")


def test_the_command_tunes_an_encoder_that_embed_reads(dataset, model, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    for name, write in authors_files(dataset).items():
        write(tmp_path / "data" / name)
    words = ["--dataset", str(tmp_path / "data"), "--device", "cpu"]
    fit = ["teacher", "fit", *words, "--model", model, "--out", str(tmp_path / "tuned")]
    fit += ["--method", "contrastive", "--rows", "64", "--batch-size", "16"]
    assert main(fit) == 0
    assert "written to" in capsys.readouterr().out
    embed = ["teacher", "embed", *words, "--model", str(tmp_path / "tuned"), "--no-fit"]
    assert main([*embed, "--out", str(tmp_path / "teacher")]) == 0
    assert main([*fit[:-4], "--out", str(tmp_path / "other"), "--history", "0"]) == 2
