"""A node that keeps killing trials is avoided; the others do the work."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from ray_hpo.executors.ray.bad_nodes import STRIKES
from tests.ray.processes import Drivers


def test_a_node_that_kills_trials_is_avoided(tmp_path: Path, drivers: Drivers) -> None:
    process = drivers.run([sys.executable, "-m", "tests.ray.bad_node", str(tmp_path)])
    assert process.wait(120) == 0, drivers.output
    told = json.loads(next(line for line in drivers.output.splitlines() if line.startswith("{")))
    assert [state for state, *_ in told["trials"]] == ["completed"] * 15
    there = [trial for trial, node in told["attempts"] if node == told["bad"]]
    assert len(there) == STRIKES, "nothing ran there afterwards"
    assert sum(losses for _, losses, _ in told["trials"]) == STRIKES
    (notice,) = told["notices"]
    name = rf"node \S+ \({told['bad'][:8]}\)"
    assert re.fullmatch(
        rf"trial {there[-1]}: {name} has lost {STRIKES} trials in a row and is avoided: for 30m new workers start on "
        "other nodes",
        notice,
    )
    errors = [error for *_, errors in told["trials"] for error in errors]
    assert all(re.search(rf"; on {name}$", error) for error in errors), errors
