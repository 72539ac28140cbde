"""The worker's end of one running command: started, suspended for a moment, stopped; and how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ray_hpo.errors import RayHpoError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
ANSWER_SECONDS = 30.0  # for what the supervisor does at once


class CommandFailed(RayHpoError):
    """A command could not be started, or ended with an error. `details`: the end of what it printed."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Process:
    """A command that runs under a supervisor (see there). As a context it is stopped when it is left.

    stdout, stderr: the files that its output is added to.  grace: seconds from SIGTERM to SIGKILL.

    Raises:
        CommandFailed: it cannot be started.
    """

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], folder: Path, stdout: Path, stderr: Path, grace: float
    ) -> None:
        self._grace = grace
        files = {"folder": str(folder), "stdout": str(stdout), "stderr": str(stderr)}
        job = json.dumps({"argv": list(argv), "grace": grace, **files})
        self._starter = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR), job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            start_new_session=True,
            bufsize=0,
        )
        assert self._starter.stdin is not None and self._starter.stdout is not None
        self._orders, self._answers = self._starter.stdin, self._starter.stdout
        self._text = b""
        self.status: int | None = None  # how it ended, as in os.waitpid; None while it runs
        self.pid = 0
        kind, text = self._answer(ANSWER_SECONDS)
        self._starter.wait()
        if kind != "started":
            self._close()
            raise CommandFailed(f"the command cannot be started: {text or 'its supervisor did not start'}")
        self.pid = int(text)

    def wait(self, seconds: float) -> bool:
        """Whether it is over, with all that came of it; waits for that up to `seconds`."""
        if self.status is None:
            self._hear(seconds)
        return self.status is not None

    def suspend(self) -> None:
        """Hold the command still until `go_on`: its files do not change meanwhile."""
        if self._order(b"p"):
            self._hear(ANSWER_SECONDS)

    def go_on(self) -> None:
        self._order(b"c")

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL. Returns when nothing of it is left."""
        if self.status is None:
            self._order(b"s")
            self.wait(self._grace + ANSWER_SECONDS)
        self._close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _hear(self, seconds: float) -> None:
        kind, text = self._answer(seconds)
        if kind == "exited":
            self.status = int(text)
        elif kind == "gone":  # the supervisor was killed; the kernel then kills the command
            self.status = int(signal.SIGKILL)

    def _order(self, order: bytes) -> bool:
        if self.wait(0):
            return False
        try:
            self._orders.write(order)
        except OSError:
            return False
        return True

    def _answer(self, seconds: float) -> tuple[str, str]:
        """The supervisor's next line as (kind, text); ("", "") if none comes in time, ("gone", "") if none will."""
        while b"\n" not in self._text:
            ready, _, _ = select.select([self._answers], [], [], seconds)
            if not ready:
                return "", ""
            data = os.read(self._answers.fileno(), 4096)
            if not data:
                return "gone", ""
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        kind, _, text = line.decode(errors="replace").partition(" ")
        return kind, text

    def _close(self) -> None:
        self._orders.close()
        self._answers.close()


def ending(status: int) -> str:
    """How a process ended, in words; empty if it succeeded. status: as in os.waitpid."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            return f"killed by signal {number}"
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code else ""
