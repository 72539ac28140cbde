"""Four nodes with two logical GPUs each: four_nodes.py FOLDER

Prints as JSON where trials of half a GPU ran, sixteen at a time; where trials of two bundles ran, and what they
started; and what requests that cannot be met were told.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

import ray_hpo
from benchmarks.chaos.waiting import wait_until

NODE = {
    "include_dashboard": False,
    "node_ip_address": "127.0.0.1",
    "num_cpus": 1,
    "num_gpus": 2,
    "object_store_memory": 80 * 2**20,
}
IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "three GPUs of one node": {"gpu": 3},
    "a label that no node has": {"gpu": 1, "labels": {"zone": "c"}},
    "a custom resource": {"gpu": 1, "tape": 1},
    "nine GPUs of four nodes": {"bundles": [{"gpu": 1}] * 9},
    "two bundles on one node": {"bundles": [{"gpu": 2}] * 2, "strategy": "STRICT_PACK"},
    "five nodes": {"bundles": [{"gpu": 1}] * 5, "strategy": "STRICT_SPREAD"},
}


def here() -> list[str]:
    return [ray.get_runtime_context().get_node_id(), os.environ["CUDA_VISIBLE_DEVICES"]]


def sweep(folder: Path, name: str, train: Any, resources: dict[str, Any], together: int) -> list[Any]:
    """What trials that run `together` at a time saved. They wait for each other."""
    meeting = folder / f"{name}-meeting"
    meeting.mkdir()

    def meet_and_train(config: dict[str, Any]) -> None:
        (meeting / str(ray_hpo.get_context().trial)).touch()
        wait_until(lambda: len(list(meeting.iterdir())) == together, 90, f"{together} trials at a time")
        ray_hpo.report({"loss": config["x"]}, checkpoint={"ran": train()})

    result = ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        meet_and_train,
        metric="loss",
        algo="random",
        max_budget=1,
        num_trials=together,
        resources=resources,
        storage=folder,
        name=name,
        progress=False,
    )
    return [(result.checkpoint(trial) or {}).get("ran") for trial in result.trials]


def with_a_child() -> list[list[str]]:
    """Where the trial is, and where a task is that it starts in its second bundle."""
    child: Any = ray.remote(num_cpus=0, num_gpus=1)(here)
    return [here(), ray.get(child.remote())]


def refusals(folder: Path) -> dict[str, str]:
    told = {}
    for name, resources in IMPOSSIBLE.items():
        try:
            sweep(folder, "impossible", here, resources, 1)
        except ray_hpo.InvalidInput as error:
            told[name] = str(error)
        (folder / "impossible-meeting").rmdir()
    return told


def main(folder: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "labels": {"zone": "a"}})
    for zone in ("a", "b", "b"):
        cluster.add_node(**NODE, labels={"zone": zone})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    zones = {node["NodeID"]: node["Labels"]["zone"] for node in ray.nodes()}
    told = {
        "zones": zones,
        "refusals": refusals(folder),
        "halves": sweep(folder, "halves", here, {"gpu": 0.5}, 16),
        "labelled": sweep(folder, "labelled", here, {"gpu": 1, "labels": {"zone": "b"}}, 4),
        "pairs": sweep(folder, "pairs", with_a_child, {"bundles": [{"gpu": 1}] * 2, "strategy": "STRICT_SPREAD"}, 3),
    }
    print(json.dumps(told))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
