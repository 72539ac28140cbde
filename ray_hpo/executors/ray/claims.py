"""How sweeps on one cluster learn of each other: claims in the cluster's own key-value store, with leases.

There is no process that could die or hang: each sweep writes its claim and reads the others'. That of a driver that Ray
knows to be gone is void; a sweep that stops writing, for whatever reason, is forgotten after LEASE_SECONDS.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import uuid
from collections.abc import Callable, Mapping

from ray.experimental import internal_kv

from ray_hpo.executors.ray.cluster import ended_jobs
from ray_hpo.executors.ray.shares import Claim, allowance, shares
from ray_hpo.resources import Request

LEASE_SECONDS = 30.0  # without a change, after which a claim is void
_NAMESPACE = b"ray_hpo"
_PREFIX = b"sweep:"


class Neighbours:
    """A sweep among the others of its cluster. Ray must be initialised.

    job: Ray's name for its driver.
    clock: seconds that only go forward, of this process: those of others are not compared with it.
    """

    def __init__(self, priority: float, job: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._job = job
        self._mine = Claim(uuid.uuid4().hex, priority, 0, {})
        self._rivals: list[Claim] = []
        self._clock = clock
        self._beats = 0
        self._seen: dict[str, tuple[int, float]] = {}  # id -> its last beat, and when it was new here
        self._told_at: float | None = None
        self._hungry_since: float | None = None
        self._workers = 0

    def allowed(
        self, total: Mapping[str, float], request: Request, workers: int, wants: Callable[[bool], int]
    ) -> int | None:
        """How many workers this sweep may have now; None where it is alone. Tells the others what it wants.

        total: what the cluster has of each resource.  request: what a worker holds.  workers: that are up.
        wants: how many it could use; exactly, if it is asked so, which takes longer.
        """
        names = {name for bundle in request.bundles for name in bundle}
        each = {name: request.amount(name) for name in sorted(names) if request.amount(name)}
        self._mine = dataclasses.replace(self._mine, each=each)
        with contextlib.suppress(Exception):  # a head that restarts: each goes on with what it knew
            self._rivals = self._others()
            self._note(total, workers, wants(any(claim.wants for claim in self._rivals)))
            self._publish()
        return allowance(total, [*self._rivals, self._mine], self._mine.id)

    def close(self) -> None:
        """The claim is void at once."""
        with contextlib.suppress(Exception):
            internal_kv._internal_kv_del(_PREFIX + self._mine.id.encode(), namespace=_NAMESPACE)

    def _note(self, total: Mapping[str, float], workers: int, wants: int) -> None:
        now, mine, rivals = self._clock(), self._mine, self._rivals
        if self._told_at is None:  # it begins where the least served one is, or it would be ahead of all for long
            served = min((claim.served for claim in rivals), default=0.0)
        else:
            served = mine.served + self._workers * (now - self._told_at) / mine.priority
        self._told_at, self._workers = now, workers
        mine = dataclasses.replace(mine, wants=wants, served=served)
        waits = not workers and wants and shares(total, [*rivals, mine])[mine.id]
        self._hungry_since = (now if self._hungry_since is None else self._hungry_since) if waits else None
        hungry = 0.0 if self._hungry_since is None else now - self._hungry_since
        self._mine = dataclasses.replace(mine, hungry=hungry)

    def _publish(self) -> None:
        self._beats += 1
        body = {**dataclasses.asdict(self._mine), "beats": self._beats, "job": self._job}
        internal_kv._internal_kv_put(_PREFIX + self._mine.id.encode(), json.dumps(body).encode(), namespace=_NAMESPACE)

    def _others(self) -> list[Claim]:
        """The claims of other sweeps that are not void; those that are, are removed."""
        claims, now = [], self._clock()
        mine = _PREFIX + self._mine.id.encode()
        keys = [key for key in internal_kv._internal_kv_list(_PREFIX, namespace=_NAMESPACE) if key != mine]
        ended = ended_jobs() if keys else frozenset()
        for key in keys:
            text = internal_kv._internal_kv_get(key, namespace=_NAMESPACE)
            if not text:  # it has just closed
                continue
            body = json.loads(text)
            beats, job, claim = body.pop("beats"), body.pop("job", ""), Claim(**body)
            known, since = self._seen.get(claim.id, (None, now))
            if beats != known:
                since = now
            self._seen[claim.id] = beats, since
            if now - since < LEASE_SECONDS and job not in ended:
                claims.append(claim)
            else:
                internal_kv._internal_kv_del(key, namespace=_NAMESPACE)
        return claims
