"""What a client did wrong, as an answer of the 400s with one of the package's codes."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response

from dllm2rec.errors import Dllm2RecError, InputError, ResourceError

UNPROCESSABLE, TOO_MANY = 422, 429


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure
    """A request that is not answered.

    Attributes:
        status: of HTTP, in the 400s.
        code: of the package, such as `E-LIMIT`.
        message: what was found and what was expected.
        hint: what to do about it, or empty.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint

    def response(self) -> Response:
        """The answer of HTTP."""
        headers = {"retry-after": "1"} if self.status == TOO_MANY else {}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        found = {"code": self.code, "message": self.message, "hint": self.hint}
        return json_response({"error": found}, self.status, headers)


def json_response(
    value: Any,  # noqa: ANN401 - whatever JSON can hold
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """An answer in JSON.

    Raises:
        ValueError: a number is not finite.
    """
    try:
        body = to_json(value)
    except PydanticSerializationError:
        body = None  # half of a surrogate pair, which a title may hold, is no UTF-8
    # The slower way escapes such halves and refuses what JSON has no number for.
    if body is None or b"NaN" in body or b"Infinity" in body:
        body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, headers, media_type="application/json")


def refused_input(err: Dllm2RecError) -> Refusal:
    """What of the package's errors a client can cause."""
    if isinstance(err, InputError):
        return Refusal(UNPROCESSABLE, err.code or "E-REQUEST", bare_message(err), err.hint)
    if isinstance(err, ResourceError):
        return Refusal(TOO_MANY, "E-BUSY", str(err), "ask again later")
    return Refusal(UNPROCESSABLE, "E-REQUEST", str(err))


def refused_body(err: ValidationError) -> Refusal:
    """The first thing that is wrong with a body."""
    first = err.errors(include_url=False, include_context=False, include_input=False)[0]
    # A union names its branches: of `history.0.str` a client knows the first two.
    place = ".".join(str(part) for part in first["loc"] if part not in {"str", "int"})
    message = f"{place}: {first['msg']}" if place else str(first["msg"])
    if first["type"] in {"too_long", "less_than_equal"}:
        return Refusal(UNPROCESSABLE, "E-LIMIT", message, "GET /ready names the limits")
    return Refusal(UNPROCESSABLE, "E-REQUEST", message, "GET /openapi.json describes requests")


def bare_message(err: InputError) -> str:
    """The message without its code and hint, which stand beside it."""
    message = str(err).removesuffix(f". hint: {err.hint}") if err.hint else str(err)
    return message.removeprefix(f"{err.code}: ") if err.code else message
