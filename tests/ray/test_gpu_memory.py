"""Trials that run out of the memory of a GPU that they share: tried again with more of it. The GPUs are Ray's word
alone: what is tested is who gets which share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.ray.processes import Drivers


def test_a_trial_gets_a_larger_share_and_the_pool_is_whole_again(tmp_path: Path, drivers: Drivers) -> None:
    process = drivers.run([sys.executable, "-m", "tests.ray.sharing_gpus", str(tmp_path)])
    assert process.wait(180) == 0, drivers.output
    told = json.loads(next(line for line in drivers.output.splitlines() if line.startswith("{")))
    for scheduler, trials in told["trials"].items():
        states = {trial["state"] for trial in trials}
        assert states <= {"completed", "stopped"}, (scheduler, trials)
        for trial in trials:
            needs = told["needs"].get(str(trial["number"]), 0.25) if len(trial["epochs"]) > 1 else 0.25
            assert trial["gpu"] == (needs if needs > 0.25 else None)
            assert trial["causes"] == ["gpu out of memory"] * {0.25: 0, 0.5: 1, 1.0: 2}[needs]
            assert (trial["failures"], trial["losses"]) == (0, 0)
            assert trial["epochs"] == sorted(set(trial["epochs"])), "nothing was trained twice"
            assert set(trial["shares"]) <= {0.25, needs}
    assert any("out of memory with its share of it" in notice for notice in told["notices"])
    assert any("out of memory with 0.5 of it" in notice for notice in told["notices"])
    assert told["free"] == told["all"], "every worker gave its share back"
