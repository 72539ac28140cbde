"""Sweep files: ours, W&B's and Determined's; and mistakes in them, with their lines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from strategies.domains import Categorical, Float, Int, Ordinal
from strategies.registry import describe

from ray_hpo import InvalidInput
from ray_hpo.sweepfile.reading import SweepFile, read_sweep
from ray_hpo.sweepfile.schema import Sweep


def read(folder: Path, text: str) -> SweepFile:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return read_sweep(path)


def sweep_of(folder: Path, text: str) -> Sweep:
    return read(folder, text).sweep()


def domains(sweep: Sweep) -> dict[str, Any]:
    return dict(sweep.to_space().parameters)


OURS = """\
command: 'python train.py --lr :lr: "--name=a b" --epochs :budget:'
parameters:
  lr: 1e-5:1e-1:log
  layers: {domain: "1:4:int", when: optimizer == sgd, prior: 2}
  optimizer: [sgd, adam]
  width: [16, 32, 64]
  seed: 3
  net: {act: [relu, tanh]}
metric: val_loss
max_budget: 27
algo: bohb
resources: {cpu: 0.5}
time_limit: 1h30m
min_budget: 1e0
"""


def test_a_sweep_file(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, OURS)
    assert sweep.to_command().words == ("python", "train.py", "--lr", ":lr:", "--name=a b", "--epochs", ":budget:")
    found = domains(sweep)
    assert found["lr"] == Float(1e-5, 1e-1, log=True)
    assert found["layers"] == Int(1, 4, prior=2).when("optimizer == sgd")  # type: ignore[arg-type]  # as users write it
    assert found["optimizer"] == Categorical(("sgd", "adam"))
    assert found["width"] == Ordinal((16, 32, 64))
    assert found["seed"] == 3
    assert found["net"] == {"act": Categorical(("relu", "tanh"))}
    arguments = sweep.arguments()
    assert (arguments["metric"], arguments["max_budget"], arguments["min_budget"]) == ("val_loss", 27, 1.0)
    assert (arguments["time_limit"], arguments["resources"]) == ("1h30m", {"cpu": 0.5})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metric:", "metrik:", "sweep.yaml:9: 'metrik' is unknown; did you mean metric"),
        ("metric: val_loss\n", "", "sweep.yaml: metric is missing: the metric to optimise"),
        ("max_budget: 27", "max_budget: many", "sweep.yaml:10: max_budget='many': must be a number (the budget"),
        ("1e-5:1e-1:log", "1e-5:1e-1:lgo", "sweep.yaml:3: param lr=1e-5:1e-1:lgo: 'lgo' is unknown; did you mean log?"),
        ("when: optimizer", "wenn: optimizer", "sweep.yaml:4: 'wenn' is unknown; did you mean when?"),
        ("algo: bohb", "algo: bohb\nalgo: asha", "sweep.yaml:12: not YAML: 'algo' comes twice"),
        ("resources: {cpu: 0.5}", "resources: {cpu: ", "sweep.yaml:13: not YAML: "),
        ("command: '", "command: ", "sweep.yaml:1: not YAML: text with ': ' in it, such as a command"),
    ],
)
def test_mistakes_have_file_and_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        sweep_of(tmp_path, OURS.replace(old, new))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "a sweep file holds fields such as"), ("a: &x [*x", "not YAML")],
)
def test_what_is_no_sweep_file(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, text)
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_sweep(tmp_path / "none.yaml")


def test_numbers_are_what_they_look_like(tmp_path: Path) -> None:
    file = read(tmp_path, "a: 1e-5\nb: 1:30\nc: 2E3\nd: 017\ne: .5\nf: -3\ng: .inf\nh: 1_000\n")
    assert file.fields == {"a": 1e-5, "b": "1:30", "c": 2e3, "d": 15, "e": 0.5, "f": -3, "g": math.inf, "h": "1_000"}


# ---- W&B ----

WANDB = """\
program: train.py
method: bayes
project: digits
metric:
  name: val_acc
  goal: maximize
parameters:
  lr: {distribution: log_uniform_values, min: 1e-5, max: 0.1}
  decay: {distribution: log_uniform, min: -9.21, max: 0}
  layers: {min: 1, max: 4}
  dropout: {min: 0.0, max: 0.5}
  batch: {distribution: q_log_uniform_values, min: 16, max: 256, q: 16}
  optimizer: {values: [sgd, adam]}
  nesterov: {values: [true, false]}
  width: {distribution: normal, mu: 10, sigma: 2}
  epochs: {value: 5}
  net: {parameters: {act: {values: [relu]}}}
