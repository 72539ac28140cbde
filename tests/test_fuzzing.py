"""Whatever is written, in spaces, sweep files, command lines and names: it works, or it is one line of ours."""

from __future__ import annotations

import inspect
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings, strategies as st
from typer.main import get_command

import ray_hpo
from ray_hpo import InvalidInput, RayHpoError, Space, choice, loguniform, ordinal, randint, tune_run, uniform
from ray_hpo.cli.main import app
from ray_hpo.spaces import to_space
from ray_hpo.sweepfile.reading import read_sweep

COMMANDS = get_command(app)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ODD_TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", " ", "\0", "\n", "\ud800", "a/b", "..", "-", "--", "-x", "$HOME", "%s", "{x}", "[red]x", "ünïcödé", "名前",
         "a" * 300, "\x1b[31m", ":x:", "::", "nan", "1e400", "1:2", "0:1:log", "1:0", "a,b", ",", "x=", "=1", "\u202e"]
    ),
)  # fmt: skip
ODD_NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 2**63, 1e-320, 1e308, -0.0, True, False]),
)
ODD = st.one_of(st.none(), ODD_NUMBERS, ODD_TEXT, st.lists(ODD_NUMBERS | ODD_TEXT, max_size=3), st.binary(max_size=3))


def told(error: BaseException | None) -> bool:
    """Whether an error is ours, of one line, and says something."""
    return isinstance(error, (InvalidInput, RayHpoError)) and bool(str(error)) and "\n" not in str(error)


@contextmanager
def one_line_if_wrong() -> Iterator[None]:
    try:
        yield
    except (InvalidInput, RayHpoError) as error:
        if not told(error):
            raise AssertionError(f"not one line: {str(error)!r}") from error


def train(config: dict[str, Any]) -> dict[str, float]:
    return {"loss": 1.0}


# ---- spaces ----


class WrongCall(Exception):
    """Python's own business."""


@st.composite
def domains(draw: st.DrawFn) -> Any:
    make = draw(st.sampled_from([uniform, loguniform, randint, choice, ordinal]))
    some: list[Any] = draw(st.lists(ODD, min_size=1, max_size=4))
    options = draw(st.dictionaries(st.sampled_from(["q", "prior", "log"]), ODD, max_size=1))
    arguments = [some] if make in (choice, ordinal) else some
    try:
        inspect.signature(make).bind(*arguments, **options)
    except TypeError:
        raise WrongCall from None
    domain = make(*arguments, **options)
    return domain.when(draw(ODD_TEXT)) if draw(st.integers(0, 3)) == 0 else domain


@QUICK
@given(data=st.data())
def test_spaces(data: st.DataObject) -> None:
    with suppress(WrongCall), one_line_if_wrong():
        space: dict[Any, Any] = {}
        for name in data.draw(st.lists(ODD_TEXT | st.integers() | st.none(), max_size=3)):
            space[name] = data.draw(st.one_of(domains(), ODD, st.dictionaries(ODD_TEXT, ODD, max_size=2)))
        made = to_space(Space(space, data.draw(st.lists(ODD_TEXT, max_size=1))))
        assert made == type(made).from_json(made.to_json())


# ---- sweep files ----

FIELDS = [
    "command", "parameters", "metric", "mode", "algo", "max_budget", "min_budget", "num_trials", "time_limit",
    "total_budget", "gpu_hours", "cost", "patience", "resources", "max_concurrent", "max_failures", "trial_timeout",
    "on_oom", "forbidden", "points_to_evaluate", "constraints", "verify_top", "metrics_from", "metric_regex", "grace",
    "name", "seed", "method", "program", "searcher", "hyperparameters", "entrypoint", "nonsense",
]  # fmt: skip
YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@QUICK
@given(data=st.data())
def test_sweep_files(tmp_path: Path, data: st.DataObject) -> None:
    body: dict[str, Any] = {
        "command": [sys.executable, "train.py", ":lr:"],
        "parameters": {"lr": "0:1"},
        "metric": "loss",
    }
    for field in data.draw(st.lists(st.sampled_from(FIELDS), max_size=3)):
        body[field] = data.draw(YAML_VALUES)
    for field in data.draw(st.lists(st.sampled_from(["command", "parameters", "metric"]), max_size=1)):
        body.pop(field, None)
    check_sweep(tmp_path, yaml.safe_dump(body, allow_unicode=data.draw(st.booleans())).encode("utf-8", "surrogatepass"))


@QUICK
@given(text=st.one_of(st.binary(max_size=40), st.text(alphabet="abc:-[]{}#&*!|>'\"%@`, \n\t0.", max_size=40)))
def test_files_of_anything(tmp_path: Path, text: bytes | str) -> None:
    check_sweep(tmp_path, text if isinstance(text, bytes) else text.encode())


