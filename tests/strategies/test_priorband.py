"""PriorBand's shares by hand, and what it draws in each of its three ways."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from strategies.actions import Failed, Reached, Start
from strategies.columns import Array
from strategies.domains import Space, choice, randint, uniform
from strategies.errors import InvalidInput
from strategies.history import History
from strategies.schedulers.hyperband import Hyperband
from strategies.schedulers.rungs import Fidelity
from strategies.searchers.base import Context
from strategies.searchers.priorband import PriorBand, Shares, best_full_training, rung
from strategies.space import SearchSpace
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

from tests.strategies.histories import record
from tests.strategies.world import mixed_space

LINE = as_space({"x": uniform(0, 1, prior=(0.2, "high"))})
SQUARE = as_space({"x": uniform(0, 1), "y": uniform(0, 1)})
BELIEVED = as_space(
    {
        "kind": choice(["deep", "wide", None], prior=("wide", "high")),
        "width": uniform(0, 1, prior=0.9).when(kind="wide"),
        "depth": randint(1, 9).when(kind="deep"),
        "lr": uniform(0, 1, prior=(0.3, 0.05)),
    }
)


def context(space: SearchSpace, history: History, until: float = 1.0, seed: int = 0, top: float = 27.0) -> Context:
    return Context(space, history, seed, until, max_budget=top)


def finished(space: SearchSpace, rows: Array, values: list[float], fidelity: float = 27.0) -> History:
    return record(History(space.dim), rows, values, fidelity)


def suggestions(space: SearchSpace, history: History, n: int, **settings: Any) -> Array:
    """n suggestions at the same history, from n seeds."""
    searcher = PriorBand(**settings)
    rows = np.stack([searcher.suggest(context(space, history, seed=seed)) for seed in range(n)])
    np.testing.assert_array_equal(space.canonical(rows), rows)
    assert space.allowed(rows).all()
    return rows


# --- shares ----------------------------------------------------------------------------------------------


def test_the_random_share_falls_from_rung_to_rung() -> None:
    """1/(1 + 3^r) for r = 0..3, at the foot of each of Hyperband's brackets: 1/2, 1/4, 1/10, 1/28."""
    algo = Hyperband(searcher=PriorBand())
    strategy = Strategy(algo, Problem(SQUARE, Fidelity.of(27), 0))
    found: dict[float, list[float]] = {}
    while len(found) < 4:
        action = strategy.next()
        assert isinstance(action, Start)
        asked = context(SQUARE, strategy.history, action.until)
        found.setdefault(action.until, []).append(PriorBand().shares(asked, None).random)
        strategy.apply(action)
    assert {until: set(shares) for until, shares in found.items()} == {
        1: {1 / 2},
        3: {1 / 4},
        9: {1 / 10},
        27: {1 / 28},
    }


def test_another_reduction_factor() -> None:
    history = finished(SQUARE, np.full((1, 2), 0.5), [1.0], fidelity=1.0)
    assert rung(context(SQUARE, history, 4.0)) == 1
    assert PriorBand(eta=4).shares(context(SQUARE, history, 4.0), None).random == 1 / 5


def test_prior_and_incumbent_share_by_the_likelihood_of_the_best() -> None:
    """Four results; the best three, max(4 // 3, 3), weigh 3, 2 and 1. The incumbent is the first of them."""
    history = finished(LINE, np.array([[0.6], [0.3], [0.9], [0.55]]), [1.0, 3.0, 4.0, 2.0])
    scores = {}
    for centre in (0.2, 0.6):
        density = stats.truncnorm(-centre / 0.125, (1 - centre) / 0.125, loc=centre, scale=0.125).pdf
        scores[centre] = 3 * density(0.6) + 2 * density(0.55) + 1 * density(0.3)
    share = scores[0.2] / (scores[0.2] + scores[0.6])
    asked = context(LINE, history, 27.0)
    shares = PriorBand().shares(asked, best_full_training(asked))
    assert dataclasses.astuple(shares) == pytest.approx((1 / 2, share / 2, (1 - share) / 2))
    assert 0.1 < share < 0.2


def test_the_highest_rung_with_eta_results_tells_which_are_the_best() -> None:
    """At 9 the good ones are at 0.2, where the prior is; at 27 there are but two results, of which one is a number."""
    history = finished(LINE, np.array([[0.19], [0.2], [0.21], [0.8]]), [1.0, 1.0, 1.0, 2.0], fidelity=9.0)
    history.apply(Reached(3, 27.0, 1.0))
    history.apply(Failed(2, 27.0))
    asked = context(LINE, history, 27.0)
    incumbent = best_full_training(asked)
    assert incumbent is not None
    np.testing.assert_array_equal(incumbent, [0.8])
    shares = PriorBand().shares(asked, incumbent)
    assert shares.prior > 1e3 * shares.incumbent


def test_no_incumbent_before_the_first_full_training() -> None:
    history = finished(LINE, np.linspace(0, 1, 10)[:, None], list(range(10)), fidelity=9.0)
    history.start(np.array([0.5]), 27.0)
    assert best_full_training(context(LINE, history)) is None
    history.apply(Failed(10, 27.0))
    assert best_full_training(context(LINE, history)) is None, "a failed one is none"
    assert PriorBand().shares(context(LINE, history), None) == Shares(1 / 2, 1 / 2, 0.0)


