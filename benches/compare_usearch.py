"""The exact list of one history beside an approximate one of usearch: time and recall.

    pip install usearch
    python benches/compare_usearch.py --items 1000000 --vectors clustered

Items are normal vectors of 64 numbers, or normal ones around 200 centres whose lengths differ as
popular and rare items' do; usearch keeps a graph of them (HNSW) and is asked with several widths
of its search. Recall is the share of the 20 items of the exact list that it finds.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import time

import numpy as np
from usearch.index import Index

from dllm2rec import _core

WIDTH, K, N_USERS = 64, 20, 300
EXPANSIONS = (64, 256, 1024, 4096)


def main() -> None:
    """Build, compare, time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--vectors", choices=["normal", "clustered"], default="normal")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    _core.set_threads(options.threads)
    items, users = drawn(options.items, options.vectors)
    begin = time.perf_counter()
    codes = _core.code_items(items)
    print(f"{options.items:,} {options.vectors} items")
    print(
        f"  exact: coded in {time.perf_counter() - begin:.2f} s, {size(codes):,.0f} MB", flush=True
    )
    exact, _ = _core.fused_top_n(users, items, K)
    for user, best in zip(users, exact, strict=True):
        assert np.array_equal(_core.coded_top_n(user[None], items, codes, K)[0][0], best)
    told("exact", 1.0, [lambda u=u: _core.coded_top_n(u[None], items, codes, K) for u in users])

    index = Index(ndim=WIDTH, metric="ip", dtype="f32")
    begin = time.perf_counter()
    index.add(np.arange(len(items)), items, threads=options.threads)
    took = time.perf_counter() - begin
    print(f"  usearch: built in {took:.0f} s, {index.memory_usage / 1e6:,.0f} MB", flush=True)
    for expansion in EXPANSIONS:
        index.expansion_search = expansion
        found = [index.search(user, K).keys for user in users]
        hits = [len(np.intersect1d(a, b)) for a, b in zip(found, exact, strict=True)]
        calls = [lambda u=u: index.search(u, K) for u in users]
        told(f"usearch, width {expansion}", sum(hits) / (K * len(users)), calls)


def drawn(n_items: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of items and users."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((n_items, WIDTH), dtype=np.float32)
    users = rng.standard_normal((N_USERS, WIDTH), dtype=np.float32)
    if kind == "clustered":
        centres = rng.standard_normal((200, WIDTH), dtype=np.float32)
        items = centres[rng.integers(0, 200, n_items)] + 0.5 * items
        items *= rng.lognormal(0, 0.3, (n_items, 1)).astype(np.float32)
        users = centres[rng.integers(0, 200, N_USERS)] + 0.5 * users
    return items, users


def size(arrays: tuple[np.ndarray, ...]) -> float:
    """Megabytes."""
    return sum(array.nbytes for array in arrays) / 1e6


def told(name: str, recall: float, calls: list) -> None:
    """Print the recall and the times of calls, and what they took of all processors."""
    walls, used = [], time.process_time()
    for call in calls:
        begin = time.perf_counter()
        call()
        walls.append(1000 * (time.perf_counter() - begin))
    cpu = 1000 * (time.process_time() - used) / len(calls)
    middle, high = np.percentile(walls, [50, 95])
    times = f"p50 {middle:.2f} ms, p95 {high:.2f}, processors {cpu:.2f}"
    print(f"    {name}: recall {recall:.3f}, {times}", flush=True)


if __name__ == "__main__":
    main()
