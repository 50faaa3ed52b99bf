"""Everything that the routes of one server share."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from dllm2rec.errors import Dllm2RecError
from dllm2rec.server.batcher import Batcher
from dllm2rec.server.jobs import Job, ListAnswer, answer_jobs
from dllm2rec.server.limits import Limits
from dllm2rec.server.live import LiveExport, Snapshot
from dllm2rec.server.metrics import Metrics
from dllm2rec.server.refusals import TOO_MANY, UNPROCESSABLE, Refusal, refused_input

Answer = TypeVar("Answer")
Search = tuple[Snapshot, str, int]


@dataclass(frozen=True)
class Service:
    """What is served and how.

    Attributes:
        live: the export.
        limits: of requests.
        metrics: what is counted.
        admin_token: what who changes the server must show; None lets nobody.
        lists: answers lists, many at a time.
        searches: answers searches, one after the other.
    """

    live: LiveExport
    limits: Limits
    metrics: Metrics
    admin_token: str | None
    lists: Batcher[Job, ListAnswer]
    searches: Batcher[Search, list[int]]

    @classmethod
    def of(cls, live: LiveExport, limits: Limits, admin_token: str | None) -> Service:
        """Put together what serves an export."""
        metrics = Metrics()
        most = {"most": limits.batch, "most_waiting": limits.waiting}
        lists = Batcher[Job, ListAnswer](answer_jobs, sizes=metrics.observe_batch, **most)
        searches = Batcher[Search, list[int]](_searched, sizes=lambda _: None, **most)
        metrics.gauge(
            "dllm2rec_requests_waiting", "Requests that wait for a batch.", lambda: len(lists)
        )
        metrics.gauge("dllm2rec_items", "Items served.", lambda: live.now.scorer.n_items)
        metrics.gauge("dllm2rec_loads", "Exports read since the start.", lambda: live.loads)
        return cls(live, limits, metrics, admin_token, lists, searches)

    async def answer(self, job: Job) -> ListAnswer:
        """Answer one job among others.

        Raises:
            Refusal: it takes too long, too many wait, or it cannot be answered.
        """
        return await self._in_time(self.lists.ask(job))

    async def search(self, query: str, k: int) -> tuple[Snapshot, list[int]]:
        """Find items by their titles.

        Raises:
            Refusal: it takes too long, or too many wait.
        """
        now = self.live.now
        return now, await self._in_time(self.searches.ask((now, query, k)))

    async def change(self, by: Callable[[], Snapshot]) -> Snapshot:
        """Change what is served, beside the answers.

        Raises:
            Refusal: the change is refused.
        """
        try:
            return await asyncio.to_thread(by)
        except Dllm2RecError as err:
            raise refused_input(err) from err
        except OSError as err:  # such as a name that no file can have
            raise Refusal(UNPROCESSABLE, "E-REQUEST", f"{err.strerror}: {err.filename}") from err

    def check_admin(self, request: Request) -> None:
        """Let through who may change the server.

        Raises:
            Refusal: nobody may, or the token is missing or another.
        """
        if self.admin_token is None:
            hint = "start serve with --admin-token-file"
            raise Refusal(403, "E-ADMIN", "this server cannot be changed by requests", hint)
        shown = request.headers.get("authorization", "")
        expected = f"Bearer {self.admin_token}"
        if not hmac.compare_digest(shown.encode(), expected.encode()):
            hint = "send the header Authorization: Bearer TOKEN"
            raise Refusal(401, "E-ADMIN", "the token is missing or wrong", hint)

    def close(self) -> None:
        """End the threads."""
        self.lists.close()
        self.searches.close()

    async def _in_time(self, answer: asyncio.Future[Answer]) -> Answer:
        # A timer alone costs a third of `asyncio.timeout`.
        timer = asyncio.get_running_loop().call_later(self.limits.seconds, self._give_up, answer)
        try:
            return await answer
        except Dllm2RecError as err:
            raise refused_input(err) from err
        finally:
            timer.cancel()

    def _give_up(self, answer: asyncio.Future[Answer]) -> None:
        if not answer.done():
            message = f"no answer within {self.limits.seconds:g} s"
            answer.set_exception(Refusal(TOO_MANY, "E-BUSY", message, "ask again later"))


def _searched(searches: Sequence[Search]) -> list[list[int] | Exception]:
    return [snapshot.search.find(query, k) for snapshot, query, k in searches]
