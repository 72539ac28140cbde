"""The densities against statsmodels, which BOHB uses, and against what a density must be."""

import itertools
import warnings

import numpy as np
import pytest
from statsmodels.nonparametric.kernel_density import KDEMultivariate

from strategies.models.kde import (
    Array,
    Density,
    Levels,
    clip_bandwidths,
    impute,
    log_mixture,
    normal_reference,
    truncated_normal,
)

MIXED = np.array([0, 3, 0, 2])


def points(rng: np.random.Generator, n: int, levels: Levels) -> Array:
    """Random points in which every category occurs."""
    Z = rng.random((n, len(levels)))
    for j in np.flatnonzero(levels):
        Z[:, j] = rng.permutation(np.arange(n) % levels[j])
    return Z


def statsmodels(Z: Array, levels: Levels, h: Array | None = None) -> KDEMultivariate:
    kinds = "".join("u" if K else "c" for K in levels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return KDEMultivariate(Z, kinds, bw="normal_reference" if h is None else h)


@pytest.mark.parametrize("levels", [np.array([0]), np.array([0, 0, 0]), np.array([2, 4]), MIXED], ids=str)
@pytest.mark.parametrize("n", [8, 200])
def test_equals_statsmodels(levels: Levels, n: int) -> None:
    rng = np.random.default_rng(n)
    Z, x = points(rng, n, levels), points(rng, 50, levels)
    reference = statsmodels(Z, levels)
    np.testing.assert_allclose(normal_reference(Z), reference.bw, rtol=1e-12)
    density = Density.fit(Z, levels, 1e-3)
    reference.bw = density.bandwidths
    np.testing.assert_allclose(np.exp(density.logpdf(x)), reference.pdf(x), rtol=1e-9)


def test_equals_statsmodels_at_narrow_bandwidths() -> None:
    rng = np.random.default_rng(1)
    Z, h = points(rng, 100, MIXED), np.array([1e-3, 1e-3, 0.02, 0.4])
    x = Z[:30] + np.where(MIXED > 0, 0, rng.normal(scale=2e-3, size=(30, 4)))
    np.testing.assert_allclose(
        np.exp(Density(Z, h, MIXED).logpdf(x)), statsmodels(Z, MIXED, h).pdf(x), rtol=1e-8, atol=1e-300
    )


def test_categories_are_a_distribution_even_where_the_data_hold_one_only() -> None:
    levels = np.array([3, 5])
    density = Density.fit(np.array([[1.0, 0.0], [1.0, 4.0], [1.0, 4.0]]), levels, 1e-3)
    everywhere = np.array(list(itertools.product(range(3), range(5))), dtype=float)
    probabilities = np.exp(density.logpdf(everywhere))
    assert probabilities.sum() == pytest.approx(1)
    assert everywhere[np.argmax(probabilities)].tolist() == [1, 4] or density.bandwidths[1] == pytest.approx(0.8)


def test_integrates_to_one_over_numbers() -> None:
    Z = np.random.default_rng(0).random((20, 1))
    grid = np.linspace(-3, 4, 20001)
    density = np.exp(Density.fit(Z, np.array([0]), 1e-3).logpdf(grid[:, None]))
    assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1)


def test_bandwidths_are_clipped() -> None:
    levels = np.array([0, 0, 2, 5])
    clipped = clip_bandwidths(np.array([0.0, 3.0, 0.0, 2.0]), levels, 1e-3)
    assert clipped.tolist() == pytest.approx([1e-3, 3.0, 1e-3, 0.8])


def test_a_capped_category_says_nothing() -> None:
    levels = np.array([4])
    density = Density.fit(np.array([[0.0], [0.0], [3.0], [3.0]]), levels, 1e-3)
    assert density.bandwidths[0] == pytest.approx(0.75)
    np.testing.assert_allclose(np.exp(density.logpdf(np.arange(4.0)[:, None])), 0.25)


def test_no_overflow_and_no_underflow() -> None:
    d = 400
    density = Density(np.zeros((3, d)), np.full(d, 1e-3), np.zeros(d, dtype=np.intp))
    logs = density.logpdf(np.stack([np.zeros(d), np.ones(d)]))
    assert np.isfinite(logs).all()
    assert logs[0] == pytest.approx(d * np.log(1e3 / np.sqrt(2 * np.pi)))


def test_the_mixture_is_that_of_the_densities() -> None:
    f, g = np.log([0.5, 2.0]), np.log([1.0, 1e-9])
    np.testing.assert_allclose(np.exp(log_mixture(f, g, 0.25)), [0.625, 1.5], rtol=1e-8)


def test_imputes_every_column_from_donors_that_have_it() -> None:
    nan = np.nan
    Z = np.array([[nan, 0.1, 2.0], [0.2, nan, nan], [0.3, 0.4, nan], [nan, nan, 1.0], [0.5, 0.6, nan]])
    filled = impute(Z, np.array([0, 0, 3]), np.random.default_rng(0))
    assert np.isnan(Z).sum() == 7, "the argument is not changed"
    known = ~np.isnan(Z)
    assert np.array_equal(filled[known], Z[known])
    for j in range(3):
        assert set(filled[:, j]) <= set(Z[known[:, j], j])


def test_imputes_at_random_where_nobody_has_a_value() -> None:
    Z = np.full((2000, 2), np.nan)
    filled = impute(Z, np.array([0, 3]), np.random.default_rng(0))
    assert ((filled[:, 0] >= 0) & (filled[:, 0] < 1)).all()
    assert set(filled[:, 1]) == {0.0, 1.0, 2.0}
    assert filled[:, 0].std() == pytest.approx(12**-0.5, rel=0.1)


def test_imputes_together_what_is_missing_together() -> None:
    """Columns 1 and 2 are active together: what is filled in keeps their relation."""
    rng = np.random.default_rng(0)
    Z = np.stack([rng.random(100), rng.random(100), np.zeros(100)], axis=1)
    Z[:, 2] = 1 - Z[:, 1]
    Z[::2, 1:] = np.nan
    filled = impute(Z, np.zeros(3, dtype=np.intp), rng)
    np.testing.assert_allclose(filled[:, 1] + filled[:, 2], 1)


def test_imputes_from_given_donors() -> None:
    filled = impute(np.array([[np.nan, 0.5]]), np.array([0, 0]), np.random.default_rng(0), np.array([[0.125, 0.25]]))
    assert filled.tolist() == [[0.125, 0.5]]


def test_truncated_normal() -> None:
    """Each Kolmogorov-Smirnov test has the false-alarm probability 1e-7."""
    from scipy.stats import kstest, truncnorm

    mean, scale = np.array([0.0, 1.0, 0.4, 0.999]), np.array([0.003, 2.0, 0.3, 0.01])
    draws = truncated_normal(np.tile(mean, (5000, 1)), scale, np.random.default_rng(0))
    assert draws.min() >= 0
    assert draws.max() <= 1
    for j in range(4):
        expected = truncnorm(-mean[j] / scale[j], (1 - mean[j]) / scale[j], mean[j], scale[j])
        assert kstest(draws[:, j], expected.cdf).pvalue > 1e-7
