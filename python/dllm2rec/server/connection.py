"""A connection: what a client sends before its request is whole, and takes of an answer, in bounds.

Between a connection and the end of a request's headers no route is asked yet: who sends nothing, a
letter a minute, or headers without end would hold a connection and memory for good.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dllm2rec.server.limits import Limits
from dllm2rec.server.refusals import TOO_MANY, Refusal

# Closed at once: else the system would hold the answer for as long as the client is there.
_AT_ONCE = struct.pack("ii", 1, 0)
_NO_HTTP = Refusal(400, "E-REQUEST", "the request is no HTTP", "send HTTP/1.1")


class ServerConfig(uvicorn.Config):
    """uvicorn's settings, for connections within limits."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        super().__init__(
            app,
            http=Connection,
            log_config=None,
            # A line for each request that is no HTTP would let clients fill a disk, or a pipe.
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(limits.seconds)),
        )
        self.limits = limits


class _Joined:
    """What an answer with a body is written to: its head goes out with the body's first part.

    uvicorn writes them one by one, and each write is a call of the system that wakes the client.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Hold the first part until the second, and write all others as they come."""
        if self._head is None:
            self._head = data
        else:
            self._transport.write(self._head + data)
            self._head = b""

    def close(self) -> None:
        """Write what is held, and close."""
        if self._head:
            self._transport.write(self._head)
        self._transport.close()


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with a time for headers and answers, and a size for headers."""

    def __init__(self, config: ServerConfig, *given: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(config, *given, **named)
        self._limits = config.limits
        self._refusal = _NO_HTTP
        self._n_begun = 0  # requests
        self._in_head = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, unless too many connections are open."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            message = f"{self._limits.connections:,} connections are open already"
            self._refuse(Refusal(TOO_MANY, "E-BUSY", message, "ask again later"))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        for timer in (self._head_timer, self._answer_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; whoever is within headers, or sends what is no request, has not long for it."""
        within = self._n_begun if self._in_head else None
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and within == self._n_begun:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head:
                self._refuse(self._large_head())
                return
        if (self._in_head or not self._is_answering()) and self._head_timer is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._n_begun += 1
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """The headers are whole.

        Raises:
            Refusal: they are too large; the parser passes it on, as what it cannot read.
        """
        # With a colon, a blank and the end of the line.
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.head:
            self._refusal = self._large_head()
            raise self._refusal
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()
        if self.scope["method"] == "POST" and not self.expect_100_continue:
            self.cycle.transport = _Joined(self.transport)  # type: ignore[assignment]

    def pause_writing(self) -> None:
        """The client does not take its answer: it has not long for it."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(self._limits.seconds, self._answer_is_late)

    def resume_writing(self) -> None:
        """The client takes its answer."""
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, in the form of all refusals, and close."""
        answer = self._refusal.response()
        phrase = HTTPStatus(answer.status_code).phrase
        lines = [f"HTTP/1.1 {answer.status_code} {phrase}".encode()]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        lines += [b"connection: close", b"", bytes(answer.body)]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self.send_400_response(refusal.message)

    def _large_head(self) -> Refusal:
        message = f"path and headers of more than {self._limits.head:,} bytes"
        return Refusal(431, "E-LIMIT", message, "send shorter ones")

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_answering():  # the next request may wait for its turn
            self._await_head()
        elif self._in_head:
            message = f"the headers were not there after {self._limits.seconds:g} s"
            self._refuse(Refusal(408, "E-BUSY", message, "send it again, faster"))
        else:
            self.transport.close()

    def _answer_is_late(self) -> None:
        client = self.transport.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()
