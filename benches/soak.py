"""A server under ten minutes of everything at once: does its memory grow, is anybody let down?

    python benches/soak.py --minutes 10

serves a made-up export to clients that ask properly, to the hostile ones of `hostile_requests.py`,
and to some that open connections and say nothing; every twenty seconds the export is read again.
It prints the process's memory each half minute, and ends with an error if a proper request was not
answered with 200, one of any with the 500s, or memory grew by more than a twentieth from the first
third to the last.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import httpx

from hostile_requests import TOKEN, attack

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

N_ITEMS = 20_000


def main() -> None:
    """Serve, ask, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    from tests.server.made_up import made_up_recommender
    from tests.server.served import served

    from dllm2rec import export

    with tempfile.TemporaryDirectory() as home:
        folder, token = Path(home) / "export", Path(home) / "token"
        export(made_up_recommender(N_ITEMS), folder)
        token.write_text(TOKEN, encoding="utf-8")
        with served(folder, "--admin-token-file", str(token), "--timeout", "2") as server:
            statuses, held = asyncio.run(soak(server, folder, 60 * options.minutes))
    for kind, counts in statuses.items():
        print(f"{kind}: {sum(counts.values()):,} requests: {dict(sorted(counts.items()))}")
    third = len(held) // 3
    first, last = median(held[:third]), median(held[-third:])
    print(f"memory: {first:.0f} MB in the first third, {last:.0f} MB in the last")
    assert not any(status >= 500 for counts in statuses.values() for status in counts)
    assert set(statuses["proper"]) == {200}
    assert last < 1.05 * first


async def soak(server, folder: Path, seconds: float) -> tuple[dict[str, Counter], list[float]]:
    """Ask in all ways until the time is over: statuses, and MB in pieces of the time."""
    end = time.monotonic() + seconds
    statuses: dict[str, Counter] = {"proper": Counter(), "hostile": Counter()}
    held: list[float] = []

    async def ask(number: int) -> None:
        rng = random.Random(number)
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            while time.monotonic() < end:
                history = [f"item-{rng.randrange(N_ITEMS)}" for _ in range(rng.randint(1, 20))]
                body = {"history": history, "k": 20, "unknown": "skip", "empty": "popular"}
                answer = await client.post("/recommend", json=body)
                statuses["proper"][answer.status_code] += 1

    async def attack_on() -> None:
        seed = 0
        while time.monotonic() < end:
            some = argparse.Namespace(requests=400, connections=4, seed=seed)
            statuses["hostile"] += await attack(server.port, some)
            seed += 1

    async def say_nothing() -> None:
        while time.monotonic() < end:
            open_ = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
            await asyncio.gather(*(reader.read() for reader, _ in open_))  # until it closes
            for _, writer in open_:
                writer.close()

    async def reload() -> None:
        headers = {"authorization": f"Bearer {TOKEN}"}
        body = json.dumps({"export": str(folder)})
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            while time.monotonic() < end:
                answer = await client.post("/reload", content=body, headers=headers)
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(20)

    async def measure() -> None:
        begin = time.monotonic()
        while time.monotonic() < end:
            await asyncio.sleep(min(30, seconds / 12))
            status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
            held.append(int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6)
            n_files = len([*Path(f"/proc/{server.process.pid}/fd").iterdir()])
            n_asked = sum(sum(counts.values()) for counts in statuses.values())
            print(
                f"{time.monotonic() - begin:.0f} s: {held[-1]:.0f} MB, {n_files} files, "
                f"{n_asked:,} requests",
                flush=True,
            )

    asking = [ask(number) for number in range(4)]
    await asyncio.gather(*asking, attack_on(), say_nothing(), reload(), measure())
    return statuses, held


if __name__ == "__main__":
    main()
