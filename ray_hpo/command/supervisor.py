"""Runs one command and leaves nothing of it behind, however the worker that asked for it ends.

Started as a script: `python -I -S supervisor.py JOB`, JOB in JSON: argv, folder, stdout, stderr, grace. It leaves
its parent at once, lest it be killed with the worker. Reads from standard input: b"p" suspends the command, b"c" lets
it go on, b"s" and the end of the input, which is the end of the worker, stop it. Writes lines to standard output:
"started PID", "suspended", "failed WHY" where it cannot be started, and at last "exited STATUS" (as in os.waitpid),
when no process that came of it is left.

To stop is SIGTERM to all processes that came of the command, and SIGKILL to those that are left after `grace` seconds.
On Linux these are found by being this process's descendants, whatever sessions they made for themselves; elsewhere they
are the command's process group. Only the standard library, and as little of it as will do: each command waits for this.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # `typing` is not imported
if TYPE_CHECKING:
    from typing import Any

LINUX = sys.platform.startswith("linux")
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
STEP_SECONDS = 0.02


def main() -> None:
    job = json.loads(sys.argv[1])
    if os.fork():
        os._exit(0)
    os.setsid()
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopping.append(number))
    libc = ctypes.CDLL(None) if LINUX else None
    if libc is not None:
        libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = _spawn(job, libc)
    if child:
        _say(f"started {child}")
        _say(f"exited {_watch(child, job['grace'], wake_read, stopping)}")


def _spawn(job: dict[str, Any], libc: Any) -> int:
    """Start the command as the leader of a session; its process id, or 0 if it cannot be."""
    problem_read, problem_write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            if libc is not None:
                libc.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for target, file in ((1, job["stdout"]), (2, job["stderr"])):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), target)
            os.chdir(job["folder"])
            os.execvp(job["argv"][0], job["argv"])
        except OSError as error:
            os.write(problem_write, f"{error.strerror}: {error.filename or job['argv'][0]}".encode())
        os._exit(127)
    os.close(problem_write)
    problem = os.read(problem_read, 10_000)
    os.close(problem_read)
    if problem:
        os.waitpid(child, 0)
        _say("failed " + problem.decode(errors="replace").replace("\n", " "))
        return 0
    return child


def _watch(child: int, grace: float, wake: int, stopping: list[int]) -> int:
    """Look after the command until nothing of it is left; its exit status."""
    status = None
    deadline = None
    inputs = [wake, 0]
    while True:
        ended = _reap()
        status = ended.get(child, status)
        left = _left(child, status is not None)
        group = [-child] if _group_is_ours(child, status, left) else []
        if status is not None and not left:
            return status
        if deadline is None and (stopping or status is not None):
            deadline = time.monotonic() + grace
            each_once = group + _outside(child, left)  # a second SIGTERM would cut off who is about to end
            _send(signal.SIGTERM, each_once)
            _send(signal.SIGCONT, each_once)
        if deadline is not None and time.monotonic() >= deadline:
            _send(signal.SIGKILL, left)
        ready, _, _ = select.select(inputs, [], [], None if deadline is None else STEP_SECONDS)
        if wake in ready:
            os.read(wake, 1000)
        if 0 in ready:
            orders = os.read(0, 1000)
            for order in orders.decode():
                if order == "s":
                    stopping.append(0)
                elif deadline is None and status is None:
                    _send(signal.SIGSTOP if order == "p" else signal.SIGCONT, group)
                    if order == "p":
                        _say("suspended")
            if not orders:
                inputs.remove(0)
                stopping.append(0)


def _reap() -> dict[int, int]:
    """Collect whoever ended: process id -> status."""
    ended: dict[int, int] = {}
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not process:
            return ended
        ended[process] = status


def _left(child: int, reaped: bool) -> list[int]:
    """What came of the command and is alive; where descendants cannot be found, its group, as -child."""
    if LINUX:
        return _descendants()
    try:
        os.killpg(child, 0)
    except ProcessLookupError:
        return []
    except PermissionError:  # macOS: only zombies are left
        return [] if reaped else [-child]
    return [-child]


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state != b"Z":
                children.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    look = [os.getpid()]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


def _group_is_ours(child: int, status: int | None, left: list[int]) -> bool:
    """Whether the command's group is still there: when all of it are gone, its number may be somebody else's."""
    return status is None or any(_group(process) == child for process in left)


def _outside(child: int, processes: list[int]) -> list[int]:
    return [process for process in processes if process > 0 and _group(process) != child]


def _group(process: int) -> int:
    try:
        return os.getpgid(process)
    except OSError:
        return 0


def _send(number: int, processes: list[int]) -> None:
    """Negative numbers are process groups."""
    for process in processes:
        try:  # noqa: SIM105  # contextlib would have to be imported
            os.kill(process, number)
        except (ProcessLookupError, PermissionError):
            pass


def _say(line: str) -> None:
    try:  # noqa: SIM105
        os.write(1, (line + "\n").encode())
    except OSError:
        pass  # the worker is gone


if __name__ == "__main__":
    main()
