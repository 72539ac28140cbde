"""The densities of TPE against SciPy's truncated normals, sums that must be one, and draws against densities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from strategies.columns import Array
from strategies.models.parzen import Axis, Mixture, centres, flat_bandwidths, indices, shrunk_bandwidths
from strategies.models.prior import ColumnPrior

NUMBER = Axis()
STEPS = Axis(np.array([0.0, 0.4, 0.7, 0.9, 1.0]))
CATEGORY = Axis(np.arange(4) / 3, ordered=False)
AXES = (NUMBER, NUMBER, STEPS, CATEGORY)
Z = np.array([[0.1, 0.95, 0, 2], [0.4, 0.02, 3, 0], [0.5, np.nan, 1, 2], [np.nan, np.nan, 1, 1]])
H = np.array([0.1, 0.03, 0.2, 1.0])
B, PRIOR = 0.25, 1.5
MIXTURE = Mixture(AXES, Z, H, PRIOR, B)
BELIEVED = (
    Axis(prior=ColumnPrior(0.3, 0.1)),
    NUMBER,
    Axis(STEPS.edges, prior=ColumnPrior(0.8, 0.25)),
    Axis(CATEGORY.edges, ordered=False, prior=ColumnPrior(0.5, 0.25, 3)),
)
both = pytest.mark.parametrize("axes", [AXES, BELIEVED], ids=["uniform", "believed"])


def truncated(z: float, h: float) -> stats.rv_continuous:
    return stats.truncnorm(-z / h, (1 - z) / h, loc=z, scale=h)


def chance(axis: Axis, x: float) -> float:
    """What is believed of one axis, written down plainly."""
    prior, edges = axis.prior, axis.edges
    if not axis.ordered:
        return 1 / 3 if prior is None else (1 if x == 1 else prior.spread) / (1 + 2 * prior.spread)
    believed = stats.uniform if prior is None else truncated(prior.centre, prior.spread)
    return float(believed.pdf(x) if edges is None else believed.cdf(edges[int(x) + 1]) - believed.cdf(edges[int(x)]))


def kernel(axis: Axis, x: float, z: float, h: float) -> float:
    """One factor, written down plainly."""
    if math.isnan(z):
        return chance(axis, x)
    if not axis.ordered:
        return (float(x == z) + 3 * B * chance(axis, x)) / (1 + 3 * B)
    edges = axis.edges
    if edges is None:
        return float(truncated(z, h).pdf(x))
    cdf = truncated(float(edges[int(z)] + edges[int(z) + 1]) / 2, h).cdf
    return float(cdf(edges[int(x) + 1]) - cdf(edges[int(x)]))


def density(axes: tuple[Axis, ...], x: Array) -> float:
    active = np.flatnonzero(~np.isnan(x))
    rows = [*Z, np.full(4, np.nan)]
    weights = [1.0] * len(Z) + [PRIOR]
    products = [math.prod(kernel(axes[j], x[j], row[j], H[j]) for j in active) for row in rows]
    return float(np.dot(weights, products) / sum(weights))


@both
def test_density_is_that_of_scipy(axes: tuple[Axis, ...]) -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.random(60), rng.random(60), rng.integers(4, size=60), rng.integers(3, size=60)])
    X[20:40, 1] = np.nan
    X[30:50, 2] = np.nan
    X[45:50, 3] = np.nan
    logs = Mixture(axes, Z, H, PRIOR, B).logpdf(X)
    np.testing.assert_allclose(logs, [math.log(density(axes, x)) for x in X], rtol=1e-10)


@both
def test_single_kernels_are_those_of_scipy(axes: tuple[Axis, ...]) -> None:
    X = np.array([[0.3, 0.9, 2, 1], [0.3, np.nan, 0, 2]])
    expected = [
        [sum(math.log(kernel(axes[j], x[j], z[j], H[j])) for j in np.flatnonzero(~np.isnan(x))) for x in X] for z in Z
    ]
    mixture = Mixture(axes, Z, H, PRIOR, B)
    np.testing.assert_allclose(mixture.log_kernels(X) + mixture.log_height, expected, rtol=1e-9)


def test_integrates_to_one() -> None:
    mixture = Mixture((NUMBER, STEPS, CATEGORY), Z[:, [0, 2, 3]], H[[0, 2, 3]], PRIOR, B)

    def marginal(x: float) -> float:
        X = np.array([[x, step, category] for step, category in itertools.product(range(4), range(3))])
        return float(np.exp(mixture.logpdf(X)).sum())

    assert quad(marginal, 0, 1, epsabs=1e-10)[0] == pytest.approx(1, abs=1e-8)


def test_integrates_to_one_over_all_active_sets() -> None:
    """Axis 1 exists where axis 0 is below 0.3: the two parts of the space add up."""
    mixture = Mixture((NUMBER, NUMBER), np.array([[0.2, 0.7], [0.6, np.nan]]), np.array([0.2, 0.1]), 1.0, B)
    grid = (np.arange(4000) + 0.5) / 4000
    without = np.column_stack([grid[grid >= 0.3], np.full((grid >= 0.3).sum(), np.nan)])
    coarse = (np.arange(200) + 0.5) / 200
    both = np.array(list(itertools.product(coarse[coarse < 0.3], coarse)))
    total = np.exp(mixture.logpdf(without)).sum() / 4000 + np.exp(mixture.logpdf(both)).sum() / 200**2
    assert total == pytest.approx(1, abs=1e-4)


@both
def test_draws_have_the_density(axes: tuple[Axis, ...]) -> None:
    """Kolmogorov-Smirnov and chi-square tests; each has a false-alarm probability of 1e-7, all together 8e-7."""
    mixture = Mixture(axes, Z[:3], H, PRIOR, B)
    X, kernels = mixture.draw(np.random.default_rng(0), 20_000)
    assert not np.isnan(X).any()
    assert kernels.max() == 3
    weights = np.array([1, 1, 1, PRIOR]) / (3 + PRIOR)
    for j in (0, 1):
        prior = axes[j].prior
        believed = stats.uniform if prior is None else truncated(prior.centre, prior.spread)
        parts = [believed if math.isnan(z) else truncated(z, H[j]) for z in [*Z[:3, j], math.nan]]
        cdf = lambda x, parts=parts: sum(w * part.cdf(x) for w, part in zip(weights, parts, strict=True))  # noqa: E731
        assert stats.kstest(X[:, j], cdf).pvalue > 1e-7
    for j in (2, 3):
        shares = [
            sum(w * kernel(axes[j], k, z, H[j]) for w, z in zip(weights, [*Z[:3, j], math.nan], strict=True))
            for k in range(axes[j].size)
        ]
        counts = np.bincount(X[:, j].astype(int), minlength=axes[j].size)
        assert stats.chisquare(counts, np.array(shares) * len(X)).pvalue > 1e-7


def test_draws_stay_at_their_kernel() -> None:
    X, kernels = MIXTURE.draw(np.random.default_rng(1), 500)
    of_first = X[kernels == 0]
    assert len(of_first)
    assert np.abs(of_first[:, 1] - 0.95).max() < 6 * 0.03
    assert (X[:, :2] >= 0).all()
    assert (X[:, :2] <= 1).all()


def test_far_points_and_many_axes_are_finite() -> None:
    d = 300
    mixture = Mixture((NUMBER,) * d, np.zeros((2, d)), np.full(d, 0.01), 1.0, B)
    logs = mixture.logpdf(np.array([np.ones(d), np.zeros(d)]))
    assert logs[0] == pytest.approx(-math.log(3)), "the prior alone"
    assert logs[1] == pytest.approx(d * truncated(0.0, 0.01).logpdf(0.0) + math.log(2 / 3))


def test_no_kernels_but_the_prior() -> None:
    mixture = Mixture(AXES, np.empty((0, 4)), H, 1.0, B)
    X, kernels = mixture.draw(np.random.default_rng(0), 10)
    assert (kernels == 0).all()
    np.testing.assert_allclose(
        mixture.logpdf(X), [math.log(kernel(STEPS, x[2], math.nan, 1.0) / 3) for x in X], rtol=1e-12
    )


def test_bandwidths() -> None:
    points = np.array([[0.2, np.nan], [0.4, np.nan], [0.6, 0.5]])
    s = np.sqrt(np.array([(0.04 + 0.04 + 1 / 12) / 4, (1 / 12) / 2]))
    expected = 0.7 * 1.06 * s * np.array([4.0, 2.0]) ** (-1 / 6)
    np.testing.assert_allclose(shrunk_bandwidths(points, 0.7, 1e-3), expected)
    assert shrunk_bandwidths(points, 0.7, 0.5).tolist() == [0.5, 0.5]
    np.testing.assert_allclose(flat_bandwidths(100, 4, 0.15, 0.01), 0.15 * 100 ** (-1 / 8))
    assert flat_bandwidths(100, 4, 0.15, 0.2).tolist() == [0.2] * 4


def test_indices_and_centres() -> None:
    U = np.array([[0.3, 0.3, 0.4, 0.99], [1.0, 0.0, 1.0, 0.0], [np.nan] * 4])
    points = indices(AXES, U)
    np.testing.assert_array_equal(points, [[0.3, 0.3, 1, 2], [1.0, 0.0, 3, 0], [np.nan] * 4])
    np.testing.assert_allclose(centres(AXES, points), [[0.3, 0.3, 0.55, 5 / 6], [1, 0, 0.95, 1 / 6], [np.nan] * 4])
    np.testing.assert_array_equal(indices(AXES, centres(AXES, points)), points)
