"""The densities of priors against SciPy's truncated normals, mpmath in the tails, and weights worked out by hand."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from strategies.models.prior import ColumnPrior

U = np.linspace(0, 1, 41)
CENTRES = pytest.mark.parametrize("centre", [0.0, 0.3, 0.97, 1.0])
WIDTHS = pytest.mark.parametrize("spread", [0.01, 0.125, 0.5, 1.0])


def truncated(centre: float, spread: float) -> stats.rv_continuous:
    return stats.truncnorm(-centre / spread, (1 - centre) / spread, loc=centre, scale=spread)


@CENTRES
@WIDTHS
def test_numbers_are_scipys_truncated_normal(centre: float, spread: float) -> None:
    prior, expected = ColumnPrior(centre, spread), truncated(centre, spread)
    np.testing.assert_allclose(prior.logpdf(U), expected.logpdf(U), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(prior.warp(U[:-1]), expected.ppf(U[:-1]), atol=1e-9)


@CENTRES
@WIDTHS
def test_bins_hold_the_mean_density(centre: float, spread: float) -> None:
    edges = np.array([0.0, 0.05, 0.3, 0.31, 0.8, 1.0])
    logs = ColumnPrior(centre, spread).log_bins(edges[:-1], edges[1:])
    assert np.isfinite(logs).all()
    chances = np.exp(logs) * np.diff(edges)
    np.testing.assert_allclose(chances, np.diff(truncated(centre, spread).cdf(edges)), atol=1e-9)
    assert chances.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_bins_far_from_a_narrow_prior(centre: float) -> None:
    """500 to 600 standard deviations away, where the normal's mass is about e^-125000."""
    low, high = (0.5, 0.6) if centre == 0 else (0.4, 0.5)
    with mpmath.workdps(60):
        a, b = ((mpmath.mpf(x) - centre) / mpmath.mpf("0.001") for x in (low, high))
        mass = abs(mpmath.ncdf(-abs(a)) - mpmath.ncdf(-abs(b)))
        expected = float(mpmath.log(mass) - mpmath.log(mpmath.mpf("0.5")) - mpmath.log(mpmath.mpf(high) - low))
    (found,) = ColumnPrior(centre, 0.001).log_bins(np.array([low]), np.array([high]))
    assert found == pytest.approx(expected, rel=1e-12)


def test_categories_by_hand() -> None:
    """Of four options, medium: the second weighs 1, each other one 1/4, all 7/4. Uniform chances are 1/4."""
    prior = ColumnPrior(centre=0.375, spread=0.25, categories=4)
    np.testing.assert_allclose(np.exp(prior.log_options), [1 / 7, 4 / 7, 1 / 7, 1 / 7])
    middles = np.array([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(np.exp(prior.logpdf(middles)), [4 / 7, 16 / 7, 4 / 7, 4 / 7])
    drawn = prior.warp(np.array([0.0, 0.9 / 7, 1.1 / 7, 4.9 / 7, 5.1 / 7, 6.1 / 7, 1.0]))
    np.testing.assert_allclose(drawn, middles[[0, 0, 1, 1, 2, 3, 3]])


def test_a_spread_of_one_leaves_categories_alike() -> None:
    np.testing.assert_allclose(ColumnPrior(0.5, 1.0, 3).logpdf(np.array([0.1, 0.5, 0.9])), 0.0, atol=1e-15)


def test_the_centre_of_a_number_is_its_mode() -> None:
    prior = ColumnPrior(0.3, 0.125)
    assert U[np.argmax(prior.logpdf(U))] == pytest.approx(0.3)
    assert math.exp(prior.logpdf(np.array([0.3]))[0]) == pytest.approx(0.3989 / 0.125 / 0.9918, rel=1e-3)
