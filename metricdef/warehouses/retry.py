"""Tries again what failed for a moment only: a server that starts, a connection that was cut while being opened."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

ATTEMPTS = 4
FIRST_WAIT = 0.5  # seconds; doubled each time, and spread so that many jobs don't come back at once

T = TypeVar("T")


def retry(
    action: Callable[[], T],
    is_transient: Callable[[Exception], bool],
    *,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The result of `action`, tried up to `attempts` times while it fails for a moment only.

    Any other failure, and the last one, is raised as it is.
    """
    wait = FIRST_WAIT
    for _ in range(attempts - 1):
        try:
            return action()
        except Exception as error:
            if not is_transient(error):
                raise
        sleep(wait * (0.5 + random.random()))  # noqa: S311 - no secret
        wait *= 2
    return action()
