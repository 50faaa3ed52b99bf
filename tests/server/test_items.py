"""Items found by title; items that come, go and are reloaded while the server answers."""

from __future__ import annotations

import numpy as np
import pytest

from dllm2rec import Catalogue
from dllm2rec.server.title_search import TitleSearch
from tests.server.conftest import N_ITEMS, TOKEN, get, post

ADMIN = {"headers": {"authorization": f"Bearer {TOKEN}"}}
TITLES = [
    "The Legend of Zelda: Ocarina of Time",
    "Zelda II - The Adventure of Link",
    "Pokémon Red",
    "Pokemon Blue",
    "Time Crisis 2",
    "",
    "Super Time Force",
]


def search(popular: list[int] | None = None) -> TitleSearch:
    order = np.arange(len(TITLES)) if popular is None else np.array(popular)
    return TitleSearch.of(Catalogue([f"i{n}" for n in range(len(TITLES))], TITLES), order)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("zelda", [0, 1]),
        ("ZELDA adv", [1]),
        ("link zelda", [1]),
        ("ti", [0, 4, 6]),
        ("of time", [0]),
        ("zlda", [0, 1]),  # a slip
        ("zelda racing", [0, 1]),  # no title has both
        ("pokémon", [2]),
        ("i5", [5]),  # an id, of an item without a title
        ("qqqq", []),
        ("!?", [0, 1, 2]),
        ("", [0, 1, 2]),
    ],
)
def test_items_are_found_by_words(query, found):
    assert search().find(query, 3) == found[:3]


def test_popular_items_come_first_and_whole_words_before_them():
    popular = [6, 5, 4, 3, 2, 1, 0]
    assert search(popular).find("time", 3) == [6, 4, 0]
    assert search(popular).find("", 2) == [6, 5]
    titles = ["Timeless", "Time"]
    both = TitleSearch.of(Catalogue(["a", "b"], titles), np.arange(2))
    assert both.find("time", 2) == [1, 0]


def test_a_catalogue_without_titles_is_searched_by_id():
    found = TitleSearch.of(Catalogue(["a", "b"]), np.arange(2))
    assert found.find("b", 5) == [1]
    assert found.find("c", 5) == []


@pytest.mark.slow
def test_the_server_finds_items(app):
    found = get(app, "/items", q="golden quest 2", k=3).json()["items"]
    assert len(found) == 3
    assert all(item["title"].startswith("Golden Quest 2") for item in found)
    assert get(app, "/items", q="item-7", k=1).json()["items"][0]["item_id"] == "item-7"


@pytest.mark.slow
def test_items_come_and_go(app, service):
    before = service.live.now
    vectors = [[1.0] * 8, [0.5, -0.5] * 4]
    new = {"ids": ["new-1", 77], "titles": ["A new one", "Another"], "vectors": vectors}
    ready = post(app, "/items/add", new, **ADMIN)
    assert ready.status_code == 200, ready.text
    assert ready.json()["n_items"] == N_ITEMS + 2
    assert get(app, "/items", q="another", k=1).json()["items"] == [
        {"item_id": "77", "title": "Another"}
    ]
    everything = {"history": ["new-1", "item-3"], "k": 200, "candidates": ["77", "item-4"]}
    items = post(app, "/recommend", everything).json()["items"]
    assert {item["item_id"] for item in items} == {"77", "item-4"}
    removed = post(app, "/items/remove", {"ids": ["new-1", "item-3"]}, **ADMIN)
    assert removed.json()["n_items"] == N_ITEMS
    refused = post(app, "/recommend", everything)
    assert refused.json()["error"]["code"] == "E-ITEM-UNKNOWN"
    assert before.scorer.n_items == N_ITEMS  # who began with it goes on with it


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/items/add", {"ids": ["item-3"], "vectors": [[0.0] * 8]}, "is there already"),
        ("/items/add", {"ids": ["new"], "vectors": [[0.0] * 7]}, "the teacher's width"),
        ("/items/add", {"ids": ["new"], "vectors": []}, "vectors"),
        ("/items/add", {"ids": ["new"], "vectors": [[0.0] * 8, [0.0]]}, "vectors"),
        ("/items/add", {"ids": ["new", "new"], "vectors": [[0.0] * 8] * 2}, "twice"),
        ("/items/add", {"ids": [], "vectors": []}, "at least 1 item"),
        ("/items/remove", {"ids": ["gone"]}, "unknown item id 'gone'"),
        ("/items/remove", {"ids": [f"item-{n}" for n in range(N_ITEMS)]}, "leave one"),
        ("/reload", {"export": "/nowhere"}, "nowhere"),
        ("/reload", {"export": "\x00"}, "should match pattern"),
        ("/reload", {"export": ""}, "should match pattern"),
        ("/reload", {"export": "x" * 5000}, ""),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(app, service, path, body, message):
    before = service.live.now
    answer = post(app, path, body, **ADMIN)
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["error"]["message"]
    assert service.live.now is before


@pytest.mark.slow
def test_another_export_is_served_after_a_reload(app, other_folder):
    ready = post(app, "/reload", {"export": str(other_folder)}, **ADMIN).json()
    assert (ready["n_items"], ready["loads"]) == (N_ITEMS + 20, 2)
    assert ready["export"] == str(other_folder)
    assert post(app, "/recommend", {"history": [f"item-{N_ITEMS + 3}"]}).status_code == 200
    assert post(app, "/reload", {}, **ADMIN).json()["loads"] == 3


@pytest.mark.slow
def test_status_and_metrics(app):
    assert get(app, "/health").json() == {"status": "ok"}
    ready = get(app, "/ready").json()
    assert ready["student"] == "sasrec"
    assert ready["limits"]["history"] == 50
    post(app, "/recommend", {"history": ["item-1"]})
    post(app, "/recommend", {"history": ["gone"]})
    get(app, "/nothing")
    lines = get(app, "/metrics").text.splitlines()
    for line in (
        'dllm2rec_requests_total{route="/recommend",status="200"} 1.0',
        'dllm2rec_requests_total{route="/recommend",status="422"} 1.0',
        'dllm2rec_requests_total{route="other",status="404"} 1.0',
        "dllm2rec_batch_size_count 1.0",
        f"dllm2rec_items {N_ITEMS}.0",
        "dllm2rec_requests_waiting 0.0",
    ):
        assert line in lines
