"""Runs one trial after another in this process, each in a thread of its own, and hands its messages on in batches."""

from __future__ import annotations

import contextlib
import gc
import io
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray_hpo.messages import AtMilestone, Crashed, Ended, Job, Message
from ray_hpo.storage import CheckpointStore
from ray_hpo.worker import session as sessions
from ray_hpo.worker.session import Session, Setting, TrialReleased
from ray_hpo.worker.trainables import Body, as_body

WINDOW_SECONDS = 0.05  # reports of one trial that arrive within this travel together
RELEASE_SECONDS = 30.0  # how long a trainable may take to leave its last report


class StuckTrial(RuntimeError):
    """A released trainable does not return; only ending the process frees what it holds."""


class TrialRunner:
    """One trial at a time of `trainable`."""

    def __init__(self, trainable: Any, setting: Setting) -> None:
        self._body: Body = as_body(trainable)
        self._setting = setting
        self._store = CheckpointStore(setting.folder)
        self._session: Session | None = None
        self._thread: threading.Thread | None = None

    def start(self, job: Job) -> None:
        """Begin `job`. The trial before it must have been released, or be over."""
        self.release()
        session = Session(job, self._setting)
        sessions.enter(session)
        self._session = session
        self._thread = threading.Thread(target=self._run, args=(session,), name=f"trial-{job.trial}", daemon=True)
        self._thread.start()

    def proceed(self, until: float) -> None:
        """Let the trial at its milestone train on."""
        assert self._session is not None
        self._session.proceed(until)

    def next_batch(self, timeout: float | None = None) -> list[Message]:
        """The running trial's next messages, those of a short window together; empty if none comes in `timeout`
        seconds."""
        assert self._session is not None
        inbox = self._session.messages
        batch: list[Message] = []
        with contextlib.suppress(queue.Empty):
            batch.append(inbox.get(timeout=timeout))
            deadline = time.monotonic() + WINDOW_SECONDS
            while not is_last(batch[-1]):
                batch.append(inbox.get(timeout=max(0.0, deadline - time.monotonic())))
        return batch

    def messages(self) -> Iterator[list[Message]]:
        """All batches of the running trial, up to its milestone, end or crash."""
        while True:
            batch = self.next_batch()
            yield batch
            if is_last(batch[-1]):
                return

    def release(self) -> None:
        """End the trial, if one is there, and free what it held.

        Raises:
            StuckTrial: it does not return.
        """
        session, thread = self._session, self._thread
        self._session = self._thread = None
        if session is None or thread is None:
            return
        session.release()
        thread.join(RELEASE_SECONDS)
        if thread.is_alive():
            raise StuckTrial(f"trial {session.job.trial} was released and did not return in {RELEASE_SECONDS:.0f} s")
        sessions.enter(None)
        _free_memory()

    def _run(self, session: Session) -> None:
        trial = session.job.trial
        try:
            folder = self._store.trial_folder(trial)
            with _output_to(folder / "output.log"):
                self._body(session.job.config, session)
        except TrialReleased:
            return
        except BaseException as error:
            text = str(error).strip().splitlines()
            line = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
            details = getattr(error, "details", "") or _trimmed_traceback(error)  # a command's own words say more
            session.messages.put(Crashed(trial, "user", line, details))
        else:
            session.messages.put(Ended(trial))


def is_last(message: Message) -> bool:
    """Whether nothing follows `message` until the trial is told to go on."""
    return isinstance(message, (AtMilestone, Ended, Crashed))


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


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what Python code prints to `path`; on a disk that cannot be written, let it go where it went."""
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file: io.TextIOWrapper = stack.enter_context(open(path, "a", buffering=1, errors="replace"))
        except OSError:
            yield
            return
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        yield
