"""The examples of sweeps, each run from the command line as a user would; the grid of 18 runs is in tests/ray.

Those that import torch take seconds a run, so they are few, and short.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ray_hpo
from ray_hpo.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
Sweep = Callable[..., ray_hpo.Result]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sweep:
    """`ray-hpo` with arguments, from the root of the repository, where `python` is the tests' own; the result."""
    monkeypatch.chdir(EXAMPLES.parent)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("python", "python3"):
        (bin_folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")

    def run(verb: str, *words: object, executor: str = "inline", code: int = 0) -> ray_hpo.Result:
        place = ["--storage", str(tmp_path), "--name", "sweep", "--executor", executor, "--quiet"]
        monkeypatch.setattr(sys, "argv", ["ray-hpo", verb, *place, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code
        return ray_hpo.load(tmp_path / "sweep")

    return run


def script(name: str) -> str:
    return f"examples/scripts/{name}"


# ---- an unchanged argparse script ----


def test_random_draws_with_checkpoints(sweep: Sweep) -> None:
    told = ("--checkpoint", ":checkpoint:", "--epochs", 3, "--lr", ":lr:", "--seed", ":seed:")
    result = sweep(
        "random", "-p", "lr=1e-4:1e-2:log", "-m", "val_acc", "--mode", "max", "-n", 1, "--max-budget", 3,
        "--", "python", script("cnn.py"), *told,
    )  # fmt: skip
    assert result.best_trial.step == 3 and result.best_trial.checkpoint is not None
    assert (result.path / result.best_trial.checkpoint.path / "state.pt").is_file()


def test_a_wandb_sweep_file(sweep: Sweep) -> None:
    result = sweep("run", "examples/sweeps/wandb.yaml", "-n", 1)
    assert result.trials[0].config["epochs"] == 2 and result.best_trial.step == 2


def test_a_determined_experiment_file(sweep: Sweep) -> None:
    result = sweep("run", "examples/sweeps/determined.yaml", "-n", 1)
    assert result.best_trial.step == 2 and math.isfinite(result.best_value)


def test_our_own_sweep_file(sweep: Sweep) -> None:
    result = sweep("run", "examples/sweeps/digits.yaml", "-n", 1, "--max-budget", 1)
    assert result.spec.resumable and result.best_trial.fidelity == 1
    assert (
        result.best_trial.step >= 1
    )  # where its epochs are short and the machine is busy, it is a few further already


# ---- other styles ----


def test_a_hydra_script(sweep: Sweep) -> None:
    pytest.importorskip("hydra")
    words = ("model.alpha=:alpha:", "trainer.epochs=:budget:", "hydra.run.dir=:output:")
    result = sweep(
        "bayesian", "-p", "alpha=1e-5:1e-1:log", "-m", "val_loss", "-n", 2, "--max-budget", 2,
        "--", "python", script("hydra_train.py"), *words,
    )  # fmt: skip
    assert [trial.step for trial in result.trials] == [2, 2]
    assert (result.path / "trials" / "00000" / "output" / ".hydra" / "config.yaml").is_file()


def test_a_lightning_cli_script(sweep: Sweep) -> None:
    pytest.importorskip("lightning")
    quiet = ("--trainer.enable_progress_bar", "false", "--trainer.logger", "lightning.pytorch.loggers.CSVLogger")
    result = sweep(
        "random", "-p", "model.lr=1e-3:1e-1:log", "-m", "val_loss", "-n", 1, "--max-budget", 2,
        "--metrics-from", "csv::output:/lightning_logs/version_0/metrics.csv",
        "--", "python", script("lightning_train.py"), "fit", "--model.lr=:model.lr:", "--trainer.max_epochs=:budget:",
        *quiet, "--trainer.logger.save_dir", ":output:", "--trainer.accelerator", "cpu",
    )  # fmt: skip
    assert result.best_trial.step == 2 and 0 < result.best_value < 5


def test_a_program_that_is_not_python(sweep: Sweep) -> None:
    words = ("--step", ":step:", "--epochs", ":budget:")
    result = sweep(
        "run", "--algo", "sh", "-p", "step=0.01:0.9", "-m", "loss", "-n", 9, "--max-budget", 9, "--seed", 1,
        "--", script("quadratic.sh"), *words,
    )  # fmt: skip
    best = result.best_trial
    x = 3 - 3 * (1 - 2 * best.config["step"]) ** 9
    assert best.step == 9 and best.value == pytest.approx((x - 3) ** 2, abs=1e-6)


# ---- scripts that make trouble ----


@pytest.mark.parametrize("how", ["crash", "nan", "print"])
def test_scripts_that_make_trouble(how: str, sweep: Sweep) -> None:
    trials = 6 if how != "print" else 1
    words = ("python", script("misbehaving.py"), "--how", how, "--x", ":x:")
    result = sweep("random", "-p", "x=0:1", "-m", "loss", "-n", trials, "--seed", 3, "--", *words)
    for trial in result.trials:
        good = trial.config["x"] <= 0.5 or how == "print"
        assert trial.state == ("failed" if how == "crash" and not good else "completed")
        assert good == (trial.value is not None and math.isfinite(trial.value))
    log = result.path / "trials" / "00000" / "stdout.log"
    assert how != "print" or log.stat().st_size > 100_000_000


@pytest.mark.parametrize("how", ["fork", "ignore"])
def test_scripts_that_do_not_end(how: str, sweep: Sweep) -> None:
    """Stopped where the budget ends, with all that they started."""
    words = ("python", script("misbehaving.py"), "--how", how, "--x", ":x:")
    budget = ("--algo", "random", "--max-budget", 4, "--grace", 0.5)
    result = sweep("run", "-p", "x=0:1", "-m", "loss", "-n", 1, *budget, "--", *words)
    assert result.best_trial.step == 4
    assert not [p for p in Path("/proc").iterdir() if p.name.isdigit() and _runs(p, f"--x\0{result.best_config['x']}")]


def _runs(process: Path, words: str) -> bool:
    try:
        return words in (process / "cmdline").read_text()
    except OSError:
        return False
