"""What a person reads before and after a run: the plan, and what came out."""

from __future__ import annotations

import math

from strategies.actions import fidelity_text
from strategies.registry import describe

from ray_hpo.budget import duration_text
from ray_hpo.experiment import Experiment
from ray_hpo.progress import config_text, unit
from ray_hpo.results import Result
from ray_hpo.screen import Screen
from ray_hpo.spec import Spec
from ray_hpo.trial import Trial
from ray_hpo.verification import Verified
from ray_hpo.warm_start import left_out_text

MOST_LINES = 12  # of a Pareto front


def plan_lines(
    spec: Spec, experiment: Experiment, num_trials: int | None, total: float | None, slots: int
) -> list[str]:
    """The plan: algorithm, rungs, limits, work (`total` units of fidelity in all)."""
    budget, units = experiment.budget, unit(spec)
    rungs = " -> ".join(fidelity_text(rung) for rung in spec.algo.rungs(spec.problem().fidelity))
    if spec.verifies:
        configs, cost = len(spec.verifies), "" if total is None else f"; {fidelity_text(round(total))} {units}"
        each = f"{(spec.num_trials or 0) // configs} fresh seeds each"
        return [f"verification: the best {configs} configurations, {each}, {slots} workers{cost} on top of the search"]
    lines = [f"{spec.name}: {describe(spec.algo)}, {spec.goals}, seed {spec.seed}, {slots} workers"]
    if spec.max_budget is not None:
        lines.append(f"rungs: {rungs} {units}")
    if spec.points_to_evaluate:
        lines.append(f"first: {len(spec.points_to_evaluate)} points_to_evaluate")
    lines += warm_start_lines(spec)
    limits = [f"{num_trials} trials"] if num_trials is not None else []
    limits += [f"time limit {duration_text(budget.time_limit)}"] if budget.time_limit else []
    limits += [f"{fidelity_text(budget.total_budget)} {units} in all"] if budget.total_budget else []
    limits += [f"{budget.gpu_hours:g} GPU-hours"] if budget.gpu_hours else []
    limits += [f"a cost of {budget.cost:g}"] if budget.cost else []
    limits += [f"{budget.patience} trials in a row bring nothing better"] if budget.patience else []
    lines.append("until: " + ", or ".join(limits or ["you stop it"]))
    if total is not None:
        done = f", {fidelity_text(round(experiment.spent))} of them done" if experiment.spent else ""
        full = ""
        if num_trials is not None and spec.max_budget is not None:
            full = f"; full training of every trial would take {fidelity_text(num_trials * spec.max_budget)}"
        lines.append(f"plan: {fidelity_text(round(total))} {units}{done}{full}")
    return lines


def warm_start_lines(spec: Spec) -> list[str]:
    """What the searcher knew at the beginning, on one line; none if that was nothing."""
    if not spec.warm_start:
        return []
    earlier, sources = spec.earlier, ", ".join(spec.warm_start)
    left_out = f"; left out: {left_out_text(earlier)}" if earlier.left_out else ""
    return [f"warm start: {len(earlier.results)} results of {len(earlier.configs)} trials from {sources}{left_out}"]


def result_lines(result: Result) -> list[str]:
    """The outcome: why it ended, the best, what was spent, where it lies, how to go on."""
    experiment, spec = result.experiment, result.spec
    counts = ", ".join(f"{count} {state}" for state, count in sorted(experiment.counts().items()))
    lines = [f"ended: {result.status} ({duration_text(experiment.elapsed)}; {counts or 'no trials'})"]
    lines += warm_start_lines(spec)
    ranked = experiment.ranked() if spec.goals.several else [best for best in [experiment.best] if best]
    if not ranked:
        lines.append("best: none, no trial has a result")
        errors = [trial for trial in experiment.trials if trial.error]
        lines += [f"  trial {trial.number}: {trial.error}" for trial in errors[:3]]
    elif spec.goals.several:
        lines += front_lines(result, ranked[0])
    else:
        best = result.best_trial
        at, winner = f"trial {best.number}, at {best.step:g} {unit(spec)}", result.winner
        means = "" if winner is None else f"; mean of {winner.number} fresh seeds {winner.mean:.6g}"
        lines.append(f"best: {spec.metric} {best.value:.6g}, {at}{means}{constraints_text(spec, best)}")
        lines.append(f"  {config_text(best.config)}")
        lines += verification_lines(result)
    if spec.max_budget is not None and experiment.trials:
        full = spec.max_budget * experiment.proposed
        text = fidelity_text(round(result.spent, 2))
        times = f" ({full / result.spent:.1f} x)" if result.spent > 0 else ""
        lines.append(
            f"spent: {text} {unit(spec)}; full training of all {experiment.proposed} trials would have taken "
            f"{fidelity_text(full)}{times}"
        )
    lines += hours_lines(result)
    lines += [
        f"folder: {result.path}",
        f"inspect: ray-hpo show {result.place.quoted}",
        f"resume: {result.resume_command}{_more(result)}",
    ]
    return lines


