"""How the command line shows experiments and trials: as tables for people, as JSON for scripts."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from strategies.actions import fidelity_text
from strategies.registry import algo_to_json, describe

from ray_hpo.budget import duration_text
from ray_hpo.errors import RayHpoError
from ray_hpo.progress import config_text
from ray_hpo.results import Result, load
from ray_hpo.screen import Screen
from ray_hpo.summary import result_lines
from ray_hpo.trial import Trial


def make_console() -> Screen:
    """As wide as the terminal; wide enough not to fold a table that goes into a pipe."""
    console = Screen()
    return console if console.is_terminal else Screen(width=250)


def experiment_rows(paths: Iterable[str]) -> list[dict[str, Any]]:
    """One row an experiment; one that cannot be read says so in its status."""
    return [_experiment_row(path) for path in paths]


def _experiment_row(path: str) -> dict[str, Any]:
    name = path.partition("?")[0].rpartition("/")[2]
    try:
        result = load(path)
    except RayHpoError as error:
        return {"name": name, "status": f"unreadable: {error}", "path": path}
    goals = result.spec.goals
    best = None if goals.several or result.experiment.best is None else result.best_value
    row = {
        "name": name,
        "status": result.status,
        "algo": describe(result.spec.algo),
        "trials": len(result.trials),
        "metric": result.spec.metric,
        "best": best,
        "time": round(result.experiment.elapsed, 1),
        "path": path,
    }
    return {**row, "pareto_front": len(result.pareto_front)} if goals.several else row


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("name", "status", "algo", "trials", "best", "time"):
        table.add_column(name, justify="right" if name in ("trials", "time") else "left", overflow="fold")
    for row in rows:
        best = "" if row.get("best") is None else f"{row['metric']} {row['best']:.5g}"
        if "pareto_front" in row:
            best = f"{row['pareto_front']} on the front of {', '.join(row['metric'])}"
        took = duration_text(row["time"]) if "time" in row else ""
        table.add_row(row["name"], row["status"], row.get("algo", ""), str(row.get("trials", "")), best, took)
    make_console().print(table)


def experiment_json(result: Result) -> dict[str, Any]:
    """An experiment with all its trials."""
    spec = result.spec
    best = None if spec.goals.several or result.experiment.best is None else result.best_trial
    body = {
        "name": spec.name,
        "path": str(result.path),
        "status": result.status,
        "algo": algo_to_json(spec.algo),
        "metric": spec.metric,
        "mode": spec.mode,
        "constraints": spec.constraints,
        "max_budget": spec.max_budget,
        "seed": spec.seed,
        "points_to_evaluate": [spec.space.nest(dict(point)) for point in spec.points_to_evaluate],
        "warm_start": {
            "from": spec.warm_start,
            "trials": len(spec.earlier.configs),
            "results": len(spec.earlier.results),
            "left_out": spec.earlier.left_out,
        },
        "seconds": result.experiment.elapsed,
        "spent": result.spent,
        "best_trial": None if best is None else best.number,
        "best_config": None if best is None else result.best_config,
        "best_value": None if best is None else result.best_value,
        "pareto_front": [trial.number for trial in result.pareto_front],
        "best_searched": None if best is None else result.best_searched.number,
        "verified": [dataclasses.asdict(row) for row in result.verified],
        "trials": [trial_json(result, trial) for trial in result.trials],
    }
    cleaned: dict[str, Any] = _finite(body)
    return cleaned


def trial_json(result: Result, trial: Trial) -> dict[str, Any]:
    """One trial; numbers that JSON lacks (inf, nan) are null."""
    body = {
        "trial": trial.number,
        "state": trial.state,
        "config": result.spec.space.nest(trial.config),
        "bracket": trial.bracket,
        "parent": trial.parent,
        "fidelity": trial.fidelity,
        "step": trial.step,
        "value": trial.value,
        "metrics": trial.metrics,
        "seconds": trial.seconds,
        "failures": trial.failures,
        "losses": trial.losses,
        "gpu": trial.gpu,
        "crashes": [{"time": time, "cause": cause, "error": error} for time, cause, error in trial.crashes],
        "why": trial.why,
        "error": trial.error,
        "checkpoint": trial.checkpoint and trial.checkpoint.path,
        "seed": result.spec.trial_seed(trial.number),
        "decisions": [{"time": time, "decision": text} for time, text in trial.decisions],
    }
    if not result.spec.goals.plain:
        body |= {"values": trial.values, "violation": trial.violation}
    cleaned: dict[str, Any] = _finite(body)
    return cleaned


def print_experiment(result: Result, limit: int) -> None:
    console = make_console()
    spec = result.spec
    console.print(f"{spec.name}: {describe(spec.algo)}, {spec.goals}, seed {spec.seed}", highlight=False)
    for line in result_lines(result):
        console.print(line, highlight=False, soft_wrap=True)
    ranked = _ranked(result)
    shown = ranked[:limit] if limit else ranked
    table = Table(box=None, header_style="bold", pad_edge=False)
    parents = ["parent"] if spec.algo.copies else []
    violation = ["violation"] if spec.constraints else []
    for name in ("trial", *parents, "state", "at", *spec.goals.names, *violation, "why", "config"):
        table.add_column(name, overflow="fold", justify="right" if name in ("trial", "parent", "at") else "left")
    for trial in shown:
        at = "" if trial.came_to is None else fidelity_text(trial.came_to)
        reached = {spec.goals.metrics[0]: trial.value, **trial.values}
        values = ["" if reached.get(name) is None else f"{reached[name]:.5g}" for name in spec.goals.names]
        values += [f"{trial.violation:.3g}" if trial.values else "" for _ in violation]
        parent = ["" if trial.parent is None else str(trial.parent)] if parents else []
        table.add_row(str(trial.number), *parent, trial.state, at, *values, trial.why, config_text(trial.config))
    console.print()
    console.print(table)
    if len(shown) < len(ranked):
        console.print(f"... {len(ranked) - len(shown)} more: --limit 0 shows all", highlight=False)
    causes = Counter(cause for trial in result.trials for _, cause, _ in trial.crashes)
    if causes:
        told = ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
        console.print(f"attempts that broke off: {told}; --trial N tells more", highlight=False)
    for notice in result.experiment.notices[-5:]:
        console.print(f"! {notice}", highlight=False)


def print_trial(result: Result, trial: Trial) -> None:
    console = make_console()
    lines = [
        f"trial {trial.number}: {trial.state}; {trial.why}",
        f"config: {config_text(trial.config)}",
        f"seed: {result.spec.trial_seed(trial.number)}",
        *_origin(result, trial),
        f"last report: step {trial.step:g}, {config_text(trial.metrics)}",
        f"retries: {trial.failures} exceptions, {trial.losses} lost workers",
        f"output: ray-hpo logs {result.place.quoted} {trial.number}",
        "decisions:",
    ]
    began = trial.decisions[0][0] if trial.decisions else 0.0
    lines += [f"  +{duration_text(time - began)} {text}" for time, text in trial.decisions]
    if trial.crashes:
        lines.append("attempts that broke off:")
        lines += [f"  +{duration_text(time - began)} {cause}: {error}" for time, cause, error in trial.crashes]
    if trial.traceback:
        lines += ["last exception:", trial.traceback.rstrip()]
    elif trial.error:
        lines.append(f"last error: {trial.error}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _origin(result: Result, trial: Trial) -> list[str]:
    """What a copy of another trial goes back to; nothing for any other."""
    if trial.parent is None:
        return []
    line = " -> ".join(str(ancestor.number) for ancestor in result.lineage(trial))
    return [f"parent: trial {trial.parent}, trained on from step {trial.origin:g}; lineage: {line}"]


def _ranked(result: Result) -> list[Trial]:
    """The best trials first, then those without a number: the furthest first, those without a result last."""
    ranked = result.experiment.ranked()
    known = {trial.number for trial in ranked}
    others = [trial for trial in result.trials if trial.number not in known]
    return ranked + sorted(others, key=lambda trial: (-(trial.fidelity or 0.0), trial.number))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value
