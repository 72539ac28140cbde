"""From values as they arrive to reports: when is an epoch over?

1. A report is complete as soon as each name that the experiment needs (the metric, and the fidelity where one is named)
   has arrived since the last report. It holds all values that arrived since then, the latest of each name.
2. Values that arrive after a report, and before any name of that report comes again, still belong to its epoch: they
   are left out, rather than counted with the next one.
"""

from __future__ import annotations

from collections.abc import Collection

from ray_hpo.command.values import Values


class Epochs:
    """Feed values in the order of their arrival, get a report whenever one is complete.

    needed: names without which a report is not complete.  seen: all names that arrived, in order.
    """

    def __init__(self, needed: Collection[str]) -> None:
        self.needed = frozenset(needed)
        self.seen: dict[str, None] = {}
        self.pending: Values = {}
        self._last: Collection[str] = ()  # the names of the last report
        self._begun = True  # whether a new epoch has begun since

    def feed(self, values: Values) -> Values | None:
        self.seen.update(dict.fromkeys(values))
        if not self._begun and any(name in self._last for name in values):
            self.pending, self._begun = {}, True
        self.pending.update(values)
        if not self.needed <= self.pending.keys():
            return None
        report, self.pending = self.pending, {}
        self._last, self._begun = report.keys(), False
        return report
