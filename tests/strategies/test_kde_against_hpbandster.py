"""Our BOHB searcher against hpbandster's own generator: the same model, and the same proposals in distribution.

Spaces and histories are such that the differences that `strategies.searchers.kde` lists play no part: every category
is among the good and among the bad, no bandwidth of a category reaches its cap (asserted below), parameters are
sorted by name as ConfigSpace sorts them, and no integers: ConfigSpace 1 puts their ends at 0 and 1, while BOHB's
authors had, as we have, bins of equal width.
"""

import math
import sys
import warnings
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hpbandster.optimizers.config_generators.bohb import BOHB
from scipy.stats import chi2_contingency, ks_2samp

from strategies.actions import Failed, Reached
from strategies.domains import choice, loguniform, ordinal, qrandint, quniform, randint, uniform
from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.models.kde import clip_bandwidths
from strategies.searchers.base import Context, Searcher
from strategies.searchers.hpbandster import HpBandSter
from strategies.searchers.kde import KDE, Memory, Model
from strategies.space import SearchSpace
from strategies.space_builder import as_space

FLAT = as_space({"a": uniform(-1, 1), "b": loguniform(1e-4, 1), "c": choice(["r", "s"]), "d": choice(["t", "u", "v"])})
CONDITIONAL = as_space(
    {"a": choice(["r", "s"]), "b": uniform(0, 1), "c": uniform(0, 1).when(a="r"), "d": uniform(0, 1).when(a="s")}
)

FALSE_ALARM = 1e-6  # of all comparisons of this file that must not find a difference
COMPARISONS = 2 * 8  # at most: two spaces, up to eight statistics each
LEVEL = FALSE_ALARM / COMPARISONS


def flat_loss(u: Array) -> float:
    return float((u[0] - 0.3) ** 2 + (u[1] - 0.7) ** 2 + 0.1 * (u[2] > 0.5) + 0.1 * abs(np.floor(3 * u[3]) - 1))


def conditional_loss(u: Array) -> float:
    below = (u[2] - 0.2) ** 2 if u[0] < 0.5 else 0.02 + (u[3] - 0.8) ** 2
    return float(below + (u[1] - 0.5) ** 2)


def history_of(
    space: SearchSpace, loss: Callable[[Array], float], counts: dict[float, int], failures: int, seed: int
) -> History:
    """At each budget `counts` random configurations, the last `failures` of them failed."""
    history, rng = History(space.dim), np.random.default_rng(seed)
    for budget, n in counts.items():
        for i, row in enumerate(space.sample(rng, n)):
            history.start(row, budget)
            trial = len(history) - 1
            failed = i >= n - failures
            history.apply(Failed(trial, budget) if failed else Reached(trial, budget, loss(row)))
    return history


@cache
def case(name: str) -> tuple[SearchSpace, History]:
    """The histories whose proposals are compared. Seeds for which mutants are easy to tell apart."""
    if name == "flat":
        return FLAT, history_of(FLAT, flat_loss, {1.0: 20, 3.0: 20, 9.0: 9}, 3, seed=47)
    return CONDITIONAL, history_of(CONDITIONAL, conditional_loss, {1.0: 5, 3.0: 60}, 4, seed=10)


