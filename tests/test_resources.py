"""What a trial asks for, and how many nodes hold of it: against counting by hand and by trying everything."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from ray_hpo.executors.ray.autoscaler import is_infeasible, kinds_of
from ray_hpo.executors.ray.fit import Node, capacity
from ray_hpo.resources import Request, matches, normalise


@pytest.mark.parametrize(
    ("given", "recorded", "text"),
    [
        (None, {"CPU": 1.0}, "{CPU: 1}"),
        ({"gpu": 0.5}, {"GPU": 0.5, "CPU": 0.0}, "{GPU: 0.5}"),
        ({"gpu": "auto"}, {"GPU": "auto", "CPU": 0.0}, "{GPU: 1}"),
        ({"memory": 3 * 2**30}, {"memory": 3.0 * 2**30, "CPU": 1.0}, "{CPU: 1, memory: 3 GiB}"),
        (
            {"cpu": 2, "labels": {"zone": "!b"}},
            {"CPU": 2.0, "labels": {"zone": "!b"}},
            "{CPU: 2} on nodes with {zone: !b}",
        ),
        ({"bundles": [{"cpu": 2}], "labels": {}}, {"CPU": 2.0}, "{CPU: 2}"),
        (
            {"bundles": [{"cpu": 1}, {"gpu": 1}]},
            {"bundles": [{"CPU": 1.0}, {"GPU": 1.0, "CPU": 0.0}], "strategy": "PACK"},
            "PACK [{CPU: 1}, {GPU: 1}]",
        ),
    ],
)
def test_requests_are_recorded_in_rays_words(given: object, recorded: object, text: str) -> None:
    resources = normalise(given)  # type: ignore[arg-type]  # of all kinds
    assert resources == recorded
    assert str(Request.of(json.loads(json.dumps(resources)))) == text


def test_amounts_are_of_all_bundles() -> None:
    request = Request.of(normalise({"bundles": [{"cpu": 1}, {"gpu": 1}, {"cpu": 2, "gpu": 0.5}]}))
    assert (request.amount("CPU"), request.amount("GPU"), request.grouped) == (3.0, 1.5, True)


@pytest.mark.parametrize(
    ("selector", "values"),
    [("a", {"a"}), ("!a", {"b", "c", None}), ("in(a, b)", {"a", "b"}), ("!in(a,b)", {"c", None})],
)
def test_labels_select_nodes_as_rays_do(selector: str, values: set[str | None]) -> None:
    for value in ("a", "b", "c", None):
        assert matches({"zone": value} if value else {}, {"zone": selector}) is (value in values)


def single(resources: dict[str, object], **labels: str) -> Request:
    return Request.of(normalise({**resources, "labels": labels}))


def test_shares_of_gpus_do_not_span_two() -> None:
    nodes = [Node({"CPU": 8, "GPU": 2.0})]
    counts = {share: capacity(nodes, single({"gpu": share})) for share in (0.5, 0.4, 0.6, 0.3333, 0.1, 1.0, 2.0, 3.0)}
    assert counts == {0.5: 4, 0.4: 4, 0.6: 2, 0.3333: 6, 0.1: 20, 1.0: 2, 2.0: 1, 3.0: 0}


def test_only_nodes_with_the_labels_count() -> None:
    nodes = [Node({"CPU": 2}, {"zone": "a"}), Node({"CPU": 4}, {"zone": "b"}, count=3), Node({"CPU": 8})]
    assert capacity(nodes, single({"cpu": 1}, zone="in(a, b)")) == 14
    assert capacity(nodes, single({"cpu": 1}, zone="a")) == 2
    assert capacity(nodes, single({"cpu": 1})) == 22
    assert capacity(nodes, single({"cpu": 1}), most=5) == 5


SIZES = st.integers(0, 3).map(float)
BUNDLE = st.builds(lambda cpu, gpu: {"CPU": cpu, "GPU": gpu}, SIZES, SIZES)
BUNDLES = st.lists(BUNDLE.filter(lambda bundle: any(bundle.values())), min_size=2, max_size=3)
NODES = st.lists(BUNDLE, min_size=1, max_size=3)


def fits(nodes: Sequence[dict[str, float]], bundles: Sequence[dict[str, float]], strategy: str) -> bool:
    """By trying every way."""
    for places in itertools.product(range(len(nodes)), repeat=len(bundles)):
        if strategy == "STRICT_PACK" and len(set(places)) > 1:
            continue
        if strategy == "STRICT_SPREAD" and len(set(places)) < len(places):
            continue
        left = [dict(node) for node in nodes]
        for place, bundle in zip(places, bundles, strict=True):
            for name, amount in bundle.items():
                left[place][name] -= amount
        if all(amount >= 0 for node in left for amount in node.values()):
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(nodes=NODES, bundles=BUNDLES, strategy=st.sampled_from(["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]))
def test_bundles_are_possible_where_trying_everything_finds_a_way(
    nodes: list[dict[str, float]], bundles: list[dict[str, float]], strategy: str
) -> None:
    request = Request(tuple(bundles), strategy)
    there = [Node(node) for node in nodes]
    assert capacity(there, request, most=1) == fits(nodes, bundles, strategy)
    count = capacity(there, request)
    for name in ("CPU", "GPU"):
        assert count * request.amount(name) <= sum(node[name] for node in nodes)


def test_who_asks_for_nothing_fits_anywhere() -> None:
    assert capacity([Node({"CPU": 2})], single({"cpu": 0}), most=7) == 7
    assert capacity([Node({"CPU": 2})], single({"cpu": 0}, zone="a"), most=7) == 0


def test_many_equal_nodes_and_bundles_are_placed_at_once() -> None:
    nodes = [Node({"CPU": 8, "GPU": 2}, count=500)]
    assert capacity(nodes, Request.of(normalise({"bundles": [{"gpu": 1}] * 16})), most=50) == 50
    assert capacity(nodes, Request.of(normalise({"bundles": [{"gpu": 3}] * 16})), most=50) == 0
    assert capacity(nodes, Request.of(normalise({"bundles": [{"gpu": 1}] * 3, "strategy": "STRICT_PACK"}))) == 0


def test_a_cluster_file_tells_what_its_autoscaler_may_add() -> None:
    config = {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 4}},
            "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 20, "labels": {"zone": "a"}},
            "cpu": {"resources": {"CPU": 16}},
            "off": {"resources": {"CPU": 64}, "max_workers": 0},
        },
    }
    gpu, cpu = kinds_of(config)
    assert (gpu.count, gpu.resources, gpu.labels["zone"]) == (5, {"CPU": 8.0, "GPU": 1.0}, "a")
    assert (cpu.count, cpu.resources) == (5, {"CPU": 16.0})
    assert math.isclose(capacity([gpu, cpu], single({"gpu": 0.5})), 10)


def test_an_autoscaler_that_can_never_add_a_node_says_so() -> None:
    messages = pytest.importorskip("ray.core.generated.autoscaler_pb2")
    state = messages.AutoscalingState()
    state.infeasible_resource_requests.add(resources_bundle={"GPU": 2.0})
    gang = state.infeasible_gang_resource_requests.add()
    for _ in range(2):
        gang.requests.add(resources_bundle={"CPU": 8.0})
    found = messages.AutoscalingState.FromString(state.SerializeToString())
    assert is_infeasible(found, single({"gpu": 2}))
    assert not is_infeasible(found, single({"gpu": 1}))
    assert is_infeasible(found, Request.of(normalise({"bundles": [{"cpu": 8}] * 2})))
    assert not is_infeasible(found, Request.of(normalise({"bundles": [{"cpu": 8}] * 3})))
