"""`ray-hpo plan`: what a sweep would take, before it starts."""

from __future__ import annotations

import tempfile
from typing import Any

from ray_hpo.cli.app import SWEEP, app, print_json, tell
from ray_hpo.cli.options import PlanOptions, with_options
from ray_hpo.cli.run import the_sweep
from ray_hpo.errors import InvalidInput

HELP = """Show what a sweep would take, and start nothing: rungs, trials, epochs; with the time of an epoch, hours too.

\b
ray-hpo plan sweep.yaml --seconds-per-epoch 30
ray-hpo plan -p lr=1e-5:1e-1:log -m val_loss --max-budget 27 --measure -- python train.py --lr :lr: --epochs :budget:
"""


def show_plan(words: list[str], options: PlanOptions) -> None:
    from ray_hpo.plan import with_time
    from ray_hpo.tune import tune_run

    if options.seconds is not None and (options.measure or not options.seconds > 0):
        raise InvalidInput("--seconds-per-epoch must be above 0, and goes without --measure")
    sweep, notes = the_sweep(words, options)
    executor: Any = options.executor
    told = {"executor": executor, "progress": False}
    plan = tune_run(sweep.to_space(), sweep.to_command(), **sweep.arguments(), **told, dry_run=True)
    seconds = _measured(sweep, plan) if options.measure else options.seconds
    if seconds is not None:
        plan = with_time(plan, seconds)
    if options.as_json:
        print_json(plan.to_json())
        return
    for line in [*notes, *plan.lines()]:
        tell(line)
    if seconds is None:
        tell("  --seconds-per-epoch 30 gives it, --measure runs one trial to its first milestone")


def _measured(sweep: Any, plan: Any) -> float:
    """Seconds that a unit of budget takes, of one trial on this machine."""
    from ray_hpo.tune import tune_run

    first = min((milestone for _, milestone in plan.reached), default=None)
    if first is not None and float(first).is_integer():
        first = int(first)
    with tempfile.TemporaryDirectory(prefix="ray-hpo-plan-") as folder:
        names = ("metric", "mode", "fidelity", "seed")
        result = tune_run(
            sweep.to_space(),
            sweep.to_command(),
            **{name: getattr(sweep, name) for name in names},
            algo="random",
            num_trials=1,
            max_budget=first,
            executor="inline",
            progress=False,
            storage=folder,
        )
        trial = result.trials[0]
        if trial.state != "completed":
            raise InvalidInput(f"--measure: the trial that was run to measure failed: {trial.error or trial.why}")
        return float(trial.seconds / max(trial.step, 1.0))


app.command("plan", help=HELP, rich_help_panel=SWEEP, context_settings={"allow_interspersed_args": False})(
    with_options(show_plan, PlanOptions)
)
