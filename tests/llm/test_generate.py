"""Lists of a causal model for the rows of a dataset: whole, resumable, of legal items only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.llm import generate
from dllm2rec.llm.beams.by_level import Found
from dllm2rec.llm.causal import TitleTokens, load_causal, prompts_of, title_tokens
from dllm2rec.llm.generate import GenerateForm, generate_lists
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import check_teacher
from tests.docs.two_processes import launcher
from tests.support.tiny_models import tiny_causal
from tests.support.worlds import N_ITEMS, cycle_dataset

pytestmark = pytest.mark.slow

FORM = GenerateForm(top=5, n_beams=6, n_history=3, batch_size=7, shard_rows=20)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    folder = tiny_causal(tmp_path_factory.mktemp("causal"))
    return load_causal(folder, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def dataset():
    plain = cycle_dataset(n_users=6)
    titles = [*plain.catalogue.titles]
    titles[5] = titles[4]  # one title of two items
    titles[9] = ""
    return replace(plain, catalogue=Catalogue(plain.catalogue.item_ids, titles))


def test_lists_are_legal_and_go_on_where_they_stopped(causal, dataset, tmp_path, monkeypatch):
    whole = generate_lists(causal, dataset, FORM, tmp_path / "whole")
    check_teacher(whole, dataset)
    assert whole.ranking.max() < N_ITEMS
    assert not (whole.ranking == 9).any()
    for row in whole.ranking.tolist():
        assert len(set(row)) == 5
        # Who names the title of items 4 and 5 names both, in their order, as long as there is room.
        if 4 in row[:-1]:
            assert row[row.index(4) + 1] == 5
    assert (np.diff(whole.distance, axis=1) >= 0).all()
    assert (whole.distance[:, 0] == 0).all()

    calls = []
    answer = generate.answer_histories

    def stopping(*given):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(given[3]))
        return answer(*given)

    monkeypatch.setattr(generate, "answer_histories", stopping)
    with pytest.raises(KeyboardInterrupt):
        generate_lists(causal, dataset, FORM, tmp_path / "stopped")
    n_shards = len([*(tmp_path / "whole").glob("*.npz")])
    counted = []
    monkeypatch.setattr(
        generate, "answer_histories", lambda *given: (counted.append(1), answer(*given))[1]
    )
    again = generate_lists(causal, dataset, FORM, tmp_path / "stopped")
    assert len(counted) == n_shards - 2
    np.testing.assert_array_equal(again.ranking, whole.ranking)
    np.testing.assert_array_equal(again.ranking_test, whole.ranking_test)


def test_lists_are_those_of_the_search_by_levels(causal, dataset, tmp_path, monkeypatch):
    packed = generate_lists(causal, dataset, FORM, tmp_path / "packed")
    monkeypatch.setattr(generate, "has_tree_attention", lambda _: False)
    monkeypatch.delattr(generate, "search_packed")
    by_level = generate_lists(causal, dataset, replace(FORM, batch_size=None), tmp_path / "level")
    np.testing.assert_array_equal(packed.ranking, by_level.ranking)
    np.testing.assert_allclose(packed.distance, by_level.distance, atol=1e-5)


def test_lists_end_where_titles_do_and_leave_no_item_beyond():
    titles = TitleTokens([[1]] * 6, [[1], [2], [3]], [[0, 2, 5], [1], [3, 4]])
    found = Found(
        torch.tensor([[2, 0, 1], [1, -1, -1], [-1, -1, -1]]),
        torch.tensor([[-1.0, -2.0, -4.0], [-3.0, -torch.inf, -torch.inf], [-torch.inf] * 3]),
    )
    items, distances = generate._listed(found, titles, top=4)
    assert items.tolist() == [[3, 4, 0, 2], [1, 6, 6, 6], [6, 6, 6, 6]]
    expected = [[0, 0, 0.05, 0.05], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(distances, expected, atol=1e-7)


def test_shards_of_something_else_are_refused(causal, dataset, tmp_path):
    generate_lists(causal, dataset, FORM, tmp_path / "shards")
    with pytest.raises(ArtifactError, match="shards of another"):
        generate_lists(causal, dataset, replace(FORM, n_history=2), tmp_path / "shards")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(ConfigError, match="not empty"):
        generate_lists(causal, dataset, FORM, tmp_path / "other")


def test_fewer_beams_than_items_are_refused():
    with pytest.raises(ConfigError, match="at least the 20 items"):
        GenerateForm(top=20, n_beams=10)


def test_prompts_hold_the_newest_titles_oldest_first(causal, dataset):
    titles = title_tokens(causal, dataset.catalogue.titles)
    history = np.array([[3, 9, 2, 1, N_ITEMS]])
    (prompt,) = prompts_of(causal, titles, history, n_history=3)
    end = causal.end
    assert prompt == [end, *titles.of_item[2], end, *titles.of_item[3], end]


def test_command_writes_a_teacher_and_leaves_no_shards(dataset, tmp_path, capsys):
    model = tiny_causal(tmp_path / "model")
    (tmp_path / "data").mkdir()
    for name, write in authors_files(dataset).items():
        write(tmp_path / "data" / name)
    words = ["teacher", "generate", "--dataset", str(tmp_path / "data"), "--model", model]
    words += ["--out", str(tmp_path / "teacher"), "--top", "5", "--beams", "6", "--history", "3"]
    assert main([*words, "--device", "cpu", "--precision", "float32"]) == 0
    assert "written to" in capsys.readouterr().out
    data = load_dataset(tmp_path / "data")
    assert load_teacher(tmp_path / "teacher", data).ranking.shape == (len(data.train), 5)
    assert not (tmp_path / "teacher-shards").exists()


def test_two_processes_share_the_shards_and_write_the_same_lists(dataset, tmp_path):
    model = tiny_causal(tmp_path / "model")
    (tmp_path / "data").mkdir()
    for name, write in authors_files(dataset).items():
        write(tmp_path / "data" / name)
    data = load_dataset(tmp_path / "data")
    form = replace(FORM, shard_rows=4096)
    causal = load_causal(model, device="cpu", precision="float32")
    alone = generate_lists(causal, data, form, tmp_path / "alone")
    words = ["teacher", "generate", "--dataset", "data", "--model", model, "--device", "cpu"]
    words += ["--precision", "float32", "--threads", "1", "--out", "teacher"]
    words += ["--top", "5", "--beams", "6", "--history", "3", "--batch-size", "7"]
    with launcher() as launch:
        codes, log = launch(tmp_path, words)
        assert codes == [0, 0], log
        assert log.count("written to teacher") == 1
        refused, told = launch(tmp_path, ["teacher", "plan", *words[2:4], "--budget", "3"])
    assert refused == [2, 2]
    assert "torchrun is for" in told
    together = load_teacher(tmp_path / "teacher", data)
    np.testing.assert_array_equal(together.ranking, alone.ranking)
    np.testing.assert_array_equal(together.ranking_test, alone.ranking_test)
    assert not (tmp_path / "teacher-shards").exists()


def test_each_process_answers_every_second_missing_shard(causal, dataset, tmp_path, monkeypatch):
    """Two processes in turn, each with what the other has written by then."""
    whole = generate_lists(causal, dataset, FORM, tmp_path / "whole")
    answer, answered = generate.answer_histories, []
    monkeypatch.setattr(
        generate, "answer_histories", lambda *given: (answered.append(1), answer(*given))[1]
    )
    n_shards = len([*(tmp_path / "whole").glob("*.npz")])
    monkeypatch.setattr(generate, "process_blocks", lambda n: range(1, n, 2))
    with pytest.raises(FileNotFoundError):  # the first process's are missing yet
        generate_lists(causal, dataset, FORM, tmp_path / "shared")
    assert len(answered) == n_shards // 2
    monkeypatch.setattr(generate, "process_blocks", range)
    again = generate_lists(causal, dataset, FORM, tmp_path / "shared")
    assert len(answered) == n_shards
    np.testing.assert_array_equal(again.ranking, whole.ranking)
