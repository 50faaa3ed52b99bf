"""What OpenAPI says of bodies and refusals."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from dllm2rec.server.models import Refused

_MEANS = {
    400: "The body ended early, or the request is no HTTP.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    422: "Something in the request is not as described, or beyond a limit.",
    429: "Too many requests wait, or the answer took too long: ask again later.",
}


def _described(means: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refused, "description": about} for status, about in means.items()}


REFUSALS = _described(_MEANS)
ADMIN_REFUSALS = _described(
    _MEANS
    | {401: "The token is missing or wrong.", 403: "This server cannot be changed by requests."}
)


def described_body(model: type[BaseModel]) -> dict[str, Any]:
    """A body that the route reads itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
