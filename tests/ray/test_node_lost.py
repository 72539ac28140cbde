"""A node is lost: its trials go on elsewhere, from their checkpoints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.ray.processes import Drivers


def test_trials_of_a_lost_node_go_on_elsewhere(tmp_path: Path, drivers: Drivers) -> None:
    process = drivers.run([sys.executable, "-m", "tests.ray.two_nodes", str(tmp_path)])
    assert process.wait(120) == 0, drivers.output
    told = json.loads(next(line for line in drivers.output.splitlines() if line.startswith("{")))
    moved = [trial for trial in told["trials"] if trial["losses"]]
    assert len(moved) == 2, told
    for trial in told["trials"]:
        assert trial["state"] == "completed"
        assert trial["failures"] == 0
        assert len(trial["ran"]) == 5
    for trial in moved:
        assert trial["causes"] in (["node lost"], ["unreachable"]), "as much as Ray knew when it gave the trial up"
        assert [node == told["doomed"] for node in trial["ran"]] == [True, True, False, False, False]
