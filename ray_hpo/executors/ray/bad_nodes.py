"""Which nodes to avoid, given the trials that were lost there. Pure: neither Ray nor a clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass

STRIKES = 3  # losses in a row after which a node is avoided
AVOID_SECONDS = 1800.0  # since the last one; then a single further loss is enough


@dataclass(frozen=True)
class Loss:
    """A trial lost its worker on a node, at `time` in seconds."""

    node: str
    trial: int
    time: float


def nodes_to_avoid(losses: Sequence[Loss], nodes: Set[str], now: float) -> frozenset[str]:
    """Those of `nodes`, the ones on which a worker fits, that keep killing trials; none if that leaves none.

    losses: without those on a node before a trial last went well there.

    A trial that was lost on several nodes is what kills workers, rather than a node.
    """
    where: dict[int, set[str]] = defaultdict(set)
    for loss in losses:
        where[loss.trial].add(loss.node)
    of_nodes = [loss for loss in losses if len(where[loss.trial]) == 1]
    strikes = Counter(loss.node for loss in of_nodes)
    last = {loss.node: loss.time for loss in of_nodes}
    avoided = {node for node in nodes if strikes[node] >= STRIKES and now - last[node] < AVOID_SECONDS}
    return frozenset(avoided) if avoided != set(nodes) else frozenset()


class Losses:
    """The record: who was lost where, since a trial last went well there."""

    def __init__(self) -> None:
        self._losses: list[Loss] = []

    def add(self, node: str, trial: int, now: float) -> None:
        self._losses.append(Loss(node, trial, now))

    def went_well(self, node: str) -> None:
        """A trial came to its milestone, to its end or to an exception of its own."""
        if self._losses:
            self._losses = [loss for loss in self._losses if loss.node != node]

    def avoided(self, nodes: Set[str], now: float) -> frozenset[str]:
        """See `nodes_to_avoid`."""
        return nodes_to_avoid(self._losses, nodes, now)
