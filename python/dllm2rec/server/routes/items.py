"""`GET /items` finds items; `POST /items/add` and `/items/remove` change them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from dllm2rec.server.models import FoundItems, NewItems, Ready, RemovedItems
from dllm2rec.server.refusals import json_response
from dllm2rec.server.routes.body import read_body
from dllm2rec.server.routes.ready import ready_facts
from dllm2rec.server.routes.responses import ADMIN_REFUSALS, REFUSALS, described_body
from dllm2rec.server.service import Service

_MOST_LETTERS = 200


def item_routes(service: Service) -> APIRouter:
    """The routes about items."""
    router = APIRouter(tags=["items"])
    places = Query(10, ge=1, le=service.limits.k, description="How many.")

    @router.get(
        "/items",
        response_model=FoundItems,
        responses=REFUSALS,
        summary="Find items by words of their titles, or by id",
    )
    async def items(
        q: Annotated[
            str, Query(max_length=_MOST_LETTERS, description="Words; none for what is popular.")
        ] = "",
        k: int = places,
    ) -> Response:
        now, found = await service.search(q, k)
        ids, titles = now.scorer.catalogue.item_ids, now.scorer.catalogue.titles
        return json_response(
            {
                "items": [
                    {"item_id": ids[item], "title": titles[item] if titles else None}
                    for item in found
                ]
            }
        )

    @router.post(
        "/items/add",
        response_model=Ready,
        responses=ADMIN_REFUSALS,
        openapi_extra=described_body(NewItems),
        summary="Add items that training never saw, scored by the vectors of their texts",
    )
    async def add(request: Request) -> Response:
        service.check_admin(request)
        new = await read_body(request, NewItems, service.limits)
        ids = [*map(str, new.ids)]
        await service.change(
            lambda: service.live.change(
                lambda model: model.add_items(ids, titles=new.titles, vectors=new.vectors)
            )
        )
        return json_response(ready_facts(service))

    @router.post(
        "/items/remove",
        response_model=Ready,
        responses=ADMIN_REFUSALS,
        openapi_extra=described_body(RemovedItems),
        summary="Take items out, so that they are neither listed nor known in histories",
    )
    async def remove(request: Request) -> Response:
        service.check_admin(request)
        old = await read_body(request, RemovedItems, service.limits)
        ids = [*map(str, old.ids)]
        await service.change(lambda: service.live.change(lambda model: model.remove_items(ids)))
        return json_response(ready_facts(service))

    return router
