"""A short soak on a real Ray: nothing is left of it, after Ctrl-C twice and SIGTERM neither."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.ray
def test_a_hundred_trials_with_faults_leave_nothing(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.soak", "--trials", "100", "--seed", "3", "--json", str(found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(found.read_text())
    assert told["wrong"] == []
    assert sum(told["faults"].values()) >= 1
    assert (told["sigterm"]["exit"], told["sigterm"]["status"]) == (0, "terminated")
    assert told["ctrl_c_twice"]["workers_left"] == told["sigterm"]["workers_left"] == 0
    assert told["files"] == ["journal.backup", "journal.lock", "journal.sqlite"]
