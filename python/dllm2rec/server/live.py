"""What a server serves: an export that is read once, and replaced while requests are answered."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dllm2rec.errors import ArtifactError
from dllm2rec.exports.load_export import Runtime, load_export
from dllm2rec.serve.recommender import Recommender
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.server.title_search import TitleSearch

_BYTES_PER_THREAD = 1 << 25


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What answers a request from its first step to its last; nothing of it ever changes.

    Attributes:
        export: the folder it was read from.
        model: the recommender, whose items may change: ask `scorer`.
        scorer: what answers.
        search: finds items by their titles.
    """

    export: Path
    model: Recommender
    scorer: ItemScorer
    search: TitleSearch

    @classmethod
    def of(cls, export: Path, model: Recommender) -> Snapshot:
        """Take what a recommender is now, and make ready what the first requests would wait for."""
        scorer = model.scorer
        # Where it is not known what is popular, items go in the order of the catalogue.
        is_known = not isinstance(scorer.popularity, ArtifactError)
        order = scorer.by_popularity if is_known else np.arange(scorer.n_items)
        search = TitleSearch.of(scorer.catalogue, order)
        model.recommend([scorer.catalogue.item_ids[:1]], 1)
        model.similar_items(scorer.catalogue.item_ids[:1], 1)
        # A collection would look at every id and title while all requests wait, 58 ms for 100,000
        # items. They are in no cycle: frozen, they still go with the last request that holds them.
        gc.collect(1)
        gc.freeze()
        return cls(export, model, scorer, search)


def threads_for(scorer: ItemScorer) -> int:
    """How many threads are worth waking for one history: one for each 32 MiB of items' codes.

    Fewer are better for a small catalogue: requests are answered at the same time, and a core that
    waits for another answers none. At most what the machine has.
    """
    n_bytes = int(scorer.n_items * scorer.items.matrix.shape[1])
    return max(1, min(os.cpu_count() or 1, n_bytes // _BYTES_PER_THREAD))


@dataclass
class LiveExport:
    """The snapshot of now. One change at a time; whoever holds an older snapshot goes on with it.

    Attributes:
        now: what new requests are answered by.
        loads: how often an export was read.
    """

    now: Snapshot
    runtime: Runtime
    threads: int | None
    loads: int = 1
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, export: Path, runtime: Runtime, threads: int | None) -> LiveExport:
        """Read an export.

        Raises:
            ArtifactError, ConfigError: as `load_export`.
        """
        model = load_export(export, runtime=runtime, threads=threads)
        return cls(Snapshot.of(export, model), runtime, threads)

    def reload(self, export: Path | None = None) -> Snapshot:
        """Read an export, by default that of now again, and serve it once it can answer.

        Raises:
            ArtifactError: it cannot be served; what was served goes on.
        """
        with self._changing:
            folder = self.now.export if export is None else export
            model = load_export(folder, runtime=self.runtime, threads=self.threads)
            self.now = Snapshot.of(folder, model)
            self.loads += 1
        return self.now

    def change(self, by: Callable[[Recommender], None]) -> Snapshot:
        """Change the items of what is served.

        Raises:
            Dllm2RecError: the change is refused; nothing changed.
        """
        with self._changing:
            model = self.now.model
            changed = Recommender(model.name, model.scorer)
            by(changed)
            self.now = Snapshot.of(self.now.export, changed)
        return self.now
