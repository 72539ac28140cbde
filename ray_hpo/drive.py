"""One session of an experiment: put the parts together, run the controller, take them apart again."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from strategies.plan import planned_budget
from strategies.strategy import Strategy

from ray_hpo import collecting
from ray_hpo.budget import Budget
from ray_hpo.command.command import Command
from ray_hpo.controller import Controller
from ray_hpo.errors import InvalidInput
from ray_hpo.executors.base import Elastic, Executor
from ray_hpo.experiment import Experiment
from ray_hpo.folder import refuse_existing
from ray_hpo.foresight import Foresight
from ray_hpo.inside import check_links, inside
from ray_hpo.journal import Lock
from ray_hpo.journal.journal import Event, Journal
from ray_hpo.journal.reader import read_experiment, read_spec
from ray_hpo.journal.schema import FILE
from ray_hpo.keeping import Keeping, keeping
from ray_hpo.place import Place
from ray_hpo.progress import Outlook, Progress, Silence, View, make_progress
from ray_hpo.rehearsal import Rehearsal
from ray_hpo.results import Result
from ray_hpo.screen import Screen
from ray_hpo.spec import Spec
from ray_hpo.storage import TrialStore
from ray_hpo.summary import plan_lines, print_lines, result_lines
from ray_hpo.verification import is_over, new_folder, next_verification, verification_folders

MakeExecutor = Callable[[Place, Spec], Executor]  # from the place and the spec of the experiment to run


@dataclass(frozen=True)
class Limits:
    """Limits that a session sets anew; None leaves one as it is."""

    num_trials: int | None = None
    time_limit: float | None = None
    total_budget: float | None = None
    gpu_hours: float | None = None
    cost: float | None = None
    patience: int | None = None

    def check(self, spec: Spec) -> None:
        """
        Raises:
            InvalidInput: a limit makes no sense for the experiment `spec`.
        """
        dataclasses.replace(spec, **self._given())

    def filled(self, spec: Spec) -> Limits:
        """These limits, and those of `spec` where there is none."""
        limits = {name: getattr(spec, name) for name in dataclasses.asdict(self)}
        return Limits(**{**limits, **self._given()})

    def _given(self) -> dict[str, Any]:
        return {name: limit for name, limit in dataclasses.asdict(self).items() if limit is not None}


def create(folder: Path, spec: Spec) -> None:
    """Write the journal of a new experiment. It appears whole or not at all, whenever this process dies.

    Raises:
        InvalidInput: another process has just created one there.
    """
    with Lock(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as unfinished:
        refuse_existing(folder)
        journal = Journal(Path(unfinished))
        journal.begin(spec.to_json())
        journal.close()
        os.replace(Path(unfinished) / FILE, folder / FILE)


def look_through(folder: Path, spec: Spec, limits: Limits) -> None:
    """All that can be known before a resume of somebody else's experiment, which runs what its journal names.

    Raises:
        JournalError: something leads out of the folder, or makes no sense.
        InvalidInput: a limit is below what has been done.
    """
    experiment = read_experiment(folder, spec.experiment())
    _check(limits, experiment)
    check_links(folder)
    for path in experiment.checkpoints:
        inside(folder, path)


def drive(at: Path | Place, spec: Spec, make_executor: MakeExecutor, limits: Limits, console: Screen | None) -> Result:
    """Run the experiment at that place from where its journal stands to its end, and return what came out.

    A search that ended by itself is then verified, where its spec says so. Limits of budget and time are the search's:
    the verification comes on top of them.

    console: where to show the run; None shows nothing.

    Raises:
        ExperimentLocked: another driver is at work on it.
        MetricMissing: the trainable does not report the metric.
    """
    place = at if isinstance(at, Place) else Place(at)
    tell = None if console is None else partial(_tell, console)
    with Lock(place.folder), keeping(place, tell) as storage:
        if _session(place, spec, make_executor, limits, console, storage):
            _verify(place, spec, make_executor, console, storage)
    result = Result(place)
    if console is not None:
        print_lines(console, result_lines(result))
    return result


def _tell(console: Screen, text: str) -> None:
    print_lines(console, [f"! {text}"])


def _verify(place: Place, spec: Spec, make_executor: MakeExecutor, console: Screen | None, storage: Keeping) -> None:
    """Go on with the verification that was begun, if one was, then begin one of what is not verified yet."""
    if not spec.verify_top:
        return
    begun = [(part, Spec.from_json(read_spec(part))) for part in verification_folders(place.folder)]
    search = read_experiment(place.folder, spec.experiment())
    new = next_verification(spec, search, [other for _, other in begun])
    if new is not None:
        part = new_folder(place.folder, len(begun))
        part.mkdir(exist_ok=True)
        create(part, new)
        begun.append((part, new))
    for part, other in begun:
        if is_over(other, read_experiment(part, other.experiment())):
            continue
        with Lock(part):
            if not _session(place.part(part.name), other, make_executor, Limits(), console, storage):
                return


def _session(
    place: Place,
    spec: Spec,
    make_executor: MakeExecutor,
    limits: Limits,
    console: Screen | None,
    storage: Keeping,
) -> bool:
    """One session, under the lock. Whether it went to its end, and was not interrupted."""
    experiment = read_experiment(place.folder, spec.experiment())
    _check(limits, experiment)
    storage.watch(place)
    store = place.store()
    store.sweep(experiment.checkpoints)
    experiment.unneeded.clear()  # swept
    store.forget_asking()
    executor = make_executor(place, spec)
    journal = Journal(place.folder)
    try:
        if not experiment.records:  # a driver that died at once has not even noted the limits
            limits = limits.filled(spec)
        budget = _open_session(spec, experiment, journal, executor.now(), limits)
        strategy = Strategy.rebuild(spec.algo, spec.problem(), experiment.records)
        return _run(spec, experiment, strategy, executor, journal, budget, store, console, storage)
    finally:
        executor.shutdown()
        journal.close()


def _run(
    spec: Spec,
    experiment: Experiment,
    strategy: Strategy,
    executor: Executor,
    journal: Journal,
    budget: Budget,
    store: TrialStore,
    console: Screen | None,
    storage: Keeping,
) -> bool:
    progress: Progress = Silence()
    if console is not None:
        num_trials = strategy.table.num_trials
        total = _expected_budget(spec, experiment, budget, max(1, executor.slots))
        print_lines(console, plan_lines(spec, experiment, num_trials, total, executor.slots))
        progress = make_progress(
            View(spec, experiment, Outlook(budget, num_trials, total), lambda: executor.slots), console
        )
    # With one worker at a time every suggestion shall know all results, however long that takes.
    ahead = spec.algo.searcher.learns and executor.slots != 1  # none: nodes are still to come
    foresight = None
    if ahead:
        rehearsal = Rehearsal(spec.algo, strategy.problem)
        workers, expected = lambda: executor.slots, lambda: rehearsal.seconds
        foresight = Foresight(strategy, experiment.records, workers, expected)
    controller = Controller(
        experiment,
        strategy,
        executor,
        journal,
        budget=budget,
        max_failures=spec.max_failures,
        trial_timeout=spec.trial_timeout,
        more_gpu=spec.more_gpu,
        nest=spec.space.nest,
        seed_of=spec.trial_seed,
        on_tick=progress.update,
        foresight=foresight,
        discard=lambda path: storage.discard(partial(store.delete, path)),
        ask_to_save=lambda: _ask_to_save(store, spec),
    )
    storage.on_lost = controller.interrupt
    if isinstance(executor, Elastic):
        executor.follow(controller.work)
    try:
        with _signals(controller), collecting.rarely():
            controller.run()
    finally:
        storage.on_lost = _ended  # it outlives the controller, which holds all that is known of all trials
        progress.close()
        if foresight is not None:
            foresight.close()
    return not controller.interrupted


def _ended(reason: str) -> None:
    """No session is there that could hear of it."""


def _ask_to_save(store: TrialStore, spec: Spec) -> bool:
    """Commands that save into :checkpoint: can do so between two reports."""
    command = (spec.trainable or {}).get("command")
    if command is None or not Command.from_json(command).saves:
        return False
    try:
        store.ask_to_save()
    except OSError:  # storage is away, or the disk is full: they could not save anyway
        return False
    return True


def _expected_budget(spec: Spec, experiment: Experiment, budget: Budget, workers: int) -> float | None:
    """Units of fidelity that the experiment will have cost at its end; None where there is no telling."""
    to_come = planned_budget(spec.algo, spec.problem(), experiment.records, workers)
    planned = math.inf if to_come is None else experiment.granted + to_come
    expected = min(planned, math.inf if budget.total_budget is None else budget.total_budget)
    return expected if math.isfinite(expected) else None


def _open_session(spec: Spec, experiment: Experiment, journal: Journal, now: float, limits: Limits) -> Budget:
    """Note that a session begins, and what it changes; return the budget that holds from now on."""
    note: list[tuple[str, dict[str, Any]]] = [("session", {"pid": os.getpid(), "host": socket.gethostname()})]
    if limits.num_trials is not None:
        note.append(("limit", {"num_trials": limits.num_trials}))
    given = {name: value for name, value in dataclasses.asdict(limits).items() if name != "num_trials"}
    given = {name: value for name, value in given.items() if value is not None}
    if given:
        rates = {"gpus": spec.request.amount("GPU"), "price": spec.price_per_hour or 0.0}
        note.append(("budget", {**dataclasses.asdict(experiment.budget), **rates, **given}))
    for kind, body in note:
        journal.event(Event(now, kind, None, body))
        experiment.apply(now, kind, None, body)
    journal.commit()
    return experiment.budget


def _check(limits: Limits, experiment: Experiment) -> None:
    started, granted, elapsed = experiment.proposed, experiment.granted, experiment.elapsed
    if limits.num_trials is not None and limits.num_trials < started:
        raise InvalidInput(f"num_trials={limits.num_trials} is below the {started} trials that were started already")
    if limits.total_budget is not None and limits.total_budget < granted:
        raise InvalidInput(f"total_budget={limits.total_budget:g} is below the {granted:g} that were granted already")
    if limits.time_limit is not None and limits.time_limit < elapsed:
        raise InvalidInput(
            f"time_limit={limits.time_limit:g} s is below the {elapsed:.1f} s that the experiment took already"
        )


@contextmanager
def _signals(controller: Controller) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the session in order; the second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        controller.interrupt("interrupted" if number == signal.SIGINT else "terminated")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
