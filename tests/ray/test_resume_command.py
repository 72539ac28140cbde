"""`ray-hpo resume` with limits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo.cli.main import main


def train(config: dict[str, Any]) -> dict[str, float]:
    return {"loss": config["x"]}


def test_resume_grows_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {
        "metric": "loss",
        "algo": "random",
        "max_concurrent": 1,
        "progress": False,
        "name": "small",
    }
    small = ray_hpo.tune_run({"x": ray_hpo.uniform(0, 1)}, train, num_trials=2, storage=tmp_path, **options)
    monkeypatch.setattr(sys, "argv", ["ray-hpo", "resume", str(small.path), "--num-trials", "5"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "until: 5 trials" in out
    assert "ended: all trials have run" in out
    assert len(ray_hpo.load(small.path).trials) == 5
