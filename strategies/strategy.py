"""A strategy: a scheduler and its searcher at work on one problem. A fold over records, with questions to ask it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from strategies.actions import Done, GoAhead, Limit, Record, Resume, Start, Stop, Verdict, Wait
from strategies.earlier import Earlier
from strategies.history import History
from strategies.schedulers.base import New, Scheduler
from strategies.schedulers.rungs import Fidelity
from strategies.searchers.base import Context
from strategies.space import SearchSpace
from strategies.trials import Status, TrialTable

COPY = 1  # suggestion k draws from [seed, k], the configuration of trial t with a parent from [seed, t, COPY]


@dataclass(frozen=True)
class Problem:
    """What a strategy works on, fixed for the life of an experiment.

    points: configurations (flat, complete) that are tried in this order before the searcher is asked.
    earlier: results of earlier experiments, for the searcher alone.
    objectives, constraints: how many metrics there are to minimise, and constraints to meet (see `actions.Reached`).
    """

    space: SearchSpace
    fidelity: Fidelity
    seed: int
    points: Sequence[Mapping[str, Any]] = ()
    earlier: Earlier = field(default_factory=Earlier)
    objectives: int = 1
    constraints: int = 0


class Strategy:
    """Ask `next` for a free worker and `verdict` for a trial at its milestone; `apply` what then became true.

    The questions are pure. Two strategies that were told the same records answer alike, whatever they were asked
    before: that is what makes a run resumable.
    """

    def __init__(self, algo: Scheduler, problem: Problem) -> None:
        self.algo = algo
        self.problem = problem
        self.table = TrialTable(problem.objectives, constrained=problem.constraints > 0)
        self.history = History(problem.space.dim, problem.objectives, problem.constraints)
        earlier = problem.earlier
        self.history.begin(map(problem.space.encode, earlier.configs), earlier.results, earlier.more)
        self.apply(Limit(None))

    @classmethod
    def rebuild(cls, algo: Scheduler, problem: Problem, records: Iterable[Record]) -> Strategy:
        """The strategy that was told `records`."""
        strategy = cls(algo, problem)
        for record in records:
            strategy.apply(record)
        return strategy

    def next(
        self, suggest: Callable[[float], Mapping[str, Any] | None] | None = None, *, ahead: bool = False
    ) -> Start | Resume | Stop | Wait | Done:
        """What a free worker should do. A `Stop` ends a paused trial; ask again.

        suggest: answers instead of `suggestion`; None when it has no answer yet, and then there is nothing to do now.
        ahead: no worker is free, but one soon will be.
        """
        action = self.algo.next(self.table, self.problem.fidelity)
        in_line = ahead or None
        if isinstance(action, Resume) and in_line:
            return dataclasses.replace(action, ahead=in_line)
        if not isinstance(action, New):
            return action
        space, points, history = self.problem.space, self.problem.points, self.history
        number, proposed = len(self.table.trials), history.proposed
        if action.parent is not None:
            rng = np.random.default_rng([self.problem.seed, number, COPY])
            config = space.decode(self.algo.explore(space, history.X[history.earlier + action.parent], rng))
        elif proposed < len(points):
            reason = f"points_to_evaluate[{proposed}]: {action.reason}"
            action, config = dataclasses.replace(action, reason=reason), dict(points[proposed])
        else:
            suggested = (suggest or self.suggestion)(action.until)
            if suggested is None:
                return Wait("a suggestion is being made")
            config = dict(suggested)
        return Start(
            number, config, action.until, action.bracket, action.reason, action.parent, action.replaces, in_line
        )

    def suggestion(self, until: float) -> dict[str, Any]:
        """The configuration that the searcher proposes for a trial that runs to `until`."""
        return self.problem.space.decode(self.algo.searcher.suggest(self._context(until)))

    def verdict(self, trial: int) -> Verdict:
        """What becomes of a trial that waits at its milestone."""
        return self.algo.verdict(self.table, self.problem.fidelity, trial)

    def go_ahead(self, trial: int) -> GoAhead | None:
        """The verdict on a trial that is on its way to its milestone, as far as it is known ahead."""
        if not self.algo.goes_ahead or self.table.trials[trial].status is not Status.RUNNING:
            return None
        return self.algo.go_ahead(self.table, self.problem.fidelity, trial)

    def waiting(self) -> list[int]:
        """The trials whose verdict is due, in the order of their numbers."""
        return [row.number for row in self.table.trials if row.status is Status.WAITING]

    def apply(self, record: Record) -> None:
        """Fold in what became true."""
        if isinstance(record, Limit):
            self.table.apply(dataclasses.replace(record, num_trials=self._cap(record.num_trials)))
            return
        self.table.apply(record)
        if isinstance(record, Start):
            row = self.problem.space.encode(record.config)
            self.history.start(row, record.until, proposed=record.parent is None)
        else:
            self.history.apply(record)

    def _context(self, until: float) -> Context:
        problem = self.problem
        given, full = len(problem.points), problem.fidelity.max_budget
        return Context(problem.space, self.history, problem.seed, until, given=given, max_budget=full)

    def _cap(self, num_trials: int | None) -> int | None:
        """The limit on trials, the scheduler's own if there is none; at most the points and what the searcher has to
        propose."""
        size = self.algo.searcher.size(self.problem.space)
        most = None if size is None else size + len(self.problem.points)
        limits = [self.algo.default_trials if num_trials is None else num_trials, most]
        return min((limit for limit in limits if limit is not None), default=None)
