"""The process of a server: its socket, its signals, and an end that waits for open answers."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from dllm2rec.errors import Dllm2RecError, ResourceError
from dllm2rec.server.connection import ServerConfig
from dllm2rec.server.limits import Limits
from dllm2rec.server.live import LiveExport

# The thread that answers must not wait long for the one that reads requests, nor that for it.
_SWITCH_S = 0.0001
_BACKLOG = 2048
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens once the server runs; port 0 takes a free one.

    Raises:
        ResourceError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as err:
        reason = getattr(err, "strerror", None) or err
        raise ResourceError(
            f"--host {host} --port {port}: {reason}, expected an address that is free; "
            "--port 0 takes any free port"
        ) from err


def run(
    app: ASGIApp,
    live: LiveExport,
    listening: socket.socket,
    *,
    limits: Limits,
    told: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C; SIGHUP reads the export again.

    No new connection is taken then, and open requests have as long as any to end.

    Args:
        app: answers.
        live: what SIGHUP reads again.
        listening: of `bound`.
        limits: of connections and requests.
        told: is called with a line once requests are answered, and after each reading again.
    """
    config = ServerConfig(app, limits)
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_Server(config, live, told).serve([listening]))
    finally:
        sys.setswitchinterval(before)


class _Server(uvicorn.Server):
    """uvicorn's server with this package's signals."""

    def __init__(
        self, config: uvicorn.Config, live: LiveExport, told: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._live = live
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        self._told(f"{self._served()}: http://{host}:{port}/")

    def _served(self) -> str:
        now = self._live.now
        return f"serving {now.export} ({now.model.name}, {now.scorer.n_items:,} items)"

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; at once if it was asked before."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at SIGTERM and Ctrl-C, at once when one comes again; read again at SIGHUP."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        reloads: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = loop.create_task(self._reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    async def _reload(self) -> None:
        try:
            await asyncio.to_thread(self._live.reload)
        except Dllm2RecError as err:
            self._told(f"{err}; {self._served()} goes on")
        else:
            self._told(self._served())
