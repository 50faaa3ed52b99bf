"""Titles searched by beams: against the plain enumeration of all titles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.errors import InputError, NonFiniteError
from dllm2rec.llm.beams.by_level import search_titles
from dllm2rec.llm.beams.title_trie import build_trie
from dllm2rec.llm.causal import left_padded, load_causal, title_tokens
from tests.support.tiny_models import tiny_causal

pytestmark = pytest.mark.slow

END = 9
TITLES = ["Go", "Gone", "Gone Girl", "Heat", "Heat 2", "Her", "Up", "Ran", "Go", "Brazil"]


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    folder = tiny_causal(tmp_path_factory.mktemp("causal"))
    return load_causal(folder, device="cpu", precision="float32")


def walks(trie):
    """Every title of a trie, by walking it in plain Python."""

    def below(node, tokens):
        begin, stop = int(trie.edges[node]), int(trie.edges[node + 1])
        if begin == stop:
            yield int(trie.title[node]), tokens
        for edge in range(begin, stop):
            yield from below(edge + 1, [*tokens, int(trie.token[edge])])

    return dict(below(0, []))


@settings(deadline=None, max_examples=50)
@given(st.sets(st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple), min_size=1))
def test_trie_holds_exactly_its_titles(titles):
    titles = sorted(titles, key=str)
    trie = build_trie(titles, END)
    whole = {n: (*title, END) for n, title in enumerate(titles)}
    found = walks(trie)
    assert found.keys() == whole.keys()
    for n, tokens in found.items():
        length = len(tokens)
        assert tuple(tokens) == whole[n][:length]
        # One token fewer would leave another title possible, but for a lone title's first.
        shorter = [m for m in whole if whole[m][: length - 1] == whole[n][: length - 1]]
        assert len(shorter) > 1 or length == 1
    fans = np.diff(trie.edges.numpy())
    assert max(trie.level_width) == fans.max()
    assert trie.depth == max(map(len, found.values()))


@pytest.mark.parametrize("titles", [[], [[]], [[1], []], [[1], [1]], [[1, END]]])
def test_trie_refuses_titles_that_cannot_be_told_apart(titles):
    with pytest.raises(InputError, match="trie: "):
        build_trie(titles, END)


@torch.no_grad()
def enumerated(causal, prompt, titles):
    """The score of every title, one forward pass each: what is forced costs nothing."""
    scores = []
    for title in titles:
        whole = [*title, causal.end]
        logits = causal.model(torch.tensor([[*prompt, *whole]])).logits[0].float().log_softmax(-1)
        score = 0.0
        for place, token in enumerate(whole):
            same = [[*t, causal.end] for t in titles if t[:place] == title[:place]]
            if len({t[place] for t in same}) > 1:
                score += float(logits[len(prompt) + place - 1, token])
        scores.append(score)
    return np.array(scores)


def test_search_of_all_titles_is_the_enumeration(causal):
    titles = title_tokens(causal, TITLES).distinct
    trie = build_trie(titles, causal.end)
    prompts = [[causal.end, 3, 4, 5], [causal.end], [causal.end, *range(20)]]
    tokens, mask = left_padded(prompts, causal.end, "cpu")
    found = search_titles(causal.model, tokens, mask, trie, n_beams=12)
    for row, prompt in enumerate(prompts):
        expected = enumerated(causal, prompt, titles)
        order = np.argsort(-expected, kind="stable")
        n = len(titles)
        assert found.titles[row, :n].tolist() == order.tolist()
        np.testing.assert_allclose(found.scores[row, :n], expected[order], atol=2e-5)
        assert found.titles[row, n:].tolist() == [-1] * (12 - n)


def test_few_beams_find_titles_that_score_what_they_say(causal):
    titles = title_tokens(causal, TITLES).distinct
    trie = build_trie(titles, causal.end)
    prompt = [causal.end, 7, 8]
    found = search_titles(causal.model, *left_padded([prompt], causal.end, "cpu"), trie, 3)
    expected = enumerated(causal, prompt, titles)
    np.testing.assert_allclose(found.scores[0], expected[found.titles[0].numpy()], atol=2e-5)
    assert len(set(found.titles[0].tolist())) == 3


def test_rows_do_not_depend_on_what_stands_beside_them(causal):
    trie = build_trie(title_tokens(causal, TITLES).distinct, causal.end)
    prompts = [[causal.end, 1], [causal.end, 1, 2, 3, 4, 5, 6], [causal.end, 9, 9]]
    together = search_titles(causal.model, *left_padded(prompts, causal.end, "cpu"), trie, 4)
    for row, prompt in enumerate(prompts):
        alone = search_titles(causal.model, *left_padded([prompt], causal.end, "cpu"), trie, 4)
        assert alone.titles[0].tolist() == together.titles[row].tolist()


def test_a_model_that_gives_nan_is_refused(causal, monkeypatch):
    trie = build_trie(title_tokens(causal, TITLES).distinct, causal.end)
    head = causal.model.lm_head.forward
    monkeypatch.setattr(causal.model.lm_head, "forward", lambda x: head(x) * torch.nan)
    with pytest.raises(NonFiniteError, match="NaN"):
        search_titles(causal.model, *left_padded([[causal.end]], causal.end, "cpu"), trie, 2)
