"""From measured memory to the share of a GPU that a trial needs. Pure."""

from __future__ import annotations

import math

HEADROOM = 1.2  # times the most that any trial has taken so far: configurations differ, and peaks come late
RESERVED = 0.05  # of a GPU's memory, for what is not anybody's: the driver, fragmentation
MOST = 16  # trials on a GPU: more only wait for each other
GRAIN = 10_000  # Ray counts shares in ten-thousandths


def trials_to_a_gpu(peak: int, total: int) -> int:
    """How many trials that take `peak` bytes at most fit on a GPU of `total` bytes, with headroom; at least one."""
    if peak <= 0:
        return MOST
    return max(1, min(MOST, math.floor(total * (1 - RESERVED) / (peak * HEADROOM))))


def share_of(trials: int) -> float:
    """The share of each of so many trials on a GPU, such that one more does not fit."""
    return math.floor(GRAIN / trials) / GRAIN
