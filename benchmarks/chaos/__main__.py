"""Sweeps on a real Ray that are hit by random faults, and what these cost.

    python -m benchmarks.chaos --kills 100 --seed 7 [--json FILE] [--presets asha,pbt]

A fault is a driver or a worker killed, a node lost, a disk that takes no checkpoints or no journal, or a clock that
jumps by hours. They strike at random moments of sweeps under each preset in turn. After each the journal is compared
with what it said before and with what workers are known to have trained; the experiment is resumed where its driver is
gone, and must end with the trials that were asked for. A lost or doubled result makes the exit status 1.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PRESETS = (
    "asha", "asha_stopping", "bohb", "dehb", "gp", "hyperband", "kde", "median_stopping", "mobster", "pasha", "pbt",
    "priorband", "random", "sh", "sobol", "tpe",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="faults in all (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
    parser.add_argument("--presets", default=",".join(PRESETS))
    args = parser.parse_args()
    presets = [name for name in args.presets.split(",") if name]
    if args.kills < 1 or not set(presets) <= set(PRESETS) or not presets:
        parser.error(f"--kills is at least 1, and --presets are of {', '.join(PRESETS)}")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="chaos-", ignore_cleanup_errors=True) as folder:
        found = _run(Path(folder), args.kills, random.Random(args.seed), presets)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    print(
        f"{found['faults']} faults survived in {found['experiments']} experiments, {found['lost']} results lost, "
        f"{found['doubled']} doubled, {found['redone_epochs']} of {found['epochs']} epochs redone, "
        f"{'every' if found['completed'] else 'NOT every'} experiment completed, {found['seconds']} s"
    )
    for line in found["wrong"]:
        print(f"wrong: {line}")
    sys.exit(1 if found["lost"] or found["doubled"] or found["wrong"] or not found["completed"] else 0)


def _run(folder: Path, kills: int, rng: random.Random, presets: list[str]) -> dict[str, Any]:
    """Sweeps in `folder` until there were as many faults; what was found."""
    os.environ["RAY_TMPDIR"] = str(folder)  # before Ray is imported: or drivers of others would join this cluster
    for name in ("initial_delay_ms", "period_ms", "timeout_ms"):
        os.environ[f"RAY_health_check_{name}"] = "1000"  # how soon a lost node is missed
    from ray.cluster_utils import Cluster

    from benchmarks.chaos.faults import NODE, environment
    from benchmarks.chaos.sweep import Sweep
    from benchmarks.chaos.waiting import wait_until

    began = time.monotonic()
    storage = folder / "experiments"
    storage.mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 2})
    node = cluster.add_node(**NODE)
    os.environ["RAY_ADDRESS"] = cluster.address
    sweeps: list[Sweep] = []
    order = rng.sample(presets, len(presets))
    try:
        while (left := kills - sum(len(sweep.struck) for sweep in sweeps)) > 0:
            preset = order[len(sweeps) % len(order)]
            sweeps.append(Sweep(preset, storage, cluster, node, str(folder).encode(), rng))
            share = math.ceil(left / max(1, len(order) - len(sweeps) + 1))
            sweeps[-1].run(share, lambda text: print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True))
            node = sweeps[-1].node
            if not sweeps[-1].completed:
                break
    finally:
        cluster.shutdown()
        log = folder / "drivers.log"
        if sweeps and not all(sweep.completed for sweep in sweeps) and log.exists():
            print(log.read_text()[-5000:])
    workers = {epoch.worker for sweep in sweeps for epoch in sweep.witness.epochs}
    wait_until(lambda: not any(str(folder).encode() in environment(pid) for pid in workers))
    kinds = collections.Counter(kind for sweep in sweeps for kind in sweep.struck)
    return {
        "faults": kinds.total(),
        "lost": sum(sweep.watch.lost for sweep in sweeps),
        "doubled": sum(sweep.watch.doubled for sweep in sweeps),
        "redone_epochs": sum(sweep.witness.redone for sweep in sweeps),
        "completed": all(sweep.completed for sweep in sweeps),
        "experiments": len(sweeps),
        "epochs": sum(len(sweep.witness.epochs) for sweep in sweeps),
        "kinds": dict(kinds),
        "presets": sorted({sweep.preset for sweep in sweeps}),
        "wrong": [line for sweep in sweeps for line in sweep.watch.wrong],
        "seconds": round(time.monotonic() - began),
    }


if __name__ == "__main__":
    main()
