"""What a trial costs when there are very many: CPU, memory, disk, resuming and asking, on the simulated executor.

    python -m benchmarks.growth [--quick] [--json FILE] [--algos random,asha] [--ray-workers N]

Each size is a process of its own, with a journal on the disk; of small ones several, of which the medians are shown.
Then how fast a simulation without a journal is. At last a run on a real Ray with many live workers of 0.01 CPU, 200 or
as many as there is memory for: starting these takes minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray_hpo
from benchmarks.overhead.workload import Watch, all_up, line_up, peak_mb

SIZES, QUICK = (1_000, 10_000, 100_000), (1_000, 10_000)
RUNS = {1_000: 5, 10_000: 3}  # of a size; of others one
MANY_WORKERS = 10_000
RAY_WORKERS = 200
WORKER_MB = 90  # of memory that a worker takes, about


class Quadratic:
    """Two parameters, a curve that falls with the budget."""

    space = {"x": ray_hpo.uniform(0.0, 1.0), "lr": ray_hpo.loguniform(1e-5, 1.0)}  # noqa: RUF012  # it is not changed

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[dict[str, float], float]:
        return {"loss": (config["x"] - 0.3) ** 2 + 1.0 / budget}, budget * (0.5 + config["x"])


def simulated(algo: str, trials: int, workers: int) -> dict[str, float]:
    """One run with a journal, then a resume of it, then questions to it."""
    from strategies.registry import resolve_algo

    from ray_hpo.drive import Limits, create, drive
    from ray_hpo.executors.simulated import SimulatedExecutor
    from ray_hpo.spaces import to_space
    from ray_hpo.spec import Spec

    spec = Spec(
        name="growth",
        space=to_space(Quadratic.space),
        algo=resolve_algo(algo),
        metric="loss",
        mode="min",
        max_budget=27,
        min_budget=None,
        fidelity=None,
        num_trials=trials,
        time_limit=None,
        total_budget=None,
        resources={"CPU": 1},
        max_concurrent=None,
        max_failures=0,
        isolate=False,
        seed=0,
        trainable=None,
        resumable=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        create(folder, spec)
        before = peak_mb()
        cpu, wall = time.process_time(), time.perf_counter()
        drive(folder, spec, lambda *_: SimulatedExecutor(Quadratic(), workers), Limits(), None)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        memory, disk = 1024 * (peak_mb() - before), (folder / "journal.sqlite").stat().st_size
        files = sum(file.is_file() for file in folder.rglob("*"))
        resumed = _seconds(lambda: _resume(folder, spec))
        asked = _seconds(lambda: ray_hpo.load(folder).best_trial)
        reports = _seconds(lambda: ray_hpo.load(folder).reports(trials - 1))
    return {
        "controller_ms_per_trial": 1e3 * cpu / trials,
        "trials_per_s": trials / wall,
        "memory_kb_per_trial": memory / trials,
        "journal_kb_per_trial": disk / trials / 1024,
        "files": files,
        "resume_s": resumed,
        "best_trial_s": asked,
        "reports_of_one_s": reports,
    }


def _resume(folder: Path, spec: Any) -> None:
    """Up to where workers would get their jobs."""
    from strategies.strategy import Strategy

    from ray_hpo.journal import Journal, Lock, read_experiment

    with Lock(folder):
        experiment = read_experiment(folder, spec.experiment())
        journal = Journal(folder)
        Strategy.rebuild(spec.algo, spec.problem(), experiment.records).next()
        journal.close()


def _rate(algo: str, trials: int) -> float:
    """Trials a second of a simulation, which has no journal."""
    benchmark = Quadratic()
    seconds = _seconds(
        lambda: ray_hpo.simulate(benchmark, algo=algo, metric="loss", max_budget=27, num_trials=trials, workers=100)
    )
    return trials / seconds


def on_ray(workers: int, trials: int) -> dict[str, float]:
    """Trials a second with so many live workers."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        together = Path(folder, "workers")
        together.mkdir()

        def train(config: dict[str, Any]) -> None:
            line_up(together, workers)
            ray_hpo.report({"loss": config["x"]})

        result = ray_hpo.tune_run(
            Quadratic.space,
            train,
            metric="loss",
            algo="random",
            num_trials=trials + workers,
            resources={"cpu": 0.01},
            max_concurrent=workers,
            storage=folder,
            progress=False,
        )
        began = all_up(together, workers)
        ends = [trial.begun + trial.seconds for trial in result.trials if trial.begun + trial.seconds > began]
        cpu = watch.cpu(began, max(ends))
    rate = len(ends) / (max(ends) - began)
    return {"workers": workers, "trials_per_s": rate, "controller_ms_per_trial": 1e3 * cpu / len(ends)}


def _available_mb() -> float:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) / 1024


def _seconds(action: Any) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the largest size, and without Ray")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--algos", default="random,asha")
    parser.add_argument("--ray-workers", type=int, help="how many live ones; 0: none. Default 200, with --quick 0")
    parser.add_argument("--only", nargs=3, metavar=("ALGO", "TRIALS", "WORKERS"), help="one size, printed as JSON")
    args = parser.parse_args()
    if args.ray_workers is None:
        args.ray_workers = 0 if args.quick else RAY_WORKERS
    if args.only:
        print(json.dumps(simulated(args.only[0], int(args.only[1]), int(args.only[2]))))
        return
    found: list[dict[str, Any]] = []
    for algo in args.algos.split(","):
        sizes = [(trials, 100) for trials in (QUICK if args.quick else SIZES)]
        for trials, workers in [*sizes, (20_000, MANY_WORKERS)]:
            command = [sys.executable, "-m", "benchmarks.growth", "--only", algo, str(trials), str(workers)]
            runs = [
                json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                for _ in range(RUNS.get(trials, 1))
            ]
            medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            found.append({"algo": algo, "trials": trials, "workers": workers, **medians})
            print(", ".join(f"{key} {_text(value)}" for key, value in found[-1].items()), flush=True)
        first, last = (found[-len(sizes) - 1 : -1][i]["controller_ms_per_trial"] for i in (0, -1))
        print(f"{algo}: CPU per trial at {sizes[-1][0]:,} trials {last / first:.2f} times that at {sizes[0][0]:,}")
        rates = [_rate(algo, 10_000) for _ in range(3)]
        found.append({"algo": algo, "trials": 10_000, "simulated_per_s": statistics.median(rates)})
        print(", ".join(f"{key} {_text(value)}" for key, value in found[-1].items()), flush=True)
    if args.ray_workers:
        fit = min(args.ray_workers, int(0.7 * _available_mb() / WORKER_MB))
        found.append(on_ray(fit, 2_000))
        print(", ".join(f"{key} {_text(value)}" for key, value in found[-1].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
