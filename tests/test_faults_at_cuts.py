"""Every preset on the simulated executor, with random faults at random commits: a commit that is torn, a disk that is
full, a driver that dies before or after a commit, a worker that dies, a copy that cannot be made, a clock that jumps.

What is held to: nothing that was committed is lost or changes, nothing counts twice, steps of a trial only rise, rungs
are what the results say; and where faults cost no time, the whole journal is that of the undisturbed run.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strategies.actions import Failed, Reached, Start
from strategies.domains import choice, loguniform, uniform
from strategies.registry import PRESETS, resolve_algo
from strategies.schedulers.rungs import Fidelity
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

from ray_hpo.controller import Controller
from ray_hpo.errors import JournalError
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.experiment import Experiment
from ray_hpo.journal.backup import Backup
from ray_hpo.journal.journal import Event, Journal
from ray_hpo.journal.reader import read_experiment, read_reports
from ray_hpo.messages import Crashed, Job
from tests.strategies.world import hash01

SPACE = as_space({"x": uniform(0, 1), "lr": loguniform(1e-4, 1.0), "kind": choice(["a", "b"])})
MAX_BUDGET, WORKERS = 9, 3
NOT_HERE = {"hpbandster"}  # needs a package of its own, and global random state
ALGOS = sorted(set(PRESETS) - NOT_HERE)
TRIALS = {"pbt": 4, "grid": 8, "median_stopping": 8}


class Bumpy:
    """Costs differ from trial to trial, some trials crash, some give no number."""

    space = SPACE

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        luck = hash01(config["x"], budget)
        if luck < 0.04:
            raise ValueError("diverged")
        return {"loss": math.nan if luck < 0.08 else config["x"] + 1 / budget}, budget * (0.5 + config["x"])


class Died(Exception):
    """The driver."""


class Faulty(Journal):
    """One fault at commit number `at` that has something to write, or none."""

    def __init__(self, folder: Path, fault: str = "", at: int = 0) -> None:
        super().__init__(folder)
        self._fault, self._left, self._folder = fault, at, folder

    def _write(self) -> None:
        self._left -= 1
        if self._left != 0 or not self._fault:
            super()._write()
            return
        if self._fault == "after the commit":
            super()._write()
        elif self._fault == "torn commit":
            self._tear()
        elif self._fault == "full disk":
            self._connection.execute("PRAGMA max_page_count = 1")
            self._connection.execute("PRAGMA cache_size = 1")
            super()._write()  # which goes well where the page has room
        raise Died

    def _tear(self) -> None:
        """Half of the rows are written, and the transaction never ends."""
        self._connection.execute("BEGIN IMMEDIATE")
        for i, event in enumerate(self._events[: len(self._events) // 2 + 1]):
            self._connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", (self._seq + 1 + i, *event))


class Shaky(SimulatedExecutor):
    """Workers die under the jobs whose numbers are in `doomed`; the clock is ahead by `shift`."""

    def __init__(self, start: float, doomed: frozenset[int], shift: float) -> None:
        super().__init__(Bumpy(), WORKERS, start=start + shift)
        self._doomed, self._launched = doomed, 0

    def launch(self, job: Job) -> None:
        self._launched += 1
        if self._launched not in self._doomed:
            super().launch(job)
            return
        self._jobs[job.trial] = job
        self._push(self.now() + 0.1, job.trial, [Crashed(job.trial, "worker lost", "it died")])


def session(
    folder: Path, algo: str, fault: str = "", at: int = 0, doomed: frozenset[int] = frozenset(), shift: float = 0.0
) -> bool:
    """From where the journal stands to the end, or to the fault; whether it came to the end."""
    problem, chosen = Problem(SPACE, Fidelity.of(MAX_BUDGET), seed=4), resolve_algo(algo)
    experiment = read_experiment(folder, new(algo))
    last = max((time for time, *_ in events(folder)), default=0.0)
    executor = Shaky(last, doomed, shift)
    journal = Faulty(folder, fault, at)
    try:
        if not experiment.records:
            for kind, body in (("session", {}), ("limit", {"num_trials": TRIALS.get(algo, 12)})):
                journal.event(Event(0.0, kind, None, body))
                experiment.apply(0.0, kind, None, body)
        strategy = Strategy.rebuild(chosen, problem, experiment.records)
        Controller(experiment, strategy, executor, journal, nest=SPACE.nest, max_failures=1).run()
    except (Died, JournalError):
        return False
    finally:
        journal._connection.close()  # as a process that dies does: without a last word
    return True


def new(algo: str) -> Experiment:
    return Experiment("loss", "min", MAX_BUDGET, copies=resolve_algo(algo).copies)


def events(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        return connection.execute("SELECT time, kind, trial, body FROM events ORDER BY seq").fetchall()


def begin(folder: Path) -> None:
    folder.mkdir()
    journal = Journal(folder)
    journal.begin({})
    journal.close()


@cache
def undisturbed(algo: str) -> tuple[list[Any], list[Any]]:
    """Events and reports of a run without faults."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "whole"
        begin(folder)
        assert session(folder, algo)
        return events(folder), read_reports(folder)


