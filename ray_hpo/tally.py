"""Trials in each state, and seconds: what displays and limits ask for at every tick is counted as it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ray_hpo.trial import State, Trial

_OVER = frozenset({"completed", "stopped", "failed"})


class Tally:
    """proposed: trials that are not copies of others: those that the limit on trials counts.  over: of these, those
    that have come to their end.  elapsed: seconds of all sessions."""

    def __init__(self) -> None:
        self.proposed = 0
        self.over = 0
        self.elapsed = 0.0
        self._states: Counter[State] = Counter()
        self._running: dict[int, Trial] = {}
        self._worked = 0.0  # seconds of all trials, as in `Trial.seconds`
        self._last_time: float | None = None

    @property
    def running(self) -> Collection[Trial]:
        return self._running.values()

    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        return {state: count for state, count in self._states.items() if count}

    def elapsed_at(self, time: float) -> float:
        """Seconds of all sessions up to `time`."""
        if self._last_time is None or time < self._last_time:
            return self.elapsed
        return self.elapsed + time - self._last_time

    def worker_seconds(self, time: float) -> float:
        """Seconds that trials have been on workers up to `time`, all together; on a larger one they count for more."""
        return self._worked + sum(max(0.0, time - trial.begun) * trial.size for trial in self._running.values())

    def tick(self, time: float) -> None:
        """Time passed while a driver was at work."""
        self.elapsed = self.elapsed_at(time)
        self._last_time = time

    def session_begins(self, time: float) -> None:
        self._put_down(self._last_time)  # if it is still open, its driver died
        for row in self._running.values():
            row.begun = row.since = time
        self._last_time = time

    def session_ends(self, time: float) -> None:
        self.tick(time)
        self._put_down(time)
        self._last_time = None

    def started(self, row: Trial) -> None:
        """A new trial runs."""
        self.proposed += row.parent is None
        self._states["running"] += 1
        self._running[row.number] = row

    def leave(self, row: Trial, state: State, time: float) -> None:
        """A trial gives back its worker, if it has one, and is in `state` from now on."""
        if row.state == "running":
            self.count_seconds(row, time)
        self.enter(row, state)

    def enter(self, row: Trial, state: State) -> None:
        self._states[row.state] -= 1
        self._states[state] += 1
        if row.parent is None:
            self.over += (state in _OVER) - (row.state in _OVER)
        row.state = state
        if state == "running":
            self._running[row.number] = row
        else:
            self._running.pop(row.number, None)

    def count_seconds(self, row: Trial, time: float) -> None:
        """A trial has been on a worker since it began."""
        row.seconds += time - row.begun
        self._worked += (time - row.begun) * row.size

    def _put_down(self, time: float | None) -> None:
        """A session is over at `time`, None if that is known already: nobody trains until the next one."""
        for row in self._running.values():
            if time is not None:
                self.count_seconds(row, time)
                row.begun = time
