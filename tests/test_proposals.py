"""Suggestions one after another: what they suppose, and what becomes of them when it turns out otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from strategies.actions import Continue, Limit, Reached, Record, Resume, Start
from strategies.registry import resolve_algo
from strategies.schedulers.rungs import Fidelity
from strategies.strategy import Problem, Strategy
from strategies.trials import Status

from ray_hpo.proposals import Proposals
from tests.strategies.world import hash01, mixed_space

LIMIT = 40


class Run:
    """A strategy that is asked and told, and proposals that hear of it."""

    def __init__(self, algo: str, points: int = 0) -> None:
        space = mixed_space()
        rows = space.canonical(space.sample(np.random.default_rng(0), max(1, points)))
        self.problem = Problem(space, Fidelity.of(9), seed=3, points=[space.decode(row) for row in rows[:points]])
        self.algo = resolve_algo(algo)
        self.records: list[Record] = []
        self.strategy = Strategy(self.algo, self.problem)
        self.proposals = Proposals(resolve_algo(algo), self.problem, self.records)
        self.tell(Limit(LIMIT))

    def tell(self, record: Record) -> None:
        self.strategy.apply(record)
        self.records.append(record)

    def fill(self, length: int, otherwise: float = 9.0) -> None:
        self.proposals.hear()
        while len(self.proposals.ready) < length and self.proposals.can_propose:
            self.proposals.propose(None, otherwise)

    def start(self, take: bool = True) -> bool:
        """Let a free worker do what the strategy says, with the first proposal as the suggestion."""
        ready = self.proposals.ready
        action = self.strategy.next((lambda until: ready[0].config) if take and ready else None)
        if not isinstance(action, Start):
            return False
        self.tell(action)
        return True

    def finish(self, trial: int) -> None:
        row = self.strategy.table.trials[trial]
        self.tell(Reached(trial, row.until, hash01(trial, row.until)))
        verdict = self.strategy.verdict(trial)
        self.tell(verdict)
        if isinstance(verdict, Continue):
            self.finish(trial)


@pytest.mark.parametrize("algo", ["tpe", "kde", "gp"])
def test_each_is_what_would_be_suggested_if_those_before_it_ran(algo: str) -> None:
    run = Run(algo)
    for trial in range(12):
        run.fill(1)
        run.start()
        run.finish(trial)
    run.fill(4)
    for proposal in list(run.proposals.ready):
        assert proposal.config == run.strategy.suggestion(proposal.until)
        assert proposal.number == run.strategy.history.proposed
        run.start()
        run.proposals.hear()
    assert not run.proposals.ready


def test_as_long_as_they_are_taken_nothing_is_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    run, running = Run("tpe"), []

    def rebuilt(*_: object) -> Strategy:
        raise AssertionError("rebuilt")

    monkeypatch.setattr(Strategy, "rebuild", rebuilt)
    for step in range(LIMIT):
        run.fill(1 + step % 4)
        assert [p.number for p in run.proposals.ready] == list(range(step, step + len(run.proposals.ready)))
        assert run.start()
        running.append(step)
        if len(running) > 3:
            run.finish(running.pop(int(hash01(step, 1) * 3)))
    run.fill(4)
    assert not run.proposals.ready, "the limit holds"


def test_to_which_bracket_a_trial_belongs_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is decided when it begins, by what runs then."""
    run, running, brackets = Run("mobster"), [], set()

    def rebuilt(*_: object) -> Strategy:
        raise AssertionError("rebuilt")

    monkeypatch.setattr(Strategy, "rebuild", rebuilt)
    while run.strategy.history.proposed < LIMIT:
        run.fill(4, otherwise=1.0)
        first = run.proposals.ready[0].config
        action = run.strategy.next(lambda until, first=first: first)
        assert isinstance(action, (Start, Resume))
        run.tell(action)
        running.append(action.trial)
        if isinstance(action, Start):
            brackets.add(action.bracket)
        if len(running) > 3:
            trial = running.pop(int(hash01(len(run.records)) * 3))
            run.tell(Reached(trial, run.strategy.table.trials[trial].until, hash01(trial)))
            run.tell(run.strategy.verdict(trial))
            if run.strategy.table.trials[trial].status is Status.RUNNING:
                running.append(trial)
    assert brackets == {0, 1}


def test_what_turns_out_otherwise_is_forgotten() -> None:
    run = Run("tpe")
    for trial in range(8):
        run.fill(3)
        run.start(take=trial % 2 == 0)  # else with a configuration of its own
        run.finish(trial)
    run.fill(3)
    fresh = Proposals(resolve_algo("tpe"), run.problem, run.records)
    fresh.hear()
    run.proposals.forget()
    run.fill(3)
    for _ in range(3):
        fresh.propose(None, 9.0)
    assert [p.config for p in run.proposals.ready] == [p.config for p in fresh.ready]


def test_points_of_the_user_are_not_proposed() -> None:
    run = Run("tpe", points=2)
    run.fill(3)
    assert not run.proposals.ready
    run.start()
    run.start()
    run.fill(3)
    assert [p.number for p in run.proposals.ready] == [2, 3, 4]
