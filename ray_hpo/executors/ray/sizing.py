"""How large the pool is to be: what the cluster holds and may add, what there is to do, what other sweeps want."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ray_hpo.budget import duration_text
from ray_hpo.errors import RayHpoError
from ray_hpo.executors.ray.autoscaler import addable, says_never
from ray_hpo.executors.ray.bad_nodes import Losses
from ray_hpo.executors.ray.claims import Neighbours
from ray_hpo.executors.ray.cluster import alive_nodes, job_id, node_texts
from ray_hpo.executors.ray.fit import Node, capacity
from ray_hpo.executors.ray.pool_size import Pool, change
from ray_hpo.resources import Request

SURE_SECONDS = 5.0  # that an autoscaler says for so long that it can never add what is needed
HOPE_SECONDS = 900.0  # to wait for a first worker where it cannot be seen what may be added


class Sizing:
    """Looks at the cluster and says by how many workers the pool is to change.

    request: what a worker holds; it may change.  most: workers that the experiment can use at all.
    """

    def __init__(self, request: Request, most: int | None, priority: float = 1.0) -> None:
        self.request = request
        self._most = most
        self._neighbours = Neighbours(priority, job_id())
        self.losses = Losses()
        self.avoided: frozenset[str] = frozenset()  # ids of nodes on which no more workers are to start
        self._work: Callable[[int], int] | None = None
        self._waits_since = self._never_since = math.inf  # on the monotonic clock
        self._kinds = addable(alive_nodes())
        self._held: tuple[list[Node], Request, int] = ([], request, 0)  # nodes, and what they hold: it takes time

    def follow(self, work: Callable[[int], int]) -> None:
        """work: how many of so many further workers would have something to do now."""
        self._work = work

    def change(self, pool: Pool, waiting: int, taken: int, where: Sequence[str]) -> int:
        """How many workers to start, or, if negative, how many there are too many.

        waiting: jobs that have no worker.  taken: workers for which there is no room because of larger ones.
        where: the nodes of the workers that are to stay.

        Raises:
            RayHpoError: no node that can hold a worker will ever come.
        """
        nodes = alive_nodes()
        holds = self._holds(nodes, where) - taken
        could = self._could_hold(holds)
        if could is None:
            self._check_hope(bool(holds or pool.busy or pool.idle), nodes)

        def work(most: int) -> int:
            return most if self._work is None else min(most, waiting + self._work(max(0, most - waiting)))

        def wants(exactly: bool) -> int:
            if pool.idle:
                return pool.busy
            room = max(holds, could or 0, pool.size) - pool.busy
            wanted = pool.busy + (work(room) if exactly else room)
            return wanted if self._most is None else min(wanted, self._most)

        total = self._total(nodes)
        share = self._neighbours.allowed(total, self.request, pool.busy + pool.idle, wants)
        limits = [limit for limit in (self._most, share) if limit is not None]
        return change(pool, min(limits, default=None), holds, could, work)

    def _holds(self, nodes: list[Node], where: Sequence[str]) -> int:
        """Workers on the nodes that are there; on those that are avoided only the ones that are there still."""
        suitable = {node.id for node in nodes if capacity([node], self.request, most=1)}
        self.avoided = self.losses.avoided(suitable, time.monotonic())
        good = [node for node in nodes if node.id not in self.avoided]
        if (good, self.request) != self._held[:2]:
            self._held = good, self.request, capacity(good, self.request, self._most)
        return self._held[2] + sum(node in self.avoided for node in where)

    def close(self) -> None:
        self._neighbours.close()
        self._work = None  # it leads back to the executor, which would live on with all that it has put into Ray

    def _could_hold(self, holds: int) -> int | None:
        """Trials at a time with all nodes that may be added; None if that is not known. While nobody has said what
        there is to do, none are asked for."""
        if self._work is None:
            return holds
        return None if self._kinds is None else max(holds, capacity(self._kinds, self.request, self._most))

    def _check_hope(self, there_is: bool, nodes: Sequence[Node]) -> None:
        """Where what may be added cannot be seen, it has to show."""
        now = time.monotonic()
        self._waits_since = math.inf if there_is else min(self._waits_since, now)
        never = not there_is and now - self._waits_since > SURE_SECONDS and says_never(self.request)
        self._never_since = min(self._never_since, now) if never else math.inf
        what = f"resources={self.request}: the cluster's nodes have {node_texts(nodes, self.request)}, and"
        if now - self._never_since > SURE_SECONDS:
            raise RayHpoError(f"{what} its autoscaler can never add one that holds a trial (see `ray status`)")
        if now - self._waits_since > HOPE_SECONDS:
            raise RayHpoError(f"{what} none that holds a trial has come in {duration_text(HOPE_SECONDS)}")

    def _total(self, nodes: Sequence[Node]) -> Mapping[str, float]:
        """Of each resource: what the nodes have, or, where that is more, those that there may be at most."""
        return _sum(nodes) | _sum(self._kinds or ())


def _sum(nodes: Sequence[Node]) -> Counter[str]:
    """`|` of two takes the larger of each."""
    total: Counter[str] = Counter()
    for node in nodes:
        for name, amount in node.resources.items():
            total[name] += amount * node.count  # type: ignore[assignment]  # fractions count as well
    return total
