"""What users believe of a space: how it is written, what it says of rows, and that it survives every way round."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
from collections.abc import Callable
from typing import Any

import ConfigSpace
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from ray import tune
from scipy import stats

from strategies.columns import Array
from strategies.domains import (
    Domain,
    Prior,
    Space,
    choice,
    lograndint,
    loguniform,
    ordinal,
    qlograndint,
    qloguniform,
    qrandint,
    quniform,
    randint,
    uniform,
)
from strategies.errors import InvalidInput
from strategies.space import SearchSpace
from strategies.space_builder import as_space

from ray_hpo.spaces import to_space
from tests.strategies.test_space import float_domains, int_domains

EVERYTHING = {
    "uniform": uniform(-1, 3, prior=0.5),
    "quniform": quniform(0, 1, 0.1, prior=(0.3, "low")),
    "loguniform": loguniform(1e-5, 1e-1, prior=(1e-3, "high")),
    "qloguniform": qloguniform(0.1, 10, 0.1, prior=(2.5, 0.05)),
    "randint": randint(1, 9, prior=8),
    "qrandint": qrandint(8, 64, 8, prior=16),
    "lograndint": lograndint(1, 1000, prior=(30, "high")),
    "qlograndint": qlograndint(8, 64, 8, prior=64),
    "choice": choice(["a", None, [1, 2]], prior=(None, "high")),
    "ordinal": ordinal(["s", "m", "l"], prior="m"),
    "plain": uniform(0, 1),
}


def conditional(belief: Any = ("x", "medium")) -> SearchSpace:
    """Two free columns; the rows x1, x2, x3 have a chance of 1/6 each, y of 1/2."""
    return as_space({"a": choice(["x", "y"], prior=belief), "b": choice([1, 2, 3], prior=3).when(a="x"), "k": "fixed"})


# --- how it is written -----------------------------------------------------------------------------------


def test_a_value_has_medium_confidence_and_a_pair_says_which() -> None:
    assert uniform(0, 1, prior=0.3).prior == Prior(0.3, "medium")
    assert uniform(0, 1, prior=(0.3, "high")).prior == Prior(0.3, "high")
    assert uniform(0, 1, prior=(0.3, 0.07)).prior == Prior(0.3, 0.07)
    assert uniform(0, 1).prior is None
    assert choice([None, 1], prior=None).prior is None
    assert choice([None, 1], prior=(None, "low")).prior == Prior(None, "low")
    assert choice([[1, 2], [3]], prior=[1, 2]).prior == Prior([1, 2], "medium"), "a list is a value, a tuple a pair"
    assert repr(choice([1, 2.5], prior=1.0).prior) == repr(Prior(1, "medium")), "the option itself"
    assert [Prior(0, confidence).spread for confidence in ("low", "medium", "high", 0.07)] == [0.5, 0.25, 0.125, 0.07]


def test_conditions_leave_the_prior_alone() -> None:
    domain = uniform(0, 1, prior=(0.3, "high"))
    assert domain.when(optimizer="sgd").when("layers > 2").prior == domain.prior


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform(0, 1, prior=2), "uniform: prior must be between 0 and 1; got prior=2"),
        (lambda: loguniform(1e-5, 1, prior=0), "loguniform: prior must be between 1e-05 and 1; got prior=0"),
        (lambda: uniform(0, 1, prior="high"), "uniform: prior must be a finite number; got prior='high'"),
        (lambda: uniform(0, 1, prior=float("nan")), "uniform: prior must be a finite number; got prior=nan"),
        (lambda: quniform(0, 1, 0.1, prior=0.25), "quniform: prior must be a multiple of q=0.1; got prior=0.25"),
        (lambda: randint(1, 5, prior=5), "randint: prior must be between 1 and 4; got prior=5"),
        (lambda: lograndint(1, 5, prior=1.5), "lograndint: prior must be a whole number; got prior=1.5"),
        (lambda: qrandint(8, 64, 8, prior=12), "qrandint: prior must be a multiple of q=8; got prior=12"),
        (lambda: choice(["a", "b"], prior="c"), "choice: prior must be one of ['a', 'b']; got prior='c'"),
        (lambda: choice([1, 2], prior=True), "choice: prior must be one of [1, 2]; got prior=True"),
        (lambda: ordinal([1, 2], prior=3), "ordinal: prior must be one of [1, 2]; got prior=3"),
        (
            lambda: uniform(0, 1, prior=(0.5, "x")),
            "uniform: the confidence in a prior must be 'low', 'medium', 'high' or a spread from 0.001 to 1; got 'x'",
        ),
        (
            lambda: choice([1, 2], prior=(1, 1.5)),
            "choice: the confidence in a prior must be 'low', 'medium', 'high' or a spread from 0.001 to 1; got 1.5",
        ),
        (
            lambda: uniform(0, 1, prior=(0.5, "low", 1)),
            "uniform: prior must be a value or a pair (value, confidence); got prior=(0.5, 'low', 1)",
        ),
    ],
)
def test_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        make()
    assert str(error.value) == message


def test_priors_that_contradict_the_forbidden_clauses() -> None:
    with pytest.raises(InvalidInput) as error:
        as_space(Space({"lr": uniform(0, 1, prior=(0.9, 0.01)), "x": uniform(0, 1)}, ["lr > 0.5"]))
    assert str(error.value) == (
        "prior: what the priors of lr make likely is forbidden (1000 of 1000 draws); "
        "move them, or loosen one of: lr > 0.5"
    )


# --- every way round -------------------------------------------------------------------------------------


def test_round_trips() -> None:
    space = as_space(EVERYTHING)
    again = SearchSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert pickle.loads(pickle.dumps(space)) == space
    assert [column.prior for column in again.columns] == [domain.prior for domain in EVERYTHING.values()]
    np.testing.assert_array_equal(again.prior.mode, space.prior.mode)


def test_without_priors_the_document_is_what_it_was() -> None:
    assert '"prior"' not in json.dumps(as_space({"x": uniform(0, 1), "c": choice([1, 2])}).to_json())


def test_the_space_shows_and_compares_its_priors() -> None:
    space = as_space({"lr": loguniform(1e-5, 0.1, prior=0.01), "c": choice([1, None], prior=(None, "medium"))})
    assert (
        repr(space) == "SearchSpace(lr=loguniform(1e-05, 0.1, prior=0.01), c=choice([1, None], prior=(None, 'medium')))"
    )
    other = as_space({"lr": loguniform(1e-5, 0.1, prior=(0.01, "high")), "c": choice([1, None])})
    assert space.difference(other) == [
        "lr: loguniform(1e-05, 0.1, prior=0.01) -> loguniform(1e-05, 0.1, prior=(0.01, 'high'))",
        "c: choice([1, None], prior=(None, 'medium')) -> choice([1, None])",
    ]


def test_among_ray_tunes_domains_and_in_groups() -> None:
    space = to_space({"model": {"lr": loguniform(1e-5, 1, prior=1e-3), "width": tune.randint(1, 9)}})
    assert space.columns[0].prior == Prior(1e-3, "medium")
    assert space.columns[1].prior is None


def test_a_range_of_one_value_needs_no_prior() -> None:
    space = as_space({"one": randint(1, 2, prior=1), "only": choice(["a"], prior="a"), "x": uniform(0, 1)})
    assert not space.prior.informed
    np.testing.assert_array_equal(space.prior.logpdf(space.sample(np.random.default_rng(0), 5)), 0.0)


def test_configspaces_default_is_no_prior_and_its_meta_data_may_hold_one() -> None:
    theirs = ConfigSpace.ConfigurationSpace()
    theirs.add(
        ConfigSpace.UniformFloatHyperparameter("default", 0, 1, default_value=0.9),
        ConfigSpace.UniformFloatHyperparameter("float", 1e-3, 1, log=True, meta={"prior": [0.1, "high"]}),
        ConfigSpace.UniformIntegerHyperparameter("int", 1, 8, meta={"prior": 3}),
        ConfigSpace.CategoricalHyperparameter("choice", ["a", "b"], meta={"prior": ("b", 0.1)}),
        ConfigSpace.OrdinalHyperparameter("ordinal", ["s", "m"], meta={"prior": "m"}),
    )
    space = as_space(theirs)
    assert {column.name: column.prior for column in space.columns} == {
        "default": None,
        "float": Prior(0.1, "high"),
        "int": Prior(3, "medium"),
        "choice": Prior("b", 0.1),
        "ordinal": Prior("m", "medium"),
    }
    assert as_space(space.config_space) == space
    wrong = ConfigSpace.UniformFloatHyperparameter("lr", 0, 1, meta={"prior": 3})
    with pytest.raises(InvalidInput, match=r"^lr: uniform: prior must be between 0 and 1; got prior=3$"):
        as_space(ConfigSpace.ConfigurationSpace(space=[wrong]))


# --- what it says of rows --------------------------------------------------------------------------------


def row_of(space: SearchSpace, **config: Any) -> Array:
    return space.encode(config)[None, :]


def test_a_log_domain_is_normal_in_its_logarithm() -> None:
    space = as_space({"lr": loguniform(1e-4, 1, prior=(1e-3, "high")), "other": uniform(0, 1)})
    for lr, u in ((1e-4, 0.0), (1e-3, 0.25), (1e-2, 0.5), (1.0, 1.0)):
        expected = stats.truncnorm.logpdf(u, -2, 6, loc=0.25, scale=0.125)
        assert space.prior.logpdf(row_of(space, lr=lr, other=0.7))[0] == pytest.approx(expected, rel=1e-9)


def test_integers_are_integrated_over_their_bins() -> None:
    space = as_space({"k": randint(0, 4, prior=(3, "low"))})
    cdf = stats.truncnorm(-0.875 / 0.5, 0.125 / 0.5, loc=0.875, scale=0.5).cdf
    for k in range(4):
        expected = np.log((cdf((k + 1) / 4) - cdf(k / 4)) * 4)
        assert space.prior.logpdf(row_of(space, k=k))[0] == pytest.approx(expected, rel=1e-9)


def test_only_active_parameters_count_by_hand() -> None:
    """a: x weighs 1 and y 1/4: 4/5 and 1/5 where chance has 1/2. b: 3 weighs 1 of 3/2: 2/3 where chance has 1/3."""
    space = conditional()
    rows = np.concatenate([row_of(space, a="x", b=3), row_of(space, a="x", b=1), row_of(space, a="y")])
    np.testing.assert_allclose(np.exp(space.prior.logpdf(rows)), [8 / 5 * 2, 8 / 5 / 2, 2 / 5])
    chances = np.array([1 / 6, 2 / 6, 1 / 2])  # of (x, 3), of (x, 1) and (x, 2), of y
    assert chances @ np.exp(space.prior.logpdf(rows)) == pytest.approx(1), "a distribution over all active sets"


def test_draws_follow_the_density() -> None:
    """Three chi-square tests, each with a false-alarm probability of 1e-7."""
    space = as_space(EVERYTHING)
    rows = space.prior.sample(np.random.default_rng(0), 20_000)
    np.testing.assert_array_equal(space.canonical(rows), rows)
    column = {name: j for j, name in enumerate(space.names)}
    for name in ("randint", "choice"):
        j = column[name]
        seen, counts = np.unique(rows[:, j], return_counts=True)
        alone = np.tile(rows[0], (len(seen), 1))
        alone[:, j] = seen
        logs = space.prior.logpdf(alone)
        chances = np.exp(logs - logs.max())
        assert len(seen) == space.columns[j].n_values
        assert stats.chisquare(counts, counts.sum() * chances / chances.sum()).pvalue > 1e-7
    lr = rows[:, column["loguniform"]]
    ranks = stats.truncnorm.cdf(lr, -4, 4, loc=0.5, scale=0.125)
    assert stats.chisquare(np.histogram(ranks, bins=20, range=(0, 1))[0]).pvalue > 1e-7


def test_draws_follow_the_density_under_conditions() -> None:
    """A chi-square test over the four rows, with a false-alarm probability of 1e-7."""
    space = conditional()
    rows = space.prior.sample(np.random.default_rng(0), 10_000)
    chances = {("x", 1): 4 / 30, ("x", 2): 4 / 30, ("x", 3): 16 / 30, ("y", None): 1 / 5}
    configs = [(config["a"], config.get("b")) for config in map(space.decode, rows)]
    counts = [configs.count(row) for row in chances]
    assert stats.chisquare(counts, 10_000 * np.array(list(chances.values()))).pvalue > 1e-7


def test_draws_are_allowed() -> None:
    space = as_space(Space({"x": uniform(0, 1, prior=(0.6, "high")), "y": uniform(0, 1)}, ["x > 0.5"]))
    rows = space.prior.sample(np.random.default_rng(0), 500)
    assert space.allowed(rows).all()
    assert rows[:, 0].mean() > 0.35, "by chance it would be 0.25"


def test_the_mode() -> None:
    space = as_space(EVERYTHING)
    mode = space.decode(space.prior.mode)
    assert mode.pop("plain") == 0.5
    assert mode == {name: domain.prior.value for name, domain in EVERYTHING.items() if domain.prior}
    other = conditional("y")
    assert other.decode(other.prior.mode) == {"a": "y", "k": "fixed"}


def test_a_forbidden_mode_gives_way_to_the_likeliest_that_is_allowed() -> None:
    space = as_space(Space({"x": uniform(0, 1, prior=0.6), "c": choice([1, 2], prior=1)}, ["x > 0.5 and c == 1"]))
    mode = space.prior.mode
    assert space.allowed(mode[None, :])[0]
    some = space.sample(np.random.default_rng(1), 200)
    assert space.prior.logpdf(mode[None, :])[0] > np.quantile(space.prior.logpdf(some), 0.95)


@settings(max_examples=100, deadline=None)
@given(st.one_of(float_domains(), int_domains()), st.floats(0, 1), st.sampled_from(["low", "high", 0.001, 1.0]))
def test_any_value_of_any_domain_can_be_believed_in(domain: Domain, u: float, confidence: str | float) -> None:
    plain = as_space({"x": domain})
    value = plain.decode(plain.canonical(np.array([[u]]))[0])["x"]
    space = as_space({"x": dataclasses.replace(domain, prior=(value, confidence))})
    assert space.decode(space.prior.mode) == {"x": value}
    rows = space.sample(np.random.default_rng(0), 20)
    assert np.isfinite(space.prior.logpdf(rows)).all()
    drawn = space.prior.sample(np.random.default_rng(0), 20)
    np.testing.assert_array_equal(space.canonical(drawn), drawn)
    assert space.prior.logpdf(drawn).mean() >= space.prior.logpdf(rows).mean() - 1


@pytest.mark.parametrize("value", [1e10 / 3, 2e10 / 3])
def test_a_bound_can_be_believed_in_although_it_is_rounded(value: float) -> None:
    space = as_space({"x": uniform(1e10 / 3, 2e10 / 3, prior=value)})
    assert space.decode(space.prior.mode)["x"] == pytest.approx(value)


def test_nothing_is_believed_without_priors() -> None:
    space = as_space({"x": uniform(0, 1), "c": choice([1, 2])})
    rows = space.sample(np.random.default_rng(0), 10)
    assert not space.prior.informed
    np.testing.assert_array_equal(space.prior.logpdf(rows), 0.0)
    np.testing.assert_array_equal(space.prior.sample(np.random.default_rng(0), 10), rows)


def test_around_a_row_keeps_the_spreads() -> None:
    space = as_space({"x": uniform(0, 1, prior=(0.9, "high")), "y": uniform(0, 1), "c": choice([1, 2, 3])})
    moved = space.prior.around(row_of(space, x=0.2, y=0.4, c=3)[0])
    expected = (
        stats.truncnorm.logpdf(0.3, -0.2 / 0.125, 0.8 / 0.125, loc=0.2, scale=0.125)
        + stats.truncnorm.logpdf(0.5, -0.4 / 0.25, 0.6 / 0.25, loc=0.4, scale=0.25)
        + np.log(3 * 4 / 6)
    )
    assert moved.logpdf(row_of(space, x=0.3, y=0.5, c=3))[0] == pytest.approx(expected)


def test_around_a_row_leaves_what_is_inactive_there() -> None:
    space = conditional()
    moved = space.prior.around(row_of(space, a="y")[0])
    rows = [row_of(space, a="x", b=b) for b in (1, 3)]
    assert moved.logpdf(rows[0]) == moved.logpdf(rows[1])


def test_every_kind_has_a_density_of_mean_one() -> None:
    """Against uniform draws: a mean over 20,000 of them, within six standard errors of 1 (a false alarm: 1e-8 each)."""
    for (name, domain), seed in zip(EVERYTHING.items(), itertools.count()):
        space = as_space({name: domain})
        densities = np.exp(space.prior.logpdf(space.sample(np.random.default_rng(seed), 20_000)))
        assert abs(densities.mean() - 1) <= 6 * densities.std() / np.sqrt(20_000) + 1e-3, name
