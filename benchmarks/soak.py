"""Thousands of trials with random faults at once on a real Ray, and what is left of them.

    python -m benchmarks.soak --trials 2000 --seed 1 [--json FILE]

One sweep of short trials; meanwhile workers are killed, the driver is killed and resumed, trials raise exceptions and
report oddly. Before and after: processes, open files and memory of Ray's own processes, the object store, /dev/shm. A
driver's memory and open files are watched from end to end. A leak, or a trial that is missing, makes the exit status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.chaos.waiting import wait_until
from ray_hpo.journal.schema import connect

EPOCHS = 3
WORKERS = 4
APART = (10, 60)  # trials that start from one fault to the next
LOOK_SECONDS = 0.1
NODE = {"include_dashboard": False, "num_cpus": WORKERS, "object_store_memory": 80 * 2**20}
SETTLE_SECONDS = 60.0
MORE_MB = 150.0  # by which Ray's own processes may have grown
MORE_FILES = 40  # by which the files that they hold open may


def train(config: dict[str, Any]) -> None:
    """Short, and one in twenty goes wrong: by an exception, by odd reports, or by an end that comes too early."""
    import ray_hpo

    context = ray_hpo.get_context()
    luck = random.Random(context.seed).random()
    state = ray_hpo.get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        if luck < 0.02:
            raise ValueError("diverged")
        odd = {"text": "\ud800", "big": 10**400, "nested": {"a": [1, None]}, "nan": math.nan} if luck < 0.04 else {}
        if luck > 0.99:
            return
        ray_hpo.report({"loss": config["x"] / epoch, **odd}, checkpoint={"epoch": epoch})


def drive(folder: Path, trials: int, seed: int) -> None:
    """Start the sweep, or resume it."""
    import ray

    import ray_hpo

    ray.init(log_to_driver=False, logging_level=logging.ERROR)  # the cluster of RAY_ADDRESS
    if (folder / "journal.sqlite").exists():
        ray_hpo.resume(folder, train, progress=False)
        return
    ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo="asha",
        max_budget=EPOCHS,
        num_trials=trials,
        max_failures=1,
        resources={"cpu": 1},
        name=folder.name,
        storage=folder.parent,
        seed=seed,
        progress=False,
    )


# ---- what there is ----


def processes(mark: str) -> dict[int, str]:
    """By pid, the command of each process that lives and carries `mark` in its environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def is_worker(command: str) -> bool:
    """Whether this is a worker of ours, by the name that Ray gives it."""
    return command.startswith("ray::Worker")


def memory_mb(pid: int) -> float:
    """Resident; 0 of a process that is gone."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def files_of(pid: int) -> list[str]:
    """What it holds open; nothing of a process that is gone."""
    files = []
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                files.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return files


def measure(mark: str, folder: Path) -> dict[str, Any]:
    """What Ray's own processes hold; without workers that wait for work, since Ray keeps some for the next, and without
    the log files of workers that are gone, two of each, which Ray's log monitor keeps open."""
    found = {pid: command for pid, command in processes(mark).items() if "ray::" not in command}
    shm = {file for pid in found for file in files_of(pid) if file.startswith("/dev/shm")}
    return {
        "processes": len(found),
        "workers": sum(is_worker(command) for command in processes(mark).values()),
        "memory_mb": round(sum(map(memory_mb, found)), 1),
        "open_files": sum("/logs/" not in file for pid in found for file in files_of(pid)),
        "object_store_bytes": _object_store_bytes(),
        "shm_files": len(shm),
    }


def _object_store_bytes() -> int:
    import ray

    total, free = (
        resources().get("object_store_memory", 0.0) for resources in (ray.cluster_resources, ray.available_resources)
    )
    return int(total - free)


# ---- faults ----


