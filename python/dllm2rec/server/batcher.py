"""Requests that come at the same time are answered together, by one call on another thread.

While one batch is answered the next one gathers: nobody waits for a clock, and the busier the
server, the larger its batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from dllm2rec.server.refusals import TOO_MANY, Refusal

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Batcher(Generic[Job, Answer]):
    """One thread that answers batches; use it from one event loop.

    Attributes:
        sizes: called with the size of each batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Job]], Sequence[Answer | Exception]],
        *,
        most: int,
        most_waiting: int,
        sizes: Callable[[int], None],
    ) -> None:
        self._answer = answer
        self._most = most
        self._most_waiting = most_waiting
        self.sizes = sizes
        self._waiting: deque[tuple[Job, asyncio.Future[Answer]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dllm2rec-answers")
        self._gathering: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many wait for the next batch."""
        return len(self._waiting)

    def ask(self, job: Job) -> asyncio.Future[Answer]:
        """Answer one job with whatever else is asked meanwhile.

        Returns:
            The answer to come, or a `Refusal` where too many wait.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= self._most_waiting:
            message = f"{len(self._waiting):,} requests wait already"
            answer.set_exception(Refusal(TOO_MANY, "E-BUSY", message, "ask again later"))
            return answer
        self._waiting.append((job, answer))
        if self._gathering is None:
            self._gathering = asyncio.create_task(self._work())
        return answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                n = min(len(self._waiting), self._most)
                batch = [self._waiting.popleft() for _ in range(n)]
                batch = [(job, answer) for job, answer in batch if not answer.done()]
                if not batch:
                    continue
                self.sizes(len(batch))
                jobs = [job for job, _ in batch]
                try:
                    found = await loop.run_in_executor(self._thread, self._answer, jobs)
                except Exception as err:  # noqa: BLE001 - each who waits is told
                    found = [err] * len(batch)
                for (_, answer), one in zip(batch, found, strict=True):
                    if answer.done():  # who asked has gone
                        continue
                    if isinstance(one, Exception):
                        answer.set_exception(one)
                    else:
                        answer.set_result(one)
        finally:
            self._gathering = None

    def close(self) -> None:
        """End the thread, once it has answered."""
        self._thread.shutdown()
