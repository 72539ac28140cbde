"""Population based training on a real Ray of four workers: copies go on from their parents' checkpoints, whatever is
killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from tests.ray import pbt_driver
from tests.ray.pbt_driver import EPOCHS, POPULATION
from tests.ray.processes import Drivers
from tests.ray.test_driver_killed import count
from tests.test_copies import lineage

COPIES = "SELECT COUNT(*) FROM events WHERE kind = 'start' AND body LIKE '%\"parent\"%'"


def decisions(result: ray_hpo.Result) -> list[list[str]]:
    return [[text for _, text in trial.decisions] for trial in result.trials]


def copied(process: subprocess.Popen[bytes], folder: Path, copies: int) -> Callable[[], bool]:
    """Whether so many copies have started."""

    def condition() -> bool:
        assert process.poll() is None, f"the driver ended before there were {copies} copies"
        return count(folder, COPIES) >= copies

    return condition


def test_two_kills_change_no_decision_and_no_lineage(tmp_path: Path, drivers: Drivers) -> None:
    folder = tmp_path / "population"
    command = [sys.executable, str(Path(pbt_driver.__file__)), str(folder)]
    before: list[list[str]] = []
    for copies in (1, 2):  # the kill comes when so many copies have started
        process = drivers.run(command)
        wait_until(copied(process, folder, copies), 60.0, f"{copies} copies")
        process.kill()
        process.wait()
        now = decisions(ray_hpo.load(folder))
        assert [new[: len(old)] for old, new in zip(before, now, strict=False)] == before
        before = now

    last = drivers.run(command)
    assert last.wait(60) == 0, drivers.output
    result = ray_hpo.load(folder)
    assert [new[: len(old)] for old, new in zip(before, decisions(result), strict=False)] == before
    assert (result.status, result.experiment.proposed) == ("all trials have run", POPULATION)
    completed = [trial for trial in result.trials if trial.state == "completed"]
    assert len(completed) == POPULATION
    assert any(trial.parent is not None for trial in completed)
    for trial in completed:
        assert result.checkpoint(trial) == {"trained": lineage(result, trial.number)}
    for trial in result.trials:
        assert list(result.reports(trial.number).step) == list(range(int(trial.origin) + 1, int(trial.step) + 1))
    kept = {str(path.relative_to(folder)) for path in folder.glob("trials/*/checkpoint_*")}
    assert kept >= set(result.experiment.checkpoints)
    assert result.spent <= POPULATION * EPOCHS
    assert not result.experiment.notices
