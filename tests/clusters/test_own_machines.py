"""The real `ray up` of cluster/local.yaml onto hosts of the lab, over ssh; sweeps that outlive hosts, and the head."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from tests.clusters import sweep
from tests.clusters.conftest import edited, ray_hpo_command
from tests.clusters.lab.lab import LAPTOP, Lab, lab_of, missing
from tests.clusters.watching import check_nothing_is_lost, hosts_at_work, tell, tell_recovery, undisturbed

pytestmark = pytest.mark.slow

FILE = "local.yaml"
Laptop = Callable[..., str]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A laptop with the cluster file and a user's folder, and three hosts on which that cluster is up."""
    if reason := missing():
        pytest.skip(f"hosts in namespaces need {reason}")
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder, lab_of(Path(folder), 3) as lab:
        edited(lab, FILE)
        (lab.home(LAPTOP) / "work").mkdir()
        shutil.copy(sweep.__file__, lab.home(LAPTOP) / "work")
        began = time.monotonic()
        assert "is up: a head and 2 workers" in lab.run(LAPTOP, ray_hpo_command("cluster", "up", FILE), timeout=180.0)
        tell(f"up: {time.monotonic() - began:.1f} s until the workers have joined")
        yield lab


@pytest.fixture
def laptop(lab: Lab) -> Laptop:
    """`ray-hpo WORDS` on the laptop; what it printed."""
    return lambda *words: lab.run(LAPTOP, ray_hpo_command(*words), timeout=180.0)


def submit(laptop: Laptop, job: str, folder: Path) -> dict[str, str]:
    """What to type next, as it is printed: by what it is for."""
    told = laptop("submit", FILE, "--id", job, "--working-dir", "work", "--", "python", "sweep.py", str(folder))
    return dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)


def jobs(laptop: Laptop) -> dict[str, str]:
    found = json.loads(laptop("cluster", "status", FILE, "--json"))["jobs"]
    return {name: state for name, state, _ in found}


def test_a_sweep_outlives_two_hosts(lab: Lab, laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed(tmp_path / "undisturbed", monkeypatch)
    folder = lab.shared / "hosts" / "sweep"
    began = time.monotonic()
    submit(laptop, "hosts", folder)
    tell(f"submit: {time.monotonic() - began:.1f} s")
    wait_until(lambda: hosts_at_work(folder) == {1, 2, 3}, 60.0, "trials on all hosts")
    tell(f"submit: {time.monotonic() - began:.1f} s until trials run on all hosts")

    lab.kill("h2")
    tell_recovery("host killed", folder)
    lab.cut("h3")
    (folder.parent / "go").touch()
    tell_recovery("cable cut", folder)

    result = check_nothing_is_lost(folder, expected)
    assert sum(trial.losses for trial in result.trials) >= 2
    wait_until(lambda: jobs(laptop)["hosts"] == "SUCCEEDED", 30.0, "the end of the job")
    lab.boot("h2")
    lab.join("h3")


def test_a_sweep_goes_on_after_a_stop_and_after_the_loss_of_its_head(
    lab: Lab, laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver is lost with the head's host: a new head, and the same command again."""
    expected = undisturbed(tmp_path / "undisturbed", monkeypatch)
    folder = lab.shared / "head" / "sweep"
    next_steps = submit(laptop, "first", folder)
    wait_until(lambda: bool(hosts_at_work(folder)), 60.0, "trials")
    lab.run(LAPTOP, ["sh", "-c", next_steps["stop"]])
    wait_until(lambda: ray_hpo.load(folder).status == "terminated", 30.0, "the end of the session, in order")

    stopped = time.time()
    submit(laptop, "second", folder)
    wait_until(lambda: bool(hosts_at_work(folder, since=stopped)), 60.0, "trials again")
    lab.kill("h1")
    killed = time.time()
    told = lab.attempt(LAPTOP, ray_hpo_command("cluster", "status", FILE))
    assert told.returncode == 1
    assert told.stdout.strip().splitlines()[-1].startswith(f"error: {FILE}: no way to the head of cluster sweeps: ssh")
    lab.boot("h1")
    (folder.parent / "go").touch()
    laptop("cluster", "up", FILE)
    submit(laptop, "third", folder)
    wait_until(lambda: bool(hosts_at_work(folder, since=killed + 1.0)), 60.0, "trials again")
    tell(f"head killed, booted, up and submitted again: {time.time() - killed:.1f} s until trials run again")
    check_nothing_is_lost(folder, expected)
    wait_until(lambda: jobs(laptop) == {"third": "SUCCEEDED"}, 30.0, "the end of the job")


def test_down_leaves_nothing(lab: Lab, laptop: Laptop) -> None:
    began = time.monotonic()
    assert "is down" in laptop("cluster", "down", FILE)
    tell(f"down: {time.monotonic() - began:.1f} s")
    for host in (LAPTOP, *lab.hosts):
        # Ray's ssh keeps a connection for ten seconds.
        wait_until(lambda host=host: lab.processes(host) == [], 30.0, f"the end of all processes on {host}")  # type: ignore[misc]
