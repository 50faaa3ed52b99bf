"""The application: routes, refusals as JSON, and what is counted of each request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dllm2rec._core import __version__
from dllm2rec.server.metrics import Metrics
from dllm2rec.server.refusals import UNPROCESSABLE, Refusal, json_response
from dllm2rec.server.routes.items import item_routes
from dllm2rec.server.routes.lists import RECOMMEND, list_routes, recommend_directly
from dllm2rec.server.routes.status import status_routes
from dllm2rec.server.service import Service

ABOUT = "Answers of a small sequential recommender; `dllm2rec serve`."


def make_app(service: Service) -> ASGIApp:
    """The application that serves: what is asked most stands before the framework."""
    return Counted(Direct(_framework(service), recommend_directly(service)), service.metrics)


def _framework(service: Service) -> FastAPI:
    """Everything else, and the description of all."""
    # Its pages of documentation would fetch scripts from elsewhere: /openapi.json alone is kept.
    app = FastAPI(
        title="dllm2rec",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
    )
    for router in (list_routes(service), item_routes(service), status_routes(service)):
        app.include_router(router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _bug)
    return app


class Direct:
    """Answers `POST /recommend`; the way through all layers of FastAPI costs more than a list."""

    def __init__(self, app: ASGIApp, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", RECOMMEND):
            await self._app(scope, receive, send)
            return
        scope["route"] = RECOMMEND
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Exception as err:  # to whoever asks here, and to whoever runs the server
            await (await _bug(request, err))(scope, receive, send)
            raise
        await response(scope, receive, send)


class Counted:
    """Counts each request and its time; a middleware of ASGI."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = scope.get("route", "other")
            path = str(getattr(route, "path", route))
            self._metrics.observe(path, status, time.perf_counter() - begin)


async def _refused(_: Request, err: Exception) -> Response:
    assert isinstance(err, Refusal)  # noqa: S101 - for mypy
    return err.response()


async def _invalid(_: Request, err: Exception) -> Response:
    assert isinstance(err, RequestValidationError)  # noqa: S101 - for mypy
    first = err.errors()[0]
    place = ".".join(map(str, first["loc"][1:]))
    code = "E-LIMIT" if first["type"] in {"less_than_equal", "string_too_long"} else "E-REQUEST"
    hint = "GET /openapi.json describes requests"
    return Refusal(UNPROCESSABLE, code, f"{place}: {first['msg']}", hint).response()


async def _no_route(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)  # noqa: S101 - for mypy
    message = f"{request.method} {request.url.path}: {err.detail}"
    hint = "GET /openapi.json lists what there is"
    answer = Refusal(err.status_code, "E-REQUEST", message, hint).response()
    answer.headers.update(err.headers or {})
    return answer


async def _bug(_: Request, err: Exception) -> Response:
    kind = type(err).__name__
    found = {"code": "", "message": f"this is a bug of dllm2rec ({kind})", "hint": "report it"}
    return json_response({"error": found}, 500)
