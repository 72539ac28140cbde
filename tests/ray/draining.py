"""A node that is drained in the middle of a trial: draining.py FOLDER

Prints as JSON on which node each epoch of each trial ran, and why trials broke off.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.executors.ray import executor

NODE = {
    "include_dashboard": False,
    "node_ip_address": "127.0.0.1",
    "num_cpus": 1,
    "object_store_memory": 80 * 2**20,
}
EPOCHS = 60
EPOCH_SECONDS = 0.1  # while its node is about to go


def main(folder: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    doomed = cluster.add_node(**NODE).node_id
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    executor.RESIZE_SECONDS = 0.5

    def train(config: dict[str, Any]) -> None:
        here = ray.get_runtime_context().get_node_id()
        trial = ray_hpo.get_context().trial
        (folder / f"at work {trial}").touch()
        state = ray_hpo.get_checkpoint() or {"epoch": 0}
        wait_until(lambda: len(list(folder.glob("at work *"))) == 2, 60, "a trial on each node")
        for epoch in range(state["epoch"] + 1, EPOCHS + 1):
            if here == doomed:
                time.sleep(EPOCH_SECONDS)
                wait_until((folder / "drained").exists, 60, "the notice")
            with open(folder / f"epochs {trial}", "a") as file:
                file.write(f"{epoch} {here}\n")
            ray_hpo.report({"loss": config["x"]}, checkpoint={"epoch": epoch})

    def drain() -> None:
        wait_until(lambda: len(list(folder.glob("at work *"))) == 2, 60, "a trial on each node")
        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        client = ray._raylet.GcsClient(address=cluster.address)
        deadline = int((time.time() + 600) * 1000)
        accepted, why = client.drain_node(doomed, reason, "the spot price", deadline)
        assert accepted, why
        (folder / "drained").touch()

    threading.Thread(target=drain, daemon=True).start()
    result = ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo="random",
        max_budget=EPOCHS,
        num_trials=2,
        storage=folder,
        name="drained-sweep",
        progress=False,
    )
    trials = [
        {
            "state": trial.state,
            "losses": trial.losses,
            "crashes": [[cause, error] for _, cause, error in trial.crashes],
            "epochs": [line.split() for line in (folder / f"epochs {trial.number}").read_text().splitlines()],
        }
        for trial in result.trials
    ]
    print(json.dumps({"doomed": doomed, "trials": trials}))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
