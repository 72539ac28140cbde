"""How many trials nodes can hold: arithmetic on what nodes have and what a trial asks for. No Ray here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ray_hpo.resources import Bundle, Request, matches

EPSILON = 1e-9
MAX_STEPS = 20_000  # of the search for a place for all bundles; where it ends without an answer, Ray is to find out


@dataclass(frozen=True)
class Node:
    """A node, or a kind of node of which there can be `count`. resources: all that it has, in use or not.

    id: of a node that is there.
    """

    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    count: int = 1
    id: str = ""


def capacity(nodes: Iterable[Node], request: Request, most: int | None = None) -> int:
    """How many trials `nodes` hold at a time; `most` ends the counting (at 10,000 if there is no limit)."""
    most = 10_000 if most is None else most
    suitable = [node for node in nodes if matches(node.labels, request.labels)]
    if request.empty:
        return most if suitable else 0
    if not request.grouped:
        return min(most, sum(node.count * _fit(node.resources, request.bundles[0]) for node in suitable))
    free = [dict(node.resources) for node in suitable for _ in range(min(node.count, most * len(request.bundles)))]
    placed = 0
    while placed < most and _place(free, request):
        placed += 1
    return placed


def _fit(has: Mapping[str, float], bundle: Bundle) -> int:
    """Trials of one bundle on an empty node. A share of a GPU is all on one GPU, so two of 0.6 do not fit on 1.2 of
    two."""
    counts = []
    for name, amount in bundle.items():
        if not amount:
            continue
        if name == "GPU" and amount < 1:
            counts.append(math.floor(has.get(name, 0.0)) * math.floor((1 + EPSILON) / amount))
        else:
            counts.append(math.floor((has.get(name, 0.0) + EPSILON) / amount))
    return min(counts)


def _place(free: list[dict[str, float]], request: Request) -> bool:
    """Take what one trial needs from `free`, if it can be placed; whether it can.

    Tries all ways, the fullest nodes first, with the largest bundles first, up to MAX_STEPS. Shares of GPUs are counted
    as if a node's were one.
    """
    bundles = sorted(request.bundles, key=lambda bundle: sorted(bundle.values(), reverse=True), reverse=True)
    strict_pack, strict_spread = (request.strategy == strategy for strategy in ("STRICT_PACK", "STRICT_SPREAD"))
    steps = 0

    def search(number: int, used: Sequence[int]) -> bool:
        nonlocal steps
        if number == len(bundles):
            return True
        bundle, seen = bundles[number], set[tuple[tuple[str, float], ...]]()
        candidates = used[:1] if strict_pack and used else range(len(free))
        for place in sorted(candidates, key=lambda place: sum(free[place].values())):
            steps += 1
            if steps > MAX_STEPS:
                return False
            node = free[place]
            alike = (*sorted(node.items()), ("used", float(place in used)))
            if (strict_spread and place in used) or alike in seen or not _has(node, bundle):
                continue
            seen.add(alike)  # another node just like this one need not be tried
            _take(node, bundle, 1)
            if search(number + 1, [*used, place]):
                return True
            _take(node, bundle, -1)
        return False

    return search(0, [])


def _has(node: Mapping[str, float], bundle: Bundle) -> bool:
    return all(node.get(name, 0.0) + EPSILON >= amount for name, amount in bundle.items() if amount)


def _take(node: dict[str, float], bundle: Bundle, sign: int) -> None:
    for name, amount in bundle.items():
        if amount:
            node[name] = node.get(name, 0.0) - sign * amount
