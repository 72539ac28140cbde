"""ls, show, export: look at experiments, take their data along."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ray_hpo.cli.app import INSPECT, JsonOption, PathArgument, app, print_json, tell
from ray_hpo.errors import InvalidInput


@app.command("ls", rich_help_panel=INSPECT)
def list_experiments(
    storage: Annotated[str, typer.Argument(help="A folder of experiments, or a URI (s3://bucket/path).")] = "~/ray_hpo",
    as_json: JsonOption = False,
) -> None:
    """List the experiments in a folder, the newest first."""
    from ray_hpo.cli.views import experiment_rows, print_rows
    from ray_hpo.folder import experiments_in

    rows = experiment_rows(experiments_in(storage))
    if as_json:
        print_json(rows)
    elif rows:
        print_rows(rows)
    else:
        tell(f"no experiments in {storage}")


@app.command(rich_help_panel=INSPECT)
def show(
    path: PathArgument,
    trial: Annotated[int | None, typer.Option(help="Show one trial with all its decisions.")] = None,
    limit: Annotated[int, typer.Option(help="Show this many trials, the best first; 0 for all.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show an experiment: summary, best trials, and why each was paused, stopped or went on."""
    from ray_hpo.cli.views import experiment_json, print_experiment, print_trial, trial_json
    from ray_hpo.results import load

    result = load(path)
    if trial is None:
        print_json(experiment_json(result)) if as_json else print_experiment(result, limit)
        return
    if not 0 <= trial < len(result.trials):
        raise InvalidInput(f"--trial {trial}: {path} has {len(result.trials)} trials, counted from 0")
    row = result.trials[trial]
    print_json(trial_json(result, row)) if as_json else print_trial(result, row)


@app.command(rich_help_panel=INSPECT)
def export(
    path: PathArgument,
    csv: Annotated[Path, typer.Option(help="The file to write; - for standard output.")],
    reports: Annotated[bool, typer.Option(help="One row a report instead of one a trial.")] = False,
) -> None:
    """Write an experiment's trials as CSV."""
    from ray_hpo.results import load

    result = load(path)
    frame = result.all_reports() if reports else result.to_dataframe()
    if str(csv) == "-" and sys.stdout.isatty():
        tell(frame.to_csv(index=not reports), end="")
        return
    try:
        frame.to_csv(sys.stdout if str(csv) == "-" else csv, index=not reports, errors="backslashreplace")
    except OSError as error:
        raise InvalidInput(f"--csv {csv} cannot be written: {error}") from error
    if str(csv) != "-":
        tell(f"{len(frame)} rows in {csv}")
