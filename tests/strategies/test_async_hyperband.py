"""The preset mobster beside asha: what a model and full trainings at once are worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon

from strategies.actions import Continue, Pause, Reached, Resume, Start, Stop
from strategies.domains import Domain, uniform
from strategies.schedulers.async_hyperband import HALVING, AsyncHyperband
from strategies.searchers.random import Random

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


@pytest.mark.parametrize(("workers", "brackets"), [(1, 1), (4, 1), (8, 2), (12, 3), (40, 3)])
def test_a_rung_promotes_none_before_a_trial_can_reach_the_top(workers: int, brackets: int) -> None:
    """Eta 3 and budgets 1, 3, 9, 27: 27, 9 and 3 results, as in Hyperband's first bracket, then the best third. More
    workers, more of them."""
    algo = AsyncHyperband(searcher=Random())
    found = simulate(Valley(), algo=algo, metric="loss", max_budget=27, total_budget=16 * 27, workers=workers, seed=0)
    arrived: dict[float, list[float]] = {1.0: [], 3.0: [], 9.0: [], 27.0: []}
    halved, reached = set(), {}
    promoted, running = 0, 0
    for record in found.records:
        running += isinstance(record, (Start, Resume)) - isinstance(record, (Pause, Stop))
        finishing = running + 1 < workers  # the budget ends: not all workers have something to do
        match record:
            case Start() if record.bracket == HALVING:
                halved.add(record.trial)
            case Reached() if record.trial in halved:
                arrived[record.fidelity].append(record.value)
                reached[record.trial] = record.value
            case Resume() | Continue() if record.trial in halved:
                there = sorted(arrived[record.until / 3])
                assert len(there) >= (81 if finishing else brackets * 81) / record.until
                assert reached[record.trial] <= there[len(there) // 3 - 1]
                promoted += 1
            case _:
                pass
    assert promoted > brackets * (9 + 3 + 1)
    first = found.trials[0]
    least = brackets * 27
    expected = f"pause: rung 1: ranked 1 of 1 so far, from {least} on the top {least // 3} continue"
    assert first.decisions[1][1] == expected


def test_a_rung_does_not_wait_for_trials_that_never_come() -> None:
    found = simulate(
        Valley(), algo=AsyncHyperband(searcher=Random()), metric="loss", max_budget=27, num_trials=10, workers=4
    )
    budgets = sorted((t.fidelity for t in found.trials), reverse=True)
    assert budgets[:4] == [27.0, 3.0, 3.0, 1.0]
    assert len(found.trials) == 10
