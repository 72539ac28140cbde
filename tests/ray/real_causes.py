"""A driver on three nodes: one is drained as before the end of a spot machine, one has Ray's memory monitor kill all.

Prints, as JSON, which cause we read from what Ray then says of an actor there.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import Any

os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(dir="/tmp")  # or other drivers on this machine would join this cluster

import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from ray.exceptions import RayError

from ray_hpo.executors.ray.causes import cause_of, line_of

NODE = {"include_dashboard": False, "num_cpus": 1, "object_store_memory": 80 * 2**20}


class Actor:
    def up(self) -> None: ...

    def work(self) -> None:
        time.sleep(120)


def actor_on(node: Any) -> Any:
    return ray.remote(max_restarts=0)(Actor).options(label_selector={"ray.io/node-id": node.node_id}).remote()


def what_is_said(call: Any) -> list[str]:
    try:
        ray.get(call, timeout=90)
    except RayError as error:
        return [cause_of(error), line_of(error)]
    return ["none", ""]


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    spot = cluster.add_node(**NODE)
    os.environ |= {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    small = cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    told = {"small": what_is_said(actor_on(small).work.remote())}

    actor = actor_on(spot)
    ray.get(actor.up.remote())
    call = actor.work.remote()
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, _ = GcsClient(address=cluster.address).drain_node(
        spot.node_id, reason, "spot notice", int((time.time() + 1.0) * 1000)
    )
    assert accepted
    cluster.remove_node(spot, allow_graceful=False)
    told["spot"] = what_is_said(call)
    print(json.dumps(told))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
