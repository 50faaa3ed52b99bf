"""Trainings side by side: processes that each take the next one, and write nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_end
from typing import Any

import torch

from dllm2rec import _core
from dllm2rec.errors import ResourceError
from dllm2rec.rerun.paper.plan import Job
from dllm2rec.rerun.paper.train_job import World, train_job

# Gives what can be trained now, given what has been.
Ready = Callable[[], Mapping[str, Job]]
Keep = Callable[[dict[str, Any]], None]

_worlds: list[World] = []  # of this process, which trains for another


def train_all(ready: Ready, keep: Keep, world: World, n_processes: int, n_threads: int) -> None:
    """Train until nothing is ready any more; whatever ends is kept at once.

    Args:
        ready: asked again after each training.
        keep: takes what a training came to; called in this process only.
        world: what to train on.
        n_processes: how many trainings run at a time; one runs in this process. Where there are
            several GPUs, each process takes the next.
        n_threads: CPU threads of each of several.

    Raises:
        ResourceError: a process was killed.
    """
    if n_processes == 1:
        while jobs := ready():
            keep(train_job(next(iter(jobs.values())), world))
        return
    try:
        with _processes(world, n_processes, n_threads) as pool:
            _train_in(pool, ready, keep, n_processes)
    except BrokenProcessPool as err:
        raise ResourceError(
            "a process that trained was killed, expected it to end; run the command again, it goes "
            "on from here, with fewer --jobs if memory ran out"
        ) from err


def _train_in(pool: ProcessPoolExecutor, ready: Ready, keep: Keep, n_processes: int) -> None:
    """Keep all processes busy until nothing is ready and nothing under way."""
    under_way: dict[Future[dict[str, Any]], str] = {}
    while True:
        waiting = [job for key, job in ready().items() if key not in under_way.values()]
        for job in waiting[: n_processes - len(under_way)]:
            under_way[pool.submit(_train, job)] = job.key
        if not under_way:
            return
        for one in wait(under_way, return_when=FIRST_COMPLETED).done:
            del under_way[one]
            keep(one.result())


@contextmanager
def _processes(world: World, n_processes: int, n_threads: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block, at once if it fails, and with this process."""
    context = multiprocessing.get_context("spawn")  # CUDA does not outlive a fork
    number = context.Value("i", 0)
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(n_processes, context, _begin, (world.unloaded(), number, n_threads))
    try:
        yield pool
    except BaseException:
        _kill(set(multiprocessing.active_children()) - before)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _kill(processes: Iterable[Any]) -> None:
    for process in processes:
        process.kill()


def _begin(world: World, number: Any, n_threads: int) -> None:  # noqa: ANN401 - a shared int
    """Make a new process ready to train."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    torch.set_num_threads(n_threads)
    _core.set_threads(n_threads)
    with number.get_lock():
        mine = number.value
        number.value += 1
    if torch.cuda.is_available():
        torch.cuda.set_device(mine % torch.cuda.device_count())
    _worlds.append(world)


def _end_with_parent() -> None:
    """Leave no training behind where the parent was killed: nobody would keep what it comes to."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _train(job: Job) -> dict[str, Any]:
    return train_job(job, _worlds[0])
