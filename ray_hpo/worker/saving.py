"""Small checkpoints are written in a thread, while training goes on: a file system takes about a millisecond."""

from __future__ import annotations

import functools
import io
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO

from ray_hpo.storage import Pickled, pickle_to

SMALL = 1 << 20  # bytes of a checkpoint that may be copied for that


def copied(checkpoint: Mapping[str, Any]) -> Pickled | None:
    """A copy, which does not change with what is trained on; None if it is large.

    Raises:
        TypeError: it cannot be pickled.
    """
    buffers: list[_Buffer] = []

    def opened() -> AbstractContextManager[BinaryIO]:
        buffers.append(_Buffer())
        return nullcontext(buffers[-1])

    try:
        pickle_to(opened, dict(checkpoint))
    except _Large:
        return None
    return Pickled(buffers[-1].getvalue())


class Saving:
    """Of one trial. The newest checkpoint counts: one that has not been begun when the next one comes is left out."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._next: Callable[[], None] | None = None
        self._busy = False
        self._error: BaseException | None = None

    def put(self, write: Callable[[], None]) -> None:
        """Have a checkpoint written."""
        with self._state:
            self._next = write
            begins, self._busy = not self._busy, True
        if begins:
            _jobs().put(self._run)

    def settle(self, also_next: bool) -> None:
        """Wait until nothing is being written. also_next: what has not been begun is written before, else left out.

        Raises: what a write has raised.
        """
        if not self._busy:
            self._raise()
            return
        with self._state:
            if not also_next:
                self._next = None
            self._state.wait_for(lambda: not self._busy)
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        while True:
            with self._state:
                write, self._next = self._next, None
                if write is None:
                    self._busy = False
                    self._state.notify_all()
                    return
            try:
                write()
            except BaseException as error:
                self._error = error


class _Large(Exception):
    pass


class _Buffer(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > SMALL:
            raise _Large
        return super().write(data)


@functools.cache
def _jobs() -> queue.SimpleQueue[Callable[[], None]]:
    """Of the one thread of this process. An executor would take as long for each as all else that a report does."""
    jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            jobs.get()()

    threading.Thread(target=work, name="save", daemon=True).start()  # whoever needs a write waits
    return jobs


def prepare() -> None:
    """Begin the thread before a trial needs it: where all cores are busy, that takes milliseconds."""
    _jobs()