early_terminate: {type: hyperband, min_iter: 3, eta: 2}
run_cap: 20
"""


def test_a_wandb_sweep(tmp_path: Path) -> None:
    file = read(tmp_path, WANDB)
    sweep = file.sweep()
    found = domains(sweep)
    assert found["lr"] == Float(1e-5, 0.1, log=True)
    assert found["decay"] == Float(math.exp(-9.21), 1.0, log=True)
    assert found["layers"] == Int(1, 4) and found["dropout"] == Float(0.0, 0.5)
    assert found["batch"] == Int(16, 256, log=True, q=16)
    assert found["optimizer"] == Categorical(("sgd", "adam")) and found["nesterov"] == Categorical(("True", "False"))
    assert (found["width"].low, found["width"].high) == (6, 14)
    assert found["epochs"] == 5 and found["net.act"] == Categorical(("relu",))
    words = sweep.to_command().words
    assert words[:4] == ("python", "train.py", "--lr=:lr:", "--decay=:decay:") and words[-1] == "--net.act=:net.act:"
    arguments = sweep.arguments()
    assert (arguments["metric"], arguments["mode"], arguments["num_trials"]) == ("val_acc", "max", 20)
    assert describe(arguments["algo"]) == "gp x asha_stopping"
    assert (arguments["min_budget"], arguments["max_budget"], arguments["algo"].eta) == (3, 48, 2)
    notes = "\n".join(file.notes)
    for text in (
        "wandb.log is not seen",
        "project has no counterpart",
        "width: normal is taken within two",
        "as 48 reports",
    ):
        assert text in notes


def test_a_wandb_grid_has_every_integer(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        "program: t.py\nmethod: grid\nmetric: {name: loss}\nparameters: {n: {min: 1, max: 7}}\n"
        "command: ['${env}', python3, '${program}', --quiet, '${args_no_hyphens}']\n",
    )
    assert domains(sweep)["n"] == Ordinal(tuple(range(1, 8)))
    assert sweep.to_command().words == ("python3", "t.py", "--quiet", "n=:n:")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("method: bayes", "method: baies", ":2: method='baies' is unknown; did you mean bayes?"),
        ("goal: maximize", "goal: max", ":6: goal='max' is unknown; did you mean maximize?"),
        (
            "distribution: log_uniform_values",
            "distribution: beta",
            ":8: parameter lr: distribution 'beta' has no counterpart",
        ),
        ("{min: 1, max: 4}", "{min: 1}", ":10: parameter layers: write value, values, or min and max"),
        ("{min: 1, max: 4}", "{min: 4, max: 1}", ":10: parameter layers: "),
        ("type: hyperband", "type: median", ":18: early_terminate type='median' is unknown"),
        ("run_cap: 20", "command: ['${program}', '${args_json}']", ":19: the macro ${args_json} has no counterpart"),
        ("run_cap: 20", "run_cup: 20", ":19: 'run_cup' is unknown; did you mean run_cap?"),
    ],
)
def test_mistakes_in_a_wandb_sweep(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        sweep_of(tmp_path, WANDB.replace(old, new))
    assert f"{tmp_path}/sweep.yaml{message}" in str(raised.value)


# ---- Determined ----

DETERMINED = """\
name: digits
entrypoint: "python3 train.py --lr :lr: --layers :net.layers: --epochs :budget:"
hyperparameters:
  lr: {type: log, base: 10, minval: -5, maxval: -1}
  net:
    layers: {type: int, minval: 1, maxval: 4}
  dropout: {type: double, minval: 0.0, maxval: 0.5}
  optimizer: {type: categorical, vals: [sgd, adam]}
  global_batch_size: 64
  warmup: {type: const, val: 3}
searcher:
  name: adaptive_asha
  metric: validation_loss
  max_length: {epochs: 64}
  max_trials: 16
  divisor: 4
  max_rungs: 3
  mode: aggressive
resources: {slots_per_trial: 1}
max_restarts: 2
environment: {image: x}
"""


def test_a_determined_experiment(tmp_path: Path) -> None:
    file = read(tmp_path, DETERMINED)
    sweep = file.sweep()
    found = domains(sweep)
    assert found["lr"] == Float(1e-5, 0.1, log=True) and found["net"] == {"layers": Int(1, 4)}
    assert found["dropout"] == Float(0.0, 0.5) and found["optimizer"] == Categorical(("sgd", "adam"))
    assert found["global_batch_size"] == 64 and found["warmup"] == 3
    arguments = sweep.arguments()
    assert describe(arguments["algo"]) == "random x asha" and arguments["algo"].eta == 4
    assert (arguments["max_budget"], arguments["min_budget"], arguments["num_trials"]) == (64, 4, 16)
    assert (arguments["mode"], arguments["max_failures"], arguments["resources"]) == ("min", 2, {"gpu": 1})
    assert any("no counterpart here: environment, searcher.mode" in note for note in file.notes)


def test_a_determined_grid(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        "entrypoint: [python3, train.py]\nsearcher: {name: grid, metric: acc, smaller_is_better: false}\n"
        "hyperparameters:\n  a: {type: double, minval: 0, maxval: 1, count: 3}\n"
        "  b: {type: log, minval: -3, maxval: -1, count: 3}\n  c: {type: int, minval: 1, maxval: 9, count: 3}\n",
    )
    found = domains(sweep)
    assert found["a"] == Ordinal((0.0, 0.5, 1.0)) and found["c"] == Ordinal((1, 5, 9))
    assert found["b"].sequence == pytest.approx((1e-3, 1e-2, 1e-1))
    assert sweep.mode == "max" and describe(sweep.arguments()["algo"]) == "grid x fifo"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: adaptive_asha",
            "name: adaptiv",
            ":12: searcher name='adaptiv' is unknown; did you mean adaptive_asha?",
        ),
        ("  max_length: {epochs: 64}\n", "", ":11: searcher adaptive_asha needs max_length"),
        ("type: log, base: 10, minval: -5", "type: log", ":4: lr: minval is missing"),
        ("type: int", "type: integer", ":6: layers: type 'integer' is unknown; did you mean int?"),
        ('entrypoint: "python3', 'entrypoint: model_def:Trial #"', ":2: entrypoint='model_def:Trial' is a trial class"),
    ],
)
def test_mistakes_in_a_determined_experiment(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        sweep_of(tmp_path, DETERMINED.replace(old, new))
    assert f"{tmp_path}/sweep.yaml{message}" in str(raised.value)


def test_how_long_a_trial_may_be_silent(tmp_path: Path) -> None:
    text = 'command: "python train.py --lr :lr:"\nparameters: {lr: "0:1"}\nmetric: loss\ntrial_timeout: 10m\n'
    assert sweep_of(tmp_path, text).arguments()["trial_timeout"] == "10m"
