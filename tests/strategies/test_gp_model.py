"""The numerics of the Gaussian process, each against an independent computation; and the output warping."""

import dataclasses
import math

import numpy as np
import pytest

from strategies.models import gp
from strategies.models.gp import Array, Embedded, Features, Hyper, Objective
from strategies.models.posterior import Posterior
from strategies.models.warping import half_rank, rank_normal

# number, category, optional number, number, optional category
MIXED = Features(np.array([0, 3, 0, 0, 2]), np.array([False, False, True, False, True]))
NUMBERS = Features(np.zeros(2, dtype=np.intp), np.zeros(2, dtype=np.bool_))
CATEGORIES = Features(np.array([3, 4]), np.array([False, False]))
NOTHING_OPTIONAL = [NUMBERS, CATEGORIES]
GRADED = dataclasses.replace(MIXED, graded=True)
ALL = pytest.mark.parametrize(
    "features", [MIXED, *NOTHING_OPTIONAL, GRADED], ids=["mixed", "numbers", "categories", "graded"]
)


def points(features: Features, n: int, seed: int = 0) -> Array:
    """(n, d + 1): points, and last the rung of each."""
    rng = np.random.default_rng(seed)
    Z = np.where(features.is_number, rng.random((n, len(features.levels))), 0.0)
    for j in np.flatnonzero(~features.is_number):
        Z[:, j] = rng.integers(features.levels[j], size=n)
    Z[np.ix_(rng.random(n) < 0.4, features.optional)] = np.nan
    return np.column_stack([Z, rng.integers(4, size=n)])


def embed(features: Features, Z: Array) -> Embedded:
    return features.embed(Z[:, :-1], Z[:, -1])


def some_theta(features: Features, seed: int = 0) -> Array:
    mean, std = gp.prior(features)
    return mean + 0.5 * std * np.random.default_rng(seed).standard_normal(len(mean))


def kernel_by_hand(features: Features, theta: Array, p: Array, q: Array) -> float:
    """The formula of the module, pair by pair."""
    hyper = Hyper.of(theta, features)
    squares = mismatches = 0.0
    number = category = 0
    groups = len(hyper.w)
    for j, level in enumerate(features.levels):
        here, there = np.isnan(p[j]), np.isnan(q[j])
        if level:
            differ = here != there or (not here and p[j] != q[j])
            mismatches += hyper.w[category] * differ
            category += 1
        else:
            a, b, v = hyper.a[number], hyper.b[number], hyper.v[number]
            x, z = (1 - (1 - (0.5 if np.isnan(t) else t) ** a) ** b for t in (p[j], q[j]))
            squares += v * (x - z) ** 2
            if here != there:
                mismatches += hyper.w[groups - 1]
            number += 1
    r = math.sqrt(5 * squares)
    kernel = hyper.signal * (1 + r + r * r / 3) * math.exp(-r) * math.exp(-mismatches)
    if features.graded:
        apart = abs(p[-1] - q[-1])
        kernel *= (1 + hyper.c * math.exp(-apart / hyper.l)) / (1 + hyper.c)
        kernel += math.exp(-apart / 3)
    return kernel


def gram(features: Features, theta: Array, A: Array, B: Array) -> Array:
    return np.array([[kernel_by_hand(features, theta, p, q) for q in B] for p in A])


def by_hand(features: Features, theta: Array, Z: Array, y: Array, Q: Array) -> tuple[Array, Array]:
    hyper = Hyper.of(theta, features)
    K = gram(features, theta, Z, Z) + (hyper.noise + gp.JITTER * hyper.signal) * np.eye(len(Z))
    k = gram(features, theta, Q, Z)
    return k @ np.linalg.solve(K, y), hyper.signal + features.graded - np.einsum("ij,ji->i", k, np.linalg.solve(K, k.T))


@ALL
def test_posterior(features: Features) -> None:
    Z, Q, y = points(features, 15), points(features, 9, 1), np.random.default_rng(2).standard_normal(15)
    theta = some_theta(features)
    posterior = Posterior.of(features, theta, embed(features, Z), y)
    mean, variance = posterior.predict(embed(features, Q))
    expected_mean, expected_variance = by_hand(features, theta, Z, y, Q)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-7)
    np.testing.assert_allclose(variance, expected_variance, atol=1e-7)


