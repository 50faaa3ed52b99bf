"""What a server says of itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dllm2rec.server.service import Service


def ready_facts(service: Service) -> dict[str, Any]:
    """What is served, and within which limits."""
    now = service.live.now
    return {
        "status": "ready",
        "student": now.model.name,
        "n_items": now.scorer.n_items,
        "max_length": now.scorer.encoder.max_length,
        "memory": now.scorer.memory is not None,
        "text_width": now.model.text_width,
        "export": str(now.export),
        "loads": service.live.loads,
        "limits": asdict(service.limits),
    }
