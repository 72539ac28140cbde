"""One driver at a time, wherever it is."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.errors import ExperimentLocked
from ray_hpo.remote import keeper, lease, live
from ray_hpo.remote.folder import RemoteFolder
from ray_hpo.remote.lease import Lease, live_driver
from ray_hpo.remote.uri import Uri
from tests.remote.sweep import Cut, live_folder, outcome, resume, run
from tests.s3 import S3

HERE, THERE = Path("/here"), Path("/there")


@pytest.fixture
def remote(s3: S3) -> RemoteFolder:
    return RemoteFolder(Uri.parse(s3.uri()))


def test_numbers_grow(remote: RemoteFolder) -> None:
    for number in range(1, 4):
        held = Lease(remote, HERE)
        assert int(held.driver.partition("-")[0]) == number
        remote.write(f"journal/{held.driver}-00000001-{'0' * 16}.sqlite", b"")
        held.release()
    assert live_driver(remote) == ""


def test_a_driver_that_lives_is_not_disturbed(remote: RemoteFolder) -> None:
    held, over = Lease(remote, THERE), threading.Event()
    assert "the driver with pid" in live_driver(remote)

    def live() -> None:
        while not over.wait(0.2):
            held.renew()

    living = threading.Thread(target=live)
    living.start()
    said: list[str] = []
    try:
        with pytest.raises(
            ExperimentLocked, match=r"is in use by the driver with pid \d+ on .*: wait for it, or stop it"
        ):
            Lease(remote, HERE, said.append)
    finally:
        over.set()
        living.join()
    assert len(said) == 1 and said[0].startswith("waiting up to 40s for a sign of life of the driver with pid")
    held.check()  # it is still the one
    assert [file.path for file in remote.files("drivers")] == [f"drivers/{held.driver}.json"]


def test_a_driver_that_gives_no_sign_of_life_is_superseded(
    remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "DEAD_SECONDS", 2.0)
    first = Lease(remote, THERE)
    second = Lease(remote, HERE)
    assert [file.path for file in remote.files("drivers")] == [f"drivers/{second.driver}.json"]
    first.renew()  # its machine was asleep
    with pytest.raises(ExperimentLocked, match="was taken over by the driver with pid"):
        first.check()
    second.check()


def test_a_driver_that_died_on_this_machine_is_known_to_be_dead(remote: RemoteFolder) -> None:
    Lease(remote, HERE)
    began = time.monotonic()
    Lease(remote, HERE)
    assert time.monotonic() - began < lease.DEAD_SECONDS / 2


def test_of_three_at_once_at_most_one_goes_on(remote: RemoteFolder) -> None:
    for _ in range(3):
        held: list[Lease] = []
        refused: list[str] = []
        ready, over = threading.Barrier(3), threading.Event()

        def begin(machine: int, held: Any = held, refused: Any = refused, ready: Any = ready, over: Any = over) -> None:
            ready.wait()
            try:
                held.append(Lease(remote, Path(f"/machine-{machine}")))
            except ExperimentLocked as error:
                refused.append(str(error))
                return
            while not over.wait(0.1):
                held[-1].renew()
            held[-1].release()

        threads = [threading.Thread(target=begin, args=(machine,)) for machine in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda held=held, refused=refused: len(held) + len(refused) == 3, what="what becomes of each")
        assert len(held) <= 1
        over.set()
        for thread in threads:
            thread.join()


def test_a_second_driver_elsewhere_is_refused(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RENEW_SECONDS", 0.2)
    path, refused = s3.uri("sweeps/sweep"), []

    def other_machine() -> None:
        with pytest.MonkeyPatch.context() as elsewhere:
            elsewhere.setattr(live, "home", lambda: tmp_path / "other")
            with pytest.raises(ExperimentLocked, match="is in use by the driver with pid") as error:
                resume(path)
            refused.append(str(error.value))
            assert ray_hpo.load(path).status == "running"

    result = run(s3.uri(), Cut(7, other_machine))
    assert len(refused) == 1
    assert result.status == "all trials have run"


def test_a_driver_that_is_superseded_ends(s3: S3, monkeypatch: pytest.MonkeyPatch, reference: ray_hpo.Result) -> None:
    """Its storage was away for so long that another machine took over: two must not go on."""
    monkeypatch.setattr(keeper, "RENEW_SECONDS", 0.05)
    path = s3.uri("sweeps/sweep")
    others: list[Lease] = []

    def taken_over() -> None:
        remote = RemoteFolder(Uri.parse(path))
        with pytest.MonkeyPatch.context() as elsewhere:
            elsewhere.setattr(lease, "DEAD_SECONDS", 0.0)
            others.append(Lease(remote, Path("/elsewhere")))
        threads = [thread for thread in threading.enumerate() if thread.name == "keep_lease"]
        wait_until(lambda: not any(thread.is_alive() for thread in threads), what="the driver's notice of that")

    with pytest.raises(ExperimentLocked, match=r"was taken over by the driver .*; what this driver did since is in /"):
        run(s3.uri(), Cut(7, taken_over))
    others[0].release()
    result = resume(path)
    assert live_folder(path).is_dir()
    assert outcome(result) == outcome(reference)
