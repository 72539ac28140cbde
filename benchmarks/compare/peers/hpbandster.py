"""HpBandSter's BOHB: its own config generator inside the brackets that its master would run.

Brackets come round, from the one with most rungs to the one with a single rung, floor(K/(s+1)) eta^s configurations
each. A rung's best go on when all of it has ended. A free worker takes what the oldest bracket has to give; when none
has anything, the next one opens. A configuration is drawn when a worker is there for it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from hpbandster.optimizers.config_generators import bohb

from benchmarks.compare.peers.base import Peer, Setup, Training
from benchmarks.compare.peers.config_space import configuration_space, from_plain, to_plain
from benchmarks.compare.task import ETA, Config


@dataclass
class Bracket:
    """sizes: configurations at each of its rungs, the first of which is the level `lowest`. waiting: for a worker."""

    lowest: int
    sizes: list[int]
    rung: int = 0
    to_draw: int = 0
    waiting: list[Config] = field(default_factory=list)
    ended: list[tuple[float, int, Config]] = field(default_factory=list)


class BOHB(Peer):
    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        np.random.seed(setup.seed)  # the generator draws from there
        logger = logging.Logger("hpbandster")
        logger.addHandler(logging.NullHandler())
        with _quiet():
            self._generator = bohb.BOHB(configuration_space(setup.space_format, setup.seed), logger=logger)
        self._brackets: list[Bracket] = []
        self._opened = 0

    def ask(self) -> Training:
        for bracket in self._brackets:
            if bracket.waiting or bracket.to_draw:
                return self._next(bracket)
        self._brackets.append(self._open())
        return self._next(self._brackets[-1])

    def tell(self, training: Training, y: float) -> None:
        bracket: Bracket = training.tag
        result = {"loss": y}
        kwargs = {
            "config": from_plain(self.setup.space_format, training.config),
            "budget": float(self.setup.resource(training.level)),
        }
        with _quiet():
            self._generator.new_result(SimpleNamespace(kwargs=kwargs, result=result, exception=None))
        bracket.ended.append((y, len(bracket.ended), training.config))
        if len(bracket.ended) == bracket.sizes[bracket.rung]:
            ranked = [config for _, _, config in sorted(bracket.ended, key=lambda end: end[:2])]
            bracket.rung, bracket.ended = bracket.rung + 1, []
            if bracket.rung < len(bracket.sizes):
                bracket.waiting = ranked[: bracket.sizes[bracket.rung]]
            else:
                self._brackets.remove(bracket)

    def _open(self) -> Bracket:
        rungs = self.setup.levels - self._opened % self.setup.levels
        first = self.setup.levels // rungs * ETA ** (rungs - 1)
        self._opened += 1
        sizes = [max(first // ETA**i, 1) for i in range(rungs)]
        return Bracket(self.setup.levels - rungs, sizes, to_draw=sizes[0])

    def _next(self, bracket: Bracket) -> Training:
        level = bracket.lowest + bracket.rung
        if bracket.waiting:
            return Training(bracket.waiting.pop(0), level, bracket)
        bracket.to_draw -= 1
        with _quiet():
            config, _ = self._generator.get_config(float(self.setup.resource(level)))
        return Training(to_plain(self.setup.space_format, config), level, bracket)


@contextmanager
def _quiet() -> Iterator[None]:
    """Its names of ConfigSpace are deprecated, and it divides by zero where a category is missing."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
