"""Arrays that grow by rows at amortised constant cost: one that changes, and one that never does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOGETHER = 64  # rows that are put into an array at once, if it is not read before: one alone takes much longer


class GrowingArray:
    """Rows of a fixed shape, appended one by one, read as one array."""

    def __init__(self, row_shape: tuple[int, ...]) -> None:
        self._data: NDArray[np.float64] = np.empty((16, *row_shape))
        self._n = 0  # rows of it that are in use
        self._new: list[ArrayLike] = []  # those that follow

    def __len__(self) -> int:
        return self._n + len(self._new)

    def append(self, row: ArrayLike) -> None:
        """row: (*row_shape,), which must not change any more."""
        self._new.append(row)
        if len(self._new) == TOGETHER:
            self._take_in()

    def extend(self, rows: NDArray[np.float64]) -> None:
        """Append rows (k, *row_shape)."""
        self._take_in()
        n = self._n + len(rows)
        if n > len(self._data):
            more = max(n, 2 * len(self._data)) - self._n
            self._data = np.concatenate([self.view, np.empty((more, *self._data.shape[1:]))])
        self._data[self._n : n] = rows
        self._n = n

    @property
    def view(self) -> NDArray[np.float64]:
        """(n, *row_shape), read-only; stays valid, and the same, after later appends."""
        self._take_in()
        view = self._data[: self._n]
        view.flags.writeable = False
        return view

    def _take_in(self) -> None:
        if self._new:
            rows, self._new = np.array(self._new, dtype=np.float64), []
            self.extend(rows)


class Stack:
    """Rows that never change: `plus` gives a stack with one more, and shares memory with it where it can."""

    def __init__(self, rows: NDArray[np.float64]) -> None:
        """rows: (n, k)."""
        self._buffer = GrowingArray(rows.shape[1:])
        self._buffer.extend(rows)
        self.view = self._buffer.view

    def plus(self, row: NDArray[np.float64]) -> Stack:
        """row: (k,)."""
        more = Stack.__new__(Stack)
        more._buffer = self._buffer if len(self._buffer) == len(self.view) else Stack(self.view)._buffer
        more._buffer.append(row)
        more.view = more._buffer.view
        return more
