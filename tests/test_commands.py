"""Programs that know nothing of ray_hpo as trainables: paused and promoted, run again, stopped; and what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo import Command, MetricMissing, choice, resume, tune_run, uniform
from ray_hpo.journal import read_reports
from tests.command.test_sources import EVENT_FILE

EPOCHS = 9
SPACE = {"x": uniform(0.0, 1.0)}

# Prints an epoch a line; trains on from a folder if it is told one, and saves there, before or after it prints.
SCRIPT = """
import argparse, json, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int, default=9)
parser.add_argument("--checkpoint", type=pathlib.Path)
parser.add_argument("--save", default="before")
parser.add_argument("--note", type=pathlib.Path)
args = parser.parse_args()
state = args.checkpoint / "state.json" if args.checkpoint else None
done = json.loads(state.read_text()) if state and state.exists() else 0
def save(epoch):
    if state:
        part = state.with_suffix(".part")
        part.write_text(json.dumps(epoch))
        part.rename(state)
for epoch in range(done + 1, args.epochs + 1):
    if args.note:
        with open(args.note, "a") as file:
            print(epoch, file=file)
    if args.save == "before": save(epoch)
    print(f"epoch {epoch}: loss={args.x + 1 / epoch} lr: 0.1", flush=True)
    if args.save == "after":
        time.sleep(0.05)
        save(epoch)
    time.sleep(0.02)
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return str(path)


def run(storage: Path, command: Command, **changes: Any) -> ray_hpo.Result:
    """Successive halving of three trials to nine epochs: 1, 3 and 9."""
    options: dict[str, Any] = {"algo": "sh", "max_budget": EPOCHS, "num_trials": 3, "seed": 4, "metric": "loss"}
    result = tune_run(
        SPACE, command, **{"executor": "inline", "progress": False, "storage": storage, **options, **changes}
    )
    assert isinstance(result, ray_hpo.Result)
    return result


def notes(result: ray_hpo.Result, trial: int) -> list[int]:
    """The epochs that a trial trained."""
    return [int(line) for line in (folder_of(result, trial) / "output" / "note").read_text().split()]


def folder_of(result: ray_hpo.Result, trial: int) -> Path:
    return result.path / "trials" / f"{trial:05d}"


