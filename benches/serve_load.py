"""How many requests a server answers, and how fast, from another process on the same machine.

    python benches/serve_load.py --items 100000 --rate 1000 --seconds 10

makes an export of a made-up SASRec, serves it in a process of its own, and drives it from a second
process over the loopback: first all connections as fast as they can, then at a fixed rate, where
the time of a request counts from the moment it was due, whether a connection was free or not.
"""

# ruff: noqa: T201, S603

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

N_BODIES = 2000


def main() -> None:
    """Serve and drive, or only drive."""
    options = arguments()
    if options.drive:
        print(json.dumps(run_loop(drive(options))))
        return
    from tests.server.served import served

    with tempfile.TemporaryDirectory() as home:
        export = options.export
        if export is None:
            export = Path(home) / "export"
            make_export(export, options.items)
        with served(export, *options.serve) as server:
            check(server.port, options)
            for rate in (0, *options.rate):
                before = cpu_seconds(server.process.pid)
                found = driven(server.port, rate, options)
                used = cpu_seconds(server.process.pid) - before
                print(row(rate, found, 1000 * used / found["n"]), flush=True)
            print(f"server: {peak_mib(server.process.pid):.0f} MiB at most")


def arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--export", type=Path, help="serve this one instead")
    parser.add_argument("--rate", type=float, nargs="*", default=[1000.0], help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--history", type=int, default=20, help="items of the longest history")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--serve", nargs="*", default=[], help="options of serve, as --threads=1")
    parser.add_argument("--drive", type=int, metavar="PORT", help="only drive the server there")
    return parser.parse_args()


def make_export(folder: Path, n_items: int) -> None:
    """Write a made-up student, in a process of its own: torch's memory is not the server's."""
    code = (
        "import sys; from pathlib import Path; from dllm2rec import export;"
        "from tests.server.made_up import made_up_recommender;"
        "export(made_up_recommender(int(sys.argv[1])), Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(n_items), str(folder)], check=True)


def driven(port: int, rate: float, options: argparse.Namespace) -> dict[str, float]:
    """Drive the server from another process."""
    words = ["--drive", port, "--rate", rate, "--seconds", options.seconds, "--k", options.k]
    words += ["--connections", options.connections, "--items", options.items]
    words += ["--history", options.history]
    done = subprocess.run(
        [sys.executable, __file__, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run_loop(work):
    """Run on uvloop where it is there: the driver shares the machine with the server."""
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


class Connection(asyncio.Protocol):
    """One connection that stays open; one request at a time."""

    def __init__(self, free: asyncio.Queue | deque, told) -> None:
        self._told = told
        self._buffer = b""
        self._due = 0.0
        self.transport = None

    def connection_made(self, transport) -> None:
        """Keep what sends."""
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due at a time."""
        self._due, self._buffer = due, b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note an answer once it is whole."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        place = head.lower().index(b"content-length:") + len(b"content-length:")
        if len(body) < int(head[place:].split(b"\r\n", 1)[0]):
            return
        self._told(self, time.perf_counter() - self._due, int(head[9:12]))


async def drive(options: argparse.Namespace) -> dict[str, float]:
    """Send requests for some seconds; a rate of 0 is as fast as the connections can."""
    rng = random.Random(1)
    requests = [request(rng, options) for _ in range(N_BODIES)]
    loop = asyncio.get_running_loop()
    rate = options.rate[0]
    times: list[float] = []
    bad = 0
    free: deque[Connection] = deque()
    waiting: deque[float] = deque()
    n_sent, end = 0, 0.0

    def send(connection: Connection, due: float) -> None:
        nonlocal n_sent
        n_sent += 1
        connection.ask(requests[n_sent % N_BODIES], due)

    def told(connection: Connection, seconds: float, status: int) -> None:
        nonlocal bad
        times.append(seconds)
        bad += status != 200
        if waiting:
            send(connection, waiting.popleft())
        elif not rate and time.perf_counter() < end:
            send(connection, time.perf_counter())
        else:
            free.append(connection)

    for _ in range(options.connections):
        _, connection = await loop.create_connection(
            lambda: Connection(free, told), "127.0.0.1", options.drive
        )
        free.append(connection)
    begin, used = time.perf_counter(), time.process_time()
    end = begin + options.seconds
    if rate:
        for number in range(int(rate * options.seconds)):
            due = begin + number / rate
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            if free:
                send(free.popleft(), due)
            else:
                waiting.append(due)
    else:
        while free:
            send(free.popleft(), time.perf_counter())
    while len(free) < options.connections:
        await asyncio.sleep(0.001)
    took = time.perf_counter() - begin
    times.sort()
    at = {f"p{p:g}": 1000 * times[int(len(times) * p / 100)] for p in (50, 90, 99)}
    cpu = 1000 * (time.process_time() - used) / len(times)
    return {
        "n": len(times),
        "bad": bad,
        "cpu": cpu,
        "rate": len(times) / took,
        **at,
        "max": 1000 * times[-1],
    }


def request(rng: random.Random, options: argparse.Namespace) -> bytes:
    """A request for the list of one history."""
    n = rng.randint(1, options.history)
    history = [f"item-{rng.randrange(options.items)}" for _ in range(n)]
    body = json.dumps({"history": history, "k": options.k}).encode()
    head = f"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    return f"{head}content-type: application/json\r\n\r\n".encode() + body


def check(port: int, options: argparse.Namespace) -> None:
    """See that a list is whole before anything is timed."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/recommend", json.dumps({"history": ["item-1"], "k": options.k}))
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert len(answer["items"]) == options.k, answer


def row(rate: float, found: dict[str, float], cpu_ms: float) -> str:
    """One line of the table."""
    name = f"{rate:,.0f} requests/s asked" if rate else "as fast as it can"
    parts = [f"{name:>24}: {found['rate']:7.0f}/s of {found['n']:,}, {found['bad']} refused"]
    parts += [f"{key} {found[key]:.2f} ms" for key in ("p50", "p90", "p99", "max")]
    parts += [f"processor {cpu_ms:.2f} ms per request, the driver {found['cpu']:.2f} ms"]
    return ", ".join(parts)


def cpu_seconds(process: int) -> float:
    """What a process has used of all processors."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(process: int) -> float:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
