"""What a person reads before and after a run: the plan, and what came out."""

from __future__ import annotations

from rich.console import Console

from strategies.actions import fidelity_text
from strategies.plan import Plan
from strategies.registry import describe

from ray_hpo.budget import Budget, duration_text
from ray_hpo.progress import config_text, unit
from ray_hpo.results import Result
from ray_hpo.spec import Spec


def plan_lines(spec: Spec, budget: Budget, num_trials: int | None, plan: Plan | None, slots: int) -> list[str]:
    """The plan: algorithm, rungs, limits, work."""
    fidelity = spec.problem().fidelity
    rungs = " -> ".join(fidelity_text(rung) for rung in spec.algo.rungs(fidelity))
    lines = [f"{spec.name}: {describe(spec.algo)}, {spec.mode} {spec.metric}, seed {spec.seed}, {slots} workers"]
    if spec.max_budget is not None:
        lines.append(f"rungs: {rungs} {unit(spec)}")
    limits = [f"{num_trials} trials"] if num_trials is not None else []
    limits += [f"time limit {duration_text(budget.time_limit)}"] if budget.time_limit else []
    limits += [f"{fidelity_text(budget.total_budget)} {unit(spec)} in all"] if budget.total_budget else []
    lines.append("until: " + ", or ".join(limits or ["you stop it"]))
    if plan is not None and spec.max_budget is not None:
        full = plan.trials * spec.max_budget
        lines.append(
            f"plan: {fidelity_text(round(plan.total_budget))} {unit(spec)}; "
            f"full training of every trial would take {fidelity_text(full)}"
        )
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
        full = spec.max_budget * len(experiment.trials)
        text = fidelity_text(round(result.spent, 2))
        lines.append(
            f"spent: {text} {unit(spec)}; full training of all {len(experiment.trials)} trials would have taken "
            f"{fidelity_text(full)} ({full / max(result.spent, 1e-9):.1f} x)"
        )
    lines += [
        f"folder: {result.path}",
        f"inspect: ray-hpo show {result.path}",
        f"resume: {result.resume_command} --num-trials {2 * max(1, len(experiment.trials))}",
    ]
    return lines


def print_lines(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