def says(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert text in capsys.readouterr().out


# ---- three ways to spend a budget ----


@pytest.mark.parametrize("save", ["before", "after"])
def test_a_script_that_honours_a_checkpoint_is_paused_and_promoted(save: str, script: str, tmp_path: Path) -> None:
    words = [
        sys.executable,
        script,
        "--x",
        ":x:",
        "--checkpoint=:checkpoint:",
        "--save",
        save,
        "--note",
        ":output:/note",
    ]
    result = run(tmp_path, Command(words, grace=5), fidelity="epoch")
    assert result.spec.resumable
    best = result.best_trial
    assert best.step == EPOCHS and best.value == pytest.approx(best.config["x"] + 1 / EPOCHS)
    trained = notes(result, best.number)
    assert sorted(set(trained)) == list(range(1, EPOCHS + 1))
    assert len(trained) <= EPOCHS + 4  # at most the epoch after a milestone, or before, is trained twice
    assert [row[1] for row in read_reports(result.path, best.number)] == list(range(1, EPOCHS + 1))
    assert not list(result.path.glob("trials/*/checkpoint"))


def test_a_script_with_a_checkpoint_and_a_budget_ends_by_itself_at_each_milestone(script: str, tmp_path: Path) -> None:
    words = [sys.executable, script, "--x", ":x:", "--checkpoint", ":checkpoint:", "--epochs", ":budget:"]
    result = run(tmp_path, Command([*words, "--note", ":output:/note"]))
    assert result.spec.resumable and result.spent == 1 + 1 + 9
    assert notes(result, result.best_trial.number) == list(range(1, EPOCHS + 1))  # each once


def test_a_script_that_is_told_a_budget_runs_again_to_a_bigger_one(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [sys.executable, script, "--x", ":x:", "--epochs", ":budget:", "--note", ":output:/note"]
    result = run(tmp_path, Command(words), algo="hyperband", num_trials=4, progress=True)
    says(capsys, "so a trial that is promoted runs again from nothing to a bigger :budget:")
    assert not result.spec.resumable
    promoted = [trial for trial in result.trials if trial.step > 1]
    for trial in promoted:
        ladder = [budget for budget in (1, 3, 9) if budget <= trial.step]
        assert notes(result, trial.number) == [epoch for budget in ladder for epoch in range(1, budget + 1)]
        assert trial.value == pytest.approx(trial.config["x"] + 1 / trial.step)


def test_a_stopping_rule_runs_each_trial_once(script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [sys.executable, script, "--x", ":x:", "--note", ":output:/note"]
    result = run(tmp_path, Command(words), algo="auto", num_trials=6, progress=True)
    out = capsys.readouterr().out
    assert "algo: auto picked gp x asha_stopping (early stopping of a command without :checkpoint: and :budget:)" in out
    assert "command: each trial runs once; asha_stopping ends it with SIGTERM where it falls behind" in out
    assert result.spec.resumable
    for trial in result.trials:
        trained = notes(result, trial.number)
        assert trained == list(range(1, len(trained) + 1)) and len(trained) >= trial.step
    assert {trial.state for trial in result.trials} == {"stopped", "completed"}


def test_a_stopping_rule_tells_the_whole_budget(script: str, tmp_path: Path) -> None:
    words = [sys.executable, script, "--x", ":x:", "--epochs", ":budget:", "--note", ":output:/note"]
    result = run(tmp_path, Command(words), algo="asha_stopping", num_trials=2)
    assert notes(result, result.best_trial.number) == list(range(1, EPOCHS + 1))


def test_a_pausing_algorithm_without_either_placeholder(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(tmp_path, Command([sys.executable, script, "--x", ":x:"]), progress=True)
    says(capsys, "neither :checkpoint: nor :budget: in it")
    assert not result.spec.resumable and result.best_trial.step == EPOCHS


def test_what_runs_when_time_is_up_is_saved(tmp_path: Path) -> None:
    """Between two reports, and a resume goes on from there."""
    code = (
        "import pathlib, sys, time\n"
        "x, folder, gate = float(sys.argv[1]), *map(pathlib.Path, sys.argv[2:])\n"
        "state = folder / 'epoch'\n"
        "done = int(state.read_text()) if state.exists() else 0\n"
        "for epoch in range(done + 1, 4):\n"
        "    state.write_text(str(epoch))\n"
        "    print(f'{epoch=} loss={x}', flush=True)\n"
        "    while epoch == 2 and not gate.exists(): time.sleep(0.01)\n"
    )
    words = [sys.executable, "-c", code, ":x:", ":checkpoint:", str(tmp_path / "gate")]
    options: dict[str, Any] = {"algo": "random", "num_trials": 1, "max_budget": 3, "fidelity": "epoch"}
    result = run(tmp_path, Command(words), time_limit=1.0, **options)
    assert result.status == "time_limit of 1s is used up"
    checkpoint = result.trials[0].checkpoint
    assert checkpoint is not None and checkpoint.step == 2
    (tmp_path / "gate").touch()
    again = resume(result.path, time_limit=100, executor="inline", progress=False)
    assert again.trials[0].step == 3 and again.status == "all trials have run"
    assert (folder_of(again, 0) / "stdout.log").read_text().count("epoch=1 ") == 1


def test_resume_needs_no_python(script: str, tmp_path: Path) -> None:
    words = [sys.executable, script, "--x", ":x:", "--epochs", ":budget:"]
    first = run(tmp_path, Command(words), algo="random", num_trials=1, max_budget=2)
    again = resume(first.path, num_trials=2, executor="inline", progress=False)
    assert [trial.step for trial in again.trials] == [2, 2]


# ---- what it is told, and what is kept ----


def test_everything_that_a_command_can_be_told(tmp_path: Path) -> None:
    code = "import sys, os; print(sys.argv[1:]); print('loss=1'); print(os.getcwd(), file=sys.stderr)"
    words = [":trial_id:", ":seed:", ":output:", "a=:net.width:", "::x::"]
    result = tune_run(
        {"x": 0.5, "net": {"width": choice([8])}},
        Command([sys.executable, "-c", code, *words, ":x:"], folder=":output:/here"),
        metric="loss", num_trials=1, executor="inline", progress=False, storage=tmp_path,
    )  # fmt: skip
    trial = folder_of(result, 0)
    seed = result.spec.trial_seed(0)
    told = ["0", str(seed), f"{trial}/output", "a=8", ":x:", "0.5"]
    assert (trial / "stdout.log").read_text() == f"{told}\nloss=1\n"
    assert (trial / "stderr.log").read_text() == f"{trial}/output/here\n"


def test_without_placeholders_parameters_are_appended(tmp_path: Path) -> None:
    code = "import sys; print(*sys.argv[1:]); print('loss=1')"
    result = run(tmp_path, Command([sys.executable, "-c", code]), algo="random", max_budget=None, num_trials=1)
    assert (folder_of(result, 0) / "stdout.log").read_text() == f"--x {result.trials[0].config['x']}\nloss=1\n"


def test_a_shell_line(tmp_path: Path) -> None:
    line = 'for i in 1 2 3; do echo "epoch $i: loss=:x:" | tee -a ":output:/log"; done'
    result = run(tmp_path, Command(line, shell=True), algo="random", max_budget=3, num_trials=1)
    assert result.trials[0].step == 3
    assert len((folder_of(result, 0) / "output" / "log").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("stderr", "import sys; print('loss=3', file=sys.stderr)"),
        ("csv::output:/m.csv", "import sys; open(sys.argv[1] + '/m.csv', 'w').write('epoch,loss\\n1,5\\n2,3')"),
        ("jsonl::output:/m.jsonl", "import sys; open(sys.argv[1] + '/m.jsonl', 'w').write('{\"loss\": 3}\\n')"),
        ("tensorboard::output:", "import shutil, sys; shutil.copy(sys.argv[3], sys.argv[1] + '/tfevents')"),
    ],
)
def test_metrics_from_elsewhere(source: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(EVENT_FILE)
    command = Command([sys.executable, "-c", code, ":output:", ":x:", str(tmp_path / "events")], metrics_from=source)
    metric = "val/loss" if source.startswith("tensorboard") else "loss"
    result = run(tmp_path, command, algo="random", max_budget=None, num_trials=1, metric=metric)
    assert result.best_value == (0.25 if metric == "val/loss" else 3)


def test_a_fidelity_that_is_printed(tmp_path: Path) -> None:
    code = "for i in (10, 20, 30): print(f'step: {i}'); print(f'loss: {i}')"
    command = Command([sys.executable, "-c", code, ":x:"])
    result = run(tmp_path, command, algo="random", fidelity="step", max_budget=30, num_trials=1)
    assert [step for _, step, _, _ in read_reports(result.path)] == [10, 20, 30]


# ---- what goes wrong ----


def test_one_that_crashes_for_some_parameters(tmp_path: Path) -> None:
    code = "import sys; x = float(sys.argv[1]); print('loss=', x)\nif x > 0.5: raise ValueError('x is too large')"
    result = run(tmp_path, Command([sys.executable, "-c", code, ":x:"]), algo="random", max_budget=None, num_trials=8)
    for trial in result.trials:
        failed = trial.config["x"] > 0.5
        assert trial.state == ("failed" if failed else "completed")
        if failed:
            assert trial.error == "CommandFailed: exit code 1: ValueError: x is too large"
            assert trial.traceback.splitlines()[0].startswith("Traceback")
    assert {trial.state for trial in result.trials} == {"failed", "completed"}


def test_one_that_prints_nan(tmp_path: Path) -> None:
    code = "import sys; x = float(sys.argv[1]); print('loss:', float('nan') if x > 0.5 else x)"
    result = run(tmp_path, Command([sys.executable, "-c", code, ":x:"]), algo="random", max_budget=None, num_trials=8)
    assert result.best_trial.config["x"] <= 0.5 and len(result.trials) == 8


def test_one_that_prints_100_mb(tmp_path: Path) -> None:
    """All of it is kept, and only as much as a line of it held."""
    code = (
        "import sys\nline = 'x' * 999 + '\\n'\nfor epoch in range(1, 5):\n"
        "    for _ in range(25): sys.stdout.write(line * 1000)\n    print('epoch', epoch, 'loss=0.5')"
    )
    import tracemalloc

    tracemalloc.start()
    result = run(tmp_path, Command([sys.executable, "-c", code, ":x:"]), algo="random", max_budget=4, num_trials=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.trials[0].step == 4
    assert (folder_of(result, 0) / "stdout.log").stat().st_size > 100_000_000
    assert peak < 30_000_000


@pytest.mark.parametrize(
    ("code", "message"),
    [("print('accuracy: 0.5')", "metric='loss' was not reported by trial 0 up to 1; it reported accuracy")],
)
def test_another_metric_ends_the_sweep(code: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(MetricMissing, match=message):
        run(tmp_path, Command([sys.executable, "-c", code, ":x:"]))


@pytest.mark.parametrize(
    ("code", "options", "error"),
    [
        ("print('hello')", {}, "no loss in stdout: nothing like key=value, key: value or JSON is there"),
        ("import sys; print('loss=1', file=sys.stderr)", {}, "but in stderr: metrics_from='stderr' reads it there"),
        ("print('hello')", {"metric_regex": ["l=(.)"]}, "metric_regex finds no loss in stdout"),
    ],
)
def test_no_metric_at_all(code: str, options: dict[str, Any], error: str, tmp_path: Path) -> None:
    command = Command([sys.executable, "-c", code, ":x:"], **options)
    result = run(tmp_path, command, algo="random", max_budget=None, num_trials=1)
    assert error in result.trials[0].error


def test_one_that_writes_no_checkpoint_is_named(tmp_path: Path) -> None:
    code = "for i in range(9): print('loss=', 1, flush=True)"
    result = run(tmp_path, Command([sys.executable, "-c", code, ":x:", ":checkpoint:"]), num_trials=1)
    assert any("wrote nothing into :checkpoint: yet" in notice for notice in result.experiment.notices)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["x", ":x:", ":budget:"], {"algo": "random", "max_budget": None}, "command: the program 'x' cannot be run"),
        (["sh", ":x:", ":budget:"], {"algo": "random", "max_budget": None}, ":budget: needs max_budget"),
        (["sh", ":y:"], {}, "command: :y: is no parameter"),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    words: list[str], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ray_hpo.InvalidInput, match=message):
        run(tmp_path, Command(words), **options)
    assert not list(tmp_path.iterdir())
