"""The head's host is lost and comes back, with what it knew on a disk that outlives it: a sweep elsewhere goes on."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.waiting import wait_until
from tests.clusters import sweep
from tests.clusters.lab.lab import Lab, lab_of, missing
from tests.clusters.watching import check_nothing_is_lost, hosts_at_work, tell, undisturbed

pytestmark = pytest.mark.slow

RAY = (sys.executable, "-m", "ray.scripts.scripts")
PORT = 6379


@pytest.fixture
def lab() -> Iterator[Lab]:
    if reason := missing():
        pytest.skip(f"hosts in namespaces need {reason}")
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder, lab_of(Path(folder), 3) as lab:
        yield lab


def start_head(lab: Lab) -> None:
    """As cluster/kuberay.yaml has it: the embedded store, and no trials on the head."""
    lab.run(
        "h1",
        [*RAY, "start", "--head", f"--node-ip-address={lab.address('h1')}", f"--port={PORT}", "--num-cpus=0"],
        RAY_gcs_storage="rocksdb",
        RAY_gcs_storage_path=str(lab.shared / "gcs"),
    )


def test_a_sweep_goes_on_while_its_head_is_away(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed(tmp_path / "undisturbed", monkeypatch)
    start_head(lab)
    address = f"{lab.address('h1')}:{PORT}"
    for host in ("h2", "h3"):
        lab.run(host, [*RAY, "start", f"--address={address}"])
    folder = lab.shared / "head" / "sweep"
    driver = lab.start(
        "h2", [sys.executable, sweep.__file__, str(folder)], tmp_path / "driver.log", RAY_ADDRESS=address
    )
    wait_until(lambda: hosts_at_work(folder) == {2, 3}, 60.0, "trials on both workers")

    lab.kill("h1")
    killed = time.time()
    lab.boot("h1")
    start_head(lab)
    tell(f"head killed, booted and started again: {time.time() - killed:.1f} s")
    (folder.parent / "go").touch()
    back = time.time()
    wait_until(lambda: bool(hosts_at_work(folder, since=back)), 60.0, "trials after that")
    tell(f"head back: {time.time() - back:.1f} s until the next report")
    result = check_nothing_is_lost(folder, expected)
    assert driver.wait(60) == 0, (tmp_path / "driver.log").read_text()
    assert [trial.losses for trial in result.trials if trial.losses] == [], "no worker was lost"
