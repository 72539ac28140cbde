"""What another algorithm would have done with the results that an experiment recorded, as far as they reach.

The trials' configurations come in their order; a scheduler decides how far each trains. Where it wants a trial trained
further than it was, the trial's last value stands in, and is counted.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strategies.actions import fidelity_text
from strategies.registry import describe, resolve_algo
from strategies.schedulers.base import Scheduler
from strategies.searchers.base import Searcher
from strategies.searchers.random import Random

from ray_hpo.errors import InvalidInput
from ray_hpo.experiment import Experiment
from ray_hpo.journal import read_reports
from ray_hpo.journal.damage import told_if_damaged
from ray_hpo.journal.schema import FILE
from ray_hpo.results import Result
from ray_hpo.simulation import simulate


@dataclass(frozen=True)
class Replay:
    """The outcome of a replay.

    replayed: the trials as they would have gone, with the recorded numbers.  guessed: trials that it wanted trained
    further than they were.  winner: the recorded best trial.
    """

    recorded: Result
    algo: Scheduler
    workers: int
    replayed: Experiment
    guessed: frozenset[int]
    winner: int

    @property
    def survived(self) -> bool:
        """Whether the recorded winner would have been trained in full."""
        return self.replayed.trials[self.winner].state == "completed"

    def to_json(self) -> dict[str, Any]:
        best = self.replayed.best
        return {
            "algo": describe(self.algo),
            "recorded_algo": describe(self.recorded.spec.algo),
            "workers": self.workers,
            "states": self.replayed.counts(),
            "budget": self.replayed.granted,
            "recorded_budget": self.recorded.spent,
            "winner": self.winner,
            "winner_survived": self.survived,
            "winner_why": self.replayed.trials[self.winner].why,
            "best_trial": None if best is None else best.number,
            "best_value": None if best is None else best.value,
            "recorded_best_value": self.recorded.best_searched.value,
            "guessed_trials": sorted(self.guessed),
        }

    def lines(self) -> list[str]:
        """The outcome as people read it."""
        spec, new, old = self.recorded.spec, self.replayed, self.recorded.experiment
        best, winner = new.best, new.trials[self.winner]
        fate = "have won" if best is winner else "have survived" if self.survived else "not have survived"
        value = old.trials[self.winner].value
        lines = [
            f"replay of {spec.name} ({describe(spec.algo)}) with {describe(self.algo)}, {self.workers} at a time",
            f"trials: {_counts(new)} (recorded: {_counts(old)})",
            f"budget: {fidelity_text(round(new.granted, 2))} instead of {fidelity_text(round(self.recorded.spent, 2))} "
            f"({new.granted / max(self.recorded.spent, 1e-9):.0%})",
            f"the winner, trial {self.winner} with {spec.metric} {value:.6g}, would {fate}: {winner.why}",
        ]
        if best is not None and best is not winner:
            lines.append(f"its best: trial {best.number} with {spec.metric} {best.value:.6g}")
        if self.guessed:
            lines.append(
                f"not known: {len(self.guessed)} trials would have trained further than they did; "
                "their last value stands in"
            )
        return lines


class _Recorded:
    """An experiment's results as a benchmark: configuration and budget -> metrics and seconds."""

    def __init__(self, result: Result) -> None:
        self.space = result.spec.space
        self.resumable = result.spec.resumable
        self.guessed: set[int] = set()
        self._metric = result.spec.goals.metrics[0]
        self._number = {_key(result.spec.space.nest(t.config)): t.number for t in reversed(result.trials)}
        self._seconds = {t.number: t.seconds / max(t.step, 1e-9) for t in result.trials}
        self._steps: dict[int, list[float]] = {}
        self._values: dict[int, list[Mapping[str, Any]]] = {}
        for number, step, _, metrics in read_reports(result.place.folder):
            if isinstance(metrics.get(self._metric), (int, float)):
                self._steps.setdefault(number, []).append(step)
                self._values.setdefault(number, []).append(metrics)

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        number = self._number[_key(config)]
        steps = self._steps.get(number)
        if not steps:
            raise ValueError("it has no result")
        if budget > steps[-1] * (1 + 1e-9):
            self.guessed.add(number)
        index = max(0, bisect.bisect_right(steps, budget * (1 + 1e-9)) - 1)
        return self._values[number][index], self._seconds[number] * budget


def replay(result: Result, algo: str | Searcher | Scheduler, workers: int | None = None) -> Replay:
    """Run the scheduler of `algo` over the trials of `result`.

    workers: trials at a time; default: as many as there were on average.

    Raises:
        InvalidInput: the experiment has no max_budget, or no result.
    """
    spec, experiment = result.spec, result.experiment
    if spec.max_budget is None:
        raise InvalidInput(f"{spec.name} has no max_budget: there are no rungs at which another algorithm could decide")
    if not spec.goals.plain:
        raise InvalidInput(f"{spec.name} has several metrics, or constraints: a replay knows of one metric only")
    if experiment.best is None:
        raise InvalidInput(f"{spec.name} has no result yet: there is nothing to replay")
    chosen = dataclasses.replace(resolve_algo(algo), searcher=Random())
    if chosen.copies or spec.algo.copies:
        raise InvalidInput(f"{(chosen if chosen.copies else spec.algo).name} makes trials of its own: no replay can")
    busy = experiment.worker_seconds(experiment.last_time) / max(experiment.elapsed, 1e-9)
    workers = workers or max(1, round(busy))
    with told_if_damaged(result.place.folder / FILE):  # of configurations that do not belong to the space, say
        recorded = _Recorded(result)
        replayed = simulate(
            recorded,
            algo=chosen,
            metric=spec.goals.metrics[0],
            mode="max" if spec.goals.modes[0] == "max" else "min",
            max_budget=spec.max_budget,
            min_budget=spec.min_budget,
            num_trials=len(result.trials),
            points_to_evaluate=[spec.space.nest(trial.config) for trial in result.trials],
            workers=workers,
            seed=spec.seed,
        )
    return Replay(result, chosen, workers, replayed, frozenset(recorded.guessed), experiment.best.number)


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


def _counts(experiment: Experiment) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(experiment.counts().items()))
