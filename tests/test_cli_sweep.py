"""Sweeps from the command line, as users type them: what they see, what scripts get, and how mistakes are told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import ray_hpo
from ray_hpo.cli.main import main


class Answer(NamedTuple):
    code: int
    out: str
    err: str


CommandLine = Callable[..., Answer]

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--layers", type=int, default=1)
parser.add_argument("--epochs", type=int, default=4)
args = parser.parse_args()
for epoch in range(1, args.epochs + 1):
    print(f"epoch {epoch}: val_loss={args.lr * args.layers + 1 / epoch} acc: 0.5")
"""


@pytest.fixture
def ray_hpo_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    """`ray-hpo` with arguments, in this process and in a folder with `train.py`, without Ray."""
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["ray-hpo", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, out, err)

    return run


HERE = ("--storage", "out", "--executor", "inline", "--name", "sweep")
LR = ("-p", "lr=0.01,0.1,0.2", "-m", "val_loss")
TRAIN = ("--", sys.executable, "train.py")


def configs(name: str = "sweep") -> list[dict[str, object]]:
    return [trial.config for trial in ray_hpo.load(Path("out") / name).trials]


# ---- run and its short forms ----


def test_a_grid_is_all_combinations(ray_hpo_command: CommandLine) -> None:
    answer = ray_hpo_command("grid", *LR, "-p", "layers=1:4:int", *HERE, *TRAIN)
    assert answer.code == 0
    assert configs() == [{"lr": lr, "layers": n} for lr in (0.01, 0.1, 0.2) for n in (1, 2, 3, 4)]
    assert "until: 12 trials" in answer.out and "best: val_loss 0.26, trial 0, at 4 epochs" in answer.out


@pytest.mark.parametrize("form", ["random", "bayesian"])
def test_num_trials_draws(form: str, ray_hpo_command: CommandLine) -> None:
    answer = ray_hpo_command(form, "-p", "lr=0.01:1:log", "-m", "val_loss", "--num-trials", 4, *HERE, *TRAIN)
    assert answer.code == 0 and len(configs()) == 4


def test_run_with_early_stopping(ray_hpo_command: CommandLine) -> None:
    told = (*TRAIN, "--lr", ":lr:", "--epochs=:budget:")
    answer = ray_hpo_command("run", "--algo", "sh", *LR, "--max-budget", 9, "-n", 9, "--seed", 1, *HERE, *told)
    assert answer.code == 0
    assert "rungs: 1 -> 3 -> 9" in answer.out and "a trial that is promoted runs again from nothing" in answer.out
    assert ray_hpo.load("out/sweep").best_trial.step == 9


def test_json_is_all_that_is_printed(ray_hpo_command: CommandLine) -> None:
    answer = ray_hpo_command("grid", *LR, *HERE, "--json", *TRAIN)
    body = json.loads(answer.out)
    assert (answer.code, body["best_config"], len(body["trials"])) == (0, {"lr": 0.01}, 3)


def test_quiet_prints_nothing(ray_hpo_command: CommandLine) -> None:
    assert ray_hpo_command("grid", *LR, *HERE, "-q", *TRAIN) == (0, "", "")


def test_no_trial_with_a_result_is_a_failure(ray_hpo_command: CommandLine) -> None:
    answer = ray_hpo_command("grid", *LR, *HERE, "--", sys.executable, "-c", "import sys; sys.exit('no data')")
    assert answer.code == 1
    assert "trial 0: CommandFailed: exit code 1: no data" in answer.out


def test_resume_of_a_command(ray_hpo_command: CommandLine) -> None:
    ray_hpo_command("random", "-p", "lr=0:1", "-m", "val_loss", "-n", 2, *HERE, *TRAIN)
    answer = ray_hpo_command("resume", "out/sweep", "--num-trials", 3, "--executor", "inline")
    assert answer.code == 0 and len(configs()) == 3


def test_options_behind_the_command_are_its_own(ray_hpo_command: CommandLine) -> None:
    """Also without the two dashes."""
    answer = ray_hpo_command("grid", *LR, *HERE, sys.executable, "train.py", "--lr", ":lr:", "--epochs", 2)
    assert answer.code == 0 and ray_hpo.load("out/sweep").best_trial.step == 2


# ---- sweep files ----

FILE = """
command: [{python}, train.py, --lr, ":lr:"]
parameters: {{lr: 0.01:1:log}}
metric: val_loss
algo: random
num_trials: 2
"""


