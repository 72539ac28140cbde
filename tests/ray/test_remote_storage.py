"""Real Ray, real kills, S3: a machine that is lost costs what came after its last snapshot, and no more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.journal import read_reports
from ray_hpo.remote import keeper, lease
from tests.ray import driver, remote_driver
from tests.ray.processes import Drivers
from tests.ray.test_driver_killed import outcome
from tests.s3 import S3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (keeper, lease):
        for name, value in list(vars(module).items()):
            if name.endswith("_SECONDS"):
                monkeypatch.setattr(module, name, value)  # as it is now, once the test is over
    monkeypatch.setattr(keeper, "SHARE", keeper.SHARE)
    remote_driver.hurry()


def test_a_lost_machine_and_a_new_one(
    s3: S3, drivers: Drivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = s3.uri("sweeps/killed")
    command = [sys.executable, "-m", "tests.ray.remote_driver", path]

    def reports_up() -> dict[tuple[int, float], tuple[object, ...]]:
        try:
            return {row[:2]: row[2:] for row in read_reports(ray_hpo.load(path).place.folder)}
        except ray_hpo.RayHpoError:
            return {}

    def on_machine(name: str) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    on_machine("first")
    process = drivers.run(command)
    on_machine("somebody else's")
    wait_until(lambda: len(reports_up()) >= 20 or process.poll() is not None, 90.0, "20 reports")
    assert process.poll() is None, drivers.output
    assert ray_hpo.load(path).status == "running"
    with pytest.raises(ray_hpo.ExperimentLocked, match="is in use by the driver with pid"):
        ray_hpo.resume(path, driver.train, progress=False)
    process.kill()
    process.wait()
    seen = reports_up()

    on_machine("second")  # which finds a lease that is still fresh, and waits until nobody renews it
    last = drivers.run(command)
    assert last.wait(120) == 0, drivers.output
    on_machine("somebody else's")
    result = ray_hpo.load(path)
    final = {row[:2]: row[2:] for row in read_reports(result.place.folder)}
    assert seen.items() <= final.items()
    assert result.status == "all trials have run"
    monkeypatch.setattr(driver, "EPOCH_SECONDS", 0.0)
    expected = driver.start(tmp_path / "undisturbed", executor="inline", progress=False)
    assert outcome(result) == outcome(expected)
    for trial in result.trials:
        assert [step for number, step in final if number == trial.number] == list(range(1, int(trial.step) + 1))
