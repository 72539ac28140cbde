"""A few faults, on a real Ray: nothing is lost or doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.ray
def test_a_few_faults_lose_nothing(tmp_path: Path) -> None:
    """Seed 1 draws all kinds of faults, unless a sweep ends before its share of them."""
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.chaos", "--presets", "asha,bohb", "--kills", "8", "--seed", "1"]
    done = subprocess.run([*command, "--json", str(found)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(found.read_text())
    assert (told["faults"], told["lost"], told["doubled"], told["completed"]) == (8, 0, 0, True)
    assert told["wrong"] == []
    assert told["redone_epochs"] < told["epochs"]
