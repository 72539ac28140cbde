"""A driver on a cluster of two nodes, one of which is lost in the middle of its trials: two_nodes.py FOLDER

Prints, as JSON, for each trial how many workers it lost and on which node each of its epochs ran.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(dir="/tmp")  # or other drivers on this machine would join this cluster

import ray
from ray.cluster_utils import Cluster

import ray_hpo
from benchmarks.chaos.waiting import wait_until

NODE = {"include_dashboard": False, "num_cpus": 2, "object_store_memory": 80 * 2**20}


def make_trainable(doomed: str, at_risk: Path) -> Any:
    def train(config: dict[str, Any]) -> None:
        import threading

        import ray

        from benchmarks.chaos.waiting import wait_until
        from ray_hpo import get_checkpoint, get_context, load, report

        here = ray.get_runtime_context().get_node_id()
        if here != doomed:
            wait_until(lambda: len(list(at_risk.iterdir())) == 2, 60, "two trials on the doomed node")
        trial, experiment = get_context().trial, get_context().folder.parents[1]
        state = get_checkpoint() or {"ran": []}
        for epoch in range(len(state["ran"]) + 1, 6):
            if here == doomed and epoch == 3:  # in the middle, until the node is gone
                wait_until(lambda: load(experiment).trials[trial].step == 2, 60, "a driver that knows what was done")
                (at_risk / str(trial)).touch()
                threading.Event().wait()
            state = {"ran": [*state["ran"], here]}
            report({"loss": config["x"]}, checkpoint=state)

    return train


def main(folder: Path) -> None:
    for name in ("initial_delay_ms", "period_ms", "timeout_ms"):
        os.environ[f"RAY_health_check_{name}"] = "1000"
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    doomed = cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    at_risk = folder / "at_risk"
    at_risk.mkdir()

    def lose_a_node() -> None:
        wait_until(lambda: len(list(at_risk.iterdir())) == 2, 60, "two trials on the doomed node")
        cluster.remove_node(doomed, allow_graceful=False)

    threading.Thread(target=lose_a_node, daemon=True).start()
    result = ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        make_trainable(doomed.node_id, at_risk),
        metric="loss",
        algo="random",
        max_budget=5,
        num_trials=6,
        storage=folder,
        name="lost",
        progress=False,
    )
    trials = [
        {
            "losses": trial.losses,
            "failures": trial.failures,
            "causes": [cause for _, cause, _ in trial.crashes],
            "ran": result.checkpoint(trial)["ran"],
            "state": trial.state,
        }
        for trial in result.trials
    ]
    print(json.dumps({"doomed": doomed.node_id, "trials": trials}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
