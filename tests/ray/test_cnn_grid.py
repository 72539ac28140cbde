"""The example's argparse script, swept by a grid of 18 runs from the command line, on Ray."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

import ray_hpo
from ray_hpo.cli.main import main

SCRIPT = Path(__file__).parents[2] / "examples" / "scripts" / "cnn.py"


def test_a_grid_of_18_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-p", "conv2_filter=4,8,16", "-p", "conv2_kernel=2,3", "-p", "dense_layer=8,16,32", "-p", "epochs=1"]
    place = ["--storage", str(tmp_path), "--name", "cnn", "--cpu", "2"]  # two at a time
    words = ["ray-hpo", "grid", *options, "-m", "val_loss", *place, "--", sys.executable, str(SCRIPT)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "until: 18 trials" in out and "ended: all trials have run" in out and "18 completed" in out
    tried = [tuple(trial.config.values())[:3] for trial in ray_hpo.load(tmp_path / "cnn").trials]
    assert tried == list(itertools.product((4, 8, 16), (2, 3), (8, 16, 32)))
