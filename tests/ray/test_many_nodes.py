"""Placement on a cluster of several nodes, with logical GPUs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.ray.namespace import run_alone


@pytest.mark.slow
def test_four_nodes_with_two_gpus_each(tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(run_alone("tests.ray.four_nodes", str(tmp_path)).splitlines()[-1])
    zones = told["zones"]
    assert Counter(map(tuple, told["halves"])) == {(node, gpu): 2 for node in zones for gpu in ("0", "1")}
    assert Counter(zones[node] for node, _ in told["labelled"]) == {"b": 4}
    assert {gpu for _, gpu in told["labelled"]} == {"0", "1"}
    ends = [tuple(end) for pair in told["pairs"] for end in pair]
    assert len(set(ends)) == 6, "no GPU has two"
    assert all(trial[0] != child[0] for trial, child in told["pairs"]), "STRICT_SPREAD: on two nodes"
    assert len(told["refusals"]) == 6
    assert all("its nodes have {CPU: 1, GPU: 2}" in message for message in told["refusals"].values())


@pytest.mark.slow
def test_a_cluster_grows_with_the_work_and_shrinks_again(tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(run_alone("tests.ray.growing", str(tmp_path)).splitlines()[-1])
    assert told["refused"].startswith("resources={GPU: 2}: no node of this cluster has that for one trial")
    assert told["refused"].endswith("its autoscaler may add {CPU: 1, GPU: 1}")
    assert sorted(told["states"]) == ["completed", "stopped", "stopped"]
    counts = told["counts"]
    assert counts[0] == told["before"] == counts[-1] == 0
    assert max(counts) == 3, "six could be had, and there is work for three"
    assert counts.index(3) < len(counts) - 1, "nodes are let go while one trial runs"


@pytest.mark.slow
def test_a_trial_leaves_a_node_that_is_drained_and_loses_nothing(tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(run_alone("tests.ray.draining", str(tmp_path)).splitlines()[-1])
    for trial in told["trials"]:
        assert (trial["state"], trial["losses"]) == ("completed", 0)
        assert [int(epoch) for epoch, _ in trial["epochs"]] == list(range(1, 61)), "each epoch once"
    (moved,) = (trial for trial in told["trials"] if trial["crashes"])
    assert moved["crashes"] == [["preempted", "its node is about to be shut down"]]
    places = [node == told["doomed"] for _, node in moved["epochs"]]
    assert places == sorted(places, reverse=True), "first there, then elsewhere"
    assert places[0]
    assert not places[-1]