def test_a_sweep_file_and_options_that_change_it(ray_hpo_command: CommandLine) -> None:
    Path("sweep.yaml").write_text(FILE.format(python=sys.executable))
    assert ray_hpo_command("run", "sweep.yaml", *HERE).code == 0
    assert len(configs()) == 2
    assert ray_hpo_command("run", "-q", *HERE[:-1], "third", "sweep.yaml", "-n", 1).code == 0
    assert len(configs("third")) == 1
    more = ("--num-trials", 3, "-p", "lr=0.5", *HERE[:-1], "again")
    assert ray_hpo_command("run", "sweep.yaml", *more).code == 0
    assert configs("again") == [{"lr": 0.5}] * 3


# ---- logs ----


def test_logs(ray_hpo_command: CommandLine) -> None:
    code = "import sys; print('loss=1'); print('careful', file=sys.stderr)"
    ray_hpo_command("grid", "-p", "x=1", "-m", "loss", *HERE, "-q", "--", sys.executable, "-c", code)
    assert ray_hpo_command("logs", "out/sweep", 0) == (0, "loss=1\n", "careful\n")
    assert ray_hpo_command("logs", "out/sweep", 0, "-f") == (0, "loss=1\n", "careful\n")  # ends with the trial
    answer = ray_hpo_command("logs", "out/sweep", 7)
    assert (answer.code, answer.err) == (2, "error: trial 7: out/sweep has 1 trials, counted from 0\n")


# ---- mistakes: one line on standard error, exit code 2, and nothing was started ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", *LR), "there is nothing to run: give a sweep file, or -- and the command"),
        (("run", "-p", "lr=1", *TRAIN), "--metric is missing"),
        (("run", "-m", "x", *TRAIN), "parameters: there are none"),
        (("run", *LR, "-p", "lr=2", *TRAIN), "param 'lr=2': lr comes twice"),
        (("run", *LR, "--algo", "bhob", *TRAIN), "algo='bhob' is unknown; did you mean bohb"),
        (("run", *LR, "--mode", "mx", *TRAIN), "--mode: mode='mx': must be min or max"),
        (("run", *LR, "--metrics-from", "cvs:x", *TRAIN), "metrics_from must be one of stdout, stderr, csv:PATH"),
        (("run", *LR, "--time-limit", "soon", *TRAIN), "time_limit must be seconds or a text such as"),
        (("run", *LR, *TRAIN, ":lrr:"), "command: :lrr: is no parameter; did you mean lr"),
        (("run", *LR, *TRAIN, ":budget:"), "command: :budget: needs max_budget"),
        (("run", *LR, "--", "pyhton3", "train.py"), "the program 'pyhton3' cannot be run: it is not on the PATH"),
        (("run", *LR, "--algo", "bohb", *TRAIN), "needs max_budget"),
        (("run", *LR, "--executor", "spark", *TRAIN), "executor must be 'ray' or 'inline'"),
        (("run", *LR, "--min-budget", "3", "--max-budget", "1", *TRAIN), "max_budget must be at least"),
        (("rnu", *LR, *TRAIN), "no command 'rnu'; did you mean run"),
        (("run", "none.yaml"), "none.yaml cannot be read"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str, ray_hpo_command: CommandLine) -> None:
    answer = ray_hpo_command(*arguments[:1], *HERE[:2], *arguments[1:])
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ") and message in answer.err and answer.err.count("\n") == 1
    assert not Path("out").exists()


def test_a_wrong_metric_names_the_right_one(ray_hpo_command: CommandLine) -> None:
    answer = ray_hpo_command("grid", "-p", "lr=0.1", "-m", "val_los", *HERE, *TRAIN)
    assert answer.code == 1
    assert answer.err.endswith("it reported acc, epoch, val_loss: did you mean val_loss?\n")


def test_help_shows_what_can_be_written(ray_hpo_command: CommandLine) -> None:
    text = ray_hpo_command("run", "--help").out
    for part in ("low:high[:int][:log][:step=S]", ":checkpoint:", "--max-budget", "tensorboard:FOLDER", "sweep.yaml"):
        assert part in text
    assert "Exit codes" in ray_hpo_command("--help").out


def test_several_metrics_and_a_constraint(ray_hpo_command: CommandLine) -> None:
    told = ("-p", "lr=0.01,0.1,0.2", "-m", "val_loss,acc", "--mode", "min,max", "--constraint", "acc >= 0.5")
    answer = ray_hpo_command("grid", *told, *HERE, *TRAIN)
    assert answer.code == 0 and "Pareto front: 1 of 3 trials" in answer.out
    answer = ray_hpo_command("compare", "out/sweep", "out/sweep")
    assert answer.code == 2 and "has several metrics" in answer.err
    assert ray_hpo_command("why", "out/sweep", 0).code == 0
    answer = ray_hpo_command("grid", *told, "--constraint", "acc", *HERE, *TRAIN)
    assert (answer.code, answer.err.count("\n")) == (2, 1) and "write a metric and a comparison" in answer.err