def test_scores_that_underflow() -> None:
    """In 300 dimensions the best are e^-10000 times likelier under the one than under the other."""
    space = as_space({f"x{i}": uniform(0, 1, prior=(0.0, 0.05)) for i in range(300)})
    history = finished(space, np.array([[0.9] * 300, [0.91] * 300, [0.89] * 300]), [1.0, 2.0, 3.0])
    asked = context(space, history)
    shares = PriorBand().shares(asked, best_full_training(asked))
    assert shares == Shares(pytest.approx(0.5), pytest.approx(0.0), pytest.approx(0.5))


# --- what is drawn ---------------------------------------------------------------------------------------


def test_the_mode_comes_first_and_once() -> None:
    history, mode = History(BELIEVED.dim), BELIEVED.prior.mode
    np.testing.assert_array_equal(PriorBand().suggest(context(BELIEVED, history)), mode)
    history.start(BELIEVED.sample(np.random.default_rng(0), 1)[0], 1.0)
    np.testing.assert_array_equal(PriorBand().suggest(context(BELIEVED, history)), mode, "users' own points go before")
    history.start(mode, 1.0)
    assert not np.array_equal(PriorBand().suggest(context(BELIEVED, history)), mode, equal_nan=True)


def test_half_are_from_the_prior_at_the_foot() -> None:
    """lr has a spread of 0.05 about 0.3: within 0.15 of it are 99.7 % of the prior's and 30 % of the random ones.

    Of 1,000, 649 +- 15 are expected: a false alarm beyond 6 standard deviations has a chance of 2e-9.
    """
    history = finished(BELIEVED, BELIEVED.prior.mode[None, :], [1.0], fidelity=1.0)
    rows = suggestions(BELIEVED, history, 1_000)
    near = int((np.abs(rows[:, 3] - 0.3) < 0.15).sum())
    assert abs(near - 649) < 6 * 15.1


def test_without_priors_it_is_random_and_then_the_incumbent() -> None:
    """A random row shares no coordinate with another; a mutant keeps each of the incumbent's with a chance of 3/8."""
    first = suggestions(SQUARE, History(2), 200)
    assert stats.kstest(first[:, 0], "uniform").pvalue > 1e-7
    rows = SQUARE.sample(np.random.default_rng(0), 60)
    distance = np.linalg.norm(rows - [0.2, 0.8], axis=1)
    history = finished(SQUARE, rows, list(distance))
    later = suggestions(SQUARE, history, 200)
    kept = (later == rows[np.argmin(distance)]).any(axis=1)
    assert kept.sum() > 20
    shares = PriorBand().shares(context(SQUARE, history), best_full_training(context(SQUARE, history)))
    assert shares.prior < shares.incumbent


def test_mutations_change_something_and_categories_to_another() -> None:
    """Three parameters are active, each changes with a chance of 1/2 + 1/2 * 1/3 = 2/3.

    Of 800: 533 +- 13.3, and 267 +- 13.3 for each of the two other kinds: six standard deviations are allowed, a false
    alarm of 2e-9 each.
    """
    row = BELIEVED.encode({"kind": "deep", "depth": 3, "lr": 0.95})
    mutants = np.concatenate([PriorBand()._mutants(BELIEVED, row, np.random.default_rng(seed)) for seed in range(50)])
    assert len(mutants) == 800
    changed = ~((mutants == row) | (np.isnan(mutants) & np.isnan(row)))
    assert changed.any(axis=1).mean() > 0.95, "an integer may come back as it was"
    assert abs(int(changed[:, 3].sum()) - 533) < 6 * 13.3
    kinds = [BELIEVED.decode(mutant)["kind"] for mutant in mutants[changed[:, 0]]]
    assert set(kinds) == {"wide", None}
    assert abs(kinds.count("wide") - 267) < 6 * 13.3


def test_mutants_that_are_all_forbidden_give_way() -> None:
    space = as_space(Space({"c": choice(["a", "b"]), "d": choice(["a", "b"])}, ["c == b", "d == b"]))
    rows = finished(space, np.array([[0.25, 0.25]] * 3), [1.0, 1.0, 1.0])
    assert space.allowed(PriorBand().suggest(context(space, rows))[None, :])[0]


def test_a_small_space_is_used_up_before_anything_comes_twice() -> None:
    space = as_space({"a": choice(["x", "y", "z"], prior="y"), "b": choice([1, 2], prior=2)})
    history, searcher = History(2), PriorBand()
    for i in range(6):
        row = searcher.suggest(context(space, history))
        record(history, row[None, :], [float(i)], 27.0)
    assert len(np.unique(history.X, axis=0)) >= 5
    searcher.suggest(context(space, history))


def test_priors_in_every_kind_of_space() -> None:
    """The contract suite's spaces have no priors: here they have."""
    space = mixed_space()
    document = space.to_json()
    for hp, prior in zip(document["config_space"]["hyperparameters"], ("adam", 0.3, True, 1e-3, 4, 16), strict=False):
        hp["meta"]["prior"] = [prior, "high"]
    believed = SearchSpace.from_json(document)
    assert believed.prior.informed
    rows = believed.prior.sample(np.random.default_rng(0), 200)
    assert believed.allowed(rows).all()
    rows[0] = believed.prior.mode
    history = finished(believed, rows, [float(np.nansum(row)) for row in rows])
    suggestions(believed, history, 100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eta": 1}, "eta, the reduction factor, must be at least 2; got eta=1"),
        ({"mutation_rate": 0}, "mutation_rate must be above 0 and at most 1; got mutation_rate=0"),
        ({"mutation_spread": 1.5}, "mutation_spread must be above 0 and at most 1; got mutation_spread=1.5"),
        ({"mutation_spread": math.nan}, "mutation_spread must be above 0 and at most 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PriorBand(**settings)
