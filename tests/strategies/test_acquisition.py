"""log EI against quadrature in many digits, and its derivatives against finite differences."""

import math

import mpmath
import numpy as np
import pytest

from strategies.models.acquisition import log_ei, log_ei_gradient, log_h


def exact_log_h(z: float) -> float:
    """log of the integral of (z - t) phi(t) over t < z, that is of u phi(z - u) over u > 0, by quadrature."""
    with mpmath.workdps(40):
        scale = 1 / max(1.0, -z)  # of what the integrand decays over, left of the mode
        ends = [0, *(scale * 2**k for k in range(-2, 6)), max(z, 0) + 40 * scale, mpmath.inf]
        # phi(z - u) = phi(z) exp(u z - u^2/2): phi(z) goes in front, so that nothing underflows
        integral = mpmath.quad(lambda u: u * mpmath.exp(u * z - u * u / 2), sorted(ends))
        return float(mpmath.log(integral) - mpmath.mpf(z) ** 2 / 2 - mpmath.log(2 * mpmath.pi) / 2)


@pytest.mark.parametrize(
    "z", [8.0, 3.0, 0.5, 0.0, -0.7, -0.999, -1.001, -2.5, -7.0, -30.0, -200.0, -9_000.0, -11_000.0]
)
def test_log_h(z: float) -> None:
    assert log_h(np.array([z]))[0] == pytest.approx(exact_log_h(z), rel=1e-9, abs=1e-12)


def test_log_h_is_increasing_everywhere() -> None:
    z = np.concatenate([-np.logspace(8, -8, 4_000), np.logspace(-8, 8, 4_000)])
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        logs = log_h(z)
    assert np.isfinite(logs).all()
    assert (np.diff(logs) >= 0).all()


def test_log_ei_against_its_definition() -> None:
    """E max(best - f, 0) for f normal, by the trapezoidal rule."""
    mean, sigma, best = 0.3, 0.7, 0.1
    f = np.linspace(mean - 12 * sigma, best, 200_001)
    density = np.exp(-0.5 * ((f - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    expected = math.log(np.trapezoid((best - f) * density, f))
    assert log_ei(np.array([mean]), np.array([sigma**2]), best)[0] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("best", [1.0, 0.0, -3.0, -50.0])
def test_derivatives(best: float) -> None:
    mean, variance, step = np.array([0.2, -0.5, 1.4]), np.array([1.0, 0.2, 0.05]), 1e-6
    values, by_mean, by_variance = log_ei_gradient(mean, variance, best)
    np.testing.assert_allclose(values, log_ei(mean, variance, best))
    up, down = log_ei(mean + step, variance, best), log_ei(mean - step, variance, best)
    np.testing.assert_allclose(by_mean, (up - down) / (2 * step), rtol=1e-5)
    step = 1e-8
    up, down = log_ei(mean, variance + step, best), log_ei(mean, variance - step, best)
    np.testing.assert_allclose(by_variance, (up - down) / (2 * step), rtol=1e-4)
