"""Histories for the tests of searchers."""

from __future__ import annotations

from strategies.actions import Reached
from strategies.history import Array, History


def record(history: History, rows: Array, values: list[float] | Array, fidelity: float = 1.0) -> History:
    """One finished trial for each row."""
    for row, value in zip(rows, values, strict=True):
        history.start(row, fidelity)
        history.apply(Reached(len(history) - 1, fidelity, float(value)))
    return history
