"""A hundred thousand requests that no client should send: none may be answered by the 500s.

    python benches/hostile_requests.py --requests 100000

serves a made-up export and sends it well-formed requests, random ones, and well-formed ones whose
bytes are changed, cut out or doubled, on connections that are opened again when the server closes
them. It prints how many got which status, and ends with an error at the first of the 500s.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TOKEN = "hostile"  # noqa: S105
ODD = ["", "item-1", "item-2", "gone", "\x00", "é", "🙂", "x" * 3000, "null", "-1", "'; --", "<b>"]
NUMBERS = [0, 1, -1, 10, 1000, 1001, 2**31, 2**63, 2**64, -(2**63), 1.5, 1e308]
FIELDS = ["history", "k", "exclude_seen", "candidates", "filter", "unknown", "empty", "why"]
PATHS = ["/recommend"] * 5 + ["/similar", "/items", "/items/add", "/items/remove", "/reload"]
PATHS += ["/ready", "/health", "/metrics", "/openapi.json", "/", "/nothing", "/%00", "/../etc"]


def main() -> None:
    """Serve and attack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from tests.server.made_up import made_up_recommender
    from tests.server.served import served

    from dllm2rec import export

    with tempfile.TemporaryDirectory() as home:
        folder, token = Path(home) / "export", Path(home) / "token"
        export(made_up_recommender(500, width=16), folder)
        token.write_text(TOKEN, encoding="utf-8")
        with served(folder, "--admin-token-file", str(token), "--timeout", "2") as server:
            statuses = asyncio.run(attack(server.port, options))
            assert server.process.poll() is None, "the server ended"
    print(f"{sum(statuses.values()):,} requests: {dict(sorted(statuses.items()))}")
    assert not any(status >= 500 for status in statuses)


async def attack(port: int, options: argparse.Namespace) -> Counter[int]:
    """Send requests from several connections; status 0 is a connection that was closed."""
    statuses: Counter[int] = Counter()

    async def one(number: int) -> None:
        rng = random.Random(options.seed * 1000 + number)
        reader = writer = None
        for _ in range(options.requests // options.connections):
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            request = raw(rng)
            try:
                writer.write(request)
                status, is_open = await asyncio.wait_for(answer(reader), 0.5)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                status, is_open = 0, False  # it waits for the rest, or has gone
            statuses[status] += 1
            if status >= 500:
                print(status, request[:500])
            if not is_open:
                writer.close()
                writer = None

    await asyncio.gather(*(one(number) for number in range(options.connections)))
    return statuses


async def answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of an answer, and whether the connection goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(one[15:]) for one in lines if one.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return int(head[9:12]), b"connection: close" not in lines and b"content-length" in head.lower()


def raw(rng: random.Random) -> bytes:
    """The bytes of one request."""
    path = rng.choice(PATHS)
    method = rng.choice(["POST", "GET"]) if rng.random() < 0.1 else ""
    reads = path in {"/recommend", "/items/add", "/items/remove", "/reload"}
    method = method or ("POST" if reads else "GET")
    if rng.random() < 0.5:
        path += "?" + "&".join(
            f"{rng.choice(['q', 'k', 'item_id', 'x'])}={quote(str(value(rng, 3)))[:500]}"
            for _ in range(rng.randint(1, 3))
        )
    body = json.dumps(fields(rng)).encode() if rng.random() < 0.9 else rng.randbytes(50)
    if rng.random() < 0.3:
        body = damaged(rng, body)
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    return damaged(rng, request) if rng.random() < 0.02 else request


def fields(rng: random.Random) -> object:
    """A body: mostly of the fields that there are, some with what they are for."""
    if rng.random() < 0.1:
        return value(rng, 0)
    history = [f"item-{rng.randrange(600)}" for _ in range(rng.randint(0, 12))]
    good = {"history": history, "k": rng.randint(1, 20), "unknown": "skip", "empty": "popular"}
    if rng.random() < 0.2:
        good = {"ids": [f"new-{rng.randrange(99)}"], "titles": ["A title"]}
        good["vectors"] = [[rng.random() for _ in range(8)]]
    for _ in range(rng.randint(0, 2)):
        good[rng.choice([*FIELDS, "ids", "vectors", "titles", "more"])] = value(rng, 0)
    return good


def value(rng: random.Random, depth: int) -> object:
    """Anything that JSON can hold."""
    kind = rng.randrange(8 if depth < 3 else 4)
    if kind == 0:
        return rng.choice(ODD)
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return rng.choice([None, True, False])
    if kind == 3:
        return f"item-{rng.randrange(600)}"
    if kind < 7:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 5))]
    return {str(value(rng, 3)): value(rng, depth + 1) for _ in range(rng.randint(0, 3))}


def damaged(rng: random.Random, text: bytes) -> bytes:
    """A few bytes changed, cut out or doubled."""
    parts = bytearray(text)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(parts) + 1)
        kind = rng.randrange(3)
        if kind == 0:
            parts[at : at + 1] = rng.randbytes(1)
        elif kind == 1:
            del parts[at : at + rng.randint(1, 20)]
        else:
            parts[at:at] = parts[at : at + 10]
    return bytes(parts)


if __name__ == "__main__":
    main()