@ALL
def test_loss_is_minus_the_log_posterior(features: Features) -> None:
    from scipy.stats import multivariate_normal, norm

    Z, y, theta = points(features, 12), np.random.default_rng(2).standard_normal(12), some_theta(features)
    hyper, (mean, std) = Hyper.of(theta, features), gp.prior(features)
    K = gram(features, theta, Z, Z) + (hyper.noise + gp.JITTER * hyper.signal) * np.eye(len(Z))

    def exact(t: Array, K: Array) -> float:
        return float(-multivariate_normal(np.zeros(12), K).logpdf(y) - norm(mean, std).logpdf(t).sum())

    constants = 6 * math.log(2 * math.pi) + float(np.log(std * math.sqrt(2 * math.pi)).sum())
    loss, _ = Objective(features, embed(features, Z), y)(theta)
    assert loss + constants == pytest.approx(exact(theta, K), rel=1e-9)


@ALL
@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_loss(features: Features, seed: int) -> None:
    Z, y = points(features, 40, seed), np.random.default_rng(seed).standard_normal(40)
    objective, theta, step = Objective(features, embed(features, Z), y), some_theta(features, seed), 1e-5
    _, gradient = objective(theta)
    numeric = [(objective(theta + e)[0] - objective(theta - e)[0]) / (2 * step) for e in step * np.eye(len(theta))]
    # Among few categories points repeat, the loss is large, and its differences have that much less precision.
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5 + 1e-7 * np.abs(gradient).max())


def spread(posterior: Posterior, at: Embedded, other: Embedded) -> Array:
    V = posterior.solve(at)[1]
    return posterior.spread(posterior.scaled(at), V, (V * V).sum(axis=0), posterior.baseline(other))


@ALL
def test_spread_is_the_variance_of_the_difference(features: Features) -> None:
    Z, Q, theta = points(features, 15), points(features, 9, 1), some_theta(features)
    posterior = Posterior.of(features, theta, embed(features, Z), np.arange(15.0))
    hyper = Hyper.of(theta, features)
    K = gram(features, theta, Z, Z) + (hyper.noise + gp.JITTER * hyper.signal) * np.eye(len(Z))
    k = gram(features, theta, Q, Z)
    joint = gram(features, theta, Q, Q) - k @ np.linalg.solve(K, k.T)
    expected = np.diag(joint) + joint[0, 0] - 2 * joint[0]
    at = embed(features, Q)
    other = Embedded(*(part[:1] for part in at))
    np.testing.assert_allclose(spread(posterior, at, other), expected, atol=1e-7)


@pytest.mark.parametrize("features", [MIXED, NUMBERS, GRADED], ids=["mixed", "numbers", "graded"])
def test_gradients_of_the_posterior(features: Features) -> None:
    Z, y = points(features, 20), np.random.default_rng(2).standard_normal(20)
    posterior = Posterior.of(features, some_theta(features), embed(features, Z), y)
    posterior = posterior.believing(embed(features, points(features, 1, 5)))
    at, other = embed(features, points(features, 6, 1)), embed(features, points(features, 1, 7))
    mean, variance, by_mean, by_variance = posterior.gradients(at, posterior.baseline(other))
    np.testing.assert_allclose((mean, variance), (posterior.predict(at)[0], spread(posterior, at, other)), atol=1e-9)
    for j, e in enumerate(1e-6 * np.eye(features.n_numbers)):
        up, down = (at._replace(numbers=at.numbers + sign * e) for sign in (1, -1))
        slope = (posterior.predict(up)[0] - posterior.predict(down)[0]) / 2e-6
        np.testing.assert_allclose(by_mean[:, j], slope, atol=1e-6)
        slope = (spread(posterior, up, other) - spread(posterior, down, other)) / 2e-6
        np.testing.assert_allclose(by_variance[:, j], slope, atol=1e-6)


def test_belief_is_the_posterior_of_what_was_expected() -> None:
    Z, Q, y = points(MIXED, 15), points(MIXED, 30, 1), np.random.default_rng(2).standard_normal(15)
    theta, pending = some_theta(MIXED), points(MIXED, 4, 3)
    before = after = Posterior.of(MIXED, theta, embed(MIXED, Z), y)
    embedded = embed(MIXED, Q)
    mean, V = before.solve(embedded)
    for row in pending:
        after = after.believing(embed(MIXED, row[None, :]))
        V = np.vstack([V, after.one_more(after.scaled(embedded), V)])
    expected = before.predict(embed(MIXED, pending))[0]
    anew = Posterior.of(MIXED, theta, embed(MIXED, np.concatenate([Z, pending])), np.append(y, expected))
    np.testing.assert_allclose(after.predict(embedded), anew.predict(embedded), atol=1e-6)
    np.testing.assert_allclose(after.predict(embedded)[0], mean, atol=1e-12)
    np.testing.assert_allclose(V, after.solve(embedded)[1], atol=1e-9)


