"""Bodies of requests: read within bounds, and checked."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from dllm2rec.server.limits import Limits
from dllm2rec.server.refusals import Refusal, refused_body

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, model: type[Model], limits: Limits) -> Model:
    """Read a body of JSON.

    Raises:
        Refusal: it is too large, comes too slowly, or is not what was asked for.
    """
    body = await _bytes(request, limits)
    try:
        return model.model_validate_json(body)
    except ValidationError as err:
        raise refused_body(err) from err


async def _bytes(request: Request, limits: Limits) -> bytes:
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told[:20]) > limits.body:
        raise _too_large(limits)
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.seconds):
            has_more = True
            while has_more:
                part = await request.receive()
                if part["type"] == "http.disconnect":
                    raise Refusal(400, "E-REQUEST", "the body ended early", "send it whole")
                parts.append(part.get("body", b""))
                has_more = part.get("more_body", False)
                size += len(parts[-1])
                if size > limits.body:
                    raise _too_large(limits)
    except TimeoutError:
        message = f"the body was not there after {limits.seconds:g} s"
        raise Refusal(408, "E-BUSY", message, "send it again, faster") from None
    return b"".join(parts)


def _too_large(limits: Limits) -> Refusal:
    message = f"a body of more than {limits.body:,} bytes"
    return Refusal(413, "E-LIMIT", message, "send a shorter one, or start serve with --max-body")