class Driver:
    """The driver's process, in a session of its own; it can be killed and started again."""

    def __init__(self, folder: Path, trials: int, seed: int, output: Path) -> None:
        self._folder, self._trials, self._seed, self._output = folder, trials, seed, output
        self.peaks: list[tuple[float, int]] = []  # memory and open files that each had at most
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.soak", "--drive", str(self._folder)]
        command += ["--trials", str(self._trials), "--seed", str(self._seed)]
        with open(self._output, "ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        self.peaks.append((0.0, 0))

    def look(self) -> None:
        memory, files = self.peaks[-1]
        self.peaks[-1] = max(memory, memory_mb(self.process.pid)), max(files, len(files_of(self.process.pid)))

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def stop(self, *signals: int) -> None:
        """Send signals, one after the other as soon as there is one, to its whole group, as a terminal does."""
        for number in signals:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            time.sleep(0.05)  # a person's second Ctrl-C
        self.process.wait(SETTLE_SECONDS)


def started(folder: Path) -> int:
    """How many trials the journal knows; 0 before there is one."""
    if not (folder / "journal.sqlite").is_file():
        return 0
    with contextlib.closing(connect(folder / "journal.sqlite", write=False)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM events WHERE kind = 'start'").fetchone()[0])


def soak(trials: int, seed: int) -> dict[str, Any]:
    """Run it; what was found."""
    rng = random.Random(seed)
    with cluster() as (folder, mark):
        before = measure(mark, folder)
        began, struck = time.monotonic(), Counter[str]()
        driver = Driver(folder / "soak", trials, seed, folder / "drivers.log")
        due = rng.randint(*APART)
        while not driver.over:
            time.sleep(LOOK_SECONDS)
            driver.look()
            if started(folder / "soak") >= due:
                struck[_strike(driver, mark, rng)] += 1
                due = started(folder / "soak") + rng.randint(*APART)
        workers_gone(mark)
        found = _outcome(folder / "soak", driver.process.returncode, (folder / "drivers.log").read_text())
        wait_until(lambda: _object_store_bytes() <= before["object_store_bytes"], SETTLE_SECONDS, "the object store")
        for name, signals in (("ctrl_c_twice", [signal.SIGINT] * 2), ("sigterm", [signal.SIGTERM])):
            found[name] = _ended(folder / name, signals, mark, seed)
        return {
            "trials": trials,
            "seconds": round(time.monotonic() - began),
            "faults": dict(struck),
            **found,
            "drivers": [{"memory_mb": round(memory, 1), "open_files": files} for memory, files in driver.peaks],
            "before": before,
            "after": measure(mark, folder),
        }


def _strike(driver: Driver, mark: str, rng: random.Random) -> str:
    workers = [pid for pid, command in processes(mark).items() if is_worker(command)]
    if workers and rng.random() < 0.75:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(workers), signal.SIGKILL)
        return "worker killed"
    driver.process.kill()
    driver.process.wait()
    driver.start()
    return "driver killed"


def _outcome(folder: Path, status: int, output: str) -> dict[str, Any]:
    import ray_hpo

    if status != 0:
        raise RuntimeError(f"the driver ended with status {status}: {output[-2000:]}")
    result = ray_hpo.load(folder)
    causes = Counter(cause for trial in result.trials for _, cause, _ in trial.crashes)
    files = sorted(path.name for path in folder.iterdir() if path.name != "trials")
    return {"status": result.status, "states": result.experiment.counts(), "causes": dict(causes), "files": files}


def _ended(folder: Path, signals: list[int], mark: str, seed: int) -> dict[str, Any]:
    """A sweep that is ended in the middle: how its driver ended, and how many workers it left."""
    import ray_hpo

    driver = Driver(folder, 10_000, seed, folder.parent / "drivers.log")
    try:
        wait_until(lambda: started(folder) > WORKERS, 2 * SETTLE_SECONDS, "a trial")
        driver.stop(*signals)
        workers_gone(mark)
    finally:
        driver.process.kill()
        driver.process.wait()
    left = sum(is_worker(command) for command in processes(mark).values())
    return {"exit": driver.process.returncode, "workers_left": left, "status": ray_hpo.load(folder).status}


def workers_gone(mark: str) -> None:
    wait_until(lambda: not any(map(is_worker, processes(mark).values())), SETTLE_SECONDS, "the end of all workers")


@contextlib.contextmanager
def cluster() -> Iterator[tuple[Path, str]]:
    """A Ray of its own with its folder, and a text in the environment of all its processes."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="soak-", ignore_cleanup_errors=True) as name:
        os.environ["RAY_TMPDIR"] = name  # before Ray is imported: or drivers of others would join this cluster
        import ray
        from ray.cluster_utils import Cluster

        started = Cluster(initialize_head=True, head_node_args=NODE)
        os.environ["RAY_ADDRESS"] = started.address
        try:
            ray.init(address=started.address, log_to_driver=False, logging_level=logging.ERROR)
            yield Path(name), name
        finally:
            ray.shutdown()
            started.shutdown()
            wait_until(lambda: len(processes(name)) <= 1, SETTLE_SECONDS, "the end of Ray")


def leaks(found: dict[str, Any]) -> list[str]:
    """What is wrong, in words."""
    before, after, wrong = found["before"], found["after"], []
    for name, more in (("memory_mb", MORE_MB), ("open_files", MORE_FILES), ("processes", 0), ("workers", 0)):
        if after[name] > before[name] + more:
            wrong.append(f"{name} went from {before[name]} to {after[name]}")
    for name in ("object_store_bytes", "shm_files"):
        if after[name] > before[name]:
            wrong.append(f"{name} went from {before[name]} to {after[name]}")
    if found["status"] != "all trials have run" or sum(found["states"].values()) != found["trials"]:
        wrong.append(f"it ended with {found['status']!r} and {found['states']}")
    wrong += [
        f"{name} left {found[name]['workers_left']} workers"
        for name in ("ctrl_c_twice", "sigterm")
        if found[name]["workers_left"]
    ]
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)  # be the driver
    args = parser.parse_args()
    if args.drive is not None:
        drive(args.drive, args.trials, args.seed)
        return
    found = soak(args.trials, args.seed)
    found["wrong"] = leaks(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))
    for line in found["wrong"]:
        print(f"wrong: {line}")
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()
