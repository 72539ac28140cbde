"""Bare Ray, ray_hpo and Ray Tune side by side: trials and results a second, controller CPU, start, slots busy, memory.

    python -m benchmarks.overhead [--quick] [--json FILE] [--subjects bare_ray,ours] [--rounds 3]

The subjects take turns on one cluster, several rounds; medians and ratios are printed. Trials are trivial, so that all
the time is overhead. All workers are up before the clock starts, but for the first result, where it starts with the
process. Tune does fewer reports, and without reuse fewer trials, for it is slow; it gets slower with their number.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ray

from benchmarks.overhead.measure import SUBJECTS

SLOTS, TRAINING_SLOTS = 8, 4
ASYNCHRONOUS = ("random", "sobol", "tpe", "kde", "gp", "asha", "asha_stopping", "pasha", "median_stopping", "pbt")
ALGOS = (*ASYNCHRONOUS, "mobster", "hyperband", "bohb")
QUICK = ("random", "asha", "mobster", "hyperband")
STARTS = {"bare_ray": 3, "ours": 3}  # of Ray, a round: each takes a second more or less, by chance
# How many trials, and reports and milestones a trial, each subject does in a round.
TRIALS = {"bare_ray": 1000, "ours": 1000, "ray_tune": 8, "ray_tune_reuse": 1000}
REPORTS = {"bare_ray": 5000, "ours": 5000, "ray_tune": 250, "ray_tune_reuse": 250}
MILESTONES = {"bare_ray": 100, "ours": 100}
BUSY = {"bare_ray": ("random",), "ours": ALGOS, "ray_tune": (), "ray_tune_reuse": ("random", "asha_stopping")}

Found = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, fewer algorithms and trials")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians there")
    parser.add_argument("--subjects", default=",".join(SUBJECTS))
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1")
    parser.add_argument("--parts", default="trials,results,milestones,first_result,slots_busy")
    parser.add_argument("--algos", default=",".join(ALGOS), help="whose slots to watch")
    args = parser.parse_args()
    subjects, parts = args.subjects.split(","), args.parts.split(",")
    rounds = args.rounds or (1 if args.quick else 3)
    found: Found = {subject: {} for subject in subjects}
    if "first_result" in parts:
        starts = {subject: 1 if args.quick else rounds * STARTS.get(subject, 1) for subject in subjects}
        for start in range(max(starts.values())):
            for subject in subjects:
                if start < starts[subject]:
                    for key, value in _measure(subject, "first_result", since=time.time()).items():
                        _note(found, subject, key, value)
    ray.init(
        "local",
        num_cpus=SLOTS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=200 * 2**20,
    )
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    for _ in range(rounds):
        for subject in subjects:
            if "trials" in parts:
                for key, value in _measure(subject, "trials", slots=SLOTS, count=TRIALS[subject]).items():
                    _note(found, subject, key, value)
        for subject in subjects:
            if "results" in parts:
                seen = _measure(subject, "results", slots=SLOTS, count=REPORTS[subject])
                _note(found, subject, "results_per_s", seen["results_per_s"])
        for subject in subjects:
            if "milestones" in parts and subject in MILESTONES:
                seen = _measure(subject, "milestones", slots=TRAINING_SLOTS, count=MILESTONES[subject])
                for key, value in seen.items():
                    _note(found, subject, key, value)
    if "slots_busy" in parts:
        for subject in subjects:
            algos = [algo for algo in BUSY[subject] if algo in args.algos.split(",")]
            if args.quick:
                algos = [algo for algo in algos if algo in QUICK]
            for algo in algos:
                for _ in range(1 if args.quick else rounds):
                    count = 20 if args.quick else 60
                    seen = _measure(subject, "slots_busy", slots=TRAINING_SLOTS, algo=algo, count=count)
                    if seen:
                        _note(found, subject, f"busy {algo}", seen["steady"])
                        _note(found, subject, f"busy whole {algo}", seen["whole"])
    medians = {subject: _medians(values) for subject, values in found.items()}
    _print(medians)
    if args.json:
        args.json.write_text(json.dumps({**medians, "load": os.getloadavg(), "rounds": rounds}, indent=1))


def _measure(subject: str, what: str, **options: Any) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.overhead.measure", subject, what, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{subject} {what} {options} failed:\n{done.stderr[-2000:]}")
    seen: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{subject:15} {what:12} {options.get('algo', ''):14} {_text(seen)}", file=sys.stderr, flush=True)
    return seen


def _note(found: Found, subject: str, key: str, value: float) -> None:
    found[subject].setdefault(key, []).append(value)


def _medians(values: dict[str, list[float]]) -> dict[str, Any]:
    medians: dict[str, Any] = {"slots_busy": {}, "slots_busy_with_tail": {}}
    for key, all_of_it in values.items():
        median = statistics.median(all_of_it)
        if key.startswith("busy whole "):
            medians["slots_busy_with_tail"][key.removeprefix("busy whole ")] = median
        elif key.startswith("busy "):
            medians["slots_busy"][key.removeprefix("busy ")] = median
        else:
            medians[key] = median
    return medians


def _print(medians: dict[str, dict[str, Any]]) -> None:
    keys = (
        "trials_per_s",
        "controller_ms_per_trial",
        "results_per_s",
        "milestone_ms",
        "milestone_p95_ms",
        "population_ms",
        "verdict_ms",
        "first_result_s",
        "return_s",
        "peak_mb",
    )
    print(f"{'':16}" + "".join(f"{key:>25}" for key in keys))
    for subject, values in medians.items():
        print(f"{subject:16}" + "".join(f"{values[key]:25.4g}" if key in values else f"{'':25}" for key in keys))
    ours, bare, reuse = (medians.get(subject, {}) for subject in ("ours", "bare_ray", "ray_tune_reuse"))
    for key in ("trials_per_s", "results_per_s"):
        for name, other in (("bare Ray", bare), ("Ray Tune with reuse", reuse)):
            if key in ours and key in other:
                print(f"{key}: ray_hpo has {ours[key] / other[key]:.2f} of {name}")
    if "first_result_s" in ours and "first_result_s" in bare:
        print(f"first result: {ours['first_result_s'] - bare['first_result_s']:.2f} s after bare Ray's")
    for subject, values in medians.items():
        for algo, share in values["slots_busy"].items():
            tail = values["slots_busy_with_tail"][algo]
            print(f"slots busy  {subject:15} {algo:16} {share:6.1%}  (with the tail {tail:.1%})")


def _text(seen: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in seen.items())


if __name__ == "__main__":
    main()
