"""Optuna's TPE with its defaults: at full budget, and pruned by its Hyperband.

A trial reports at the rungs only, the pruner looks at nothing else. A trial that is not pruned goes on at once on its
worker, as a training loop does that calls `trial.report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from benchmarks.compare.peers.base import Peer, Setup, Training
from benchmarks.compare.task import ETA, Config, active


def suggested(trial: optuna.Trial, space_format: Sequence[Mapping[str, Any]]) -> Config:
    """A configuration as a user would define it by run; ordinals by their index."""
    config: Config = {}
    for parameter in space_format:
        if active(parameter, config):
            config[parameter["name"]] = _value(trial, parameter)
    return config


def _value(trial: optuna.Trial, parameter: Mapping[str, Any]) -> Any:
    name, log = parameter["name"], bool(parameter.get("log"))
    match parameter["type"]:
        case "categorical":
            return trial.suggest_categorical(name, parameter["choices"])
        case "ordinal":
            return parameter["choices"][trial.suggest_int(name, 0, len(parameter["choices"]) - 1)]
        case "int":
            return trial.suggest_int(name, parameter["lower"], parameter["upper"], log=log)
        case _:
            return trial.suggest_float(name, parameter["lower"], parameter["upper"], log=log)


class Full(Peer):
    """Every trial at full budget."""

    def __init__(self, setup: Setup, sampler: optuna.samplers.BaseSampler) -> None:
        super().__init__(setup)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(sampler=sampler)

    def ask(self) -> Training:
        trial = self._study.ask()
        return Training(suggested(trial, self.setup.space_format), self.setup.top, trial)

    def tell(self, training: Training, y: float) -> None:
        self._study.tell(training.tag, y)


class FullTPE(Full):
    def __init__(self, setup: Setup) -> None:
        super().__init__(setup, optuna.samplers.TPESampler(seed=setup.seed))


class PrunedTPE(Peer):
    """TPE with HyperbandPruner."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=setup.resource(setup.top), reduction_factor=ETA
        )
        # The pruner chooses a trial's bracket by a hash of the study's name, which is random if it is not given.
        name = f"s{setup.seed}"
        sampler = optuna.samplers.TPESampler(seed=setup.seed)
        self._study = optuna.create_study(sampler=sampler, pruner=pruner, study_name=name)
        self._going_on: list[Training] = []

    def ask(self) -> Training:
        if self._going_on:
            return self._going_on.pop()
        trial = self._study.ask()
        return Training(suggested(trial, self.setup.space_format), 0, trial)

    def tell(self, training: Training, y: float) -> None:
        trial: optuna.Trial = training.tag
        trial.report(y, self.setup.resource(training.level))
        if training.level == self.setup.top:
            self._study.tell(trial, y)
        elif trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._going_on.append(Training(training.config, training.level + 1, trial))