def test_two_inactive_agree_and_all_active_ones_are_at_one_price() -> None:
    features = Features(np.zeros(2, dtype=np.intp), np.array([False, True]))
    theta = some_theta(features)
    Z = np.array([[0.3, np.nan, 0], [0.3, np.nan, 0], [0.3, 0.5, 0]])
    posterior = Posterior.of(features, theta, embed(features, Z), np.zeros(3))
    K = posterior.kernel(embed(features, Z))
    hyper = Hyper.of(theta, features)
    assert K[0, 1] == pytest.approx(hyper.signal)
    price = -(np.log(K[0, 2]) - np.log(kernel_by_hand(features, theta, Z[0], np.array([0.3, np.nan, 0]))))
    assert price >= hyper.w[0] - 1e-9


def test_the_fit_finds_what_matters() -> None:
    """y depends on column 0 alone, quickly: its length scale becomes short, that of the other long; noise small."""
    Z = points(NUMBERS, 60)
    y = np.sin(12 * Z[:, 0])
    hyper = Hyper.of(gp.fit(NUMBERS, embed(NUMBERS, Z), y), NUMBERS)
    assert hyper.v[0] > 30 * hyper.v[1]
    assert hyper.noise < 1e-3


def test_the_fit_learns_noise() -> None:
    """A standard deviation of 0.5 around a sine: false alarm at six standard errors of 300 points."""
    Z = points(NUMBERS, 300)
    y = np.sin(6 * Z[:, 0]) + 0.5 * np.random.default_rng(5).standard_normal(300)
    assert Hyper.of(gp.fit(NUMBERS, embed(NUMBERS, Z), y), NUMBERS).noise == pytest.approx(0.25, abs=6 * 0.25 * 0.082)


def test_the_fit_climbs_and_repeats() -> None:
    Z, y = points(MIXED, 40), np.random.default_rng(1).standard_normal(40)
    objective, theta = Objective(MIXED, embed(MIXED, Z), y), gp.fit(MIXED, embed(MIXED, Z), y)
    assert objective(theta)[0] < objective(gp.prior(MIXED)[0])[0]
    np.testing.assert_array_equal(gp.fit(MIXED, embed(MIXED, Z), y), theta)


@ALL
def test_repeated_points_and_constant_targets(features: Features) -> None:
    Z = np.repeat(points(features, 1), 50, axis=0)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        for y in (np.zeros(50), np.arange(50) / 25 - 1):
            theta = gp.fit(features, embed(features, Z), y)
            mean, variance = Posterior.of(features, theta, embed(features, Z), y).predict(
                embed(features, points(features, 5))
            )
            assert np.isfinite(mean).all() and (variance > 0).all()


# --- output warping -------------------------------------------------------------------------------------

VALUES = np.array([3.0, 1.0, 2.0, 50.0, 1e6, math.inf, 2.0, math.inf, 1.5])


@pytest.mark.parametrize("warp", [rank_normal, half_rank])
def test_warping_keeps_the_order(warp: object) -> None:
    y = warp(VALUES)  # type: ignore[operator]
    order = np.argsort(VALUES, kind="stable")
    assert (np.diff(y[order]) >= 0).all()
    assert y[5] == y[7] == y.max(), "failures are as bad as the worst"
    assert y.mean() == pytest.approx(0, abs=1e-12) and y.std() == pytest.approx(1)


def test_half_rank_keeps_distances_among_the_good_and_tames_the_rest() -> None:
    y = half_rank(np.array([1.0, 2.0, 4.0, 5.0, 1e150, 1e300, math.inf]))
    assert (y[2] - y[1]) / (y[1] - y[0]) == pytest.approx(2)
    assert y.max() < 3
    scaled = half_rank(1e9 + 1e-3 * np.arange(9.0))
    np.testing.assert_allclose(scaled, half_rank(np.arange(9.0)), atol=1e-3)


@pytest.mark.parametrize("y", [[1.0], [math.inf], 3 * [2.0], 3 * [math.inf], [-1e308, 0.0, 1e308], [0.0, 0.0, 1.0]])
@pytest.mark.parametrize("warp", [rank_normal, half_rank])
def test_warping_of_anything_is_finite(warp: object, y: list[float]) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(warp(np.array(y))).all()  # type: ignore[operator]
