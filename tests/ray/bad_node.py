"""A driver on a cluster of two nodes, one of which kills whatever runs there: bad_node.py FOLDER

Prints, as JSON, the notices, what became of each trial, and on which node each attempt ran.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(dir="/tmp")  # or other drivers on this machine would join this cluster

import ray
from ray.cluster_utils import Cluster

import ray_hpo

NODE = {"include_dashboard": False, "num_cpus": 1, "object_store_memory": 80 * 2**20}


def make_trainable(bad: str) -> Any:
    def train(config: dict[str, Any]) -> None:
        import os
        import signal
        import time

        import ray

        from benchmarks.chaos.waiting import wait_until
        from ray_hpo import get_context, report
        from ray_hpo.executors.ray.bad_nodes import STRIKES

        here = ray.get_runtime_context().get_node_id()
        with open(get_context().folder.parent / "attempts", "a") as file:
            file.write(f"{get_context().trial} {here}\n")
        if here == bad:
            os.kill(os.getpid(), signal.SIGKILL)
        seen = get_context().folder.parent / "attempts"
        wait_until(lambda: seen.read_text().count(bad) >= STRIKES, 60, "the losses")
        time.sleep(0.2)  # the training: so long that workers would have started there again
        report({"loss": config["x"]})

    return train


def main(folder: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    bad = cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    result = ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        make_trainable(bad.node_id),
        metric="loss",
        algo="random",
        num_trials=15,
        storage=folder,
        name="bad",
        progress=False,
    )
    told = {
        "bad": bad.node_id,
        "notices": result.experiment.notices,
        "trials": [[trial.state, trial.losses, [error for *_, error in trial.crashes]] for trial in result.trials],
        "attempts": [line.split() for line in (result.path / "trials" / "attempts").read_text().splitlines()],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
