"""How sweeps learn of each other: leases in a store, here a dict, and clocks that the test moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ray.experimental import internal_kv

from ray_hpo.executors.ray.claims import LEASE_SECONDS, Neighbours
from ray_hpo.resources import Request, normalise

CLUSTER = {"CPU": 8.0}
REQUEST = Request.of(normalise({"cpu": 1}))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[bytes, bytes]]:
    """What stands in for the cluster's store. No driver is known to be gone."""
    kept: dict[bytes, bytes] = {}
    monkeypatch.setattr("ray_hpo.executors.ray.claims.ended_jobs", frozenset)

    def put(key: bytes, value: bytes, namespace: bytes) -> None:
        kept[key] = value

    def delete(key: bytes, namespace: bytes) -> None:
        kept.pop(key, None)

    monkeypatch.setattr(internal_kv, "_internal_kv_put", put)
    monkeypatch.setattr(internal_kv, "_internal_kv_get", lambda key, namespace: kept.get(key))
    monkeypatch.setattr(internal_kv, "_internal_kv_del", delete)
    monkeypatch.setattr(internal_kv, "_internal_kv_list", lambda prefix, namespace: list(kept))
    return kept


def allowed(sweep: Neighbours, workers: int = 1, wants: int = 100) -> int | None:
    return sweep.allowed(CLUSTER, REQUEST, workers, lambda exactly: wants)


def test_a_sweep_that_is_alone_has_no_limit_and_two_share(store: dict[bytes, bytes]) -> None:
    first, second = Neighbours(1.0), Neighbours(3.0)
    assert allowed(first) is None
    assert allowed(second) == 6
    assert allowed(first) == 2
    assert allowed(first, wants=1) == 1
    assert allowed(second) == 7, "what the other cannot use"
    second.close()
    assert allowed(first) is None


def test_a_sweep_that_died_is_forgotten_when_its_lease_is_over(store: dict[bytes, bytes]) -> None:
    clock = Clock()
    first, dead = Neighbours(1.0, clock=clock), Neighbours(1.0, clock=Clock())
    allowed(dead)
    assert allowed(first) == 4
    clock.now = LEASE_SECONDS - 1
    assert allowed(first) == 4
    clock.now = LEASE_SECONDS + 1
    assert allowed(first) is None
    assert len(store) == 1, "and what it left is removed"


def test_one_whose_driver_is_known_to_be_gone_is_forgotten_at_once(
    store: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Neighbours(1.0, "01000000"), Neighbours(1.0, "02000000")
    allowed(second)
    assert allowed(first) == 4
    monkeypatch.setattr("ray_hpo.executors.ray.claims.ended_jobs", lambda: frozenset({"02000000", "03000000"}))
    assert allowed(first) is None
    assert len(store) == 1, "and what it left is removed"


def test_one_that_is_only_slow_is_back_when_it_writes_again(store: dict[bytes, bytes]) -> None:
    clock = Clock()
    first, slow = Neighbours(1.0, clock=clock), Neighbours(1.0, clock=Clock())
    allowed(slow)
    allowed(first)
    clock.now = LEASE_SECONDS + 1
    assert allowed(first) is None
    allowed(slow)
    assert allowed(first) == 4


def test_a_store_that_fails_leaves_everyone_what_it_has(
    store: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError("the head is restarting")

    first, second = Neighbours(1.0), Neighbours(1.0)
    allowed(first)
    assert allowed(second) == 4
    monkeypatch.setattr(internal_kv, "_internal_kv_list", fail)
    assert allowed(second) == 4


def test_a_newcomer_does_not_catch_up_on_the_past(store: dict[bytes, bytes]) -> None:
    clock = Clock()
    first = Neighbours(1.0, clock=clock)
    allowed(first, workers=8)
    clock.now = 1000.0
    allowed(first, workers=8)
    allowed(Neighbours(1.0, clock=clock))
    served = [json.loads(text)["served"] for text in store.values()]
    assert served == [8000.0, 8000.0]
