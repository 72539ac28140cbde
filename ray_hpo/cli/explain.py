"""`ray-hpo why` and `ray-hpo compare`: why a trial went as it did, and how experiments differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_hpo.cli.app import INSPECT, JsonOption, PathArgument, app, print_json, tell
from ray_hpo.cli.logs import check_trial
from ray_hpo.errors import InvalidInput

if TYPE_CHECKING:
    from ray_hpo.results import Result
    from ray_hpo.trial import Trial


@app.command(rich_help_panel=INSPECT)
def why(path: PathArgument, trial: Annotated[int, typer.Argument(help="The trial's number.")]) -> None:
    """Tell why a trial was started, paused, promoted or stopped: each decision, with the result that it is about."""
    from ray_hpo.results import load

    result = load(path)
    check_trial(trial, len(result.trials), path)
    for line in why_lines(result, result.trials[trial]):
        tell(line)


def why_lines(result: Result, trial: Trial) -> list[str]:
    """A trial's history: results at its milestones, what was decided on each, and where it stands now."""
    from strategies.actions import Limit, Reached, fidelity_text, minimised

    from ray_hpo.budget import duration_text
    from ray_hpo.progress import config_text

    goals, decisions = result.spec.goals, iter(trial.decisions)
    began = trial.decisions[0][0] if trial.decisions else 0.0
    lines = [f"trial {trial.number}: {trial.state}", f"  {config_text(trial.config)}"]
    for record in result.experiment.records:
        if isinstance(record, Limit) or record.trial != trial.number:
            continue
        if isinstance(record, Reached):
            value = minimised(record.value, goals.modes[0])  # and back to the user's sign
            endless = math.isinf(record.fidelity)  # no max_budget
            at = f"ended at step {trial.step:g}" if endless else f"reached {fidelity_text(record.fidelity)}"
            lines.append(f"  {at}: {goals.metrics[0]} {value:.6g}")
        elif hasattr(record, "reason"):
            time, text = next(decisions)
            lines.append(f"  +{duration_text(time - began)} {text}")
        else:
            lines.append(f"  failed: {trial.error}")
    standing = _standing(result, trial)
    return [*lines, standing] if standing else lines


def _standing(result: Result, trial: Trial) -> str:
    """Its rank now among all that reached as far."""
    from strategies.actions import fidelity_text, minimised

    if trial.fidelity is None or trial.value is None or not result.spec.goals.plain:
        return ""
    mode = result.spec.goals.modes[0]
    peers = [t for t in result.trials if t.fidelity == trial.fidelity and t.value is not None and t.value == t.value]
    if trial not in peers:
        return f"its {result.spec.goals.metrics[0]} is not a number: it ranks last"
    peers.sort(key=lambda t: (minimised(t.value or 0.0, mode), t.number))
    rank = peers.index(trial) + 1
    best = peers[0]
    ended = "ran to their end" if math.isinf(trial.fidelity) else f"ended at {fidelity_text(trial.fidelity)}"
    text = f"of the {len(peers)} trials that {ended} it ranks {rank}"
    return text if rank == 1 else f"{text}; the best of these is trial {best.number} with {best.value:.6g}"


@app.command(rich_help_panel=INSPECT)
def compare(
    paths: Annotated[list[str], typer.Argument(help="The experiments' folders or URIs, two or more.")],
    as_json: JsonOption = False,
) -> None:
    """Lay experiments side by side: what each found, for what budget and in what time."""
    from ray_hpo.results import load

    if len(paths) < 2:
        raise InvalidInput("compare needs two experiments or more: ray-hpo compare A B")
    results = [load(path) for path in paths]
    for result in results:
        if result.spec.goals.several:
            raise InvalidInput(
                f"{result.path} has several metrics: there is no best trial to compare; see ray-hpo show"
            )
    kinds = {str(result.spec.goals) for result in results}
    if len(kinds) > 1:
        told = ", ".join(sorted(kinds))
        raise InvalidInput(f"these measure different things: {told}; only results of the same can be compared")
    rows = [comparison(result) for result in results]
    print_json(rows) if as_json else _print_comparison(results, rows)


def comparison(result: Result) -> dict[str, Any]:
    """One experiment's line in a comparison."""
    from strategies.registry import describe

    best = result.experiment.best
    return {
        "name": result.spec.name,
        "algo": describe(result.spec.algo),
        "status": result.status,
        "trials": len(result.trials),
        "best": None if best is None else best.value,
        "trial": None if best is None else best.number,
        "fidelity": None if best is None or best.fidelity == math.inf else best.fidelity,
        "spent": result.spent,
        "seconds": result.experiment.elapsed,
        "config": None if best is None else result.spec.space.nest(best.config),
    }


def _print_comparison(results: list[Result], rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from strategies.actions import fidelity_text, minimised

    from ray_hpo.budget import duration_text
    from ray_hpo.cli.views import make_console
    from ray_hpo.progress import config_text

    spec, console = results[0].spec, make_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("name", "algo", "trials", f"best {spec.goals.metrics[0]}", "at", "spent", "time", "best config"):
        table.add_column(name, overflow="fold")
    for result, row in zip(results, rows, strict=True):
        best = result.experiment.best
        table.add_row(
            row["name"],
            row["algo"],
            str(row["trials"]),
            "" if best is None else f"{best.value:.6g}",
            "" if best is None or best.came_to is None else fidelity_text(best.came_to),
            fidelity_text(round(row["spent"], 2)),
            duration_text(row["seconds"]),
            "" if best is None else config_text(best.config),
        )
    console.print(table)
    with_value = [row for row in rows if row["best"] is not None]
    if with_value:
        first = min(with_value, key=lambda row: minimised(row["best"], spec.goals.modes[0]))
        console.print(f"best: {first['name']}, {spec.goals.metrics[0]} {first['best']:.6g}", highlight=False)
