"""A server lists what a recommender does, one request alone or many together."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import numpy as np
import pytest

from dllm2rec import Recommender
from dllm2rec.server.batcher import Batcher
from dllm2rec.server.refusals import Refusal
from tests.server.conftest import N_ITEMS, asking, get, post
from tests.server.made_up import made_up_title

pytestmark = pytest.mark.slow  # the export takes seconds


def requests(n: int, seed: int) -> list[dict[str, Any]]:
    """Histories of every length with options of every kind."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        history = [f"item-{rng.randrange(N_ITEMS)}" for _ in range(rng.randint(1, 30))]
        asked: dict[str, Any] = {"history": history, "k": rng.choice([1, 5, 10, 33, 150])}
        if rng.random() < 0.5:
            asked["exclude_seen"] = rng.random() < 0.5
        if rng.random() < 0.3:
            some = rng.sample(range(N_ITEMS), rng.randint(0, 60))
            asked["candidates"] = [f"item-{item}" for item in some] + history[:2]
        if rng.random() < 0.3:
            asked["filter"] = [f"item-{item}" for item in rng.sample(range(N_ITEMS), 40)]
        found.append(asked)
    return found


def expected(model: Recommender, asked: dict[str, Any]) -> list[tuple[str, float]]:
    history, k = asked["history"], asked["k"]
    options = {key: value for key, value in asked.items() if key not in {"history", "k", "why"}}
    return [(place.item_id, place.score) for place in model.recommend([history], k, **options)[0]]


def listed(answer: dict[str, Any]) -> list[tuple[str, float]]:
    assert [place["rank"] for place in answer["items"]] == [*range(1, len(answer["items"]) + 1)]
    return [(place["item_id"], place["score"]) for place in answer["items"]]


def check_same(mine: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> None:
    """The same items; a batch's encoder may round the last bits of a user otherwise."""
    assert [item for item, _ in mine] == [item for item, _ in theirs]
    np.testing.assert_allclose(
        [score for _, score in mine], [score for _, score in theirs], rtol=1e-5, atol=1e-6
    )


def test_many_requests_at_once_get_the_lists_of_each_alone(app, service, model):
    asked = requests(200, 0)
    sizes = []
    service.lists.sizes = sizes.append

    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/recommend", json=one) for one in asked))

    answers = asking(app, all_at_once)
    assert sum(sizes) == 200
    assert max(sizes) > 20  # they were answered together
    for one, answer in zip(asked, answers, strict=True):
        assert answer.status_code == 200, answer.text
        check_same(listed(answer.json()), expected(model, one))


def test_one_request_gets_titles_and_reasons_that_add_up(app, model):
    history = ["item-3", "item-40", "item-3", "item-77"]
    asked = {"history": history, "k": 30, "exclude_seen": False, "why": True}
    answer = post(app, "/recommend", asked).json()
    assert answer["n_unknown"] == 0
    assert answer["popular"] is False
    check_same(listed(answer), expected(model, asked))
    remembered = 0
    matrix = model.embed_items()
    user = model.embed_users([history])[0]
    for place in answer["items"]:
        item = int(place["item_id"].removeprefix("item-"))
        assert place["title"] == made_up_title(item)
        why = place["why"]
        assert why["student"] == pytest.approx(float(matrix[item] @ user), abs=1e-5)
        parts = sum(why[name] for name in ("student", "memory", "window", "bias"))
        assert parts == pytest.approx(place["score"], abs=1e-6)
        assert why["window"] == (-0.5 if place["item_id"] in history else 0)
        total = sum(near["value"] for near in why["remembered"])
        assert total == pytest.approx(why["memory"], abs=1e-6)
        remembered += bool(why["memory"])
        near = [one["item_id"] for one in why["nearest"]]
        assert len(near) == 3
        assert {*near} == {"item-3", "item-40", "item-77"}
        cosines = [one["value"] for one in why["nearest"]]
        assert cosines == sorted(cosines, reverse=True)
    assert remembered > 5


def test_ids_may_be_numbers_and_unknown_ones_may_be_left_out(app):
    asked = {"history": ["gone", 17, "item-3"], "unknown": "skip", "k": 2}
    answer = post(app, "/recommend", asked).json()
    assert (answer["n_unknown"], len(answer["items"])) == (2, 2)


@pytest.mark.parametrize("history", [[], ["gone"]])
def test_a_history_without_a_known_item_is_answered_as_asked(app, model, history):
    asked = {"history": history, "unknown": "skip", "k": 4}
    popular = model.recommend([history], 4, unknown="skip", empty="popular")[0]
    answer = post(app, "/recommend", asked | {"empty": "popular"}).json()
    assert answer["popular"] is True
    assert listed(answer) == [(place.item_id, place.score) for place in popular]
    left = [place.item_id for place in popular[1:]]
    some = {"empty": "popular", "filter": [popular[0].item_id]}
    assert [item for item, _ in listed(post(app, "/recommend", asked | some).json())][:3] == left
    some = {"empty": "popular", "candidates": left}
    assert [item for item, _ in listed(post(app, "/recommend", asked | some).json())] == left
    assert post(app, "/recommend", asked | {"empty": "skip"}).json()["items"] == []
    refused = post(app, "/recommend", asked)
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "E-EMPTY"


def test_no_candidates_give_no_list(app):
    assert post(app, "/recommend", {"history": ["item-1"], "candidates": []}).json()["items"] == []


def test_similar_items_are_those_of_the_recommender(app, model):
    answer = get(app, "/similar", item_id="item-5", k=7).json()
    theirs = [(place.item_id, place.score) for place in model.similar_items(["item-5"], 7)[0]]
    check_same(listed(answer), theirs)


def test_the_batcher_tells_each_who_asked_what_went_wrong():
    async def ask_all():
        def answer(jobs):
            if "bad" in jobs:
                raise RuntimeError("all of them")
            return [ValueError(job) if job == "worse" else job.upper() for job in jobs]

        batcher = Batcher(answer, most=2, most_waiting=4, sizes=lambda _: None)
        found = await asyncio.gather(
            *(batcher.ask(job) for job in ("a", "worse", "bad", "b", "c")), return_exceptions=True
        )
        batcher.close()
        return found

    a, worse, bad, b, c = asyncio.run(ask_all())
    assert a == "A"
    assert isinstance(worse, ValueError)
    assert isinstance(bad, RuntimeError)
    assert isinstance(b, RuntimeError)
    assert isinstance(c, Refusal)  # a fifth does not wait
    assert c.status == 429
