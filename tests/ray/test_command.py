"""Commands on Ray workers: a worker that is killed leaves nothing of them behind, and its trial goes on elsewhere."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo import Command, tune_run, uniform

# Trains on from where it stands, with a child in a session of its own; waits at epoch 3 until the test lets it go on.
SCRIPT = """
import os, pathlib, sys, time
x, folder, gate, pids = float(sys.argv[1]), *map(pathlib.Path, sys.argv[2:])
state = folder / "state"
done = int(state.read_text()) if state.exists() else 0
child = os.fork()
if not child:
    os.setsid()
    time.sleep(1000)
with open(pids, "a") as file:
    print(os.getpid(), child, os.getppid(), file=file)
for epoch in range(done + 1, 5):
    while epoch == 3 and not gate.exists():
        time.sleep(0.01)
    state.write_text(str(epoch))
    print(f"{epoch=} loss={x / epoch}", flush=True)
"""


def worker_of(supervisor: int) -> int:
    """The process that reads what a supervisor says."""
    pipe = os.readlink(f"/proc/{supervisor}/fd/1")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != supervisor:
            try:
                if any(os.readlink(fd) == pipe for fd in (entry / "fd").iterdir()):
                    return int(entry.name)
            except OSError:
                continue
    raise LookupError(pipe)


def test_a_killed_worker_leaves_nothing_and_the_trial_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    gate, pids = tmp_path / "gate", tmp_path / "pids"
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), ":x:", ":checkpoint:", str(gate), str(pids)]
    results: list[ray_hpo.Result] = []
    options: dict[str, Any] = {"metric": "loss", "max_budget": 4, "num_trials": 1, "storage": tmp_path, "seed": 1}
    options["fidelity"] = "epoch"

    def sweep() -> None:
        algo = ray_hpo.SuccessiveHalving(eta=2)  # one trial: milestones 1, 2, 4
        results.append(tune_run({"x": uniform(0, 1)}, Command(words), algo=algo, progress=False, **options))

    driver = threading.Thread(target=sweep)
    driver.start()
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    first = [int(number) for number in pids.read_text().split()]
    wait_until(lambda: bool(list(tmp_path.glob("*/trials/00000/checkpoint_*"))))
    os.kill(worker_of(first[2]), signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in first))
    gate.touch()
    driver.join(60)
    (result,) = results
    assert result.trials[0].losses == 1 and result.trials[0].step == 4
    assert len(pids.read_text().splitlines()) >= 2
