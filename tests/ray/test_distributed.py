"""Distributed training in a trial, as in examples/distributed.py."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

import ray_hpo
from tests.ray.processes import Drivers

EXAMPLE = Path(__file__).parents[2] / "examples" / "distributed.py"


@pytest.mark.slow
def test_torch_trainer_in_each_trial(tmp_path: Path, drivers: Drivers) -> None:
    process = drivers.run(
        [sys.executable, str(EXAMPLE), "--trials", "1", "--epochs", "1", "--storage", str(tmp_path / "runs")]
    )
    assert process.wait(150) == 0, drivers.output
    (folder,) = (tmp_path / "runs").iterdir()
    result = ray_hpo.load(folder)
    assert len(result.trials) == 1
    assert result.trials[0].state == "completed"
    assert math.isfinite(result.trials[0].metrics["loss"])
