"""Numbers as users give them."""

from __future__ import annotations

import math
from typing import Any


def is_finite(value: Any) -> bool:
    """Whether a number is one that a float can hold: not infinite, not NaN, and no whole number of 400 digits."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
