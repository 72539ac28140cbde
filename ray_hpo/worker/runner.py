"""Runs one trial after another in this process, in a thread beside the caller's, and hands its messages on."""

from __future__ import annotations

import gc
import queue
import sys
import threading
import traceback
from typing import Any

from ray_hpo.errors import StorageError
from ray_hpo.messages import AtMilestone, Cause, Crashed, Ended, Job, Message
from ray_hpo.worker import session as sessions
from ray_hpo.worker.output import Output
from ray_hpo.worker.session import Session, TrialReleased
from ray_hpo.worker.setting import Setting, open_store
from ray_hpo.worker.trainables import Body, as_body

WINDOW_SECONDS = 0.05  # reports of one trial that arrive within this travel together
RELEASE_SECONDS = 30.0  # how long a trainable may take to leave its last report


class StuckTrial(RuntimeError):
    """A released trainable does not return; only ending the process frees what it holds."""


class TrialRunner:
    """One trial at a time of `trainable`. All run in one thread: starting one takes longer than a short trial."""

    def __init__(self, trainable: Any, setting: Setting) -> None:
        self._body: Body = as_body(trainable)
        self._setting = setting
        self._store = open_store(setting)
        self._output = Output(self._store)
        self._session: Session | None = None
        self._begun: queue.SimpleQueue[Session] = queue.SimpleQueue()
        self._over: queue.SimpleQueue[Session] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="trial", daemon=True)
        self._thread.start()

    def start(self, job: Job) -> None:
        """Begin `job`. The trial before it must have been released, or be over."""
        self.release()
        self._session = Session(job, self._setting, self._store)
        sessions.enter(self._session)
        self._begun.put(self._session)

    def proceed(self, until: float) -> None:
        """Let the trial at its milestone train on."""
        assert self._session is not None
        self._session.proceed(until)

    def next_batch(self, window: float = WINDOW_SECONDS, timeout: float | None = None) -> list[Message]:
        """The running trial's next messages, those of `window` seconds together; maybe none, and none if there is none
        in `timeout` seconds."""
        assert self._session is not None
        return self._session.outbox.take(window, timeout)

    def release(self) -> None:
        """End the trial, if one is there, and free what it held.

        Raises:
            StuckTrial: it does not return.
        """
        session, self._session = self._session, None
        if session is None:
            return
        session.release()
        try:
            self._over.get(timeout=RELEASE_SECONDS)
        except queue.Empty:
            raise StuckTrial(
                f"trial {session.job.trial} was released and did not return in {RELEASE_SECONDS:.0f} s"
            ) from None
        sessions.enter(None)
        _free_memory()

    def _loop(self) -> None:
        while True:
            session = self._begun.get()
            self._run(session)
            self._over.put(session)

    def _run(self, session: Session) -> None:
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
            return
        except BaseException as error:
            details = getattr(error, "details", "") or _trimmed_traceback(error)  # a command's own words say more
            cause: Cause = "storage" if isinstance(error, StorageError) else "user"
            session.outbox.put_last(Crashed(trial, cause, _line(error), details))
        else:
            session.outbox.put_last(Ended(trial))


def is_last(message: Message) -> bool:
    """Whether nothing follows `message` until the trial is told to go on."""
    return isinstance(message, (AtMilestone, Ended, Crashed))


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


def _free_memory() -> None:
    """GPU memory of the last trial, before the next one wants it. Without a GPU it is left alone: it takes 10 ms."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
