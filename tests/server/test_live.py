"""What is served is left alone by the garbage collector, and goes when another is served."""

from __future__ import annotations

import gc
import weakref

from dllm2rec.server.live import LiveExport


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