def generator_of(space: SearchSpace, history: History, settings: dict[str, Any] | None = None) -> BOHB:
    """hpbandster's generator, told everything."""
    generator = BOHB(space.config_space, **(settings or {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for budget in history.fidelities:
            results = history.results(budget)
            for trial, loss in zip(results.trials, results.values, strict=True):
                kwargs = {"budget": budget, "config": space.decode(history.X[trial])}
                result = {"loss": float(loss)} if math.isfinite(loss) else None
                generator.new_result(SimpleNamespace(id=trial, kwargs=kwargs, result=result, exception=None))
    return generator


def model_of(space: SearchSpace, history: History, seed: int = 0) -> Model | None:
    return KDE()._model(Memory(space), Context(space, history, seed, 1.0))


# --- the model ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "failures"),
    [
        ({1.0: 9}, 0),
        ({1.0: 10}, 0),
        ({1.0: 10}, 3),
        ({1.0: 40, 3.0: 20, 9.0: 9}, 2),
        ({1.0: 81, 3.0: 27, 9.0: 10}, 0),
        ({1.0: 200}, 20),
        ({27.0: 100, 1.0: 20}, 10),
    ],
    ids=str,
)
def test_same_budget_split_and_bandwidths(counts: dict[float, int], failures: int) -> None:
    history = history_of(FLAT, flat_loss, counts, failures, seed=1)
    generator, model = generator_of(FLAT, history), model_of(FLAT, history)
    assert (model is None) == (not generator.kde_models)
    if model is None:
        return
    assert model.fidelity == generator.largest_budget_with_model()
    for name, density in (("good", model.good), ("bad", model.bad)):
        reference = generator.kde_models[model.fidelity][name]
        # In any order: failures are ties. What a float's bounds round away is less than 1e-11.
        np.testing.assert_allclose(_sorted(density.data), _sorted(reference.data), atol=1e-10)
        capped = clip_bandwidths(reference.bw, density.levels, 1e-3)
        np.testing.assert_allclose(density.bandwidths, capped, rtol=0, atol=1e-9)
        assert np.array_equal(capped[:2], reference.bw[:2]), "numbers have no cap"


def _sorted(points: Array) -> Array:
    return np.array(sorted(np.round(points, 10).tolist()))


@pytest.mark.parametrize("name", ["flat", "conditional"])
def test_the_cases_avoid_the_known_differences(name: str) -> None:
    space, history = case(name)
    model = model_of(space, history)
    assert model is not None
    assert model.fidelity == 3.0
    for density in (model.good, model.bad):
        for j in np.flatnonzero(density.levels):
            assert len(np.unique(density.data[:, j])) == density.levels[j]
            assert density.bandwidths[j] < 0.999 * (1 - 1 / density.levels[j])


def test_scores_are_hpbandsters() -> None:
    """Our l and g at hpbandster's own points, floor and all."""
    space, history = case("flat")
    generator, model = generator_of(space, history), model_of(space, history)
    assert model is not None
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.random((50, 2)), rng.integers(2, size=50), rng.integers(3, size=50)]).astype(float)
    for name, density in (("good", model.good), ("bad", model.bad)):
        reference = generator.kde_models[3.0][name].pdf(points)
        np.testing.assert_allclose(np.exp(density.logpdf(points)), reference, rtol=1e-7)


# --- the proposals --------------------------------------------------------------------------------------


def proposals(searcher: Searcher, name: str, n: int) -> Array:
    """(n, d) suggestions at the same history, from n seeds: independent, imputation included."""
    space, history = case(name)
    return np.stack([searcher.suggest(Context(space, history, seed, 1.0)) for seed in range(n)])


@cache
def reference_proposals(name: str) -> Array:
    return proposals(HpBandSter(), name, 400 if name == "flat" else 300)


