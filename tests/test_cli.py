"""The command line: what it shows, what scripts get from it, and how it says what is wrong."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ray_hpo
from ray_hpo import report, tune_run, uniform
from ray_hpo.cli.main import main

TRIALS = 6


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`ray-hpo` with arguments, in this process."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["ray-hpo", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, out, err)

    return run


def train(config: dict[str, Any]) -> None:
    for epoch in range(1, 5):
        if config["x"] > 0.9:
            raise ValueError("x is too large")
        report({"loss": config["x"] / epoch})


def start(storage: Path, name: str, trainable: Any = train) -> ray_hpo.Result:
    result = tune_run(
        {"x": uniform(0.0, 1.0), "net": {"width": ray_hpo.choice([8, 16])}},
        trainable,
        metric="loss",
        algo=ray_hpo.SuccessiveHalving(eta=2),
        max_budget=4,
        num_trials=TRIALS,
        name=name,
        storage=storage,
        seed=17,
        executor="inline",
        progress=False,
    )
    assert isinstance(result, ray_hpo.Result)
    return result


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> ray_hpo.Result:
    return start(tmp_path_factory.mktemp("storage"), "digits")


# ---- ls ----


def test_ls_lists_experiments(command: Command, experiment: ray_hpo.Result) -> None:
    answer = command("ls", experiment.path.parent)
    assert answer.code == 0
    header, row = answer.out.splitlines()
    assert header.split() == ["name", "status", "algo", "trials", "best", "time"]
    assert row.startswith("digits") and "random x sh" in row and f"loss {experiment.best_value:.5g}" in row


def test_ls_as_json(command: Command, experiment: ray_hpo.Result) -> None:
    (row,) = json.loads(command("ls", experiment.path.parent, "--json").out)
    assert row["name"] == "digits"
    assert row["trials"] == TRIALS
    assert row["best"] == experiment.best_value
    assert row["path"] == str(experiment.path)


def test_ls_of_an_empty_folder(command: Command, tmp_path: Path) -> None:
    assert command("ls", tmp_path) == (0, f"no experiments in {tmp_path}\n", "")


def test_ls_shows_a_journal_that_it_cannot_read(command: Command, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "journal.sqlite").write_text("not a database, and longer than a header of one hundred bytes")
    (row,) = json.loads(command("ls", tmp_path, "--json").out)
    assert row["status"].startswith("unreadable: ")


# ---- show ----


def test_show_prints_the_outcome_and_the_best_trials_with_reasons(command: Command, experiment: ray_hpo.Result) -> None:
    answer = command("show", experiment.path)
    assert answer.code == 0
    assert answer.out.startswith("digits: random x sh, min loss, seed 17\n")
    assert f"best: loss {experiment.best_value:.6g}, trial {experiment.best_trial.number}" in answer.out
    assert f"resume: ray-hpo resume {experiment.path} --num-trials {2 * TRIALS}" in answer.out
    assert "completed" in answer.out


def test_show_limits_the_trials(command: Command, experiment: ray_hpo.Result) -> None:
    assert f"... {TRIALS - 2} more: --limit 0 shows all" in command("show", experiment.path, "--limit", 2).out
    assert "more:" not in command("show", experiment.path, "--limit", 0).out


def test_show_as_json(command: Command, experiment: ray_hpo.Result) -> None:
    body = json.loads(command("show", experiment.path, "--json").out)
    assert body["best_config"] == experiment.best_config
    assert body["best_value"] == experiment.best_value
    assert [trial["trial"] for trial in body["trials"]] == list(range(TRIALS))
    assert body["trials"][0]["config"]["net"]["width"] in (8, 16)
    assert all(trial["why"] for trial in body["trials"])


def test_show_of_one_trial_lists_its_decisions(command: Command, experiment: ray_hpo.Result) -> None:
    best = experiment.best_trial.number
    answer = command("show", experiment.path, "--trial", best)
    lines = answer.out.splitlines()
    assert lines[0] == f"trial {best}: completed; completed: reached max_budget 4"
    assert "start: bracket" in answer.out
    assert lines[-1].endswith("stop: completed: reached max_budget 4")


def test_show_of_one_trial_as_json(command: Command, experiment: ray_hpo.Result) -> None:
    body = json.loads(command("show", experiment.path, "--trial", 0, "--json").out)
    assert body["trial"] == 0
    assert body["decisions"][0]["decision"].startswith("start: ")


def test_show_of_a_failed_trial_has_the_traceback(command: Command, tmp_path: Path) -> None:
    def fail(config: dict[str, Any]) -> None:
        raise ValueError("x is too large")

    path = start(tmp_path, "failing", fail).path
    out = command("show", path, "--trial", 1).out
    assert out.startswith("trial 1: failed; ValueError: x is too large\n")
    assert 'raise ValueError("x is too large")' in out
    assert command("show", path).code == 0
    assert json.loads(command("show", path, "--json").out)["best_config"] is None


# ---- export ----


def test_export_writes_a_row_for_each_trial(command: Command, experiment: ray_hpo.Result, tmp_path: Path) -> None:
    target = tmp_path / "trials.csv"
    assert command("export", experiment.path, "--csv", target) == (0, f"{TRIALS} rows in {target}\n", "")
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [int(row["trial"]) for row in rows] == list(range(TRIALS))
    best = rows[experiment.best_trial.number]
    assert float(best["loss"]) == experiment.best_value
    assert float(best["config/x"]) == experiment.best_config["x"]


def test_export_of_reports_to_standard_output(command: Command, experiment: ray_hpo.Result) -> None:
    rows = list(csv.DictReader(io.StringIO(command("export", experiment.path, "--csv", "-", "--reports").out)))
    assert len(rows) == experiment.spent
    assert set(rows[0]) == {"trial", "step", "time", "loss"}


# ---- errors: one line, no traceback ----


def assert_one_line(answer: Answer, code: int, text: str) -> None:
    assert answer.code == code
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert text in answer.err
    assert answer.err.count("\n") == 1


def test_ls_of_no_folder(command: Command, tmp_path: Path) -> None:
    assert_one_line(command("ls", tmp_path / "none"), 1, "none is not a folder")


@pytest.mark.parametrize("verb", [("show",), ("resume",), ("export", "--csv", "-")])
def test_a_path_without_an_experiment(command: Command, verb: tuple[str, ...], tmp_path: Path) -> None:
    assert_one_line(command(*verb, tmp_path), 1, f"{tmp_path} holds no experiment")


def test_a_trial_that_is_not_there(command: Command, experiment: ray_hpo.Result) -> None:
    answer = command("show", experiment.path, "--trial", TRIALS)
    assert_one_line(answer, 2, f"--trial 6: {experiment.path} has 6 trials, counted from 0")


def test_an_export_that_cannot_be_written(command: Command, experiment: ray_hpo.Result, tmp_path: Path) -> None:
    answer = command("export", experiment.path, "--csv", tmp_path / "none" / "trials.csv")
    assert_one_line(answer, 2, "trials.csv cannot be written")


def test_resume_of_a_lambda(command: Command, tmp_path: Path) -> None:
    path = start(tmp_path, "anonymous", lambda config: {"loss": config["x"]}).path
    answer = command("resume", path)
    assert_one_line(answer, 2, f"call ray_hpo.resume('{path}', train) where it is defined")


def test_resume_with_a_time_limit_that_is_none(command: Command, experiment: ray_hpo.Result) -> None:
    answer = command("resume", experiment.path, "--time-limit", "soon")
    assert_one_line(answer, 2, "time_limit must be seconds or a text such as")


def test_an_unknown_option_is_a_usage_error(command: Command, experiment: ray_hpo.Result) -> None:
    answer = command("show", experiment.path, "--trail", 3)
    assert answer.code == 2
    assert "--trail" in answer.err
    assert "Traceback" not in answer.err


# ---- the installed command ----


def test_the_installed_command(experiment: ray_hpo.Result, tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("ray-hpo")
    run = subprocess.run([installed, "show", tmp_path], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("error: ") and run.stderr.count("\n") == 1
    shown = subprocess.run([installed, "show", experiment.path], capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout.startswith("digits: ")