def check_sweep(folder: Path, text: bytes) -> None:
    file = folder / "sweep.yaml"
    file.write_bytes(text)
    with one_line_if_wrong():
        sweep = read_sweep(str(file)).sweep({})
        sweep.to_command()
        to_space(sweep.to_space())
        sweep.arguments()


# ---- command lines ----

OPTIONS = [
    "-p", "--param", "-m", "--metric", "--mode", "--algo", "--max-budget", "--min-budget", "-n", "--num-trials",
    "--time-limit", "--total-budget", "--gpu-hours", "--cost", "--patience", "--forbidden", "--constraint", "--seed",
    "--verify-top", "--metrics-from", "--metric-regex", "--cpu", "--gpu", "--trial-timeout", "--on-oom", "--grace",
    "--shell", "--name", "--warm-start", "--json", "--quiet", "--nonsense", "--seconds-per-epoch", "--",
]  # fmt: skip


@QUICK
@given(words=st.lists(st.one_of(st.sampled_from(OPTIONS), ODD_TEXT), max_size=6), whole=st.booleans())
def test_plans_of_sweeps(tmp_path: Path, words: list[str], whole: bool) -> None:
    """`plan` checks all that `run` does, and starts nothing."""
    common = ["--executor", "inline", "--storage", str(tmp_path)]
    rest = ["-p", "lr=0:1", "-m", "loss", "--", sys.executable, "train.py", ":lr:"] if whole else []
    check_command(["plan", *common, *words, *rest])
    assert not list(tmp_path.iterdir())


LOOKING = ["ls", "show", "why", "compare", "replay", "top", "export", "logs", "rm", "restore", "init", "nonsense"]
FLAGS = ["--json", "--trial", "--limit", "--csv", "--algo", "--yes", "--once", "--nonsense"]


@QUICK
@given(
    command=st.sampled_from(LOOKING), words=st.lists(st.just("HERE") | st.sampled_from(FLAGS) | ODD_TEXT, max_size=4)
)
def test_commands_on_experiments(experiment: Path, command: str, words: list[str]) -> None:
    words = [str(experiment) if word == "HERE" else word for word in words]
    if command == "rm" and str(experiment) in words:
        words.remove(str(experiment))
    check_command([command, *words])


def check_command(words: list[str]) -> None:
    """Exit code 0, 1 or 2, or an error of ours, which `main` makes of these."""
    done = CliRunner().invoke(COMMANDS, words, input="")
    error = done.exception
    if not (error is None or told(error) or (isinstance(error, SystemExit) and error.code in (0, 1, 2))):
        raise AssertionError(f"{words}: {error!r}") from error


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = start(tmp_path_factory.mktemp("fuzzing"), "experiment")
    return result.path


# ---- names ----


def start(storage: Path, name: Any, **options: Any) -> ray_hpo.Result:
    arguments: dict[str, Any] = {"num_trials": 1, "algo": "random", "executor": "inline", "progress": False, "seed": 1}
    space = options.pop("space", {"x": uniform(0.0, 1.0)})
    result = tune_run(space, train, metric="loss", storage=storage, name=name, **{**arguments, **options})
    assert isinstance(result, ray_hpo.Result)
    return result


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=ODD | st.just("name"), parameter=ODD_TEXT, option=ODD_TEXT)
def test_names_of_experiments_parameters_and_options(tmp_path: Path, name: Any, parameter: str, option: str) -> None:
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    result = None
    with one_line_if_wrong():
        result = start(tmp_path / "runs", name, space={parameter: choice([option, "other"])})
    if result is None:
        return
    assert result.path.parent == tmp_path / "runs"
    again = ray_hpo.load(result.path)
    assert again.best_config in ({parameter: option}, {parameter: "other"})
    for command in (["ls", str(tmp_path / "runs")], ["show", str(result.path)], ["show", str(result.path), "--json"]):
        check_command(command)


ARGUMENTS = [
    "metric", "mode", "constraints", "algo", "max_budget", "min_budget", "num_trials", "time_limit", "total_budget",
    "gpu_hours", "cost", "price_per_hour", "patience", "resources", "max_concurrent", "max_failures", "trial_timeout",
    "on_oom", "verify_top", "verify_seeds", "keep_checkpoints", "fidelity", "points_to_evaluate", "warm_start", "seed",
]  # fmt: skip
DICTS = st.dictionaries(ODD_TEXT, ODD, max_size=2)


@QUICK
@given(field=st.sampled_from(ARGUMENTS), value=ODD | DICTS | st.lists(DICTS, max_size=2))
def test_arguments_of_tune_run(tmp_path: Path, field: str, value: Any) -> None:
    arguments = {"metric": "loss", "executor": "inline", "progress": False, "storage": tmp_path, "dry_run": True}
    with one_line_if_wrong():
        tune_run({"x": uniform(0.0, 1.0)}, train, **{**arguments, "num_trials": 3, field: value})
    assert not list(tmp_path.iterdir())
