"""How many workers there should be: arithmetic on what the pool has, what the cluster holds and what there is to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BLIND = 16  # workers that are asked for at least at a time where it cannot be seen what the autoscaler may add


@dataclass(frozen=True)
class Pool:
    """The workers there are: with a trial, without one, and those that are not up yet."""

    busy: int
    idle: int
    starting: int

    @property
    def size(self) -> int:
        return self.busy + self.idle + self.starting


def change(pool: Pool, most: int | None, holds: int, addable: int | None, work: Callable[[int], int]) -> int:
    """How many workers to start, or, if negative, how many there are too many.

    most: that there may be, for whatever reason.  holds: what the nodes that are alive hold.  addable: what they and
    those that may be added hold; None if that is not known.  work: how many of so many further workers would have
    something to do now; asked only where it matters, since the answer takes time.
    """
    if addable is None:
        addable = max(holds, pool.size + max(BLIND, pool.size))
    size = max(holds, addable)
    size = size if most is None else min(size, most)
    if pool.size > size:
        return size - pool.size
    if pool.idle:
        return -pool.starting  # there is no work for those that are here
    if pool.size == size:
        return 0
    useful = work(size - pool.busy)
    if not pool.busy:
        useful = max(useful, 1)  # only who has a worker to give asks for work, and so learns that there is no more
    return min(size - pool.size, useful - pool.starting)
