"""Arrays grow, stacks share memory, and what was read of either never changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from strategies.growing import TOGETHER, GrowingArray, Stack


@given(st.lists(st.sampled_from(["append", "extend", "read"]), max_size=3 * TOGETHER))
def test_an_array_has_what_was_put_into_it(steps: list[str]) -> None:
    """However often it is read meanwhile; what was read stays as it was."""
    array, expected = GrowingArray((2,)), np.empty((0, 2))
    read = []
    for k, step in enumerate(steps):
        if step == "read":
            read.append((array.view, expected))
            continue
        rows = np.full((1 if step == "append" else 3, 2), float(k))
        if step == "append":
            array.append(tuple(rows[0]))
        else:
            array.extend(rows)
        expected = np.concatenate([expected, rows])
        assert len(array) == len(expected)
    for view, rows in [*read, (array.view, expected)]:
        np.testing.assert_array_equal(view, rows)
        assert not view.flags.writeable


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
