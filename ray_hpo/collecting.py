"""How often Python looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 20_000  # more than there were, before the newest are looked at; Python's own choice is some hundreds


@contextmanager
def rarely() -> Iterator[None]:
    """For as long as an experiment grows: nearly all that it allocates, it keeps. To look at that again and again would
    hold up its loop, for longer each time."""
    before = gc.get_threshold()
    gc.set_threshold(max(OBJECTS, before[0]) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
