"""SMAC3: its multi-fidelity facade (random forest, Hyperband) where there is a ladder, else its facade for tuning."""

from __future__ import annotations

import tempfile

from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
from smac.runhistory.dataclasses import TrialValue

from benchmarks.compare.peers.base import Peer, Setup, Training
from benchmarks.compare.peers.config_space import configuration_space, to_plain
from benchmarks.compare.task import ETA

MOST_TRIALS = 100_000  # simulated time ends the run


class SMAC(Peer):
    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._folder = tempfile.TemporaryDirectory()
        several = setup.levels > 1
        budgets = {"min_budget": 1, "max_budget": setup.resource(setup.top)} if several else {}
        scenario = Scenario(
            configuration_space(setup.space_format, setup.seed),
            deterministic=True,
            n_trials=setup.evaluations or MOST_TRIALS,
            seed=setup.seed,
            output_directory=self._folder.name,
            **budgets,
        )
        facade = MultiFidelityFacade if several else HyperparameterOptimizationFacade
        own = {"intensifier": MultiFidelityFacade.get_intensifier(scenario, eta=ETA)} if several else {}
        target = _at_budget if several else _at_full_budget  # it looks at their arguments
        self._smac = facade(scenario, target, overwrite=True, logging_level=False, **own)

    def ask(self) -> Training:
        trial = self._smac.ask()
        level = self.setup.level(trial.budget) if trial.budget else self.setup.top
        return Training(to_plain(self.setup.space_format, dict(trial.config)), level, trial)

    def tell(self, training: Training, y: float) -> None:
        self._smac.tell(training.tag, TrialValue(cost=y))

    def close(self) -> None:
        self._folder.cleanup()


def _at_budget(config: object, seed: int, budget: float) -> float:
    raise NotImplementedError("SMAC is asked and told, it runs nothing")


def _at_full_budget(config: object, seed: int) -> float:
    raise NotImplementedError("SMAC is asked and told, it runs nothing")
