"""why, compare, rm, top and replay: what they tell of experiments, and what they refuse."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import ray_hpo
from ray_hpo import InvalidInput, report, tune_run, uniform
from ray_hpo.cli.top import Watched
from ray_hpo.journal import Lock
from ray_hpo.replay import replay
from tests.test_cli_sweep import CommandLine, ray_hpo_command as ray_hpo_command


def train(config: dict[str, Any]) -> None:
    for epoch in range(1, 10):
        report({"loss": config["x"] + (0.5 if config["x"] < 0.2 else 0.0) * (epoch < 3) + 1 / epoch})


def run(storage: Path, name: str, **options: Any) -> ray_hpo.Result:
    defaults: dict[str, Any] = {"algo": "random", "max_budget": 9, "num_trials": 9, "seed": 1, "metric": "loss"}
    quiet: dict[str, Any] = {"executor": "inline", "progress": False, "storage": storage, "name": name}
    result = tune_run({"x": uniform(0.0, 1.0)}, train, **{**quiet, **defaults, **options})
    assert isinstance(result, ray_hpo.Result)
    return result


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def full(storage: Path) -> ray_hpo.Result:
    """Nine trials, each trained in full."""
    return run(storage, "full")


@pytest.fixture(scope="module")
def halved(storage: Path, full: ray_hpo.Result) -> ray_hpo.Result:
    """The same configurations under successive halving."""
    points = [trial.config for trial in full.trials]
    return run(storage, "halved", algo="sh", points_to_evaluate=points)


@pytest.fixture(scope="module")
def endless(storage: Path) -> ray_hpo.Result:
    """Three trials that end by themselves: there is no max_budget."""
    return run(storage, "endless", max_budget=None, num_trials=3)


# ---- why ----


def test_why_tells_each_decision_with_its_result(ray_hpo_command: CommandLine, halved: ray_hpo.Result) -> None:
    best = halved.best_trial
    lines = ray_hpo_command("why", halved.path, best.number).out.splitlines()
    assert lines[0] == f"trial {best.number}: completed"
    assert [line.split(":")[0].strip() for line in lines if "reached" in line][:3] == [
        f"reached {n}" for n in (1, 3, 9)
    ]
    assert f"  reached 9: loss {best.value:.6g}" in lines
    assert lines[-1] == "of the 1 trials that ended at 9 it ranks 1"
    stopped = next(trial for trial in halved.trials if trial.fidelity == 1)
    answer = ray_hpo_command("why", halved.path, stopped.number)
    assert stopped.why in answer.out and "the best of these is trial" in answer.out


def test_why_of_no_trial(ray_hpo_command: CommandLine, halved: ray_hpo.Result) -> None:
    answer = ray_hpo_command("why", halved.path, 99)
    assert (answer.code, answer.err) == (2, f"error: trial 99: {halved.path} has 9 trials, counted from 0\n")


def test_why_without_max_budget(ray_hpo_command: CommandLine, endless: ray_hpo.Result) -> None:
    best = endless.best_trial
    lines = ray_hpo_command("why", endless.path, best.number).out.splitlines()
    assert f"  ended at step 9: loss {best.value:.6g}" in lines
    assert lines[-1] == "of the 3 trials that ran to their end it ranks 1"


def test_nobody_reads_of_infinity(ray_hpo_command: CommandLine, endless: ray_hpo.Result) -> None:
    """Without max_budget all milestones are at infinity, which is our way to say it and nobody else's."""
    for command in ("show", "why", "compare"):
        other = {"show": [], "why": ["0"], "compare": [endless.path]}[command]
        assert "inf" not in ray_hpo_command(command, endless.path, *other).out
    table = ray_hpo_command("show", endless.path).out.partition("trial  state")[2].splitlines()
    assert [line.split()[2] for line in table[1:]] == ["9"] * 3
    rows = json.loads(
        ray_hpo_command("compare", endless.path, endless.path, "--json").out, parse_constant=pytest.fail
    )  # which are no JSON
    assert [row["fidelity"] for row in rows] == [None, None]


# ---- compare ----


def test_compare(ray_hpo_command: CommandLine, full: ray_hpo.Result, halved: ray_hpo.Result) -> None:
    answer = ray_hpo_command("compare", full.path, halved.path)
    header, first, second, *_, last = answer.out.splitlines()
    assert header.split()[:4] == ["name", "algo", "trials", "best"]
    assert first.startswith("full") and second.startswith("halved") and "81" in first and "21" in second
    assert last == f"best: full, loss {full.best_value:.6g}"
    rows = json.loads(ray_hpo_command("compare", full.path, halved.path, "--json").out)
    assert [row["best"] for row in rows] == [full.best_value, halved.best_value]


