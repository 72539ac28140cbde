"""The overhead benchmark's arithmetic, and its measurements where no cluster is needed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.growth import simulated
from benchmarks.overhead.__main__ import _medians
from benchmarks.overhead.workload import Watch, all_up, busy, line_up


def test_slots_busy_is_the_share_of_time_in_which_workers_train() -> None:
    reports = [
        {"pid": 1, "began": 0.0, "ended": 4.0},
        {"pid": 1, "began": 4.0, "ended": 8.0},
        {"pid": 2, "began": 1.0, "ended": 3.0},  # waits a second before it, and has nothing to do after it
    ]
    assert busy(reports, slots=2, since=0.0, until=3.0) == {
        "steady": pytest.approx(5 / 6),
        "whole": pytest.approx(10 / 16),
    }


def test_medians_have_the_keys_that_are_promised() -> None:
    medians = _medians({"trials_per_s": [3.0, 1.0, 2.0], "busy asha": [0.9, 0.98, 0.97], "busy whole asha": [0.8]})
    assert medians == {
        "trials_per_s": 2.0,
        "slots_busy": {"asha": 0.97},
        "slots_busy_with_tail": {"asha": 0.8},
    }


def test_workers_line_up_once(tmp_path: Path) -> None:
    (tmp_path / "another").touch()
    line_up(tmp_path, 2)
    line_up(tmp_path, 3)  # this process has been there
    assert all_up(tmp_path, 2) == max(file.stat().st_mtime for file in tmp_path.iterdir())


def test_cpu_is_watched_over_time() -> None:
    with Watch() as watch:
        began = time.time()
        deadline = time.process_time() + 0.1
        while time.process_time() < deadline:
            pass
        ended = time.time()
    assert 0.05 < watch.cpu(began, ended) < 0.5


def test_growth_is_measured_on_a_journal() -> None:
    found = simulated("asha", 60, 10)
    assert found["files"] <= 3
    assert found["journal_kb_per_trial"] > 0
    assert set(found) >= {"controller_ms_per_trial", "memory_kb_per_trial", "resume_s", "best_trial_s"}
