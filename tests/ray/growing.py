"""A cluster that grows and shrinks with a sweep, by Ray's autoscaler and its fake nodes: growing.py FOLDER

Prints as JSON how many nodes there were in turn, what each trial saw, and what an impossible request was told.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import ray

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.executors.ray import crew, executor

FAKE = {"use_node_id_as_ip": True, "disable_node_updaters": True, "disable_launch_config_check": True}
CONFIG: dict[str, Any] = {
    "cluster_name": "fake",
    "max_workers": 6,
    "provider": {"type": "fake_multinode", **FAKE},
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "gpu": {
            "resources": {"CPU": 1, "GPU": 1, "object_store_memory": 80 * 2**20},
            "node_config": {},
            "max_workers": 6,
        },
    },
    "head_node_type": "head",
    "upscaling_speed": 10.0,
    "idle_timeout_minutes": 0.05,
    **{part: {} for part in ("auth", "docker", "file_mounts")},
    **{part: [] for part in ("initialization_commands", "setup_commands", "cluster_synced_files")},
    **{part: [] for part in ("head_setup_commands", "worker_setup_commands", "rsync_exclude", "rsync_filter")},
    **{part: [] for part in ("head_start_ray_commands", "worker_start_ray_commands")},
    "file_mounts_sync_continuously": False,
}
TRIALS = 3


def start_head() -> None:
    file = Path(tempfile.mkdtemp()) / "cluster.json"
    file.write_text(json.dumps(CONFIG))
    quick = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    command = ["ray", "start", "--head", f"--autoscaling-config={file}", "--num-cpus=0", "--include-dashboard=false"]
    where = [f"--temp-dir={os.environ['RAY_TMPDIR']}/ray", "--node-ip-address=127.0.0.1"]
    subprocess.run(
        [f"{Path(sys.executable).parent}/{command[0]}", *command[1:], *where, f"--object-store-memory={80 * 2**20}"],
        env={**os.environ, **quick},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def workers() -> int:
    """Nodes that are alive, the head left out."""
    return sum(bool(node["Alive"] and node["Resources"].get("GPU")) for node in ray.nodes())


def main(folder: Path) -> None:
    start_head()
    ray.init(address="127.0.0.1:6379", log_to_driver=False, logging_level="error")
    crew.IDLE_SECONDS = executor.RESIZE_SECONDS = 2.0
    counts: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            counts.append(workers())
            if counts[-1] < TRIALS and TRIALS in counts:
                (folder / "fewer").touch()

    def train(config: dict[str, Any]) -> None:
        """The trials of the first rung wait for each other, the one that goes on until nodes are let go."""
        for epoch in range(1, 4):
            if epoch == 1:
                (folder / f"at work {ray_hpo.get_context().trial}").touch()
                wait_until(lambda: len(list(folder.glob("at work *"))) == TRIALS, 90, "nodes for all")
            elif epoch == 2:
                wait_until((folder / "fewer").exists, 60, "nodes that wait to be let go")
            ray_hpo.report({"loss": config["x"]})

    def sweep(**changes: Any) -> ray_hpo.Result:
        options = {"resources": {"gpu": 1}, "storage": folder, "num_trials": TRIALS, "max_budget": 3, **changes}
        algo = ray_hpo.SuccessiveHalving(eta=3)
        space = {"x": ray_hpo.uniform(0.0, 1.0)}
        return ray_hpo.tune_run(space, train, metric="loss", algo=algo, progress=False, **options)

    told = {"refused": "", "before": workers()}
    try:
        sweep(resources={"gpu": 2})
    except ray_hpo.InvalidInput as error:
        told["refused"] = str(error)
    threading.Thread(target=watch, daemon=True).start()
    states = [trial.state for trial in sweep(name="grows").trials]
    wait_until(lambda: counts[-1:] == [0], 60, "an empty cluster")
    over.set()
    print(json.dumps({**told, "counts": [count for count, _ in itertools.groupby(counts)], "states": states}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
