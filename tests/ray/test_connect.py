"""Which Ray a driver joins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, ray_hpo
def train(config): ray_hpo.report({"loss": config["x"]})
try:
    result = ray_hpo.tune_run({"x": ray_hpo.uniform(0, 1)}, train, metric="loss", num_trials=2, storage=sys.argv[1],
                              progress=False)
    print("trials", len(result.trials))
except ray_hpo.InvalidInput as error:
    print("error", error)
"""


def run(folder: Path, **environment: str) -> str:
    """What a driver prints in which `environment` is set, and RAY_ADDRESS only if it is given."""
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder / "storage")]
    return subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, timeout=100).stdout


def test_a_cluster_that_is_gone_is_passed_over(tmp_path: Path, short_folder: Path) -> None:
    """Ray remembers the last cluster of a machine; after a crash the address leads nowhere."""
    (short_folder / "ray").mkdir()
    (short_folder / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    assert run(tmp_path, RAY_TMPDIR=str(short_folder)) == "trials 2\n"


def test_an_address_where_nothing_answers(tmp_path: Path) -> None:
    said = run(tmp_path, RAY_ADDRESS="127.0.0.1:1")
    assert said == "error RAY_ADDRESS=127.0.0.1:1: no Ray cluster answers there; start it, or unset RAY_ADDRESS\n"
    assert not (tmp_path / "storage").exists()


def test_an_address_is_joined(tmp_path: Path, cluster: str) -> None:
    assert run(tmp_path, RAY_ADDRESS=cluster) == "trials 2\n"
