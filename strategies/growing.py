"""Arrays that grow by rows at amortised constant cost: one that changes, and one that never does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class GrowingArray:
    """Rows of a fixed shape, appended one by one, read as one array."""

    def __init__(self, row_shape: tuple[int, ...]) -> None:
        self._data: NDArray[np.float64] = np.empty((16, *row_shape))
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def append(self, row: ArrayLike) -> None:
        if self._n == len(self._data):
            self._data = np.concatenate([self._data, np.empty_like(self._data)])
        self._data[self._n] = row
        self._n += 1

    def extend(self, rows: NDArray[np.float64]) -> None:
        """Append rows (k, *row_shape)."""
        n = self._n + len(rows)
        if n > len(self._data):
            more = max(n, 2 * len(self._data)) - self._n
            self._data = np.concatenate([self.view, np.empty((more, *self._data.shape[1:]))])
        self._data[self._n : n] = rows
        self._n = n

    @property
    def view(self) -> NDArray[np.float64]:
        """(n, *row_shape), read-only; stays valid, and the same, after later appends."""
        view = self._data[: self._n]
        view.flags.writeable = False
        return view


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
