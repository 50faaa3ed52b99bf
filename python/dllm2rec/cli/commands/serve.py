"""`dllm2rec serve`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from dllm2rec.cli.paths import check_file_there
from dllm2rec.cli.streams import tell
from dllm2rec.errors import ArtifactError, ConfigError

EXAMPLES = """\b
Examples:
  dllm2rec serve exports/games-1
  dllm2rec serve exports/games-1 --host 0.0.0.0 --port 80 --admin-token-file token
  curl -d '{"history": ["12", "7"], "k": 5}' http://127.0.0.1:8000/recommend
"""


class RuntimeName(StrEnum):
    """What runs the network."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"


@dataclass(frozen=True)
class ServeRequest:
    """What `dllm2rec serve` was asked for; each field is the option of its name."""

    export: Path
    host: str
    port: int
    runtime: Literal["onnxruntime", "openvino"]
    threads: int | None
    max_body: int
    max_history: int
    max_k: int
    max_candidates: int
    timeout: float
    admin_token_file: Path | None


def serve(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="A folder that export wrote.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8000,
    runtime: Annotated[
        RuntimeName, typer.Option(help="Runtime for the network.")
    ] = RuntimeName.onnxruntime,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="CPU threads for ranking; by default one per 32 MiB of items' codes.",
        ),
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, metavar="BYTES", help="Largest request body.")] = 1
    << 20,
    max_history: Annotated[int, typer.Option(min=1, metavar="N", help="Longest history.")] = 2000,
    max_k: Annotated[int, typer.Option(min=1, metavar="N", help="Longest list.")] = 1000,
    max_candidates: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most ids in candidates or filter.")
    ] = 10_000,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001, metavar="SECONDS", help="Longest wait for headers, a body or an answer."
        ),
    ] = 10.0,
    admin_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Requests with the token in this file may reload, and add or remove items.",
        ),
    ] = None,
) -> None:
    """Serve an export over HTTP, without torch, with a page to try it.

    SIGHUP reloads the export; SIGTERM stops the server once open requests are answered.
    """
    request = ServeRequest(
        export,
        host=host,
        port=port,
        runtime="openvino" if runtime == RuntimeName.openvino else "onnxruntime",
        threads=threads,
        max_body=max_body,
        max_history=max_history,
        max_k=max_k,
        max_candidates=max_candidates,
        timeout=timeout,
        admin_token_file=admin_token_file,
    )
    _serve(request)


def _serve(request: ServeRequest) -> None:
    if not request.export.exists():
        raise ArtifactError(
            f"{request.export}: no such folder, expected one that dllm2rec export made"
        )
    token = _token(request.admin_token_file)
    from dllm2rec.exports.export import check_packages

    check_packages(("fastapi", "httptools", "uvicorn", "prometheus_client"), "serve", "serve")
    from dllm2rec import _core
    from dllm2rec.server.app import make_app
    from dllm2rec.server.limits import Limits
    from dllm2rec.server.live import LiveExport, threads_for
    from dllm2rec.server.run import bound, run
    from dllm2rec.server.service import Service

    limits = Limits(
        body=request.max_body,
        history=request.max_history,
        k=request.max_k,
        candidates=request.max_candidates,
        seconds=request.timeout,
    )
    with bound(request.host, request.port) as listening:  # before anything that takes time
        # A window is little work: more threads would wait for each other.
        live = LiveExport.of(request.export, request.runtime, threads=1)
        _core.set_threads(request.threads or threads_for(live.now.scorer))
        service = Service.of(live, limits, token)
        try:
            run(make_app(service), live, listening, limits=limits, told=tell)
        finally:
            service.close()


def _token(file: Path | None) -> str | None:
    """The token of a file, without the blanks around it.

    Raises:
        ConfigError: there is none, or not of visible ASCII letters.
        InputError: the file cannot be read.
    """
    if file is None:
        return None
    check_file_there(file)
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"--admin-token-file {file}: {err}, expected a file of text") from err
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"--admin-token-file {file}: expected one word of ASCII letters, digits and signs"
        )
    return token