def test_compare_needs_the_same_metric(ray_hpo_command: CommandLine, full: ray_hpo.Result, storage: Path) -> None:
    assert "two experiments or more" in ray_hpo_command("compare", full.path).err
    other = run(storage, "other", mode="max", num_trials=1)
    answer = ray_hpo_command("compare", full.path, other.path)
    assert answer.code == 2 and "max loss, min loss; only results of the same can be compared" in answer.err


# ---- rm ----


def test_rm(ray_hpo_command: CommandLine, tmp_path: Path) -> None:
    path = run(tmp_path / "here", "gone", num_trials=1).path
    with Lock(path):
        answer = ray_hpo_command("rm", "--yes", path)
    assert (answer.code, answer.err) == (2, f"error: {path} is running: interrupt its driver first\n")
    assert ray_hpo_command("rm", "--yes", path, tmp_path).code == 1  # that is no experiment: nothing is removed
    assert path.exists()
    assert ray_hpo_command("rm", "--yes", path) == (0, f"removed {path}\n", "")
    assert not path.exists()


# ---- top ----


def test_top_in_a_pipe_looks_once(ray_hpo_command: CommandLine, full: ray_hpo.Result) -> None:
    answer = ray_hpo_command("top", full.path)
    assert answer.code == 0 and "ended: all trials have run" in answer.out


@pytest.mark.parametrize("width", [20, 60, 200])
def test_top_shows_what_runs_in_any_width(width: int, tmp_path: Path) -> None:
    seen: list[str] = []

    def look(config: dict[str, Any]) -> None:
        report({"loss": config["x"]})
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(Watched(ray_hpo.load(tmp_path / "live")).screen())
        seen.append(console.export_text())

    tune_run(
        {"x": uniform(0.0, 1.0)}, look, metric="loss", algo="random", num_trials=3, executor="inline",
        progress=False, storage=tmp_path, name="live",
    )  # fmt: skip
    assert "live" in seen[-1] and "trials" in seen[-1] and "inf" not in seen[-1]
    assert all(len(line) <= width for line in seen[-1].splitlines())
    if width == 200:
        assert "3 of 3: 1 running, 2 completed" in seen[-1] and "x=" in seen[-1]


# ---- replay ----


def test_a_replay_is_what_the_algorithm_does(full: ray_hpo.Result, halved: ray_hpo.Result) -> None:
    outcome = replay(full, "sh", workers=1)
    assert [(t.state, t.fidelity, t.value) for t in outcome.replayed.trials] == [
        (t.state, t.fidelity, t.value) for t in halved.trials
    ]
    assert outcome.replayed.granted == halved.spent == 21
    assert not outcome.guessed and outcome.winner == full.best_trial.number
    assert outcome.survived == (halved.trials[outcome.winner].state == "completed")


def test_replay_on_the_command_line(ray_hpo_command: CommandLine, full: ray_hpo.Result) -> None:
    answer = ray_hpo_command("replay", full.path, "--algo", "sh")
    assert answer.code == 0
    assert answer.out.startswith("replay of full (random x fifo) with random x sh, 1 at a time\n")
    assert "budget: 21 instead of 81 (26%)" in answer.out
    assert f"the winner, trial {full.best_trial.number} with loss {full.best_value:.6g}, would " in answer.out
    body = json.loads(ray_hpo_command("replay", full.path, "--algo", "asha", "--json").out)
    assert body["recorded_budget"] == 81 and body["guessed_trials"] == []


def test_what_was_not_recorded_is_counted(halved: ray_hpo.Result) -> None:
    outcome = replay(halved, "random", workers=1)
    assert len(outcome.guessed) == 8  # all but the one that was trained in full
    assert any(line.startswith("not known: 8 trials") for line in outcome.lines())


def test_what_cannot_be_replayed(full: ray_hpo.Result, storage: Path) -> None:
    with pytest.raises(InvalidInput, match="algo='ahsa' is unknown; did you mean asha"):
        replay(full, "ahsa")
    with pytest.raises(InvalidInput, match="pbt makes trials of its own"):
        replay(full, "pbt")
    unlimited = run(storage, "unlimited", max_budget=None, num_trials=1)
    with pytest.raises(InvalidInput, match="unlimited has no max_budget"):
        replay(unlimited, "asha")
