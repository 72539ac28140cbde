"""What a driver has to say to a worker that is busy: that it should leave, as soon as that costs no work.

A worker has one thread for Ray, which waits for its trial's next message; so the word goes through the cluster's
key-value store, and the trial's thread looks for it when it reports.
"""

from __future__ import annotations

import contextlib
import time

LOOK_SECONDS = 2.0  # how often a worker looks at most: that takes a millisecond
_NAMESPACE = b"ray_hpo"


def tell(worker: str, reason: str) -> None:
    """Ask `worker`, an actor's id, to leave at its next checkpoint."""
    from ray.experimental import internal_kv

    with contextlib.suppress(Exception):  # a head that restarts: it is asked again, or is lost
        internal_kv._internal_kv_put(_key(worker), reason.encode(), namespace=_NAMESPACE)


def retract(worker: str) -> None:
    """Let it stay; or it is gone."""
    from ray.experimental import internal_kv

    with contextlib.suppress(Exception):
        internal_kv._internal_kv_del(_key(worker), namespace=_NAMESPACE)


class Notices:
    """The worker's end."""

    def __init__(self, worker: str) -> None:
        self._key = _key(worker)
        self._looked = time.monotonic()

    def asked_to_leave(self) -> str:
        """The reason why it should leave, on one line; empty if it need not."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return ""
        self._looked = now
        from ray.experimental import internal_kv

        with contextlib.suppress(Exception):
            return (internal_kv._internal_kv_get(self._key, namespace=_NAMESPACE) or b"").decode()
        return ""


def _key(worker: str) -> bytes:
    return b"leave:" + worker.encode()
