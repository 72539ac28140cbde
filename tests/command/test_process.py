"""Real processes: how they end, and that nothing of them is left, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.waiting import wait_until
from ray_hpo.command.process import CommandFailed, Process, ending

MARK = "RAY_HPO_TEST_COMMAND"
Start = Callable[..., Process]

FORKS = """
import os, sys, time
for k in range(3):
    if os.fork() == 0:
        if k: os.setsid()
        if k == 2 and os.fork(): os._exit(0)
        os.write(1, b"child\\n")
        time.sleep(1000)
os.write(1, b"ready\\n")
time.sleep(float(sys.argv[1]))
"""
IGNORES = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
print("ready", flush=True)
while True: time.sleep(1000)
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """What marks the processes of one test; kills what is left of them at its end."""
    value = uuid.uuid4().hex
    yield value
    for process in alive(value):
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def start(mark: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def run(*argv: str, grace: float = 10.0) -> Process:
        environment = {**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"}
        process = Process(argv, environment, tmp_path, tmp_path / "out", tmp_path / "err", grace)
        started.append(process)
        return process

    yield run
    for process in started:
        process.stop()


def alive(mark: str) -> list[int]:
    """Processes with the mark in their environment, but for supervisors, which are about to end."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()  # first: one that ends between the two has no environment
                if wanted in (entry / "environ").read_bytes() and b"supervisor.py" not in command:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def printed(folder: Path, count: int) -> Callable[[], bool]:
    return lambda: (folder / "out").exists() and len((folder / "out").read_text().split()) >= count


def over(process: Process) -> bool:
    return process.wait(20)


def test_a_command_that_succeeds(start: Start, tmp_path: Path, mark: str) -> None:
    process = start("/bin/sh", "-c", "pwd; echo problem >&2; cat")  # its standard input is empty
    assert over(process) and process.status is not None and ending(process.status) == ""
    assert (tmp_path / "out").read_text() == f"{tmp_path}\n"
    assert (tmp_path / "err").read_text() == "problem\n"
    assert not alive(mark)


@pytest.mark.parametrize(
    ("code", "how"),
    [("import sys; sys.exit(3)", "exit code 3"), ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV")],
)
def test_how_a_command_ended(start: Start, code: str, how: str) -> None:
    process = start(*python(code))
    assert over(process) and ending(process.status or 0) == how


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["no-such-program"], "No such file or directory: no-such-program"), (["/etc"], "Permission denied: /etc")],
)
def test_a_command_that_cannot_be_started(start: Start, argv: list[str], message: str) -> None:
    with pytest.raises(CommandFailed, match=f"^the command cannot be started: {message}$"):
        start(*argv)


def test_output_is_added_to_the_files(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        assert over(start("/bin/echo", "again"))
    assert (tmp_path / "out").read_text() == "again\nagain\n"


def test_stop_ends_it_with_sigterm(start: Start, mark: str, tmp_path: Path) -> None:
    code = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(5))\nprint('ready')\ntime.sleep(1000)"
    process = start(*python(code))
    wait_until(printed(tmp_path, 1))
    process.stop()
    assert process.status is not None and ending(process.status) == "exit code 5"
    assert not alive(mark)


def test_stop_ends_one_that_ignores_sigterm(start: Start, mark: str, tmp_path: Path) -> None:
    process = start(*python(IGNORES), grace=0.1)
    wait_until(printed(tmp_path, 1))
    process.stop()
    assert process.status is not None and ending(process.status) == "killed by SIGKILL"
    assert (tmp_path / "out").read_text().startswith("ready\nno\n")
    assert not alive(mark)


def test_stop_ends_its_children_too(start: Start, mark: str, tmp_path: Path) -> None:
    """In its group, in sessions of their own, and orphans."""
    process = start(*python(FORKS, "1000"))
    wait_until(printed(tmp_path, 4))
    process.stop()
    assert not alive(mark)


def test_children_end_with_a_command_that_ends_by_itself(start: Start, mark: str, tmp_path: Path) -> None:
    process = start(*python(FORKS, "0.1"))
    wait_until(printed(tmp_path, 4))
    assert over(process) and ending(process.status or 0) == ""
    assert not alive(mark)


def test_a_suspended_command_does_nothing_and_goes_on(start: Start, tmp_path: Path) -> None:
    process = start("/bin/sh", "-c", "while :; do echo tick; done")
    wait_until(printed(tmp_path, 1))
    process.suspend()
    wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T")
    size = (tmp_path / "out").stat().st_size
    process.go_on()
    wait_until(lambda: (tmp_path / "out").stat().st_size > size)
    process.suspend()
    process.stop()  # it gets to see the signal
    assert process.status is not None and ending(process.status) == "killed by SIGTERM"


OWNER = """
import os, sys
from pathlib import Path
from ray_hpo.command.process import Process
folder = Path(sys.argv[1])
process = Process(sys.argv[2:], os.environ, folder, folder / "out", folder / "err", 0.2)
print(process.pid, flush=True)
process.wait(1000)
"""


@pytest.mark.parametrize("victim", ["owner", "supervisor"])
def test_nothing_is_left_when_the_worker_or_the_supervisor_is_killed(victim: str, mark: str, tmp_path: Path) -> None:
    code = FORKS if victim == "owner" else IGNORES  # the kernel ends the command itself, not what it forked
    environment = {**os.environ, MARK: mark}
    owner = subprocess.Popen(
        [*python(OWNER, str(tmp_path)), *python(code, "1000")], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        wait_until(printed(tmp_path, 4 if victim == "owner" else 1))
        supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(owner.pid if victim == "owner" else supervisor, signal.SIGKILL)
        if victim == "supervisor":
            assert owner.wait(20) == 0
        wait_until(lambda: not alive(mark))
    finally:
        owner.kill()
        owner.communicate()
