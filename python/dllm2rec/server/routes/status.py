"""`/health`, `/ready`, `/metrics`, `/reload`, and the page at `/`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from dllm2rec.server.metrics import CONTENT_TYPE
from dllm2rec.server.models import Ready, Reload, Status
from dllm2rec.server.refusals import json_response
from dllm2rec.server.routes.body import read_body
from dllm2rec.server.routes.ready import ready_facts
from dllm2rec.server.routes.responses import ADMIN_REFUSALS, described_body
from dllm2rec.server.service import Service

PAGE = "page.html"
# The page is whole: it may ask this server, and nobody else anything.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def status_routes(service: Service) -> APIRouter:
    """The routes about the server itself."""
    router = APIRouter(tags=["server"])
    page = resources.files("dllm2rec.server").joinpath(PAGE).read_bytes()

    @router.get("/", include_in_schema=False)
    async def try_it() -> Response:
        headers = {
            "content-security-policy": _POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        return Response(page, headers=headers, media_type="text/html")

    @router.get("/health", response_model=Status, summary="Whether the process answers")
    async def health() -> Response:
        return json_response({"status": "ok"})

    @router.get("/ready", response_model=Ready, summary="What is served, within which limits")
    async def ready() -> Response:
        return json_response(ready_facts(service))

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="Counts and times for Prometheus",
    )
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type=CONTENT_TYPE)

    @router.post(
        "/reload",
        response_model=Ready,
        responses=ADMIN_REFUSALS,
        openapi_extra=described_body(Reload),
        summary="Serve another export, or the same folder again, without dropping a request",
    )
    async def reload(request: Request) -> Response:
        service.check_admin(request)
        asked = await read_body(request, Reload, service.limits)
        folder = None if asked.export is None else Path(asked.export)
        await service.change(lambda: service.live.reload(folder))
        return json_response(ready_facts(service))

    return router
