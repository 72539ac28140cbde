"""Fixtures of the tests of algorithms."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture
def no_numpy_errors() -> Iterator[None]:
    """Warnings, divisions by zero, overflows and invalid operations are errors."""
    with warnings.catch_warnings(), np.errstate(divide="raise", invalid="raise", over="raise"):
        warnings.simplefilter("error")
        yield
