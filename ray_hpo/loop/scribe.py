"""Who writes down what happens: in the journal, and at once in all that is a fold over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strategies.actions import Record
from strategies.strategy import Strategy

from ray_hpo.experiment import Experiment
from ray_hpo.journal.journal import Event, Writer


class Scribe:
    """Keeps journal, experiment and strategy of one mind. now: the executor's clock.

    Reports are the exception, of which the strategy hears nothing: the controller hands them on itself.
    """

    def __init__(self, experiment: Experiment, strategy: Strategy, journal: Writer, now: Callable[[], float]) -> None:
        self._experiment = experiment
        self._strategy = strategy
        self._journal = journal
        self._now = now

    def record(self, record: Record) -> None:
        """What the strategy decided, or is to be told."""
        now = self._now()
        self._journal.record(now, record)
        self._experiment.record(now, record)
        self._strategy.apply(record)

    def event(self, kind: str, trial: int | None, body: dict[str, Any]) -> None:
        """What the strategy need not know."""
        now = self._now()
        self._journal.event(Event(now, kind, trial, body))
        self._experiment.apply(now, kind, trial, body)


def ran(seconds: float | None) -> dict[str, Any]:
    """For an event: how long a trial that was launched ahead of its turn had its worker."""
    return {} if seconds is None else {"seconds": seconds}
