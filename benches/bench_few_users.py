"""Lists of one history among many items: by codes of eight bits, and by the exact pass.

    python benches/bench_few_users.py --items 1000000 --tries 10000

draws normal vectors of 64 numbers, checks that both give the same list, bit by bit, in every try,
and prints how long one list takes.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import time

import numpy as np

from dllm2rec import _core

WIDTH, K = 64, 20


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    _core.set_threads(options.threads)
    for n_items in options.items:
        bench(n_items, options.tries)


def bench(n_items: int, n_tries: int) -> None:
    """One catalogue."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((n_items, WIDTH), dtype=np.float32)
    begin = time.perf_counter()
    codes = _core.code_items(items)
    print(f"{n_items:,} items: coded in {time.perf_counter() - begin:.2f} s", flush=True)
    n_equal = 0
    for first in range(0, n_tries, 500):
        users = rng.standard_normal((min(500, n_tries - first), WIDTH), dtype=np.float32)
        exact = _core.fused_top_n(users, items, K)
        for row, user in enumerate(users):
            mine = _core.coded_top_n(user[None], items, codes, K)
            n_equal += all(np.array_equal(a[0], b[row]) for a, b in zip(mine, exact, strict=True))
    print(f"  equal lists: {n_equal:,} of {n_tries:,}", flush=True)
    assert n_equal == n_tries
    users = rng.standard_normal((200, 1, WIDTH), dtype=np.float32)
    timed("codes", [lambda u=u: _core.coded_top_n(u, items, codes, K) for u in users])
    timed("exact", [lambda u=u: _core.fused_top_n(u, items, K) for u in users[:40]])


def timed(name: str, calls: list) -> None:
    """Print times of calls, and what they took of all processors."""
    for call in calls[:3]:
        call()
    walls, used = [], time.process_time()
    for call in calls:
        begin = time.perf_counter()
        call()
        walls.append(1000 * (time.perf_counter() - begin))
    cpu = 1000 * (time.process_time() - used) / len(calls)
    low, middle, high = np.percentile(walls, [0, 50, 95])
    print(f"  {name}: best {low:.2f} ms, p50 {middle:.2f}, p95 {high:.2f}, processors {cpu:.2f}")


if __name__ == "__main__":
    main()
