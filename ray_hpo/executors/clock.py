"""The clock of executors that train for real: it tells the time of day, and never jumps."""

from __future__ import annotations

import time


class SteadyClock:
    """Seconds since 1970 as the machine knew them when this was made, going on evenly from there.

    A machine's own clock is set now and then, by hours after a suspend: limits on time must not notice.
    """

    def __init__(self) -> None:
        self._zero = time.time() - time.monotonic()

    def now(self) -> float:
        return self._zero + time.monotonic()
