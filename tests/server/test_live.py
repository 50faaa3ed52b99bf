"""What is served: alone with the garbage collector, gone when another is served, on few threads."""

from __future__ import annotations

import gc
import os
import weakref
from types import SimpleNamespace

import numpy as np

from dllm2rec.server.live import LiveExport, threads_for


def test_what_is_served_is_frozen_and_goes_without_a_collection(folder):
    gc.unfreeze()
    live = LiveExport.of(folder, "onnxruntime", 1)
    try:
        assert gc.get_freeze_count() > 0
        before = [weakref.ref(one) for one in (live.now, live.now.scorer, live.now.search)]
        gc.disable()
        live.reload()
        assert [one() for one in before] == [None] * 3
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_small_catalogue_is_worth_one_thread_and_a_large_one_all(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for n_items, n_threads in ((10, 1), (1_000_000, 1), (1_100_000, 2), (50_000_000, 4)):
        matrix = np.broadcast_to(np.float32(0), (n_items, 64))
        scorer = SimpleNamespace(n_items=n_items, items=SimpleNamespace(matrix=matrix))
        assert threads_for(scorer) == n_threads
