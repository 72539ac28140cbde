"""The front door: `tune_run` starts an experiment, `resume` goes on with one. Arguments in, result out."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from strategies.auto import DEFAULT_TRIALS, pick
from strategies.points import first_points
from strategies.registry import SEARCHERS, describe, resolve_algo
from strategies.schedulers.base import Scheduler
from strategies.searchers.base import Searcher
from strategies.searchers.grid import Grid
from strategies.space import SearchSpace

from ray_hpo.command.command import Command
from ray_hpo.command_algo import check_command, how_trials_run, suited
from ray_hpo.drive import Limits, MakeExecutor, create, drive, look_through
from ray_hpo.errors import InvalidInput
from ray_hpo.executors.base import Executor
from ray_hpo.folder import choose_name, find, find_to_drive, make_place
from ray_hpo.goals import Goals
from ray_hpo.journal import read_spec
from ray_hpo.place import Place
from ray_hpo.plan import Plan, make_plan
from ray_hpo.resources import normalise
from ray_hpo.results import Result
from ray_hpo.screen import Screen
from ray_hpo.spaces import to_space
from ray_hpo.spec import Spec, check_count, parse_duration
from ray_hpo.summary import print_lines
from ray_hpo.trainable_ref import import_trainable, reference_of, short_name, text_of
from ray_hpo.warm_start import read_earlier
from ray_hpo.worker.setting import Setting
from ray_hpo.worker.trainables import is_resumable

ExecutorName = Literal["ray", "inline"]
MEMBERS_EACH = 10  # of a population, for each that may be in line on a worker


def tune_run(
    space: Any,
    trainable: Any = None,
    *,
    metric: str | Sequence[str],
    mode: Literal["min", "max"] | Sequence[Literal["min", "max"]] = "min",
    constraints: Mapping[str, str] = MappingProxyType({}),
    algo: str | Searcher | Scheduler = "auto",
    max_budget: float | None = None,
    min_budget: float | None = None,
    num_trials: int | None = None,
    time_limit: float | str | None = None,
    total_budget: float | None = None,
    gpu_hours: float | None = None,
    cost: float | None = None,
    price_per_hour: float | None = None,
    patience: int | None = None,
    resources: Mapping[str, Any] | None = None,
    max_concurrent: int | None = None,
    priority: float = 1.0,
    max_failures: int = 0,
    trial_timeout: float | str | None = None,
    on_oom: Literal["fail", "more"] = "fail",
    verify_top: int = 0,
    verify_seeds: int = 5,
    keep_checkpoints: int | None = None,
    fidelity: str | None = None,
    points_to_evaluate: Sequence[Mapping[str, Any]] = (),
    warm_start: Sequence[str | os.PathLike[str] | Result] = (),
    name: str | None = None,
    storage: str | os.PathLike[str] = "~/ray_hpo",
    seed: int | None = None,
    isolate: bool = False,
    executor: ExecutorName = "ray",
    progress: bool = True,
    dry_run: bool = False,
) -> Any:
    """Find a good configuration of `trainable`, on Ray.

    Args:
        space: a dict of domains (`uniform`, `choice`, ...; nested dicts and constants too), `Space(dict,
        forbidden=[...])`,
            a dict of `ray.tune` domains, or a `ConfigSpace.ConfigurationSpace`.
        trainable: a function `train(config)` that calls `report`, or yields or returns its metrics; a function
            `train(config, budget)`; a class with setup, step, save and load; anything written for Ray Tune; or a
            `Command`, a program to run.
            Without one, a function that runs a trainable is returned, which also serves as a decorator.
        metric, mode: which reported number to minimise ("min") or maximise ("max"). Several metrics, as in
            `metric=["val_loss", "latency"]`, give `result.pareto_front` in place of a best trial; a mode is for all of
            them, or a list has one for each.
        constraints: comparisons that reported metrics must meet, as in {"params": "<= 5e6", "accuracy": "> 0.9"}. A
            trial that violates one ranks after all that meet them, and among such by how much it violates them.
        algo: "random", "grid", "sobol", "kde", "tpe", "gp", "cmaes", "sh", "hyperband", "asha", "asha_stopping",
            "pasha", "median_stopping", "pbt", "bohb", "dehb", "mobster", "priorband", "hpbandster"; a searcher; or a
            scheduler with its searcher, as in `Hyperband(searcher=KDE())`. "auto" takes mobster if there is a
            `max_budget` and gp if not; priorband or tpe where the space has priors; bohb or tpe for thousands of trials
            or hundreds at a time; grid where all configurations can be tried; and says which and why.
        max_budget, min_budget: the budget of a full training, and the least after which trials are compared; in reports
            (epochs), or in whatever `fidelity` counts. Whole numbers make whole milestones.
        num_trials, time_limit, total_budget: limits, whichever comes first: configurations; seconds or "1h30m"; units
            of budget over all trials. Without any, 100 trials. For "pbt" num_trials is the size of the population
            (default 20): the copies that replace its members do not count.
        gpu_hours, cost, price_per_hour: more limits: hours of trials on workers times their GPUs; and what these cost,
            with the price of a GPU for an hour (of a trial's worker, where it has no GPU).
        patience: end when so many trials in a row have ended without a new best.
        points_to_evaluate: configurations, nested as the space is, that are tried first, in this order, before the
            searcher is asked; it sees what came of them. What one leaves out is drawn at random, whatever `algo` is.
        warm_start: earlier experiments (folders, or Results) of the same metrics and constraints, whose results the
            searcher is told at the beginning. The space may have changed: trials with values that it lacks now are left
            out and counted.
        resources: of one trial: {"cpu": 0.5, "gpu": 0.25, "custom": 1}; fractions share, and {"gpu": "auto"} measures
            what trials take and packs as many to a GPU as fit. Default one CPU. "labels" in it says which nodes may be
            taken: {"cpu": 1, "labels": {"zone": "in(a, b)"}}. {"bundles": [{"cpu": 1}, {"gpu": 1}], "strategy":
            "PACK"} reserves several bundles: the trial runs in the first, and what it starts with Ray, in all. See
            docs/placement.md.
        max_concurrent: the most trials at a time; default whatever the cluster holds.
        priority: of this sweep among those that share the cluster: with 2.0 it gets twice the workers of one with 1.0.
        max_failures: how often a trial is tried again, from its last checkpoint, after an exception. Lost workers are
            retried apart from this count.
        trial_timeout: seconds, or "10m": a trial that reports nothing for so long is killed, and that counts as an
            exception. Default: none is. Not with executor="inline".
        on_oom: when a trial's GPU is out of memory: "fail" counts that as an exception; "more" tries the trial again
            from its last checkpoint with twice its share of the GPU, and again, up to a whole one.
        verify_top, verify_seeds: when the search is over, train the best so many configurations again, from nothing to
            the full budget, so many times each with fresh seeds (`get_context().seed`); the best is then the one with
            the best mean. That comes on top of all limits above.
        keep_checkpoints: the best so many of the trials that reach the full budget keep their last checkpoint (at least
            `verify_top`); default: all of them. Trials that run or pause keep theirs, since they go on from there;
            those that are stopped lose it. Within a trial each checkpoint replaces the one before.
        fidelity: name of the metric that tells how far training is; default: the number of reports.
        name, storage: the experiment's folder is `storage/name`. storage may be a URI that pyarrow.fs knows, as
            s3://bucket/path: see docs/storage.md.
        seed: makes suggestions repeatable; drawn and recorded if not given.
        isolate: give each trial a fresh process.
        executor: "ray", or "inline" for one trial at a time in this process, for debugging.
        progress: show the run on standard output.
        dry_run: start nothing; return, and show, the `Plan`: rungs, trials, budget.

    Returns:
        A `Result`, whether it ran to its end or was interrupted (Ctrl-C once stops in order); without `trainable`, a
        function from a trainable to a `Result`.

    Raises:
        InvalidInput: something above makes no sense; nothing was started.
        MetricMissing: the trainable reports, but not `metric`.
    """
    if trainable is None:
        options = {key: value for key, value in locals().items() if key not in ("space", "trainable")}
        return lambda trainable: tune_run(space, trainable, **options)
    console = Screen(file=sys.stdout) if progress else None  # not what a trial in this process puts in its place
    searched = to_space(space)
    goals = Goals.of(metric, mode, constraints)
    if isinstance(trainable, Command):
        check_command(trainable, searched, max_budget)
    chosen, notes = _choose_algo(algo, trainable, searched, goals, max_budget, num_trials, max_concurrent)
    ends = (
        num_trials,
        time_limit,
        total_budget,
        gpu_hours,
        cost,
        patience,
        chosen.default_trials,
        chosen.searcher.size(searched),
    )
    if all(end is None for end in ends):
        num_trials = DEFAULT_TRIALS
    spec = Spec(
        name=choose_name(name, short_name(trainable)),
        space=searched,
        algo=chosen,
        metric=metric,
        mode=mode,
        constraints=constraints,
        max_budget=max_budget,
        min_budget=min_budget,
        fidelity=fidelity,
        num_trials=num_trials,
        time_limit=parse_duration(time_limit),
        total_budget=total_budget,
        resources=normalise(resources),
        max_concurrent=max_concurrent,
        priority=priority,
        max_failures=max_failures,
        trial_timeout=parse_duration(trial_timeout, "trial_timeout"),
        on_oom=on_oom,
        isolate=isolate,
        verify_top=verify_top,
        verify_seeds=verify_seeds,
        keep_checkpoints=keep_checkpoints,
        gpu_hours=gpu_hours,
        cost=cost,
        price_per_hour=price_per_hour,
        patience=patience,
        seed=random.SystemRandom().randrange(2**31) if seed is None else seed,
        trainable=reference_of(trainable),
        resumable=is_resumable(trainable, chosen.pauses),
    )
    points = first_points(searched, points_to_evaluate, spec.seed)
    sources, earlier = read_earlier(warm_start, spec.problem(), chosen, spec.goals, fidelity)
    spec = dataclasses.replace(spec, points_to_evaluate=points, warm_start=sources, earlier=earlier)
    _check_parts(executor, spec, trainable)
    if dry_run:
        return _plan(spec, executor, notes, console)
    place = make_place(storage, spec.name)
    if console is not None:
        print_lines(console, notes)
    create(place.folder, spec)
    return drive(place, spec, _executor(executor, trainable), Limits(), console)


def resume(
    path: str | os.PathLike[str],
    trainable: Any = None,
    *,
    num_trials: int | None = None,
    time_limit: float | str | None = None,
    total_budget: float | None = None,
    gpu_hours: float | None = None,
    cost: float | None = None,
    patience: int | None = None,
    space: Any = None,
    executor: ExecutorName = "ray",
    progress: bool = True,
) -> Result:
    """Go on with the experiment at `path` as if nothing had happened: same trials, same decisions, nothing twice.

    Args:
        path: the experiment's folder, or its URI.
        trainable: default: import, or run, what the journal names. That is code of whoever wrote the folder, and so are
            the checkpoints in it, which workers unpickle; both come after all checks of the folder.
        num_trials, time_limit, total_budget, gpu_hours, cost, patience: new limits over all sessions together, larger
        than before; default: as they were.
        space: only to make sure that the space is still the recorded one.

    Raises:
        RayHpoError: there is no such experiment, it is in use (`ExperimentLocked`), or its trainable cannot be
        imported.
        InvalidInput: a changed space (the message shows the difference), a limit below what has been done.
    """
    found = find(path)
    spec = Spec.from_json(read_spec(found.folder))
    if space is not None:
        _refuse_changes(spec.space, to_space(space))
    limits = Limits(num_trials, parse_duration(time_limit), total_budget, gpu_hours, cost, patience)
    limits.check(spec)
    console = Screen(file=sys.stdout) if progress else None  # not what a trial in this process puts in its place
    if trainable is None:
        look_through(found.folder, spec, limits)  # for whatever the journal names runs from here on
        if console is not None and spec.trainable is not None:
            print_lines(console, [f"trainable: {text_of(spec.trainable)}, as the journal names it"])
        trainable = import_trainable(spec.trainable, path)
    if is_resumable(trainable, spec.algo.pauses) != spec.resumable:
        raise InvalidInput(
            "the trainable is of another kind than the recorded one: train(config) and train(config, budget)"
        )
    _check_parts(executor, spec, trainable)
    return drive(find_to_drive(path), spec, _executor(executor, trainable), limits, console)


def _choose_algo(
    algo: str | Searcher | Scheduler,
    trainable: Any,
    space: SearchSpace,
    goals: Goals,
    max_budget: float | None,
    num_trials: int | None,
    max_concurrent: int | None,
) -> tuple[Scheduler, list[str]]:
    """The algorithm, and what a user should know of the choice."""
    notes = []
    for field, count in (("num_trials", num_trials), ("max_concurrent", max_concurrent)):
        check_count(field, count, least=1)
    if algo == "auto":
        algo, why = pick(space, max_budget, num_trials, max_concurrent)
        chosen = resolve_algo(algo)
        if isinstance(trainable, Command) and suited(chosen, trainable) is not chosen:
            chosen = suited(chosen, trainable)
            algo, why = describe(chosen), "early stopping of a command without :checkpoint: and :budget:"
        notes.append(f"algo: auto picked {algo} ({why}{_trading_off(goals)})")
    else:
        chosen = resolve_algo(algo)
    if space.prior.informed and not chosen.searcher.uses_priors and chosen.searcher.name != Grid.name:
        able = ", ".join(name for name, searcher in SEARCHERS.items() if searcher.uses_priors)
        notes.append(f"algo: {chosen.searcher.name} does not use the space's priors; these do: {able}")
    if isinstance(trainable, Command):
        notes.append(how_trials_run(trainable, chosen))
    return chosen, notes


def _plan(spec: Spec, executor: str, notes: list[str], console: Screen | None) -> Plan:
    workers = 1
    if executor == "ray":
        from ray_hpo.executors.ray.cluster import slots

        workers = slots(spec.request, spec.max_concurrent)
    plan = make_plan(spec, workers)
    if console is not None:
        print_lines(console, [*notes, *plan.lines()])
    return plan


def _trading_off(goals: Goals) -> str:
    """What the end of the line on `auto` says of goals that are not plain. The pick is the same: with the model that is
    best for one metric fronts are best, too, and so is what meets constraints."""
    more = f"; it trades {len(goals.metrics)} metrics off" if goals.several else ""
    return f"{more}; it learns where the constraints are met" if goals.constraints else more


def _refuse_changes(recorded: SearchSpace, given: SearchSpace) -> None:
    changes = recorded.difference(given)
    if changes:
        raise InvalidInput(
            f"the space differs from the recorded one ({'; '.join(changes)}): "
            "resume without space=, or start a new experiment"
        )


def _check_parts(executor: str, spec: Spec, trainable: Any) -> None:
    """What can only be known with the packages and Ray at hand, before a folder is made."""
    spec.algo.searcher.check(spec.space)
    if executor not in ("ray", "inline"):
        raise InvalidInput(f"executor must be 'ray' or 'inline'; got executor={executor!r}")
    if executor == "inline" and spec.trial_timeout is not None:
        raise InvalidInput(
            f"trial_timeout={spec.trial_timeout:g} cannot be kept with executor='inline', which has no "
            "process to kill: leave one of them out"
        )
    if executor == "inline" and spec.on_oom == "more":
        raise InvalidInput("on_oom='more' needs workers to share GPUs out, and not executor='inline': leave one out")
    if executor == "ray":
        from ray_hpo.executors.ray.cluster import check_possible, check_sendable, connect

        check_sendable(trainable)
        connect()
        check_possible(spec.request)


def _executor(executor: str, trainable: Any) -> MakeExecutor:
    def make(place: Place, spec: Spec) -> Executor:
        axis, (metric, *further) = spec.problem().fidelity, spec.goals.names
        setting = Setting(
            place.folder,
            metric,
            spec.fidelity,
            axis.whole,
            tuple(further),
            max_budget=axis.max_budget,
            resumable=spec.resumable,
            copied=spec.algo.copies,
            remote=None if place.uri is None else str(place.uri.told_endpoint()),
            measures_gpu=spec.request.auto_gpu,
        )
        if executor == "inline":
            from ray_hpo.executors.inline import InlineExecutor

            return InlineExecutor(trainable, setting)
        from ray_hpo.executors.ray.executor import RayExecutor

        trials = spec.algo.default_trials if spec.num_trials is None else spec.num_trials
        wanted = [n for n in (spec.max_concurrent, trials) if n is not None]
        limit = min(wanted, default=None)
        ahead = not spec.algo.heeds_results and spec.patience is None
        most_in_line = math.inf if spec.algo.pauses or spec.algo.stops_most else 0
        if spec.algo.copies:  # who is copied depends on the latest of a population
            most_in_line = (trials or 0) // MEMBERS_EACH
        return RayExecutor(
            trainable,
            setting,
            spec.request,
            limit,
            spec.isolate,
            ahead,
            most_in_line,
            spec.algo.goes_ahead,
            spec.algo.pauses,
            spec.priority,
        )

    return make
