"""Runs one trial after another in this process, in a thread beside the caller's, and hands their messages on."""

from __future__ import annotations

import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ray_hpo.errors import StorageError
from ray_hpo.messages import Cause, Crashed, Ended, Job, Message
from ray_hpo.worker import gpu_usage, session as sessions
from ray_hpo.worker.gpu_memory import is_gpu_out_of_memory
from ray_hpo.worker.outbox import Bell
from ray_hpo.worker.output import Output
from ray_hpo.worker.session import Session, TrialReleased
from ray_hpo.worker.setting import Setting, open_store
from ray_hpo.worker.trainables import Body, as_body

WINDOW_SECONDS = 0.05  # reports of one trial that arrive within this travel together
BEHIND_SECONDS = 0.05  # how long a job may wait behind others of its call, before it is given back
RELEASE_SECONDS = 30.0  # how long a trainable may take to leave its last report


class StuckTrial(RuntimeError):
    """A released trainable does not return; only ending the process frees what it holds."""


class TrialRunner:
    """Trials of `trainable`, one at a time. All run in one thread: starting one takes longer than a short trial."""

    def __init__(self, trainable: Any, setting: Setting, asked_to_leave: Callable[[], str] = str) -> None:
        self._body: Body = as_body(trainable)
        self._setting = setting
        self._asked_to_leave = asked_to_leave
        self._store = open_store(setting)
        self._output = Output(self._store)
        self._lock = threading.Lock()  # of the next two
        self._waiting: deque[Job] = deque()
        self._begun: list[Session] = []  # whose messages have not all been taken; the last one may still train
        self._bell = Bell()
        self._busy = False  # whether the thread is at work, or has not been asked since
        self._begin: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._over: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="trial", daemon=True)
        self._thread.start()

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin `jobs`, one after the other. The trials before them must have been released, or be over.

        Where there are several, each must be over by itself: at its end, or because it is final.
        """
        self.release()
        self._bell = Bell()
        self._waiting.extend(jobs)
        self._busy = True
        self._begin.put(len(jobs) == 1)

    def proceed(self, until: float) -> None:
        """Let the trial at its milestone train on."""
        self._begun[-1].proceed(until)

    def next_batch(self, window: float = WINDOW_SECONDS, timeout: float | None = None) -> tuple[list[Message], int]:
        """The next messages, those of `window` seconds together; maybe none, and none if there is none in `timeout`
        seconds. And how many of the jobs are given back, the last ones: nobody is to wait for a long one.
        """
        if self._waiting:
            window = timeout = min(window, BEHIND_SECONDS)
        self._bell.wait(window, timeout)
        given_back = 0
        with self._lock:
            if len(self._waiting) > 1 or self._begun:  # else its thread has only not turned to it yet
                given_back = len(self._waiting)
                self._waiting.clear()
            begun, self._begun = self._begun, self._begun[-1:]
        return [message for session in begun for message in session.outbox.take()], given_back

    def release(self) -> None:
        """End the trial, if one is there, and free what it held.

        Raises:
            StuckTrial: it does not return.
        """
        if not self._busy:
            return
        with self._lock:
            self._waiting.clear()
            begun, self._begun = self._begun, []
        for session in begun[-1:]:
            session.release()
        self._busy = False
        try:
            self._over.get(timeout=RELEASE_SECONDS)
        except queue.Empty:
            trial = begun[-1].job.trial
            raise StuckTrial(f"trial {trial} was released and did not return in {RELEASE_SECONDS:.0f} s") from None
        sessions.enter(None)
        gpu_usage.free()

    def _loop(self) -> None:
        while True:
            alone = self._begin.get()
            session = self._next(alone)
            while session is not None and self._run(session):
                session = self._next(alone)
            self._bell.ring_out()
            self._over.put(None)

    def _next(self, alone: bool) -> Session | None:
        """The next job, if there is one, begun."""
        with self._lock:
            if not self._waiting:
                return None
            if self._begun:
                gpu_usage.free()
            job = self._waiting.popleft()
            session = Session(job, self._setting, self._bell, alone, self._asked_to_leave, self._store)
            self._begun.append(session)
        sessions.enter(session)
        return session

    def _run(self, session: Session) -> bool:
        """Run a trial to its end; whether this process is fit for another one."""
        trial = session.job.trial
        try:
            self._store.begin(trial, goes_on=session.job.checkpoint is not None)
            self._output.begin(trial)
            try:
                self._body(session.job.config, session)
            finally:
                self._output.end()
                self._store.end()
        except TrialReleased:
            return not session.left
        except BaseException as error:
            details = getattr(error, "details", "") or _trimmed_traceback(error)  # a command's own words say more
            kind: Cause = "gpu out of memory" if is_gpu_out_of_memory(error) else "user"
            kind = "storage" if isinstance(error, StorageError) else kind
            session.outbox.put(Crashed(trial, kind, _line(error), details, session.seconds))
            return False
        session.outbox.put(Ended(trial, session.seconds))
        return True


def _line(error: BaseException) -> str:
    """What an exception says, on one line."""
    try:
        text = str(error).strip().splitlines()
    except Exception:  # it is the user's own, and may be broken
        text = ["its text cannot be had: __str__ fails"]
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _trimmed_traceback(error: BaseException) -> str:
    """The traceback without the frames that are ours."""
    frame = error.__traceback__
    while (
        frame is not None and frame.tb_next is not None and "ray_hpo" in str(frame.tb_frame.f_globals.get("__name__"))
    ):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))
