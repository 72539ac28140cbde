"""Entries that change with every result and are asked for rarely: what asking costs is paid when it is done."""

from __future__ import annotations

import heapq
from typing import Any

from sortedcontainers import SortedList  # type: ignore[import-untyped]  # it has no types


class Sorted:
    """Entries in their order, sorted when they are asked for: many rungs are never asked."""

    def __init__(self) -> None:
        self._sorted = SortedList()  # into a list of 100,000 it takes 20 times as long to insert
        self._new: list[Any] = []

    def add(self, entry: Any) -> None:
        self._new.append(entry)

    @property
    def entries(self) -> Any:
        """Ascending."""
        if self._new:
            if len(self._new) == 1:
                self._sorted.add(self._new[0])
            else:
                self._sorted.update(self._new)
            self._new.clear()
        return self._sorted


class Least:
    """The least of different entries that come and go."""

    def __init__(self) -> None:
        self._new: list[Any] = []
        self._heap: list[Any] = []
        self._gone: set[Any] = set()  # still in the heap

    def add(self, entry: Any) -> None:
        self._new.append(entry)

    def remove(self, entry: Any) -> None:
        """One that is there."""
        if self._new and self._new[-1] == entry:
            self._new.pop()
        else:
            self._gone.add(entry)

    @property
    def entry(self) -> Any:
        """None if there are none."""
        heap = self._heap
        if self._new:
            for entry in self._new:
                heapq.heappush(heap, entry)
            self._new.clear()
        while heap and heap[0] in self._gone:
            self._gone.remove(heapq.heappop(heap))
        return heap[0] if heap else None
