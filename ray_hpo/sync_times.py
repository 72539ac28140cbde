"""When the disk is asked to confirm what has been written: by all processes of a machine at the same moments.

A file system confirms a file by committing its own journal, and until the disk has that, whoever makes, renames or
deletes files may have to wait. What is asked for together is committed together: two short waits a second instead of
one after another, and few of them within the moments in which a disk is slow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SYNC_SECONDS = 0.5  # between two such moments: how much a power failure may cost


def sync_number(now: Callable[[], float] = time.time) -> int:
    """Of the latest such moment. Clocks of machines that share a disk may differ: then they only ask more often."""
    return math.floor(now() / SYNC_SECONDS)


def to_next_sync(now: Callable[[], float] = time.time) -> float:
    """Seconds until the next such moment."""
    return SYNC_SECONDS - now() % SYNC_SECONDS