def hours_lines(result: Result) -> list[str]:
    """GPU-hours (CPU-hours where trials have no GPU) that were used, what they cost, and what early stopping saved."""
    experiment, spec = result.experiment, result.spec
    seconds = experiment.worker_seconds(experiment.last_time)
    gpus = spec.request.amount("GPU")
    hours = seconds / 3600 * (gpus or spec.request.amount("CPU") or 1.0)
    if not hours:
        return []
    cost = f", a cost of {seconds / 3600 * experiment.budget.rate:.2f}" if experiment.budget.price else ""
    saved = ""
    if spec.max_budget is not None and 0 < result.spent < spec.max_budget * experiment.proposed:
        more = hours * (spec.max_budget * experiment.proposed / result.spent - 1)
        saved = f"; early stopping saved about {hours_text(more)}"
    device = "GPU" if gpus else "CPU"
    if spec.request.auto_gpu:  # its share was found only as trials ran
        device = "worker"
    return [f"used: {hours_text(hours)} {device}-hours{cost}{saved}"]


def hours_text(hours: float) -> str:
    """Hours with as many digits as are of interest."""
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.2g}"


def front_lines(result: Result, first: Trial) -> list[str]:
    """The Pareto front, a line a trial; without one the trial that violates the constraints least, which is `first`."""
    goals, front, units = result.spec.goals, result.pareto_front, unit(result.spec)
    if not front:
        return [f"Pareto front: empty{constraints_text(result.spec, first)}", f"  {config_text(first.config)}"]
    at = "" if front[0].fidelity in (None, math.inf) else f", at {fidelity_text(front[0].fidelity)} {units}"
    lines = [f"Pareto front: {len(front)} of {len(result.trials)} trials{at} ({goals})"]
    for trial in front if len(front) <= MOST_LINES else front[: MOST_LINES - 1]:
        values = ", ".join(f"{name} {trial.values[name]:.6g}" for name in goals.names)
        lines.append(f"  trial {trial.number}: {values}; {config_text(trial.config)}")
    if len(front) > MOST_LINES:
        lines.append(f"  and {len(front) - MOST_LINES + 1} more: result.pareto_front")
    return lines


def constraints_text(spec: Spec, trial: Trial) -> str:
    """How a trial stands to the constraints, to end a line with."""
    if not spec.constraints:
        return ""
    stands = ", ".join(f"{c.metric} {trial.values[c.metric]:.6g} ({c.text})" for c in spec.goals.constraints)
    if trial.feasible:
        return f"; {stands}"
    return f"; no trial meets the constraints, least violated by trial {trial.number}: {stands}"


def verification_lines(result: Result) -> list[str]:
    """What the best gave when they were trained again; none if that was not asked for."""
    rows, winner = result.verified, result.winner
    lines = []
    if winner is not None:
        others = "; ".join(f"trial {row.trial}: {_mean(row)}" for row in rows[1:])
        text = f"winner verified over {winner.number} seeds: {_mean(winner)}"
        lines.append(f"{text}{'; runner-up ' if others else ''}{others} (95 % intervals)")
        if winner.trial != result.best_searched.number:
            value = f"{result.best_searched.value:.6g}"
            lines.append(f"  the search alone had put trial {result.best_searched.number} first, with {value}")
        if all(row.std == 0 for row in rows):
            lines.append("  all seeds gave the same: seed what you draw with get_context().seed")
    elif result.verification_due:
        runs = [run for part in result.verifications for run in part.trials]
        over = sum(run.state in ("completed", "failed") for run in runs)
        lines.append(f"not verified yet: {over} runs are over; that is done when the search is over, or resumed")
    elif rows:
        lines.append("not verified: every run failed")
    return lines


def _mean(row: Verified) -> str:
    failed = f", {row.failed} of {row.number + row.failed} failed" if row.failed else ""
    return f"{row.mean:.4g} +- {row.margin:.2g}{failed}"


def _more(result: Result) -> str:
    """The options that let an experiment go on that ended at one of its limits: twice the limit."""
    if result.verification_due:
        return ""
    experiment = result.experiment
    budget, status = experiment.budget, result.status
    if status.startswith("time_limit"):
        return f" --time-limit {2 * (budget.time_limit or 0):g}s"
    if status.startswith("total_budget"):
        return f" --total-budget {2 * (budget.total_budget or 0):g}"
    if status.startswith("gpu_hours"):
        return f" --gpu-hours {2 * (budget.gpu_hours or 0):g}"
    if status.startswith("cost"):
        return f" --cost {2 * (budget.cost or 0):g}"
    if status.startswith("patience"):
        return f" --patience {2 * (budget.patience or 0)}"
    if status.startswith("all trials"):
        return f" --num-trials {2 * max(1, experiment.proposed)}"
    return ""


def print_lines(console: Screen, lines: list[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
