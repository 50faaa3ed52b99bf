"""`POST /recommend` and `GET /similar`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import Dllm2RecError
from dllm2rec.serve.why import Reason
from dllm2rec.server.jobs import ListAnswer, ListJob, SimilarJob
from dllm2rec.server.live import Snapshot
from dllm2rec.server.models import (
    ItemId,
    ItemList,
    RecommendRequest,
    limited_request,
)
from dllm2rec.server.refusals import UNPROCESSABLE, Refusal, json_response, refused_input
from dllm2rec.server.routes.body import read_body
from dllm2rec.server.routes.responses import REFUSALS, described_body
from dllm2rec.server.service import Service

RECOMMEND = "/recommend"


def recommend_directly(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """What answers `POST /recommend`, without a framework around it."""
    model = limited_request(service.limits)

    async def recommend(request: Request) -> Response:
        try:
            return await _recommend(service, await read_body(request, model, service.limits))
        except Refusal as refusal:
            return refusal.response()

    return recommend


def list_routes(service: Service) -> APIRouter:
    """The routes that answer with lists; the first is described here and answered directly."""
    router = APIRouter(tags=["lists"])
    model = limited_request(service.limits)
    places = Query(10, ge=1, le=service.limits.k, description="Places.")

    @router.post(
        RECOMMEND,
        response_model=ItemList,
        responses=REFUSALS,
        openapi_extra=described_body(model),
        summary="List the best items for a history",
    )
    async def recommend(request: Request) -> Response:
        return await recommend_directly(service)(request)

    @router.get(
        "/similar",
        response_model=ItemList,
        responses=REFUSALS,
        summary="List the items whose vectors are nearest to that of one",
    )
    async def similar(
        item_id: Annotated[str, Query(description="Of the item.")],
        k: int = places,
    ) -> Response:
        now = service.live.now
        (item,) = _known(now.scorer.catalogue, [item_id], "item_id", "error")
        answer = await service.answer(SimilarJob(now.scorer, item, min(k, now.scorer.n_items)))
        return json_response({"items": _places(now, answer), "n_unknown": 0, "popular": False})

    return router


async def _recommend(service: Service, asked: RecommendRequest) -> Response:
    now = service.live.now
    catalogue = now.scorer.catalogue
    history = _known(catalogue, asked.history, "history", asked.unknown)
    n_unknown = len(asked.history) - len(history)
    candidates, left_out = None, frozenset[int]()
    if asked.candidates is not None:
        found = _known(catalogue, asked.candidates, "candidates", asked.unknown)
        candidates = np.unique(np.array(found, np.uint32))
    if asked.filter is not None:
        left_out = frozenset(_known(catalogue, asked.filter, "filter", asked.unknown))
    k = min(asked.k, catalogue.n_items)
    popular = not history and asked.empty == "popular"
    if not history:
        answer = _for_nobody(now, asked, k, candidates, left_out)
    else:
        job = ListJob(
            now.scorer, tuple(history), k, asked.exclude_seen, candidates, left_out, asked.why
        )
        answer = await service.answer(job)
    places = _places(now, answer)
    return json_response({"items": places, "n_unknown": n_unknown, "popular": popular})


def _for_nobody(
    now: Snapshot,
    asked: RecommendRequest,
    k: int,
    candidates: npt.NDArray[np.uint32] | None,
    left_out: frozenset[int],
) -> ListAnswer:
    """The list of a history without a known item."""
    if asked.empty == "skip":
        return ListAnswer([], [])
    if asked.empty == "error":
        why = "none of its items is known" if asked.history else "no items"
        raise Refusal(
            UNPROCESSABLE,
            "E-EMPTY",
            f"history: {why}, expected at least one",
            'send "empty": "popular" to get the most popular items',
        )
    shown = None
    if candidates is not None or left_out:
        shown = np.full(now.scorer.n_items, candidates is None)
        if candidates is not None:
            shown[candidates] = True
        shown[[*left_out]] = False
    try:
        items, scores = now.scorer.popular(k, shown)
    except Dllm2RecError as err:
        raise refused_input(err) from err
    there = items[0] < now.scorer.n_items
    return ListAnswer(items[0][there].tolist(), scores[0][there].tolist())


def _known(
    catalogue: Catalogue, ids: list[ItemId] | list[str], name: str, unknown: str
) -> list[int]:
    """The items of some ids.

    Raises:
        Refusal: no item has one of them, and `unknown` is "error".
    """
    found = catalogue.find_all([*map(str, ids)])
    if None in found and unknown == "error":
        place, n_unknown = found.index(None), found.count(None)
        counted = f"; {n_unknown:,} of {len(ids):,} unknown" if n_unknown > 1 else ""
        shown = ascii(str(ids[place]))
        shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
        raise Refusal(
            UNPROCESSABLE,
            "E-ITEM-UNKNOWN",
            f"{name}: unknown item id {shown}, expected one of {catalogue.n_items:,}{counted}",
            "GET /items?q=WORDS finds items by title"
            + ("" if name == "item_id" else '; "unknown": "skip" leaves unknown ones out'),
        )
    return [item for item in found if item is not None]


def _places(now: Snapshot, answer: ListAnswer) -> list[dict[str, Any]]:
    ids, titles = now.scorer.catalogue.item_ids, now.scorer.catalogue.titles
    places: list[dict[str, Any]] = [
        {
            "rank": rank,
            "item_id": ids[item],
            "title": titles[item] if titles else None,
            "score": score,
        }
        for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), start=1)
    ]
    if answer.why is not None:
        for place, reason in zip(places, answer.why, strict=True):
            place["why"] = _reasons(now.scorer.catalogue, reason)
    return places


def _reasons(catalogue: Catalogue, reason: Reason) -> dict[str, Any]:
    def near(pairs: list[tuple[int, float]]) -> list[dict[str, Any]]:
        titles = catalogue.titles
        return [
            {
                "item_id": catalogue.item_ids[item],
                "title": titles[item] if titles else None,
                "value": value,
            }
            for item, value in pairs
        ]

    return {
        "student": reason.student,
        "memory": reason.memory,
        "window": reason.window,
        "bias": reason.bias,
        "nearest": near(reason.nearest),
        "remembered": near(reason.remembered),
    }
