"""Ctrl-C, the way back with `ray-hpo resume`, and two drivers on one experiment."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.journal.schema import FILE
from tests.ray import driver
from tests.ray.processes import Drivers

COMMAND = [str(Path(sys.executable).with_name("ray-hpo"))]


def has_reports(folder: Path) -> bool:
    return (folder / FILE).exists() and any(trial.step for trial in ray_hpo.load(folder).trials)


def test_ctrl_c_ends_in_order_and_the_command_line_finishes_the_run(tmp_path: Path, drivers: Drivers) -> None:
    folder = tmp_path / "interrupted"
    process = drivers.start(folder, own_ray=True)
    wait_until(lambda: has_reports(folder), 60)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all processes of the group
    assert process.wait(30) == 0, drivers.output
    assert f"resume: ray-hpo resume {folder}\n" in drivers.output
    assert ray_hpo.load(folder).status == "interrupted"
    assert len(ray_hpo.load(folder).trials) < driver.TRIALS

    resumed = drivers.run([*COMMAND, "resume", str(folder)])
    assert resumed.wait(60) == 0, drivers.output
    result = ray_hpo.load(folder)
    assert result.status == "all trials have run"
    assert len(result.trials) == driver.TRIALS
    assert all(trial.losses == trial.failures == 0 for trial in result.trials)


def test_sigterm_ends_in_order_too(tmp_path: Path, drivers: Drivers) -> None:
    folder = tmp_path / "terminated"
    process = drivers.start(folder)
    wait_until(lambda: has_reports(folder), 60)
    process.terminate()
    assert process.wait(30) == 0, drivers.output
    assert ray_hpo.load(folder).status == "terminated"
    assert f"resume: ray-hpo resume {folder}\n" in drivers.output

    trials = len(ray_hpo.load(folder).trials)
    resumed = drivers.run([*COMMAND, "resume", str(folder)])
    wait_until(lambda: len(ray_hpo.load(folder).trials) > trials, 60)
    resumed.terminate()
    assert resumed.wait(30) == 143, drivers.output
    result = ray_hpo.resume(folder, driver.train, progress=False)
    assert result.status == "all trials have run"
    assert all(trial.losses == trial.failures == 0 for trial in result.trials)


def test_a_second_driver_is_refused_and_told_of_the_first(tmp_path: Path, drivers: Drivers) -> None:
    folder = tmp_path / "locked"
    process = drivers.start(folder)
    wait_until(lambda: has_reports(folder), 60)
    assert ray_hpo.load(folder).status == "running"
    holder = re.escape(f"{folder} is in use by the driver with pid {process.pid} on {socket.gethostname()}")
    with pytest.raises(ray_hpo.ExperimentLocked, match=holder):
        ray_hpo.resume(folder, driver.train, progress=False)
    assert process.poll() is None
