"""The command `ray-hpo`: look at experiments, go on with them, take their data along. A thin face over ray_hpo."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ray_hpo.errors import InvalidInput, RayHpoError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Hyperparameter tuning on Ray."
)

PathArgument = Annotated[Path, typer.Argument(help="The experiment's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command("ls")
def list_experiments(
    storage: Annotated[Path, typer.Argument(help="A folder of experiments.")] = Path("~/ray_hpo"),
    as_json: JsonOption = False,
) -> None:
    """List the experiments in a folder, the newest first."""
    from ray_hpo.cli.views import experiment_rows, print_rows
    from ray_hpo.folder import experiments_in

    rows = experiment_rows(experiments_in(storage))
    if as_json:
        _print_json(rows)
    elif rows:
        print_rows(rows)
    else:
        typer.echo(f"no experiments in {storage}")


@app.command()
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
        _print_json(experiment_json(result)) if as_json else print_experiment(result, limit)
        return
    if not 0 <= trial < len(result.trials):
        raise InvalidInput(f"--trial {trial}: {path} has {len(result.trials)} trials, counted from 0")
    row = result.trials[trial]
    _print_json(trial_json(result, row)) if as_json else print_trial(result, row)


@app.command()
def resume(
    path: PathArgument,
    num_trials: Annotated[int | None, typer.Option(help="Trials in all, those that have run included.")] = None,
    time_limit: Annotated[str | None, typer.Option(help='Time in all, as "1h30m".')] = None,
    total_budget: Annotated[float | None, typer.Option(help="Units of budget in all.")] = None,
) -> None:
    """Go on with an experiment where it stands, with its recorded trainable."""
    from ray_hpo.tune import resume as go_on

    go_on(path, num_trials=num_trials, time_limit=time_limit, total_budget=total_budget)


@app.command()
def export(
    path: PathArgument,
    csv: Annotated[Path, typer.Option(help="The file to write; - for standard output.")],
    reports: Annotated[bool, typer.Option(help="One row a report instead of one a trial.")] = False,
) -> None:
    """Write an experiment's trials as CSV."""
    from ray_hpo.results import load

    result = load(path)
    frame = result.all_reports() if reports else result.to_dataframe()
    try:
        frame.to_csv(sys.stdout if str(csv) == "-" else csv, index=not reports)
    except OSError as error:
        raise InvalidInput(f"--csv {csv} cannot be written: {error}") from error
    if str(csv) != "-":
        typer.echo(f"{len(frame)} rows in {csv}")


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error and exit code 2, a failure 1."""
    try:
        app()
    except InvalidInput as error:
        _fail(error, 2)
    except RayHpoError as error:
        _fail(error, 1)


def _fail(error: Exception, code: int) -> None:
    typer.echo(f"error: {error}", err=True)
    raise SystemExit(code)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


if __name__ == "__main__":
    main()
