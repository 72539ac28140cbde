"""The preset mobster beside asha: what a model and full trainings at once are worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from strategies.domains import Domain, uniform

from ray_hpo import simulate

FALSE_ALARM = 1e-6
SEEDS = range(100, 124)  # none of which any choice was made on


@dataclass
class Valley:
    """A bent valley in three dimensions, whose floor a short training shows at another place than a full one."""

    space: dict[str, Domain] = field(default_factory=lambda: {f"x{j}": uniform(0, 1) for j in range(3)})

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[dict[str, float], float]:
        x, y, z = (config[f"x{j}"] for j in range(3))
        shift = 0.1 * (1 - budget / 27)
        return {"loss": (y - 0.2 - x**2 - shift) ** 2 + (x - 0.7) ** 2 + 0.5 * (z - 0.4 - shift) ** 2}, budget


def final(algo: str, seed: int) -> float:
    """The best loss of a full training, with 4 workers and the budget of 12."""
    found = simulate(Valley(), algo=algo, metric="loss", max_budget=27, total_budget=12 * 27, workers=4, seed=seed)
    return min(t.value for t in found.trials if t.fidelity == 27 and t.value is not None)


def test_mobster_beats_asha() -> None:
    gain = np.log([final("mobster", seed) / final("asha", seed) for seed in SEEDS])
    assert wilcoxon(gain, alternative="less").pvalue < FALSE_ALARM