def differences(name: str, ours: Array, theirs: Array) -> dict[str, float]:
    """The p-values of what is compared: each column, which are active, how near the good points proposals are."""
    space, history = case(name)
    p: dict[str, float] = {}
    for j, column in enumerate(space.columns):
        pair = [rows[:, j][~np.isnan(rows[:, j])] for rows in (ours, theirs)]
        if column.kind == "categorical":
            counts = np.stack([np.bincount((u * column.n_values).astype(int), minlength=column.n_values) for u in pair])
            p[column.name] = float(chi2_contingency(counts).pvalue)
        else:
            p[column.name] = float(ks_2samp(*pair).pvalue)
    X, y = history.at(3.0)
    good = X[np.argsort(y, kind="stable")[: max(space.dim + 1, 15 * len(y) // 100)]]

    def distance(rows: Array) -> Array:
        gaps = np.abs(rows[:, None, :] - good[None, :, :])
        gaps = np.where(np.isnan(gaps), np.isnan(rows[:, None, :]) != np.isnan(good), gaps)
        nearest: Array = gaps.max(axis=2).min(axis=1)
        return nearest

    p["distance"] = float(ks_2samp(distance(ours), distance(theirs)).pvalue)
    assert len(p) <= COMPARISONS / 2
    return p


@pytest.mark.parametrize("name", ["flat", "conditional"])
def test_proposals_have_the_same_distribution(name: str) -> None:
    p = differences(name, proposals(KDE(), name, 3000), reference_proposals(name))
    assert min(p.values()) > LEVEL, p


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("flat", KDE(bandwidth_factor=1)),
        ("flat", KDE(random_fraction=0.9)),
        ("flat", KDE(num_samples=4)),
        ("conditional", KDE(random_fraction=0)),
    ],
    ids=["bandwidth_factor", "more_random", "num_samples", "never_random"],
)
def test_the_comparison_finds_mutants(name: str, mutant: KDE) -> None:
    p = differences(name, proposals(mutant, name, 3000), reference_proposals(name))
    assert min(p.values()) < LEVEL, p


def test_the_comparison_finds_another_imputation(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_random(Z: Array, levels: Array, rng: np.random.Generator, donors: Array | None = None) -> Array:
        return np.where(np.isnan(Z), 1.0 - rng.random(Z.shape) ** 8, Z)

    monkeypatch.setattr("strategies.searchers.kde.impute", at_random)
    p = differences("conditional", proposals(KDE(), "conditional", 3000), reference_proposals("conditional"))
    assert min(p.values()) < LEVEL, p


# --- hpbandster behind our contract ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flat", "conditional"])
def test_hpbandster_is_deterministic_and_leaves_no_trace(name: str) -> None:
    """A generator told results one by one, between suggestions, says what a fresh one says."""
    space, whole = case(name)
    history, old = History(space.dim), HpBandSter()
    order = np.random.default_rng(0).permutation(len(whole))[:50]
    np.random.seed(7)
    expected_global = np.random.RandomState(7).random_sample()
    for i, trial in enumerate(order):
        history.start(whole.X[trial], 3.0 if i % 3 else 1.0)
        history.apply(Reached(i, 3.0 if i % 3 else 1.0, float(i * 7 % 11)))
        if i % 5 == 4:
            context = Context(space, history, 2, 1.0)
            row = old.suggest(context)
            assert np.array_equal(row, HpBandSter().suggest(context), equal_nan=True)
            assert np.array_equal(space.canonical(row[None, :])[0], row, equal_nan=True)
    assert np.random.random_sample() == expected_global


def test_hpbandster_in_a_mixed_space() -> None:
    """Values that are JSON to ConfigSpace, multiples of q, a condition on our column 0, a constant, failures."""
    space = as_space(
        {
            "z": quniform(0, 1, 0.25).when("k > 2"),
            "k": randint(1, 6),
            "c": choice([True, None, "x"]),
            "n": qrandint(8, 64, 8),
            "fixed": 1,
        }
    )
    history, searcher = History(space.dim), HpBandSter()
    for i in range(40):
        row = searcher.suggest(Context(space, history, 0, 1.0))
        assert np.array_equal(space.encode(space.decode(row)), row, equal_nan=True)
        history.start(row, 1.0)
        history.apply(Reached(i, 1.0, math.inf if i % 4 == 0 else float(np.nansum(row))))


def test_conditional_parameters_never_come_first_in_configspace() -> None:
    """Why hpbandster's mistake with column 0, which it never imputes, does not matter."""
    space = as_space({"a": uniform(0, 1).when(z="on"), "z": choice(["on", "off"])})
    assert next(iter(space.config_space.values())).name == "z"


def test_ordinals_are_not_supported() -> None:
    space = as_space({"o": ordinal([1, 2, 4])})
    with pytest.raises(InvalidInput, match=r"o: .*ordinal.* integer"):
        HpBandSter().suggest(Context(space, History(1), 0, 1.0))


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hpbandster.optimizers.config_generators.bohb", None)
    with pytest.raises(InvalidInput, match=r'pip install "ray-hpo\[hpbandster\]"'):
        HpBandSter().suggest(Context(FLAT, History(FLAT.dim), 0, 1.0))
