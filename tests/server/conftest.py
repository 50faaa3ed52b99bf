"""An export of a made-up student of 300 items, and clients of a server of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from dllm2rec import Recommender, export, load_export
from dllm2rec.server.app import make_app
from dllm2rec.server.limits import Limits
from dllm2rec.server.live import LiveExport
from dllm2rec.server.service import Service
from tests.server.made_up import made_up_recommender

N_ITEMS = 300
TOKEN = "only-a-test"  # noqa: S105
LIMITS = Limits(body=20_000, history=50, k=200, candidates=100, seconds=20.0)

Ask = Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("served") / "export"
    export(made_up_recommender(N_ITEMS, width=16), made)
    return made


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another student, of more items."""
    made = tmp_path_factory.mktemp("served-next") / "export"
    export(made_up_recommender(N_ITEMS + 20, width=16, seed=1), made)
    return made


@pytest.fixture(scope="session")
def model(folder: Path) -> Recommender:
    return load_export(folder, threads=1)


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    made = Service.of(LiveExport.of(folder, "onnxruntime", 1), LIMITS, TOKEN)
    yield made
    made.close()


@pytest.fixture
def app(service: Service) -> ASGIApp:
    return make_app(service)


def asking(app: ASGIApp, ask: Ask) -> Any:
    """Run requests in a loop of their own, without a socket."""

    async def run() -> Any:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await ask(client)

    return asyncio.run(run())


def post(app: ASGIApp, path: str, body: Any, **options: Any) -> httpx.Response:
    found: httpx.Response = asking(app, lambda client: client.post(path, json=body, **options))
    return found


def get(app: ASGIApp, path: str, **params: Any) -> httpx.Response:
    found: httpx.Response = asking(app, lambda client: client.get(path, params=params))
    return found
