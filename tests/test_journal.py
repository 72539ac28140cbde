"""The journal's own promises: all or nothing, one writer, readers any time, clear words when it is damaged."""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ray_hpo.errors import ExperimentLocked, JournalError
from ray_hpo.experiment import Experiment
from ray_hpo.journal import Event, Journal, Lock, read_experiment, read_reports, read_spec
from ray_hpo.journal.lock import is_held
from ray_hpo.reports import Reports

START = {"config": {"x": 1}, "until": 3.0, "bracket": 0, "reason": "new"}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path)
    journal.begin({"name": "test"})
    return journal


def read(folder: Path) -> Experiment:
    return read_experiment(folder, Experiment("loss", "min", 9))


def test_nothing_is_there_before_the_commit(journal: Journal, tmp_path: Path) -> None:
    journal.event(Event(1.0, "start", 0, START))
    assert read(tmp_path).trials == []
    journal.commit()
    (trial,) = read(tmp_path).trials  # a reader looks while the writer is open
    assert (trial.config, trial.until) == ({"x": 1}, 3.0)
    journal.close()


def test_a_step_that_is_delivered_twice_counts_once(journal: Journal, tmp_path: Path) -> None:
    journal.event(Event(1.0, "start", 0, START))
    journal.commit()
    for loss in (2.0, 99.0):
        journal.report(Reports(0, [(1.0, 1.5, {"loss": loss})]))
        journal.report(Reports(0, [(2.0, 1.6, {"loss": loss / 2})]))
        journal.commit()
    assert [(step, metrics["loss"]) for _, step, _, metrics in read_reports(tmp_path, 0)] == [(1.0, 2.0), (2.0, 1.0)]
    journal.close()


def test_a_failed_commit_leaves_nothing_of_it(journal: Journal, tmp_path: Path) -> None:
    journal.event(Event(1.0, "start", 0, START))
    journal.commit()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as other:  # as a full disk would, half-way through
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.kind = 'stop' BEGIN SELECT RAISE(FAIL, 'full'); END"
        )
    journal.report(Reports(0, [(1.0, 1.5, {"loss": 2.0})]))
    journal.event(Event(2.0, "stop", 0, {"reason": "no"}))
    with pytest.raises(JournalError, match="the journal cannot be written: full; mend that, then resume"):
        journal.commit()
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as other:
        other.execute("DROP TRIGGER full")
    assert read_reports(tmp_path) == []
    assert read(tmp_path).trials[0].state == "running"


def test_nan_and_inf_come_back(journal: Journal, tmp_path: Path) -> None:
    journal.event(Event(1.0, "start", 0, {**START, "until": "inf"}))
    journal.commit()
    journal.report(Reports(0, [(1.0, 1.5, {"loss": float("nan"), "other": float("inf")})]))
    journal.event(Event(2.0, "reached", 0, {"fidelity": "inf", "value": "inf"}))
    journal.commit()
    (trial,) = read(tmp_path).trials
    assert trial.value is not None
    assert trial.value != trial.value
    assert trial.fidelity == float("inf")
    journal.close()


def test_time_away_is_not_counted(journal: Journal, tmp_path: Path) -> None:
    for time, kind, body in [
        (0.0, "session", {}),
        (10.0, "limit", {"num_trials": 3}),
        (1000.0, "session", {}),  # the first driver died at 10, or a little later
        (1005.0, "closed", {"reason": "done"}),
    ]:
        journal.event(Event(time, kind, None, body))
    journal.commit()
    assert read(tmp_path).elapsed == 15.0
    journal.close()


def test_a_second_driver_is_told_who_the_first_is(tmp_path: Path) -> None:
    with Lock(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(ExperimentLocked, match=f"pid {os.getpid()} on {socket.gethostname()}"):
            Lock(tmp_path)
    assert not is_held(tmp_path)
    Lock(tmp_path).release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from ray_hpo.journal import Lock\n"
    code += "lock = Lock(Path(sys.argv[1])); print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder:
        holder.stdout.readline()
        with pytest.raises(ExperimentLocked, match=f"pid {holder.pid}"):
            Lock(tmp_path)
        holder.kill()
        holder.wait()
    Lock(tmp_path).release()


def test_what_is_no_journal_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="holds no experiment"):
        read_spec(tmp_path)
    (tmp_path / "journal.sqlite").write_bytes(b"not a database, but long enough to look at" * 10)
    with pytest.raises(JournalError, match="is not a journal of ray_hpo"):
        read_spec(tmp_path)


def test_another_version_says_so(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE head SET version = 99")
    with pytest.raises(JournalError, match="has version 99, this ray_hpo reads versions up to 2"):
        read_spec(tmp_path)


def test_bodies_are_plain_json(journal: Journal, tmp_path: Path) -> None:
    journal.event(Event(1.0, "start", 0, START))
    journal.commit()
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        (body,) = connection.execute("SELECT body FROM events").fetchone()
    assert json.loads(body) == START


def test_a_trial_takes_no_time_while_no_driver_is_at_work(journal: Journal, tmp_path: Path) -> None:
    for time, kind, trial, body in [
        (0.0, "session", None, {}),
        (10.0, "start", 0, START),
        (15.0, "notice", 0, {"text": "the driver dies after this"}),
        (3.0, "session", None, {}),  # on a machine whose clock is wrong
        (5.0, "closed", None, {"reason": "interrupted"}),
        (900.0, "session", None, {}),
        (901.0, "stop", 0, {"reason": "enough"}),
    ]:
        journal.event(Event(time, kind, trial, body))
    journal.commit()
    assert read(tmp_path).trials[0].seconds == 5.0 + 2.0 + 1.0
    journal.close()


def no_lock(file: object, operation: int) -> None:
    """A file system that says yes to everybody."""


def no_locks(file: object, operation: int) -> None:
    """A file system that has none."""
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize(
    ("flock", "reason"),
    [(no_lock, "a second driver would get the same lock"), (no_locks, r"\[Errno 37\] No locks available")],
)
def test_a_file_system_without_locks_that_work_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flock: Callable[[object, int], None], reason: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", flock)
        with pytest.raises(JournalError, match=rf"the file system of .* has no locks that work \({reason}\)"):
            Lock(tmp_path)
    Lock(tmp_path).release()
