"""What `algo="auto"` picks."""

from typing import Any

import pytest

from strategies.auto import pick
from strategies.domains import choice, loguniform, ordinal, uniform
from strategies.registry import PRESETS
from strategies.space_builder import as_space

FLOATS = {"lr": loguniform(1e-5, 1e-1), "momentum": uniform(0, 1)}
CHOICES = {"a": choice(["x", "y"]), "b": ordinal([1, 2, 3]), "fixed": 1}
PRIORS = {"lr": loguniform(1e-5, 1e-1, prior=1e-3)}


@pytest.mark.parametrize(
    ("space", "max_budget", "num_trials", "max_concurrent", "algo"),
    [
        (FLOATS, 27, None, None, "mobster"),
        (FLOATS, None, 60, None, "gp"),
        (FLOATS, 27, 5_000, None, "bohb"),
        (FLOATS, 27, None, 1_000, "bohb"),
        (FLOATS, None, 5_000, None, "tpe"),
        (PRIORS, 27, None, None, "priorband"),
        (PRIORS, None, 60, None, "tpe"),
        (CHOICES, None, 6, None, "grid"),
        (CHOICES, None, None, None, "grid"),
        (CHOICES, None, 5, None, "gp"),
        (CHOICES, 27, 6, None, "mobster"),
    ],
)
def test_pick(
    space: dict[str, Any], max_budget: float | None, num_trials: int | None, max_concurrent: int | None, algo: str
) -> None:
    picked, why = pick(as_space(space), max_budget, num_trials, max_concurrent)
    assert picked == algo
    assert picked in PRESETS
    assert why
