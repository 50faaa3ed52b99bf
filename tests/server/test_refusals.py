"""Whatever a client sends is answered or refused by the 400s with a code; never by the 500s."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
import pytest

from dllm2rec.server import service as service_module
from dllm2rec.server.app import make_app
from dllm2rec.server.live import LiveExport
from dllm2rec.server.refusals import json_response
from dllm2rec.server.service import Service
from tests.server.conftest import LIMITS, TOKEN, asking, get, post

pytestmark = pytest.mark.slow  # the export takes seconds

GOOD = {"history": ["item-1"]}
BODIES = [
    (b"", "E-REQUEST"),
    (b"{", "E-REQUEST"),
    (b"[]", "E-REQUEST"),
    (b"null", "E-REQUEST"),
    (b"\xff\xfe", "E-REQUEST"),
    (b'{"history": "item-1"}', "E-REQUEST"),
    (b'{"history": [true]}', "E-REQUEST"),
    (b'{"history": [1.5]}', "E-REQUEST"),
    (b'{"history": [null]}', "E-REQUEST"),
    (b'{"history": [["item-1"]]}', "E-REQUEST"),
    (b'{"history": ["\\ud800"]}', "E-REQUEST"),
    (b'{"history": [' + b"9" * 5000 + b"]}", "E-REQUEST"),
    (b"[" * 5000, "E-REQUEST"),
    (b'{"history": ["item-1"], "k": 0}', "E-REQUEST"),
    (b'{"history": ["item-1"], "k": "3"}', "E-REQUEST"),
    (b'{"history": ["item-1"], "k": 1e400}', "E-REQUEST"),
    (b'{"history": ["item-1"], "k": 201}', "E-LIMIT"),
    (b'{"history": ["item-1"], "n": 3}', "E-REQUEST"),
    (b'{"history": ["item-1"], "unknown": "drop"}', "E-REQUEST"),
    (b'{"history": ["gone"]}', "E-ITEM-UNKNOWN"),
    (b'{"history": ["item-1"], "candidates": ["gone"]}', "E-ITEM-UNKNOWN"),
    (b'{"history": ["item-1"], "filter": ["gone", "lost"]}', "E-ITEM-UNKNOWN"),
    (b'{"history": []}', "E-EMPTY"),
    (json.dumps({"history": ["item-1"] * 51}).encode(), "E-LIMIT"),
    (json.dumps({"history": ["item-1"], "candidates": ["item-1"] * 101}).encode(), "E-LIMIT"),
    (json.dumps({"history": ["x" * 3000]}).encode(), "E-ITEM-UNKNOWN"),
]


def checked(answer: httpx.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["hint"]
    assert len(answer.content) < 1000
    return str(error["message"])


@pytest.mark.parametrize(("body", "code"), BODIES, ids=range(len(BODIES)))
def test_a_body_that_cannot_be_meant_is_refused(app, body, code):
    answer = asking(app, lambda client: client.post("/recommend", content=body))
    checked(answer, 422, code)


def test_messages_say_where(app):
    assert checked(post(app, "/recommend", {"history": ["item-1", None]}), 422, "E-REQUEST") == (
        "history.1: Input should be a valid string"
    )
    message = checked(post(app, "/recommend", {"history": ["gone", "lost"]}), 422, "E-ITEM-UNKNOWN")
    assert message == "history: unknown item id 'gone', expected one of 300; 2 of 2 unknown"


def test_a_body_beyond_the_limit_is_refused_told_or_not(app):
    checked(post(app, "/recommend", {"history": ["x" * 30_000]}), 413, "E-LIMIT")

    async def parts():
        for _ in range(30):
            yield b"x" * 1000

    streamed = asking(app, lambda client: client.post("/recommend", content=parts()))
    checked(streamed, 413, "E-LIMIT")


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/similar", {}, "E-REQUEST"),
        ("/similar", {"item_id": "gone"}, "E-ITEM-UNKNOWN"),
        ("/similar", {"item_id": "item-1", "k": 0}, "E-REQUEST"),
        ("/similar", {"item_id": "item-1", "k": 201}, "E-LIMIT"),
        ("/similar", {"item_id": "item-1", "k": "9" * 5000}, "E-REQUEST"),
        ("/items", {"k": "many"}, "E-REQUEST"),
        ("/items", {"q": "x" * 201}, "E-LIMIT"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(app, path, params, code):
    checked(get(app, path, **params), 422, code)


def test_paths_and_methods_that_there_are_not(app):
    checked(get(app, "/nothing"), 404, "E-REQUEST")
    answer = asking(app, lambda client: client.get("/recommend"))
    checked(answer, 405, "E-REQUEST")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/reload", "/items/add", "/items/remove"])
def test_only_who_has_the_token_changes_the_server(folder, app, path):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
        checked(post(app, path, {}, headers=headers), 401, "E-ADMIN")
    closed = make_app(Service.of(LiveExport.of(folder, "onnxruntime", 1), LIMITS, None))
    headers = {"authorization": f"Bearer {TOKEN}"}
    checked(post(closed, path, {}, headers=headers), 403, "E-ADMIN")


def test_what_waits_too_long_or_is_too_many_is_told_to_come_again(folder, monkeypatch):
    def slow(jobs):
        import time

        time.sleep(0.5)
        return service_module.answer_jobs(jobs)

    limits = replace(LIMITS, seconds=0.2, waiting=2, batch=1)
    service = Service.of(LiveExport.of(folder, "onnxruntime", 1), limits, None)
    service.lists._answer = slow

    async def many(client):
        return await asyncio.gather(*(client.post("/recommend", json=GOOD) for _ in range(6)))

    answers = asking(make_app(service), many)
    service.close()
    for answer in answers:
        checked(answer, 429, "E-BUSY")
        assert answer.headers["retry-after"] == "1"
    messages = {answer.json()["error"]["message"] for answer in answers}
    assert messages == {"no answer within 0.2 s", "2 requests wait already"}


def test_a_body_that_comes_too_slowly_is_refused(folder):
    service = Service.of(
        LiveExport.of(folder, "onnxruntime", 1), replace(LIMITS, seconds=0.1), None
    )

    async def slowly():
        yield b'{"history": '
        await asyncio.sleep(5)
        yield b"[]}"

    answer = asking(make_app(service), lambda client: client.post("/recommend", content=slowly()))
    service.close()
    checked(answer, 408, "E-BUSY")


def test_a_bug_is_told_as_one(app, service):
    def broken(jobs):
        raise RuntimeError("a bug")

    service.lists._answer = broken
    answer = post(app, "/recommend", GOOD)
    assert answer.status_code == 500
    assert "bug of dllm2rec" in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_has_not_is_never_sent(number):
    with pytest.raises(ValueError, match="JSON compliant"):
        json_response({"score": number})


@pytest.mark.parametrize("title", ["NaN", "Infinity and é", "half \ud800 NaN"])
def test_any_title_can_be_sent(title):
    assert json.loads(json_response({"title": title}).body) == {"title": title}
