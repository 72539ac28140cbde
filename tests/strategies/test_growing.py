"""Stacks share memory, and never change."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from strategies.growing import Stack


@given(st.lists(st.integers(0, 5), max_size=40))
def test_stacks_are_what_was_put_on_them(parents: list[int]) -> None:
    """Each new stack grows from one of the latest, so that some grow twice."""
    stacks, expected = [Stack(np.zeros((2, 3)))], [np.zeros((2, 3))]
    for k, back in enumerate(parents):
        i = max(0, len(stacks) - 1 - back)
        row = np.full(3, k + 1.0)
        stacks.append(stacks[i].plus(row))
        expected.append(np.vstack([expected[i], row]))
    for stack, rows in zip(stacks, expected, strict=True):
        np.testing.assert_array_equal(stack.view, rows)


def test_growing_shares_memory() -> None:
    first = Stack(np.zeros((2, 3)))
    second = first.plus(np.ones(3))
    assert np.shares_memory(first.view, second.view)
    assert not np.shares_memory(first.plus(np.full(3, 2.0)).view, second.view)
