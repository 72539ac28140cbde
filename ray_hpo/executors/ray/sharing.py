"""Room on a GPU for a trial that needs a larger share of it than others. Pure: no Ray."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_NOTHING = 1e-6  # Ray counts GPUs in ten-thousandths


@dataclass(frozen=True)
class Held:
    """What one worker holds. gpu: which one.  movable: it may go, now if it is idle, or when its trial gives it back.
    leaves: that is decided already."""

    gpu: str
    share: float
    movable: bool
    idle: bool
    leaves: bool


def workers_taken(share: float, usual: float) -> int:
    """How many workers with the `usual` share of a GPU fit on it less, next to one with a larger `share`."""
    return _fit(1.0, usual) - _fit(1.0 - share, usual)


def to_leave(held: Sequence[Held], share: float, least: int = 0) -> list[int]:
    """Who of `held` must go, so that `share` of one GPU becomes free: as few as can be, and as few busy ones.

    least: how many must go at any rate, for what a worker needs besides.

    Empty where there is room, where those that leave already make it, or where nothing helps.
    """
    on: dict[str, list[int]] = defaultdict(list)
    for i, worker in enumerate(held):
        if worker.gpu:
            on[worker.gpu].append(i)
    best: list[int] | None = None
    for workers in on.values():
        chosen = _chosen(held, workers, share, least)
        if chosen is not None and (best is None or _price(held, chosen) < _price(held, best)):
            best = chosen
    return best or []


def _chosen(held: Sequence[Held], workers: list[int], share: float, least: int) -> list[int] | None:
    """Who of the `workers` of one GPU must go; None if that is not enough."""
    missing = share - 1.0 + sum(held[i].share for i in workers if not held[i].leaves)
    chosen: list[int] = []
    for i in sorted(workers, key=lambda i: not held[i].idle):
        if (missing > _NOTHING or len(chosen) < least) and held[i].movable and not held[i].leaves:
            chosen.append(i)
            missing -= held[i].share
    return chosen if missing <= _NOTHING else None


def _price(held: Sequence[Held], chosen: list[int]) -> tuple[int, int]:
    return sum(not held[i].idle for i in chosen), len(chosen)


def _fit(room: float, share: float) -> int:
    return math.floor((room + _NOTHING) / share)
