"""What must be true of a journal whatever happens: compared with what it said before, and with the witness."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from strategies.actions import Failed, Reached, Start
from strategies.strategy import Strategy

import ray_hpo
from benchmarks.chaos.witness import Witness
from ray_hpo.journal import read_reports
from ray_hpo.journal.schema import FILE, connect

Rows = dict[Any, Any]

STANDS = {"completed": "stopped"}  # a trial's state, where a strategy has another word for it


class Watch:
    """One experiment's journal, looked at again and again.

    lost: rows that were committed once and are gone or different.  doubled: results that are there twice.
    wrong: whatever else must not be, in words.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = self.doubled = 0
        self.wrong: list[str] = []
        self._seen: Rows = {}

    def events(self) -> list[tuple[Any, ...]]:
        """(seq, time, kind, trial, body); none before there is a journal."""
        if not (self.folder / FILE).is_file():
            return []
        with closing(connect(self.folder / FILE, write=False)) as connection:
            return connection.execute("SELECT seq, time, kind, trial, body FROM events ORDER BY seq").fetchall()

    def look(self) -> None:
        """Compare with what was there at the last look. Any time, also while a driver writes."""
        events = self.events()
        reports = read_reports(self.folder) if events else []
        now: Rows = {row[0]: row for row in events}
        now |= {(trial, step): (at, metrics) for trial, step, at, metrics in reports}
        self.lost += sum(now.get(key) != row for key, row in self._seen.items())
        self.doubled += len(events) + len(reports) - len(now)
        self._seen = now

    def check(self, witness: Witness) -> None:
        """All the invariants. No driver is at work."""
        self.look()
        if not self._seen:
            return
        result = ray_hpo.load(self.folder)
        self._check_reports(result, witness)
        self._check_records(result)

    def _check_reports(self, result: ray_hpo.Result, witness: Witness) -> None:
        """Steps of a trial follow on one another, and each has the value that training gave."""
        trained = witness.losses()
        steps: dict[int, list[float]] = {}
        for trial, step, _, metrics in read_reports(self.folder):
            steps.setdefault(trial, []).append(step)
            self._expect(trained.get((trial, int(step))) == metrics["loss"], f"trial {trial}, step {step}: not trained")
        for trial, found in steps.items():
            first = int(result.trials[trial].origin) + 1
            self._expect(found == list(range(first, first + len(found))), f"trial {trial} has the steps {found}")

    def _check_records(self, result: ray_hpo.Result) -> None:
        """No result counts twice, each is what was reported, and the strategy that is rebuilt agrees with the fold."""
        records = result.experiment.records
        starts = Counter(record.trial for record in records if isinstance(record, Start))
        reached = Counter((r.trial, r.fidelity) for r in records if isinstance(r, Reached))
        self.doubled += starts.total() - len(starts) + reached.total() - len(reached)
        self._expect(sorted(starts) == list(range(len(starts))), f"the trials are {sorted(starts)}")
        losses = {(trial, step): m["loss"] for trial, step, _, m in read_reports(self.folder)}
        for record in records:
            if isinstance(record, Reached):
                trial = result.trials[record.trial]
                at_origin = record.fidelity <= trial.origin
                found = losses.get((trial.parent if at_origin else record.trial, record.fidelity))
                self._expect(found == record.value or at_origin, f"{record} is not what was reported: {found}")
        failed = [record.trial for record in records if isinstance(record, Failed)]
        self._expect(not failed, f"trials {failed} failed: {[result.trials[trial].error for trial in failed]}")
        strategy = Strategy.rebuild(result.spec.algo, result.spec.problem(), records)
        for row, trial in zip(strategy.table.trials, result.trials, strict=True):
            same = STANDS.get(trial.state, trial.state) == row.status.value or row.status.value == "waiting"
            self._expect(same, f"trial {trial.number} is {trial.state}, and {row.status.value} to the strategy")
        self._expect(all(trial.seconds >= 0 for trial in result.trials), "a trial took less than no time")

    def finished(self, asked: int, witness: Witness) -> bool:
        """Whether the experiment has come to its end, with as many trials as were asked for."""
        self.check(witness)
        result = ray_hpo.load(self.folder)
        self._expect(result.experiment.proposed == asked, f"{result.experiment.proposed} trials instead of {asked}")
        self._expect(result.status == "all trials have run", f"it ended with {result.status!r}")
        left = [trial.number for trial in result.trials if trial.state == "running"]
        self._expect(not left, f"trials {left} still run")
        return result.experiment.proposed == asked and result.status == "all trials have run" and not left

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(f"{self.folder.name}: {what}")
