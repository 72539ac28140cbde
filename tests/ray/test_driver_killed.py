"""kill -9 of the driver, ten times in one experiment: no result is lost or doubled, and the outcome is the same."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.journal import read_reports
from ray_hpo.journal.schema import FILE, connect
from tests.ray import driver
from tests.ray.processes import Drivers

KILLS = 10
ON_ITS_OWN_RAY = (3, 7)  # kills that take a Ray along; the others leave one behind with the workers of a dead driver
SEED = 20240607

Reports = dict[tuple[int, float], tuple[float, dict[str, Any]]]


def committed_reports(folder: Path) -> Reports:
    """(trial, step) -> (time, metrics)."""
    rows = read_reports(folder)
    reports = {(trial, step): (at, metrics) for trial, step, at, metrics in rows}
    assert len(reports) == len(rows)
    return reports


def count(folder: Path, query: str) -> int:
    """What a counting query gives; 0 before there is a journal."""
    try:
        with closing(connect(folder / FILE, write=False)) as connection:
            (number,) = connection.execute(query).fetchone()
    except ray_hpo.JournalError:
        return 0
    return int(number)


def at_work(process: subprocess.Popen[bytes], folder: Path, sessions: int, reports: int) -> Callable[[], bool]:
    """Whether the driver of that session is there, and as many reports are committed."""

    def condition() -> bool:
        assert process.poll() is None, f"the driver ended before report {reports}"
        return (
            count(folder, "SELECT COUNT(*) FROM events WHERE kind = 'session'") >= sessions
            and count(folder, "SELECT COALESCE(SUM(count), 0) FROM reports") >= reports
        )

    return condition


def outcome(result: ray_hpo.Result) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, t.bracket, t.state, t.step, t.fidelity, t.value) for t in result.trials]


def test_ten_kills_change_nothing(tmp_path: Path, drivers: Drivers, monkeypatch: Any) -> None:
    folder = tmp_path / "killed"
    rng = random.Random(SEED)
    monkeypatch.setattr(driver, "EPOCH_SECONDS", 0.0)
    expected = driver.start(tmp_path / "undisturbed", executor="inline", progress=False)

    total = int(expected.spent)
    moments = sorted(rng.sample(range(1, total - 30), KILLS))  # in reports; the rest is for the last driver
    seen: Reports = {}
    for kill, reports in enumerate(moments):
        process = drivers.start(folder, own_ray=kill in ON_ITS_OWN_RAY)
        wait_until(at_work(process, folder, kill + 1, reports), 60.0, f"report {reports}")
        time.sleep(rng.uniform(0.0, 0.1))  # no waiting: the moment is what is random
        process.kill()
        process.wait()
        assert ray_hpo.load(folder).status == "cut off: its driver is gone"
        now = committed_reports(folder)
        assert seen.items() <= now.items(), f"kill {kill} lost or changed a report"
        seen = now

    last = drivers.start(folder)
    assert last.wait(60) == 0, drivers.output
    final = committed_reports(folder)
    assert seen.items() <= final.items()

    result = ray_hpo.load(folder)
    assert result.status == expected.status
    assert outcome(result) == outcome(expected)
    for trial in result.trials:
        assert [step for number, step in final if number == trial.number] == list(range(1, int(trial.step) + 1))
    assert all(trial.losses == trial.failures == 0 for trial in result.trials)
