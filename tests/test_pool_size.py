"""How many workers a pool has, and what several sweeps may have of one cluster."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from ray_hpo.executors.ray.pool_size import BLIND, Pool, change
from ray_hpo.executors.ray.shares import HUNGER_ENDS, HUNGER_SECONDS, QUANTUM, Claim, allowance, shares


def endless(most: int) -> int:
    return most


def test_a_pool_grows_to_what_the_nodes_hold() -> None:
    assert change(Pool(0, 0, 0), None, 8, 0, endless) == 8
    assert change(Pool(0, 0, 0), 3, 8, 0, endless) == 3
    assert change(Pool(2, 0, 6), None, 8, 0, endless) == 0


def test_it_asks_for_no_more_nodes_than_there_is_work_for() -> None:
    assert change(Pool(2, 0, 0), None, 2, 24, lambda most: min(most, 5)) == 5
    assert change(Pool(2, 0, 4), None, 2, 24, lambda most: min(most, 5)) == 1
    assert change(Pool(2, 0, 9), None, 2, 24, lambda most: min(most, 5)) == -4, "some have been asked for in vain"


def test_one_worker_is_there_to_the_end() -> None:
    assert change(Pool(0, 0, 0), None, 8, 8, lambda most: 0) == 1
    assert change(Pool(0, 0, 1), None, 8, 8, lambda most: 0) == 0
    assert change(Pool(0, 0, 3), None, 8, 8, lambda most: 0) == -2
    assert change(Pool(1, 0, 0), None, 8, 8, lambda most: 0) == 0


def test_while_somebody_idles_nobody_is_called() -> None:
    assert change(Pool(1, 3, 4), None, 8, 24, endless) == -4
    assert change(Pool(1, 3, 0), None, 8, 24, endless) == 0


def test_a_smaller_share_is_kept_to() -> None:
    assert change(Pool(6, 2, 0), 3, 8, 0, endless) == -5


def test_an_autoscaler_that_cannot_be_seen_is_asked_step_by_step() -> None:
    assert change(Pool(0, 0, 0), None, 0, None, endless) == BLIND
    assert change(Pool(40, 0, 0), None, 40, None, endless) == 40
    assert change(Pool(40, 0, 0), 50, 40, None, endless) == 10


COUNTS = st.integers(0, 30)


@settings(max_examples=300, deadline=None)
@given(
    pool=st.builds(Pool, COUNTS, COUNTS, COUNTS),
    most=st.none() | COUNTS,
    holds=COUNTS,
    addable=st.none() | COUNTS,
    work=COUNTS,
)
def test_a_pool_keeps_to_every_limit(pool: Pool, most: int | None, holds: int, addable: int | None, work: int) -> None:
    by = change(pool, most, holds, addable, lambda at_most: min(at_most, work))
    assert pool.size + by >= 0
    if by > 0:
        assert most is None or pool.size + by <= most
        assert addable is None or pool.size + by <= max(holds, addable)
        assert pool.starting + by <= (work or int(not pool.busy))
        assert not pool.idle
    if most is not None and pool.size > most:
        assert by <= most - pool.size


# ---- sharing ----


CLAIMS = st.lists(
    st.builds(
        Claim,
        id=st.uuids().map(str),
        priority=st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0]),
        wants=st.integers(0, 20),
        each=st.sampled_from([{"CPU": 1.0}, {"CPU": 2.0}, {"GPU": 0.5}, {"CPU": 1.0, "GPU": 1.0}]),
        served=st.floats(0, 1000),
        hungry=st.just(0.0),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda claim: claim.id,
)


def total_of(claims: list[Claim], given_: dict[str, int], name: str) -> float:
    return sum(claim.each.get(name, 0.0) * given_[claim.id] for claim in claims)


@settings(max_examples=300, deadline=None)
@given(claims=CLAIMS, cpus=st.integers(0, 32), gpus=st.integers(0, 8))
def test_shares_fit_waste_nothing_and_are_fair(claims: list[Claim], cpus: int, gpus: int) -> None:
    total = {"CPU": float(cpus), "GPU": float(gpus)}
    found = shares(total, claims)
    assert found == shares(total, claims[::-1]), "every sweep computes the same"
    left = {name: total[name] - total_of(claims, found, name) for name in total}
    assert min(left.values()) >= -1e-6
    for claim in claims:
        assert 0 <= found[claim.id] <= claim.wants
        if found[claim.id] < claim.wants:
            assert any(amount > left[name] + 1e-6 for name, amount in claim.each.items()), "nothing is left idle"
    for one in claims:
        for other in claims:
            if found[one.id] < one.wants and found[other.id] > 1 and one.each == other.each:
                assert (found[one.id] + 1) / one.priority >= found[other.id] / other.priority - 1e-9, "no envy"


def equals(wants: int = 100, **priorities: float) -> list[Claim]:
    return [Claim(name, priority, wants, {"CPU": 1.0}) for name, priority in priorities.items()]


def test_equals_share_alike_and_priority_shifts_it() -> None:
    cluster = {"CPU": 12.0}
    assert shares(cluster, equals(a=1.0, b=1.0)) == {"a": 6, "b": 6}
    assert shares(cluster, equals(a=1.0, b=2.0)) == {"a": 4, "b": 8}
    assert shares(cluster, equals(a=1.0, b=1000.0)) == {"a": 1, "b": 11}, "nobody starves"
    assert shares(cluster, [*equals(a=1.0), Claim("b", 1.0, 2, {"CPU": 1.0})]) == {"a": 10, "b": 2}


def test_sweeps_for_other_resources_do_not_take_from_each_other() -> None:
    claims = [Claim("cpu", 1.0, 50, {"CPU": 1.0}), Claim("gpu", 1.0, 50, {"GPU": 0.5})]
    assert shares({"CPU": 16.0, "GPU": 4.0}, claims) == {"cpu": 16, "gpu": 8}


def test_a_worker_that_cannot_be_split_changes_hands() -> None:
    """Two sweeps on one slot, simulated: whoever has it is served."""
    served = {"a": 0.0, "b": 0.0}
    for _ in range(100):
        claims = [Claim(name, 1.0, 5, {"CPU": 1.0}, served=seconds) for name, seconds in served.items()]
        (holder,) = (name for name, count in shares({"CPU": 1.0}, claims).items() if count)
        served[holder] += 10.0
    assert abs(served["a"] - served["b"]) <= QUANTUM


def test_who_is_alone_has_no_limit() -> None:
    (mine,) = equals(a=1.0)
    assert allowance({"CPU": 4.0}, [mine], "a") is None
    assert allowance({"CPU": 4.0}, [mine, Claim("b", 1.0, 0, {"CPU": 1.0})], "a") is None, "the other wants nothing"


def test_others_make_room_for_one_that_finds_no_place() -> None:
    mine = Claim("a", 1.0, 100, {"GPU": 0.5})

    def held(hungry: float) -> int | None:
        return allowance({"GPU": 16.0}, [mine, Claim("b", 1.0, 1, {"GPU": 1.0}, hungry=hungry)], "a")

    assert [held(0.0), held(HUNGER_SECONDS), held(2 * HUNGER_SECONDS), held(5 * HUNGER_SECONDS)] == [30, 15, 7, 1]
    assert held(HUNGER_ENDS) == 30, "something else keeps it from starting"
