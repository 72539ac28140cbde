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
    stopped = {"state": "stopped", "gpu": None, "causes": [], "own": 0, "epochs": [1], "shares": [0.25]}
    lost = "gpu out of memory"
    assert told["trials"] == [
        stopped,
        {**stopped, "gpu": 0.5, "causes": [lost], "epochs": [1, 2], "shares": [0.25, 0.5]},
        {
            "state": "completed",
            "gpu": 1.0,
            "causes": [lost, lost],
            "own": 0,
            "epochs": [1, 2, 3, 4],
            "shares": [0.25, *[1.0] * 3],
        },
        stopped,
    ]
    text = "its GPU was out of memory with {} of it: it goes on from its last checkpoint with {}"
    assert sorted(told["notices"]) == [
        "trial 1: " + text.format("its share", 0.5),
        "trial 2: " + text.format(0.5, 1),
        "trial 2: " + text.format("its share", 0.5),
    ]