class Faults(RuleBasedStateMachine):
    """One experiment, session after session."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = Path(tempfile.mkdtemp(prefix="cuts-"))
        self.folder = self.parent / "run"
        self.over = False
        self.timely = True  # whether no fault has changed when things happen
        self.events: list[Any] = []
        self.reports: dict[tuple[int, float], Any] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.parent, ignore_errors=True)

    @initialize(algo=st.sampled_from(ALGOS))
    def begins(self, algo: str) -> None:
        self.algo = algo
        begin(self.folder)

    @precondition(lambda self: not self.over)
    @rule(
        fault=st.sampled_from(["before the commit", "after the commit", "torn commit", "full disk"]),
        at=st.integers(1, 9),
    )
    def dies(self, fault: str, at: int) -> None:
        self.over = session(self.folder, self.algo, fault, at)

    @precondition(lambda self: not self.over)
    @rule(doomed=st.frozensets(st.integers(1, 12), min_size=1, max_size=3), at=st.integers(3, 15))
    def loses_workers_and_dies(self, doomed: frozenset[int], at: int) -> None:
        self.timely = False
        self.over = session(self.folder, self.algo, "before the commit", at, doomed)

    @precondition(lambda self: not self.over)
    @rule(shift=st.floats(-1e6, 1e6), at=st.integers(1, 9))
    def goes_on_under_another_clock(self, shift: float, at: int) -> None:
        self.timely = False
        self.over = session(self.folder, self.algo, "after the commit", at, shift=shift)

    @rule()
    def a_copy_is_made_or_not(self) -> None:
        """Where it has no room the last one stays."""
        Backup(self.folder).take()
        whole = (self.folder / "journal.backup").read_bytes()
        (self.folder / ".journal.backup").mkdir()
        Backup(self.folder).take()
        (self.folder / ".journal.backup").rmdir()
        assert (self.folder / "journal.backup").read_bytes() == whole

    @precondition(lambda self: not self.over)
    @rule()
    def comes_to_its_end(self) -> None:
        self.over = session(self.folder, self.algo)
        assert self.over
        experiment = read_experiment(self.folder, new(self.algo))
        whole_events, whole_reports = undisturbed(self.algo)
        assert experiment.counts().get("running", 0) == 0
        limit = sum(kind == "start" and '"parent"' not in body for _, kind, _, body in whole_events)
        assert experiment.proposed == limit
        if self.timely:
            assert events(self.folder) == whole_events
            assert read_reports(self.folder) == whole_reports

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if not self.folder.exists():
            return
        now = events(self.folder)
        assert now[: len(self.events)] == self.events, "an event that was committed is gone or different"
        self.events = now
        rows = read_reports(self.folder)
        reports = {(trial, step): metrics for trial, step, _, metrics in rows}
        assert len(reports) == len(rows), "a report counts twice"
        assert all(same(reports[key], metrics) for key, metrics in self.reports.items()), "a report is lost"
        self.reports = reports
        steps: dict[int, float] = {}
        for trial, step, *_ in rows:
            assert step > steps.get(trial, 0.0)
            steps[trial] = step

    @invariant()
    def the_strategy_that_is_rebuilt_agrees(self) -> None:
        if not self.folder.exists():
            return
        experiment = read_experiment(self.folder, new(self.algo))
        records = experiment.records
        starts = [record.trial for record in records if isinstance(record, Start)]
        assert starts == list(range(len(starts)))
        ends = Counter((r.trial, r.fidelity) for r in records if isinstance(r, (Reached, Failed)))
        assert not ends or max(ends.values()) == 1, "a result counts twice"
        for record in records:
            if isinstance(record, Reached) and (record.trial, record.fidelity) in self.reports:
                found = self.reports[record.trial, record.fidelity]["loss"]
                assert record.value == (found if math.isfinite(found) else math.inf)
        problem = Problem(SPACE, Fidelity.of(MAX_BUDGET), seed=4)
        table = Strategy.rebuild(resolve_algo(self.algo), problem, records).table
        for row, trial in zip(table.trials, experiment.trials, strict=True):
            stands = {"completed": "stopped"}.get(trial.state, trial.state)
            assert row.status.value in (stands, "waiting")


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return repr(one) == repr(other)  # NaN is like NaN


TestFaults = Faults.TestCase
TestFaults.settings = settings(
    max_examples=15, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("algo", ALGOS)
def test_every_preset_survives_one_of_each(algo: str) -> None:
    """The same for each preset, whatever the machine above draws."""
    machine = Faults()
    try:
        machine.begins(algo)
        for step in (
            lambda: machine.dies("torn commit", 2),
            lambda: machine.dies("full disk", 3),
            lambda: machine.dies("after the commit", 5),
            machine.comes_to_its_end,
        ):
            if not machine.over:
                step()
            machine.nothing_is_lost_or_doubled()
            machine.the_strategy_that_is_rebuilt_agrees()
    finally:
        machine.teardown()
