"""Work that a signal can stop: in threads, while the main one, which signals reach, does nothing but wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from metricdef.api import Project

CANCEL_EVERY = 0.1  # seconds, until every query has noticed

T = TypeVar("T")


def run_threads(project: Project, tasks: Sequence[Callable[[], T]], jobs: int) -> list[T]:
    """Results of the tasks, `jobs` at a time. On Ctrl-C, SIGTERM or an error the queries that run are cancelled.

    A signal that arrives while a driver's own code runs in the main thread may be lost.
    """
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while running := [future for future in futures if not future.done()]:
                project.cancel()
                wait(running, timeout=CANCEL_EVERY)
            raise
