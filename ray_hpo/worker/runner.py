"""Runs one trial after another in this process, in a thread beside the caller's, and hands their messages on."""

from __future__ import annotations

import functools
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ray_hpo.errors import StorageError
from ray_hpo.messages import Cause, Crashed, Ended, GoAhead, Job, Message, is_last
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


class Batch(NamedTuple):
    """What was said together, and where the worker stands after it.

    given_back: how many of its jobs are not begun and will not be, the last ones: nobody is to wait for a long one.
    seconds: since the jobs were begun, or the last verdict.
    made_way: whether the trial that said this has left the worker to the job that was offered for after it.
    """

    messages: list[Message]
    given_back: int
    seconds: float
    made_way: bool


class Order:
    """Jobs to run one after another. Whoever gave it waits for its bell.

    ahead: it was given before it was their turn.
    """

    def __init__(self, jobs: Sequence[Job], ahead: bool) -> None:
        self.jobs = deque(jobs)  # those that are still to begin
        self.alone = len(jobs) == 1
        self.ahead = ahead
        self.bell = Bell()
        self.since = time.monotonic()  # it was given, or its trial went on
        self.begun: list[Session] = []  # whose messages have not all been taken; the last one may still train
        self.broken = False  # whether the process is fit for no other of its jobs


class TrialRunner:
    """Trials of `trainable`, one at a time. All run in one thread: starting one takes longer than a short trial."""

    def __init__(self, trainable: Any, setting: Setting, asked_to_leave: Callable[[], str] = str) -> None:
        self._body: Body = as_body(trainable)
        self._setting = setting
        self._asked_to_leave = asked_to_leave
        self._store = open_store(setting)
        self._output = Output(self._store)
        self._state = threading.Condition()  # of the next six, and of what is in an order
        self._order = Order((), ahead=False)
        self._before: Order | None = None  # whose trial made way for the present one, until its last word is taken
        self._turn = 0  # counts orders, milestones that trials go on from, and jobs that others made way for
        self._offer: tuple[int, Job] | None = None  # after which turn, what
        self._go_ahead: tuple[int, GoAhead] | None = None  # in which turn, what
        self._rests = True  # whether the thread waits to be woken
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="trial", daemon=True)
        self._thread.start()

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin `jobs`, one after the other. A trial that is at its milestone is released; no other may be at work.

        Where there are several, each must be over by itself: at its end, or because it is final.
        """
        with self._state:
            before, self._order = self._order, Order(jobs, ahead=False)
            self._turn += 1
            rests, self._rests = self._rests, False
        if rests:
            self._wake.put(None)
        for session in before.begun[-1:]:
            session.release()  # then its thread finds the new order by itself

    def proceed(self, until: float) -> None:
        """Let the trial at its milestone train on."""
        with self._state:
            self._turn += 1
            self._order.since = time.monotonic()
        self._order.begun[-1].proceed(until)

    def offer(self, job: Job, turn: int) -> None:
        """A job for when the trial of that turn, alone in its order, is over, or at its milestone with a checkpoint:
        then it makes way, and says so. One that is offered too late is forgotten. From any thread, in any order."""
        with self._state:
            self._offer = turn, job

    def go_ahead(self, go_ahead: GoAhead, turn: int) -> None:
        """The verdict on the trial of that turn, alone in its order, before it is at its milestone. One that comes too
        late is forgotten. From any thread, in any order."""
        with self._state:
            self._go_ahead = turn, go_ahead

    def next_batch(self, window: float = WINDOW_SECONDS, timeout: float | None = None) -> Batch:
        """The next messages, those of `window` seconds together; maybe none, and none if there is none in `timeout`
        seconds.

        Raises:
            StuckTrial: the trial before them was released, and does not return.
        """
        with self._state:
            order = self._before or self._order
        if order.jobs and not order.alone:
            window = timeout = min(window, BEHIND_SECONDS)
        order.bell.wait(window, RELEASE_SECONDS if order.jobs and timeout is None else timeout)
        with self._state:
            if order.jobs and order.alone and timeout is None:
                raise self._stuck()
            given_back = 0
            if len(order.jobs) > 1 or order.begun:  # else its thread has only not turned to it yet
                given_back = len(order.jobs)
                order.jobs.clear()
            begun, order.begun = order.begun, order.begun[-1:]
        messages = [message for session in begun for message in session.outbox.take()]
        made_way = order is self._before and bool(messages) and is_last(messages[-1])
        if made_way:
            self._before = None
        return Batch(messages, given_back, time.monotonic() - order.since, made_way)

    def release(self) -> None:
        """End the trial, if one is there, and free what it held.

        Raises:
            StuckTrial: it does not return.
        """
        with self._state:
            if self._rests and not self._order.begun:
                return
            self._order.jobs.clear()
            begun, self._order.begun = self._order.begun, []
        for session in begun[-1:]:
            session.release()
        with self._state:
            if not self._state.wait_for(lambda: self._rests, RELEASE_SECONDS):
                raise self._stuck()
        sessions.enter(None)
        gpu_usage.free()

    def _make_way(self, order: Order) -> bool:
        """Turn to what was offered for after the present turn, if it is that order's."""
        with self._state:
            if self._order is not order or not order.alone or self._offer is None or self._offer[0] != self._turn:
                return False
            self._before, self._order = order, Order(self._offer[1:], ahead=True)
            self._offer = None
            self._turn += 1
            return True

    def _goes_on(self, order: Order, value: float) -> float | None:
        """Begin the next turn, to the milestone that it ends at, if the trial of that order goes on with that value."""
        with self._state:
            if self._order is not order or not order.alone or self._go_ahead is None or self._go_ahead[0] != self._turn:
                return None
            known = self._go_ahead[1]
            if not known.low < value < known.high:
                return None
            self._turn += 1
            order.since = time.monotonic()
            return known.until

    def _stuck(self) -> StuckTrial:
        session = sessions.running()
        trial = "a trial" if session is None else f"trial {session.job.trial}"
        return StuckTrial(f"{trial} was released and did not return in {RELEASE_SECONDS:.0f} s")

    def _loop(self) -> None:
        while True:
            self._wake.get()
            while (begun := self._next()) is not None:
                order, session = begun
                order.broken = not self._run(order, session)

    def _next(self) -> tuple[Order, Session] | None:
        """The next job, if there is one, begun; and whose it is."""
        with self._state:
            order = self._order
            self._rests = order.broken or not order.jobs
            if self._rests:
                self._state.notify_all()
            else:
                if sessions.running() is not None:
                    gpu_usage.free()
                session = Session(
                    order.jobs.popleft(),
                    self._setting,
                    order.bell,
                    alone=order.alone,
                    timed=order.ahead or not order.alone,
                    asked_to_leave=self._asked_to_leave,
                    make_way=functools.partial(self._make_way, order),
                    goes_on=functools.partial(self._goes_on, order),
                    store=self._store,
                )
                order.begun.append(session)
                sessions.enter(session)
                return order, session
        order.bell.ring_out()
        return None

    def _run(self, order: Order, session: Session) -> bool:
        """Run a trial to its end; whether this process is fit for another one."""
        trial = session.job.trial
        try:
            self._store.begin(trial, goes_on=session.job.checkpoint is not None)
            self._output.begin(trial)
            try:
                try:
                    self._body(session.job.config, session)
                finally:
                    session.settle()
            finally:
                self._output.end()
                self._store.end()
        except TrialReleased:
            return not session.left
        except BaseException as error:
            if session.released:
                return False  # it had its verdict: nobody waits for more of it
            details = getattr(error, "details", "") or _trimmed_traceback(error)  # a command's own words say more
            kind: Cause = "gpu out of memory" if is_gpu_out_of_memory(error) else "user"
            kind = "storage" if isinstance(error, StorageError) else kind
            session.outbox.put(Crashed(trial, kind, _line(error), details, session.seconds))
            return False
        if session.released:
            return not session.left  # it caught `TrialReleased`
        ended = Ended(trial, session.seconds)
        if self._make_way(order):
            session.depart(lambda: ended)
        else:
            session.outbox.put(ended)
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
