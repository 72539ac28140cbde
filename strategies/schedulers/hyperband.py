"""Hyperband: successive halving with brackets from aggressive to none at all (Li et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from strategies.schedulers.rungs import Bracket, Fidelity, hyperband_brackets
from strategies.schedulers.successive_halving import SuccessiveHalving


@dataclass(frozen=True)
class Hyperband(SuccessiveHalving):
    """Brackets s = s_max .. 0 in turn, then again from s_max; sizes in `rungs.hyperband_brackets`."""

    name: ClassVar[str] = "hyperband"

    def bracket(self, fidelity: Fidelity, index: int) -> Bracket:
        brackets = hyperband_brackets(self.rungs(fidelity), self.eta)
        return brackets[index % len(brackets)]
