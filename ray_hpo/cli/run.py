"""`ray-hpo run`, its short forms grid, random and bayesian, and `ray-hpo resume`: sweeps of a command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ray_hpo.cli.app import SWEEP, PathArgument, app, print_json
from ray_hpo.cli.options import SweepOptions, with_options
from ray_hpo.errors import InvalidInput

RUN_HELP = """Sweep a script that knows nothing of us, or a sweep file.

\b
ray-hpo run --algo bohb -p lr=1e-5:1e-1:log -p layers=1:4:int -p opt=sgd,adam --metric val_loss --max-budget 27 \\
    -- python train.py --lr :lr: --layers :layers: --optimizer :opt: --epochs :budget:
ray-hpo run sweep.yaml --num-trials 20

Placeholders, anywhere in a word of the command: :NAME: a parameter; :budget: the budget to train to;
:checkpoint: a folder to go on from and to save into (save before you print the epoch's metric);
:output: a folder of the trial's own; :trial_id:; :seed:. No shell reads the values.

Metrics are read from lines such as "epoch 3: val_loss=0.25, acc: 0.9", and from JSON. Each line with the metric is an
epoch. Scripts with :checkpoint: are paused and promoted; with :budget: they run again to a bigger budget; others run
once and are stopped where they fall behind.
"""

_SETTINGS = {"allow_interspersed_args": False}  # what follows the command's first word is the command's


def run_sweep(words: list[str], options: SweepOptions) -> None:
    """Run what the command line says, and end with the exit code that fits."""
    sweep, notes = the_sweep(words, options)
    from ray_hpo.screen import Screen
    from ray_hpo.summary import print_lines
    from ray_hpo.tune import tune_run

    show = not (options.quiet or options.as_json)
    if show:
        print_lines(Screen(), notes)
    executor: Any = options.executor
    result = tune_run(sweep.to_space(), sweep.to_command(), **sweep.arguments(), executor=executor, progress=show)
    finish(result, options.as_json)


def finish(result: Any, as_json: bool = False) -> None:
    """Print the outcome for scripts, and leave with the exit code that fits."""
    if as_json:
        from ray_hpo.cli.views import experiment_json

        print_json(experiment_json(result))
    raise typer.Exit({"interrupted": 130, "terminated": 143}.get(result.status, 0 if result.experiment.ranked() else 1))


def the_sweep(words: list[str], options: SweepOptions) -> tuple[Any, list[str]]:
    """The sweep that words and options describe, and notes on what its file asks for.

    Raises:
        InvalidInput: there is none, or it makes no sense.
    """
    from ray_hpo.sweepfile.reading import read_sweep
    from ray_hpo.sweepfile.schema import FieldError, make_sweep

    fields = options.fields()
    if len(words) == 1 and words[0].endswith((".yaml", ".yml")):
        file = read_sweep(words[0])
        if "parameters" in fields:
            fields["parameters"] = {**file.fields.get("parameters", {}), **fields["parameters"]}
        if "resources" in fields:
            fields["resources"] = {**(file.fields.get("resources") or {}), **fields["resources"]}
        return file.sweep(fields), file.notes
    if not words:
        raise InvalidInput(
            "there is nothing to run: give a sweep file, or -- and the command; `ray-hpo run --help` shows both"
        )
    if "metric" not in fields:
        raise InvalidInput("--metric is missing: the name under which the script prints what is to be optimised")
    try:
        return make_sweep({**fields, "command": words}), []
    except FieldError as error:
        raise InvalidInput(f"--{str(error.path[0]).replace('_', '-')}: {error}") from None


app.command("run", help=RUN_HELP, rich_help_panel=SWEEP, context_settings=_SETTINGS, no_args_is_help=True)(
    with_options(run_sweep, SweepOptions)
)
for _name, _algo, _help in (
    ("grid", "grid", "Try all combinations of the parameters' values (5 of each range)."),
    ("random", "random", "Try random draws: --num-trials says how many (default 100)."),
    ("bayesian", "gp", "Learn from the results where to look (a Gaussian process)."),
):
    _example = f"\n\n\b\nray-hpo {_name} -p lr=0.001,0.01,0.1 -p layers=1,2,3,4 --metric val_loss -- python train.py"
    app.command(_name, help=_help + _example, rich_help_panel=SWEEP, context_settings=_SETTINGS, no_args_is_help=True)(
        with_options(run_sweep, SweepOptions, algo=_algo)
    )


@app.command(rich_help_panel=SWEEP)
def resume(
    path: PathArgument,
    num_trials: Annotated[int | None, typer.Option(help="Trials in all, those that have run included.")] = None,
    time_limit: Annotated[str | None, typer.Option(help='Time in all, as "1h30m".')] = None,
    total_budget: Annotated[float | None, typer.Option(help="Units of budget in all.")] = None,
    gpu_hours: Annotated[float | None, typer.Option(help="GPU-hours in all.")] = None,
    cost: Annotated[float | None, typer.Option(help="Cost in all, at the recorded price.")] = None,
    patience: Annotated[int | None, typer.Option(help="Trials in a row that end without a new best.")] = None,
    executor: Annotated[str, typer.Option(help="ray, or inline: one trial at a time, no Ray.")] = "ray",
) -> None:
    """Go on with an experiment where it stands, with its recorded trainable or command."""
    from ray_hpo.tune import resume as go_on

    chosen: Any = executor
    limits: dict[str, Any] = {"gpu_hours": gpu_hours, "cost": cost, "patience": patience}
    limits |= {"num_trials": num_trials, "time_limit": time_limit, "total_budget": total_budget}
    finish(go_on(path, executor=chosen, **limits))
