"""Compare search algorithms by the quality that they reach for their budget.

    python -m benchmarks.compare --algos bohb,asha,hyperband,random                     synthetic tasks, no data needed
    python -m benchmarks.compare --data DIR --references FILE --curves peers.json       recorded tasks, beside peers'
    curves

Prints mean normalised regret along the budget with 95 % bootstrap intervals at the end, mean rank, and how many times
sooner each method reaches random search's final quality; overall and for each family.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.neutral import load, task_names
from benchmarks.compare.runner import COUNTS, FRACTIONS, Run, run
from benchmarks.compare.scoring import Scores, score
from benchmarks.compare.synthetic import synthetic_tasks
from benchmarks.compare.task import Reference, Task


def main() -> None:
    args = _parse()
    makers = _tasks(args)
    known_best: dict[str, float] = {}
    runs = _read_curves(args.curves, args.setting, known_best, set(makers))
    references: dict[str, Reference] = {}
    given = json.loads(args.references.read_text()) if args.references else {}
    for name, make in makers.items():
        task = make()
        if name in given:
            task.use(Reference.from_json(given[name]))
        references[name] = task.reference
        for method in args.algos:
            for seed in args.seeds:
                runs.append(run(task, method, seed, args.setting, args.workers))
        if sys.stderr.isatty():
            print(f"{name} done", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps([one.to_json() for one in runs], indent=1))
    _print(runs, references, known_best, args.setting)
    if args.plot:
        from benchmarks.compare.plot import write_plot

        write_plot(args.plot, runs, references, known_best, args.setting)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", type=_words, default=["bohb", "asha", "hyperband", "random"])
    parser.add_argument("--tasks", type=_words, default=["*"], help="names or globs, by comma: 'lcbench/*,branin/2'")
    parser.add_argument("--seeds", type=_seeds, default=list(range(5)), help="5, or 0-9")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--setting", choices=["A", "B"], default="A")
    parser.add_argument("--data", type=Path, help="a folder of tasks in the neutral format; default: synthetic tasks")
    parser.add_argument(
        "--references", type=Path, help="reference values of tasks, instead of drawing 20,000 configurations"
    )
    parser.add_argument("--curves", type=Path, nargs="*", default=[], help="files with curves of other methods")
    parser.add_argument("--json", type=Path, help="write all runs here")
    parser.add_argument("--plot", type=Path, help="write anytime curves here, as HTML")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _seeds(text: str) -> list[int]:
    low, dash, high = text.partition("-")
    return list(range(int(low), int(high) + 1)) if dash else list(range(int(low)))


def _tasks(args: argparse.Namespace) -> dict[str, Callable[[], Task]]:
    makers: dict[str, Callable[[], Task]] = dict(synthetic_tasks())
    if args.data:
        makers = {name: lambda name=name: load(args.data, name) for name in task_names(args.data)}
    chosen = {name: make for name, make in makers.items() if any(fnmatch.fnmatch(name, glob) for glob in args.tasks)}
    if not chosen:
        raise SystemExit(f"no task matches --tasks {','.join(args.tasks)}; there are: {', '.join(makers)}")
    return chosen


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
            runs += [
                Run(task, f"{method} (peer)", setting, seed, curve, float("nan"), float("inf"))
                for task, seed, curve in rows
                if task in tasks
            ]
    return runs


def _print(runs: Sequence[Run], references: dict[str, Reference], best: dict[str, float], setting: str) -> None:
    families = sorted({one.task.split("/")[0] for one in runs})
    _print_table("all", score(runs, references, best), runs, setting)
    for family in families if len(families) > 1 else []:
        part = [one for one in runs if one.task.startswith(f"{family}/")]
        try:
            _print_table(family, score(part, references, best), part, setting)
        except ValueError as error:
            print(f"\n{family}: {error}")


def _print_table(title: str, scores: Scores, runs: Sequence[Run], setting: str) -> None:
    points = FRACTIONS if setting == "A" else [float(count) for count in COUNTS]
    ranks = scores.ranks()
    print(f"\n{title}: {len(scores.tasks)} tasks; mean regret along the budget, 95 % interval at the end, mean rank")
    print(" " * 26 + " ".join(f"{point:6.3g}" for point in points) + "    end interval   rank   end  x random  ask ms")
    random = next((i for i, method in enumerate(scores.methods) if method.startswith("random")), None)
    for i in sorted(range(len(scores.methods)), key=lambda i: float(ranks[i].mean())):
        method = scores.methods[i]
        low, high = scores.interval(i)
        asks = [1e3 * one.ask_median_s for one in runs if one.method == method]
        sooner = "" if random is None or setting == "B" else f"{scores.sooner(i, random):8.1f}"
        print(
            f"{method:26s}"
            + " ".join(f"{value:6.3f}" for value in scores.curves[i].mean(axis=0))
            + f"  [{low[-1]:.3f}, {high[-1]:.3f}] {ranks[i].mean():6.2f} {ranks[i, :, -1].mean():5.2f} {sooner:>9}"
            + f"  {sum(asks) / len(asks):6.2f}"
        )


if __name__ == "__main__":
    main()
