"""Asynchronous Hyperband: its most aggressive bracket and the one without early stopping, side by side.

Successive halving finds good regions soon, but what it learns at low fidelities is biased, and a good configuration
must win at every rung to be trained in full. Full trainings of what a model thinks best have neither flaw, but a model
needs many results before it thinks well. Here workers are shared between both, and a searcher that learns from all
rungs learns from both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import ClassVar

import numpy as np

from strategies.actions import Continue, Verdict, fidelity_text
from strategies.errors import InvalidInput
from strategies.memo import Memo
from strategies.models.soft_ranking import concordance
from strategies.schedulers.asha import Asha
from strategies.schedulers.base import New, Next, take_up
from strategies.schedulers.fifo import beyond_comparison
from strategies.schedulers.rungs import Fidelity
from strategies.trials import TrialTable

HALVING, FULL = 0, 1  # the brackets
ANEW_RUNGS = 3  # at most, where each rung is paid in full
EVIDENCE, WINDOW = 8, 64  # full trainings that it takes to tell a rung's worth, and how many count, the latest
WORKERS_EACH, MOST_BRACKETS = 4, 3  # for so many workers one bracket's results, for so many brackets at most


@dataclass(frozen=True)
class AsyncHyperband(Asha):
    """Asha with patience, and beside it trials that go straight to the full budget.

    Asha promotes the best of the first three, which is mostly luck, though none of its trials comes to `max_budget`
    before each rung has had as many results as in Hyperband's most aggressive bracket, eta^k where k rungs are above.
    Here a rung promotes only then: the first that get there are chosen among all of these. With more than four workers
    it waits for more, up to three such brackets: a full training takes its time anyhow, and the more workers there are,
    the more can be known by its end. It does not wait for what no trial is left to bring.

    Where trials resume, the second kind begins once the first has brought a trial to `max_budget`; then it gets
    `share` of the workers, or of the budget if there is but one worker at a time.
    New trials of the first kind start above the rungs that mislead. What the second kind gave on each rung tells, since
    none of them was chosen by it: with `EVIDENCE` of them, a rung misleads that orders more pairs as `max_budget` does
    not than as it does (Kendall's tau). Hyper-Tune (Li et al. 2022) chooses brackets by such evidence.

    Where each rung is trained to from nothing, rungs cost half as much again as a full training, so that halving only
    serves to begin with: for `warmup` results, on the upper three rungs.

    share: of the workers, for full trainings.
    warmup: results of halving before all trials are full trainings, where rungs are paid in full.
    """

    name: ClassVar[str] = "async_hyperband"

    share: float = 0.5
    warmup: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share < 1:
            raise InvalidInput(f"share, of the workers for full trainings, must be between 0 and 1; got {self.share!r}")
        if isinstance(self.warmup, bool) or not isinstance(self.warmup, int) or self.warmup < 0:
            raise InvalidInput(f"warmup must be a whole number of at least 0; got warmup={self.warmup!r}")

    def rungs(self, fidelity: Fidelity) -> tuple[float, ...]:
        ladder = super().rungs(fidelity)
        return ladder if fidelity.resumable else ladder[-ANEW_RUNGS:]

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        paused = take_up(table, self.rungs(fidelity), FULL)
        if paused:
            return paused
        if table.exhausted or not self._full_is_due(table, fidelity):
            return super().next(table, fidelity)
        ladder = self.rungs(fidelity)
        until = ladder[0] if fidelity.resumable else ladder[-1]
        return New(FULL, until, f"a new configuration, straight to {fidelity_text(ladder[-1])}")

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        row = table.trials[trial]
        if row.bracket == HALVING:
            return super().verdict(table, fidelity, trial)
        unfit = beyond_comparison(table, fidelity, trial)
        if unfit:
            return unfit
        ladder = self.rungs(fidelity)
        until = ladder[ladder.index(row.until) + 1]
        return Continue(trial, until, f"goes straight to {fidelity_text(ladder[-1])}")

    def _new(self, table: TrialTable, fidelity: Fidelity) -> New:
        first = self.rungs(fidelity)[self._foot(table, fidelity)]
        return New(HALVING, first, f"a new configuration, to {fidelity_text(first)}")

    def _foot(self, table: TrialTable, fidelity: Fidelity) -> int:
        """The level of the lowest rung from which on all rank as the highest one."""
        ladder = self.rungs(fidelity)
        top = table.rung(FULL, ladder[-1])
        if not fidelity.resumable or top.finite < EVIDENCE:
            return 0
        memory = self._memo.setdefault(table, {})
        if memory.get(fidelity, (0, 0))[0] != len(top.values):
            memory[fidelity] = len(top.values), self._misleading(table, ladder)
        return memory[fidelity][1]

    def _misleading(self, table: TrialTable, ladder: tuple[float, ...]) -> int:
        """How many rungs, from below, there are up to the last that misleads; the highest two are always in use."""
        top = table.rung(FULL, ladder[-1])
        trials = list(islice((trial for trial in reversed(top.values) if math.isfinite(top.values[trial])), WINDOW))
        full = np.array(top.scores(trials))
        for level in reversed(range(len(ladder) - 2)):
            if concordance(np.array(table.rung(FULL, ladder[level]).scores(trials)), full) < 0:
                return level + 1
        return 0

    @cached_property
    def _memo(self) -> Memo[dict[Fidelity, tuple[int, int]]]:
        """Of each table: by fidelity, how many full trainings `_misleading` has seen, and its answer."""
        return Memo()

    def _least(self, table: TrialTable, fidelity: Fidelity, milestone: float) -> int:
        ladder = self.rungs(fidelity)
        above = len(ladder) - 1 - ladder.index(milestone)
        workers = table.running - table.in_line + 1
        brackets = min(max(1.0, workers / WORKERS_EACH), MOST_BRACKETS)
        return self.eta if table.exhausted else math.ceil(brackets * self.eta**above)

    def _full_is_due(self, table: TrialTable, fidelity: Fidelity) -> bool:
        ladder = self.rungs(fidelity)
        if not fidelity.resumable:
            return len(table.rung(HALVING, ladder[0]).ranking) >= self.warmup
        if not table.rung(HALVING, ladder[-1]).ranking:
            return False
        if table.running:
            return table.busy[FULL] < self.share * (table.running + 1)
        return table.granted[FULL] <= self.share * (table.granted[FULL] + table.granted[HALVING])
