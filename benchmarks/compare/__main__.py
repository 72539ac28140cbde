"""Compare search algorithms by the quality that they reach for their budget.

    python -m benchmarks.compare --algos bohb,asha,hyperband,random                     synthetic tasks, no data needed
    python -m benchmarks.compare --peers optuna_tpe_hyperband,hpbandster --jobs 4       other packages, in the same run
    python -m benchmarks.compare --data DIR --references FILE --curves peers.json       recorded tasks, beside peers'
    curves

Prints mean normalised regret along the budget with 95 % bootstrap intervals at the end, mean rank, and how many times
sooner each method is where another one ends; overall and for each family.

Times sooner than another method: on each task, 1/f, where f is the first share of the budget at which the method's mean
regret over seeds has come down to what the other one ends with; a method that never gets there counts as 0. The figure
is the median over tasks. Of what was run here each change of the incumbent counts when it comes; curves from files are
known at the ten points only. Shown are random search and the method with the lowest mean regret at the end that is not
ours (a peer, or a curve from a file), or the one of --sooner-than.

Only seeds that all methods have are counted; with --own-seeds, of each method all that there are.

Peers (--peers) are other packages' own code behind `peers/`, under the same clock and rules: 8 asynchronous workers,
training that goes on where it stopped or is paid anew, the value at the end of each training and nothing else. One
that is not installed is named with the command that installs it.

Tune and test: half of all tasks, by a hash of their names, are for choosing (--split tune), the others are for
figures (--split test). Choices were made on tune, figures are quoted on test.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strategies.registry import resolve_algo

from benchmarks.compare.jobs import Unit, references_of, run_all, task_makers
from benchmarks.compare.peers import PEERS, Missing, find
from benchmarks.compare.runner import CURVE, PEER, Run
from benchmarks.compare.scoring import NoCommonRuns
from benchmarks.compare.tables import print_tables
from benchmarks.compare.task import Reference, split_of
from ray_hpo.errors import InvalidInput


def main() -> None:
    args = _parse()
    names = _tasks(args)
    methods = _methods(args)
    known_best: dict[str, float] = {}
    runs = _read_curves(args.curves, args.setting, known_best, set(names))
    given = json.loads(args.references.read_text()) if args.references else {}
    known = {name: Reference.from_json(given[name]) for name in names if name in given}
    references = references_of(args.data, names, known, args.jobs)
    units = [
        Unit(args.data, name, references[name], method, seed, args.setting, args.workers)
        for name in names
        for method in methods
        for seed in args.seeds
    ]
    for done, run in enumerate(run_all(units, args.jobs), start=1):
        runs.append(run)
        if sys.stderr.isatty():
            print(f"\r{done} of {len(units)} runs: {run.task} {run.method} {run.seed}\033[K", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps([one.to_json() for one in runs], indent=1))
    try:
        print_tables(runs, references, known_best, args.setting, args.sooner_than, args.own_seeds)
    except (NoCommonRuns, InvalidInput) as error:
        raise SystemExit(str(error)) from error
    if args.plot:
        from benchmarks.compare.plot import write_plot

        write_plot(args.plot, runs, references, known_best, args.setting, args.own_seeds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", type=_words, default=["bohb", "asha", "hyperband", "random"])
    parser.add_argument("--peers", type=_words, default=[], help=f"some of {','.join(PEERS)}")
    parser.add_argument("--tasks", type=_words, default=["*"], help="names or globs, by comma: 'lcbench/*,branin/2'")
    parser.add_argument("--split", choices=["tune", "test", "all"], default="all", help="half of the tasks, or all")
    parser.add_argument("--seeds", type=_seeds, default=list(range(5)), help="5, or 0-9")
    parser.add_argument("--workers", type=int, default=8, help="simulated ones")
    parser.add_argument("--setting", choices=["A", "B"], default="A")
    parser.add_argument("--jobs", type=int, default=1, help="processes; what they find does not depend on it")
    parser.add_argument("--data", type=Path, help="a folder of tasks in the neutral format; default: synthetic tasks")
    parser.add_argument(
        "--references", type=Path, help="reference values of tasks, instead of drawing 20,000 configurations"
    )
    parser.add_argument("--curves", type=Path, nargs="*", default=[], help="files with curves of other methods")
    parser.add_argument("--sooner-than", metavar="METHOD", help="the method that 'x other' is about")
    parser.add_argument("--own-seeds", action="store_true", help="count all seeds of each method, not the common ones")
    parser.add_argument("--json", type=Path, help="write all runs here")
    parser.add_argument("--plot", type=Path, help="write anytime curves here, as HTML")
    args = parser.parse_args()
    if args.jobs < 1:
        parser.error(f"--jobs must be at least 1; got {args.jobs}")
    return args


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _seeds(text: str) -> list[int]:
    low, dash, high = text.partition("-")
    return list(range(int(low), int(high) + 1)) if dash else list(range(int(low)))


def _tasks(args: argparse.Namespace) -> list[str]:
    makers = task_makers(args.data)
    chosen = [name for name in makers if any(fnmatch.fnmatch(name, glob) for glob in args.tasks)]
    if not chosen:
        raise SystemExit(f"no task matches --tasks {','.join(args.tasks)}; there are: {', '.join(makers)}")
    kept = [name for name in chosen if args.split in ("all", split_of(name))]
    if not kept:
        raise SystemExit(f"none of these tasks is in --split {args.split}: {', '.join(chosen)}")
    return kept


def _methods(args: argparse.Namespace) -> list[str]:
    """Ours and peers, each of them looked at before anything runs."""
    try:
        for name in args.algos:
            resolve_algo(name)
        for name in args.peers:
            find(name, args.setting)
    except (InvalidInput, Missing) as error:
        raise SystemExit(str(error)) from error
    return [*args.algos, *(name + PEER for name in args.peers)]


def _read_curves(files: Sequence[Path], setting: str, best: dict[str, float], tasks: set[str]) -> list[Run]:
    """Curves of other methods: our own --json files, or packed ones ({"setting", "best", "runs": {method: rows}})."""
    runs = []
    for file in files:
        body: Any = json.loads(file.read_text())
        if isinstance(body, list):
            runs += [Run(**row) for row in body if row["setting"] == setting and row["task"] in tasks]
            continue
        if body["setting"] != setting:
            continue
        best |= {task: min(y, best.get(task, y)) for task, y in body["best"].items()}
        for method, rows in body["runs"].items():
            runs += [_packed(method, setting, row) for row in rows if row[0] in tasks]
    return runs


def _packed(method: str, setting: str, row: Sequence[Any]) -> Run:
    task, seed, curve = row
    return Run(task, method + CURVE, setting, seed, curve, float("nan"), float("inf"))


if __name__ == "__main__":
    main()
