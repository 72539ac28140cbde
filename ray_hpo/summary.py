"""What a person reads before and after a run: the plan, and what came out."""

from __future__ import annotations

from rich.console import Console

from strategies.actions import fidelity_text
from strategies.registry import describe

from ray_hpo.budget import duration_text
from ray_hpo.progress import config_text, unit
from ray_hpo.results import Result
from ray_hpo.spec import Spec
from ray_hpo.trial import Experiment


def plan_lines(
    spec: Spec, experiment: Experiment, num_trials: int | None, total: float | None, slots: int
) -> list[str]:
    """The plan: algorithm, rungs, limits, work (`total` units of fidelity in all)."""
    budget, units = experiment.budget, unit(spec)
    rungs = " -> ".join(fidelity_text(rung) for rung in spec.algo.rungs(spec.problem().fidelity))
    lines = [f"{spec.name}: {describe(spec.algo)}, {spec.mode} {spec.metric}, seed {spec.seed}, {slots} workers"]
    if spec.max_budget is not None:
        lines.append(f"rungs: {rungs} {units}")
    limits = [f"{num_trials} trials"] if num_trials is not None else []
    limits += [f"time limit {duration_text(budget.time_limit)}"] if budget.time_limit else []
    limits += [f"{fidelity_text(budget.total_budget)} {units} in all"] if budget.total_budget else []
    lines.append("until: " + ", or ".join(limits or ["you stop it"]))
    if total is not None:
        done = f", {fidelity_text(round(experiment.spent))} of them done" if experiment.spent else ""
        full = ""
        if num_trials is not None and spec.max_budget is not None:
            full = f"; full training of every trial would take {fidelity_text(num_trials * spec.max_budget)}"
        lines.append(f"plan: {fidelity_text(round(total))} {units}{done}{full}")
    return lines


def result_lines(result: Result) -> list[str]:
    """The outcome: why it ended, the best, what was spent, where it lies, how to go on."""
    experiment, spec = result.experiment, result.spec
    counts = ", ".join(f"{count} {state}" for state, count in sorted(experiment.counts().items()))
    lines = [f"ended: {result.status} ({duration_text(experiment.elapsed)}; {counts or 'no trials'})"]
    best = experiment.best
    if best is None:
        lines.append("best: none, no trial has a result")
        errors = [trial for trial in experiment.trials if trial.error]
        lines += [f"  trial {trial.number}: {trial.error}" for trial in errors[:3]]
    else:
        lines.append(f"best: {spec.metric} {best.value:.6g}, trial {best.number}, at {best.step:g} {unit(spec)}")
        lines.append(f"  {config_text(best.config)}")
    if spec.max_budget is not None and experiment.trials:
        full = spec.max_budget * experiment.proposed
        text = fidelity_text(round(result.spent, 2))
        lines.append(
            f"spent: {text} {unit(spec)}; full training of all {experiment.proposed} trials would have taken "
            f"{fidelity_text(full)} ({full / max(result.spent, 1e-9):.1f} x)"
        )
    lines += [
        f"folder: {result.path}",
        f"inspect: ray-hpo show {result.path}",
        f"resume: {result.resume_command}{_more(result)}",
    ]
    return lines


def _more(result: Result) -> str:
    """The options that let an experiment go on that ended at one of its limits: twice the limit."""
    experiment = result.experiment
    budget, status = experiment.budget, result.status
    if status.startswith("time_limit"):
        return f" --time-limit {2 * (budget.time_limit or 0):g}s"
    if status.startswith("total_budget"):
        return f" --total-budget {2 * (budget.total_budget or 0):g}"
    if status.startswith("all trials"):
        return f" --num-trials {2 * max(1, experiment.proposed)}"
    return ""


def print_lines(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
