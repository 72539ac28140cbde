"""Waiting for what is to happen, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_SECONDS = 0.01


def wait_until(condition: Callable[[], bool], seconds: float = 60.0, what: str = "what was waited for") -> None:
    """Return as soon as `condition` holds.

    Raises:
        TimeoutError: it does not hold after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen in {seconds:g} s")
        time.sleep(STEP_SECONDS)
