"""The search that leaves out what decides nothing: the same lists as the one that does it all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dllm2rec.errors import ConfigError, NonFiniteError
from dllm2rec.llm.beams import packed_search, prompt_pass
from dllm2rec.llm.beams.by_level import search_titles
from dllm2rec.llm.beams.forced_runs import forced_runs
from dllm2rec.llm.beams.packed_search import search_packed
from dllm2rec.llm.beams.title_trie import build_trie
from dllm2rec.llm.beams.tree_attention import has_tree_attention
from dllm2rec.llm.causal import left_padded, load_causal
from tests.support.tiny_models import tiny_causal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    folder = tiny_causal(tmp_path_factory.mktemp("causal"))
    return load_causal(folder, device="cpu", precision="float32")


def world(seed, n_titles, n_rows, n_words=9):
    """Titles of words, so that they share beginnings, many forced, and prompts of all lengths."""
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, 50, rng.integers(1, 6)).tolist() for _ in range(n_words)]
    drawn = rng.integers(0, n_words, (4 * n_titles, 4))
    longest = rng.integers(1, 5, len(drawn))
    titles = [
        [token for word in row[:n] for token in words[word]]
        for row, n in zip(drawn, longest, strict=True)
    ]
    titles = [*dict.fromkeys(map(tuple, titles))][:n_titles]
    prompts = [rng.integers(0, 50, rng.integers(0, 30)).tolist() for _ in range(n_rows)]
    return titles, prompts


def both(causal, titles, prompts, n_beams):
    prompts = [[causal.end, *prompt] for prompt in prompts]
    trie = build_trie(titles, causal.end)
    by_level = search_titles(causal.model, *left_padded(prompts, causal.end, "cpu"), trie, n_beams)
    return by_level, search_packed(causal.model, prompts, trie, forced_runs(trie), n_beams)


@pytest.mark.parametrize(
    ("n_titles", "n_rows", "n_beams"),
    [(1, 3, 4), (2, 1, 1), (40, 9, 1), (40, 9, 3), (150, 12, 20), (400, 30, 8), (60, 5, 90)],
)
def test_packed_search_finds_what_the_search_by_levels_finds(causal, n_titles, n_rows, n_beams):
    titles, prompts = world(n_titles, n_titles, n_rows)
    expected, found = both(causal, titles, prompts, n_beams)
    assert found.titles.tolist() == expected.titles.tolist()
    torch.testing.assert_close(found.scores, expected.scores, atol=3e-5, rtol=0)


def test_packed_search_is_the_same_where_caches_grow_and_prompts_are_read_in_parts(
    causal, monkeypatch
):
    monkeypatch.setattr(packed_search, "ROOM", 16)
    monkeypatch.setattr(prompt_pass, "TOKENS", 40)
    titles, prompts = world(5, 300, 25)
    expected, found = both(causal, titles, prompts, 20)
    assert found.titles.tolist() == expected.titles.tolist()


@torch.no_grad()
def test_search_with_a_beam_for_every_title_is_the_enumeration(causal):
    titles, prompts = world(3, 50, 4)
    _, found = both(causal, titles, prompts, 60)
    whole = [[*title, causal.end] for title in titles]
    for row, prompt in enumerate(prompts):
        scores = []
        for one in whole:
            tokens = torch.tensor([[causal.end, *prompt, *one]])
            likely = causal.model(tokens).logits[0].log_softmax(-1)
            behind = [{o[n] for o in whole if o[:n] == one[:n]} for n in range(len(one))]
            scores.append(
                sum(
                    float(likely[len(prompt) + n, token])
                    for n, token in enumerate(one)
                    if len(behind[n]) > 1
                )
            )
        n = len(titles)
        assert found.titles[row, :n].tolist() == np.argsort(-np.array(scores)).tolist()
        np.testing.assert_allclose(found.scores[row, :n], sorted(scores)[::-1], atol=3e-5)
        assert (found.titles[row, n:] == -1).all()


def test_rows_do_not_depend_on_what_stands_beside_them(causal):
    titles, prompts = world(8, 100, 6)
    _, together = both(causal, titles, prompts, 5)
    for row, prompt in enumerate(prompts):
        _, alone = both(causal, titles, [prompt], 5)
        assert alone.titles[0].tolist() == together.titles[row].tolist()


def test_each_run_is_read_once_and_only_for_beams_that_are_alive(causal):
    """Two titles that part after forced tokens: a pass at the root, and one for what is between."""
    titles = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 7, 8]]
    read = []
    handle = causal.model.base_model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].flatten().tolist()),
        with_kwargs=True,
    )
    trie = build_trie(titles, causal.end)
    try:
        found = search_packed(causal.model, [[9, 9, 5]], trie, forced_runs(trie), 2)
    finally:
        handle.remove()
    assert sorted(found.titles[0].tolist()) == [0, 1]
    # The shape of the cache, the prompt but for its last token, the root, the run to the choice.
    assert read == [[0], [9, 9], [5], [1, 2, 3, 4]]


def test_runs_hold_the_tokens_from_a_choice_to_the_next():
    trie = build_trie([[1, 2, 3], [1, 2, 4, 5, 6], [1, 2, 4, 5, 7], [8]], 9)
    runs = forced_runs(trie)
    written = {}
    for node in range(1, len(trie.title)):  # the root's run is each row's own token
        if int(runs.goal[node]) == node:
            begin = int(runs.begin[node])
            tokens = tuple(runs.token[begin : begin + int(runs.length[node])].tolist())
            written[tokens] = (int(runs.level[node]), int(trie.title[node]))
    assert written == {
        (1, 2): (2, -1),
        (8,): (1, 3),
        (3,): (3, 0),
        (4, 5): (4, -1),
        (6,): (5, 1),
        (7,): (5, 2),
    }
    assert runs.level_width == (2, 2, 2, 2, 2)
    assert runs.goal.shape == runs.level.shape == trie.title.shape


def test_the_models_own_attention_is_back_afterwards(causal):
    before = causal.model.config._attn_implementation
    titles, prompts = world(1, 10, 2)
    both(causal, titles, prompts, 3)
    assert causal.model.config._attn_implementation == before


def test_a_model_that_gives_nan_is_refused(causal, monkeypatch):
    head = causal.model.lm_head.forward
    monkeypatch.setattr(causal.model.lm_head, "forward", lambda x: head(x) * torch.nan)
    trie = build_trie([[1], [2]], causal.end)
    with pytest.raises(NonFiniteError, match="NaN"):
        search_packed(causal.model, [[causal.end]], trie, forced_runs(trie), 2)
    with pytest.raises(ConfigError, match="at least 1"):
        search_packed(causal.model, [[causal.end]], trie, forced_runs(trie), 0)


def test_models_whose_layers_see_less_are_searched_by_level(causal, monkeypatch):
    assert has_tree_attention(causal.model)
    monkeypatch.setattr(causal.model.config, "sliding_window", 8, raising=False)
    assert not has_tree_attention(causal.model)
