"""How sweeps share a cluster: weighted dominant-resource fairness in whole workers. Each sweep computes the same.

Ghodsi et al., Dominant Resource Fairness (NSDI 2011), algorithm 1, with weights: the next worker goes to the sweep
whose largest fraction of any resource, divided by its priority, is the least. With one resource this is weighted
max-min.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

QUANTUM = (
    60.0  # worker-seconds, weighted, by which two sweeps differ before a worker that cannot be split changes hands
)
HUNGER_SECONDS = 20.0  # of a sweep that has no worker though it has a share; after each the others hold half as many
HUNGER_ENDS = 120.0  # whatever keeps it from starting then is not the others' workers
HUNGER_REPEATS = 900.0  # until it is tried again


@dataclass(frozen=True)
class Claim:
    """What one sweep wants.

    id: orders equals.  priority: its weight.  wants: workers it has work for.  each: resources of one.
    served: worker-seconds that it has had, over its priority, counted from what the others had when it came.
    hungry: seconds since when it has had no worker, though it wants some and has a share.
    """

    id: str
    priority: float
    wants: int
    each: Mapping[str, float]
    served: float = 0.0
    hungry: float = 0.0


def shares(total: Mapping[str, float], claims: Sequence[Claim]) -> dict[str, int]:
    """How many workers each sweep may have, by id. total: what the cluster has of each resource."""
    given = dict.fromkeys((claim.id for claim in claims), 0)
    left = {name: total.get(name, 0.0) + 1e-9 for claim in claims for name in claim.each}
    queue = [(0.0, *_order(claim), claim) for claim in claims if claim.wants > 0]
    heapq.heapify(queue)
    while queue:
        _, turn, name, claim = heapq.heappop(queue)
        if any(amount > left[resource] for resource, amount in claim.each.items()):
            continue  # what is left is too little for it, and will not become more
        for resource, amount in claim.each.items():
            left[resource] -= amount
        given[name] += 1
        if given[name] < claim.wants:
            heapq.heappush(queue, ((given[name] + 1) * _dominant(total, claim) / claim.priority, turn, name, claim))
    return given


def allowance(total: Mapping[str, float], claims: Sequence[Claim], mine: str) -> int | None:
    """How many workers the sweep `mine` may have now; None where it is alone.

    While another is hungry, it has half of its share, then a quarter, and so on, but one: workers that are in the way
    of the other's, on just the nodes that it needs, are thus given back sooner or later.
    """
    rivals = [claim for claim in claims if claim.id != mine and claim.wants > 0]
    if not rivals:
        return None
    share = shares(total, claims)[mine]
    hunger = max(_hunger(claim.hungry) for claim in rivals)
    return max(min(share, 1), share >> hunger)


def _hunger(seconds: float) -> int:
    """How often the others' shares are halved for a sweep that has been hungry for `seconds`."""
    seconds = math.fmod(seconds, HUNGER_REPEATS)
    return int(seconds / HUNGER_SECONDS) if seconds < HUNGER_ENDS else 0


def _order(claim: Claim) -> tuple[int, str]:
    return int(claim.served / QUANTUM), claim.id


def _dominant(total: Mapping[str, float], claim: Claim) -> float:
    """The largest fraction of a resource that one worker takes."""
    return max((amount / total[name] for name, amount in claim.each.items() if total.get(name)), default=0.0)
