"""Mistakes of the user: one line that names the field and the way out, before anything starts or a folder is made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo import InvalidInput, choice, loguniform, randint, report, resume, tune_run, uniform
from ray_hpo.journal import Journal


def train(config: dict[str, Any]) -> None:
    for epoch in range(1, 5):
        report({"loss": config["x"] / epoch})


def start(storage: Path, **changes: Any) -> ray_hpo.Result:
    arguments = {
        "space": {"x": uniform(0.0, 1.0)},
        "trainable": train,
        "metric": "loss",
        "algo": "sh",
        "max_budget": 4,
        "num_trials": 3,
        "seed": 1,
        "executor": "inline",
        "progress": False,
        "storage": storage,
    }
    result = tune_run(**{**arguments, **changes})
    assert isinstance(result, ray_hpo.Result)
    return result


class NoStep:
    def setup(self, config: dict[str, Any]) -> None: ...


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown algo": ({"algo": "hyperbnd"}, "algo='hyperbnd' is unknown; did you mean hyperband"),
    "algo without near matches": ({"algo": "xyz"}, "algo='xyz' is unknown; known: asha, asha_stopping, bohb, "),
    "algo of another type": ({"algo": 3}, "algo must be a name, a searcher or a scheduler; got 3"),
    "budgets in the wrong order": (
        {"max_budget": 1, "min_budget": 3},
        "max_budget must be at least min_budget; got max_budget=1, min_budget=3",
    ),
    "max_budget of zero": ({"max_budget": 0}, "max_budget must be a positive number; got max_budget=0"),
    "max_budget as text": ({"max_budget": "9"}, "max_budget must be a number; got max_budget='9'"),
    "min_budget alone": ({"algo": "random", "max_budget": None, "min_budget": 3}, "min_budget=3 needs max_budget"),
    "early stopping without max_budget": ({"algo": "bohb", "max_budget": None}, "algo hyperband needs max_budget"),
    "metric empty": ({"metric": ""}, "metric must be the name of a reported metric; got metric=''"),
    "metric as a number": ({"metric": 3}, "metric must be the name of a reported metric; got metric=3"),
    "metrics without a name": (
        {"metric": ["loss", 3]},
        "metric must be a list of different names; got metric=['loss', 3]",
    ),
    "a metric twice": (
        {"metric": ["loss", "loss"]},
        "metric must be a list of different names; got metric=['loss', 'loss']",
    ),
    "mode": ({"mode": "minimize"}, "mode must be 'min' or 'max'; got mode='minimize'"),
    "modes": ({"metric": ["loss", "size"], "mode": ["min", 3]}, "mode must be 'min' or 'max'; got mode=['min', 3]"),
    "too few modes": (
        {"metric": ["loss", "size"], "mode": ["min"]},
        "mode must be one for all metrics, or one for each of the 2; got mode=['min']",
    ),
    "constraints as text": (
        {"constraints": "loss < 3"},
        "constraints must be a dict from reported metrics to comparisons, as in {'params': '<= 5e6'}; "
        "got constraints='loss < 3'",
    ),
    "constraint without an operator": (
        {"constraints": {"size": 5e6}},
        "constraints must compare reported metrics with numbers, as in {'params': '<= 5e6'}; "
        "got constraints={'size': 5000000.0}",
    ),
    "constraint without a number": (
        {"constraints": {"size": "<= few"}},
        "constraints must compare reported metrics with numbers, as in {'params': '<= 5e6'}; "
        "got constraints={'size': '<= few'}",
    ),
    "constraint without an end": ({"constraints": {"size": "< inf"}}, "got constraints={'size': '< inf'}"),
    "verification with several metrics": (
        {"metric": ["loss", "size"], "verify_top": 2},
        "verify_top=2 needs one metric, by which the best are verified; got metric=['loss', 'size']: leave it out",
    ),
    "num_trials of zero": ({"num_trials": 0}, "num_trials must be a whole number of at least 1; got num_trials=0"),
    "num_trials as a float": ({"num_trials": 2.5}, "num_trials must be a whole number of at least 1"),
    "max_concurrent": ({"max_concurrent": 0}, "max_concurrent must be a whole number of at least 1"),
    "max_failures": ({"max_failures": -1}, "max_failures must be a whole number of at least 0"),
    "trial_timeout as text": ({"trial_timeout": "soon"}, "trial_timeout must be seconds or a text such as"),
    "trial_timeout of zero": ({"trial_timeout": 0}, "trial_timeout must be seconds or a text such as"),
    "trial_timeout inline": ({"trial_timeout": 9}, "trial_timeout=9 cannot be kept with executor='inline'"),
    "on_oom": ({"on_oom": "retry"}, "on_oom must be 'fail' or 'more'; got on_oom='retry'"),
    "on_oom without a share of a GPU": (
        {"on_oom": "more"},
        "on_oom='more' gives a trial a larger share of its GPU, and needs trials that share one, as in "
        "resources={'gpu': 0.25}; got gpu=0",
    ),
    "on_oom inline": ({"on_oom": "more", "resources": {"gpu": 0.5}}, "on_oom='more' needs workers to share GPUs out"),
    "time_limit as text": ({"time_limit": "soon"}, "time_limit must be seconds or a text such as"),
    "time_limit without a unit": ({"time_limit": "90"}, "time_limit must be seconds or a text such as"),
    "time_limit negative": ({"time_limit": -5}, "time_limit must be seconds or a text such as"),
    "total_budget too small": ({"total_budget": 0.5}, "total_budget=0.5 is not enough for one trial to report"),
    "total_budget as text": ({"total_budget": "100"}, "total_budget must be a number; got total_budget='100'"),
    "total_budget without max_budget": (
        {"algo": "random", "max_budget": None, "total_budget": 10},
        "total_budget=10 needs max_budget",
    ),
    "point out of bounds": (
        {"points_to_evaluate": [{"x": 0.5}, {"x": 7}]},
        "points_to_evaluate[1]: x: must be between 0 and 1; got 7",
    ),
    "more points than trials": (
        {"points_to_evaluate": [{}] * 4},
        "num_trials=3 leaves no room for the 4 configurations of points_to_evaluate: give at least as many trials",
    ),
    "seed negative": ({"seed": -1}, "seed must be a whole number of at least 0; got seed=-1"),
    "seed as text": ({"seed": "1"}, "seed must be a whole number of at least 0; got seed='1'"),
    "resources negative": ({"resources": {"cpu": -1}}, "resources: cpu must be a number of at least 0; got cpu=-1"),
    "resources of nothing": ({"resources": {"cpu": 0}}, "resources must ask for something"),
    "resources with a fraction above one": ({"resources": {"gpu": 1.5}}, "resources: gpu above 1 must be a whole"),
    "resources as a number": ({"resources": 2}, "resources must be a dict such as"),
    "resources with a share too small": ({"resources": {"gpu": 1e-5}}, "resources: gpu must be at least 0.0001"),
    "resources twice": ({"resources": {"gpu": 1, "GPU": 1}}, "resources: GPU is there twice"),
    "resources of the object store": (
        {"resources": {"object_store_memory": 1}},
        "resources: object_store_memory cannot",
    ),
    "resources with labels as a list": ({"resources": {"labels": ["a"]}}, "resources: labels must be a dict such as"),
    "resources with a label that is no value": (
        {"resources": {"labels": {"zone": "in(a"}}},
        "resources: labels: zone must be a value, or one of !value, in(a, b), !in(a, b); got 'in(a'",
    ),
    "resources with a strategy alone": ({"resources": {"cpu": 1, "strategy": "PACK"}}, "resources: strategy says how"),
    "resources with an unknown strategy": (
        {"resources": {"bundles": [{"cpu": 1}] * 2, "strategy": "PAKC"}},
        "resources: strategy='PAKC': did you mean PACK?",
    ),
    "resources beside bundles": ({"resources": {"bundles": [{"cpu": 1}], "gpu": 1}}, "resources: gpu stands beside"),
    "resources without bundles": ({"resources": {"bundles": []}}, "resources: bundles must be a list such as"),
    "resources with an empty bundle": ({"resources": {"bundles": [{"cpu": 1}, {"cpu": 0}]}}, "bundles[1] must ask for"),
    "resources with a bundle of another kind": ({"resources": {"bundles": [2]}}, "bundles[0] must be a dict such as"),
    "resources auto in a bundle": (
        {"resources": {"bundles": [{"cpu": 1}, {"gpu": "auto"}]}},
        "bundles[1]: gpu='auto' is for trials of one bundle",
    ),
    "gpu_hours of gpu='auto'": ({"resources": {"gpu": "auto"}, "gpu_hours": 1}, "gpu_hours=1 needs a trial's share"),
    "gpu='auto' of a command": (
        {"trainable": ray_hpo.Command(["true", ":x:"]), "algo": "random", "resources": {"gpu": "auto"}},
        "gpu='auto' cannot measure what a command takes",
    ),
    "priority of zero": ({"priority": 0}, "priority must be a number above 0; got priority=0"),
    "resources infinite": ({"resources": {"cpu": float("inf")}}, "resources: cpu must be a number of at least 0"),
    "executor": ({"executor": "dask"}, "executor must be 'ray' or 'inline'; got executor='dask'"),
    "fidelity as a number": ({"fidelity": 3}, "fidelity must be the name of a reported metric; got fidelity=3"),
    "name with a slash": ({"name": "a/b"}, "name must be a plain folder name; got name='a/b'"),
    "name that is no text": ({"name": "a\ud800"}, r"name must be a plain folder name; got name='a\ud800'"),
    "trainable that is no function": ({"trainable": "train.py"}, "trainable must be a function, a class or a Command"),
    "trainable without arguments": ({"trainable": lambda: 1}, "takes no argument: it is called with config"),
    "trainable class without step": ({"trainable": NoStep}, "trainable class NoStep lacks step"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_arguments(mistake: str, tmp_path: Path) -> None:
    changes, message = MISTAKES[mistake]
    storage = tmp_path / "runs"
    with pytest.raises(InvalidInput) as caught:
        start(storage, **changes)
    assert str(caught.value).startswith(message) or message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not storage.exists()


BAD_SPACES: dict[str, tuple[Any, str]] = {
    "low above high": (lambda: {"x": uniform(1.0, 0.0)}, "low"),
    "low equals high": (lambda: {"x": uniform(1.0, 1.0)}, "low"),
    "randint of nothing": (lambda: {"x": randint(3, 3)}, "randint"),
    "log of zero": (lambda: {"x": loguniform(0.0, 1.0)}, "low"),
    "no choices": (lambda: {"x": choice([])}, "choice"),
    "names twice": (lambda: {"a": {"b": uniform(0, 1)}, "a.b": uniform(0, 1)}, "a.b"),
    "empty": (dict, "space"),
    "no space at all": (lambda: 3, "space"),
    "a list for a domain": (lambda: {"x": [0, 1]}, "choice"),
}


@pytest.mark.parametrize("mistake", BAD_SPACES)
def test_a_mistake_in_the_space(mistake: str, tmp_path: Path) -> None:
    make, word = BAD_SPACES[mistake]
    with pytest.raises(InvalidInput, match=word) as caught:
        start(tmp_path / "runs", space=make())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_storage_that_no_file_system_can_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"storage='.*' cannot be written: .*surrogates not allowed"):
        start(tmp_path / "a\ud800")


def test_a_storage_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInput, match=r"storage='.*/file/runs' cannot be written: .*Not a directory"):
        start(tmp_path / "file" / "runs")


def test_a_searcher_that_lacks_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hpbandster.optimizers.config_generators.bohb", None)
    with pytest.raises(InvalidInput, match=r'pip install "ray-hpo\[hpbandster\]"'):
        start(tmp_path, algo="hpbandster", max_budget=9)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    start(tmp_path, name="taken")
    with pytest.raises(InvalidInput, match=r"name='taken': .* holds an experiment already; resume it with `ray-hpo"):
        start(tmp_path, name="taken")


def test_an_experiment_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(journal: Journal, spec: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "begin", die)
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path, name="early")
    assert [file.name for file in (tmp_path / "early").iterdir()] == ["journal.lock"]
    assert len(start(tmp_path, name="early").trials) == 3


# ---- resume ----


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start(tmp_path_factory.mktemp("runs"), num_trials=4).path


def test_resume_of_a_path_without_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(ray_hpo.RayHpoError, match=r"holds no experiment: .* `ray-hpo ls` lists what is there"):
        resume(tmp_path, train, executor="inline", progress=False)


def test_resume_with_a_changed_space_shows_the_difference(experiment: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        resume(experiment, train, space={"x": uniform(0.0, 2.0), "y": uniform(0, 1)}, executor="inline", progress=False)
    text = str(caught.value)
    assert text.startswith("the space differs from the recorded one (")
    assert "x" in text and "y" in text and "2" in text
    assert text.endswith("resume without space=, or start a new experiment")
    assert "\n" not in text


def test_resume_with_fewer_trials_than_were_started(experiment: Path) -> None:
    with pytest.raises(InvalidInput, match="num_trials=2 is below the 4 trials that were started already"):
        resume(experiment, train, num_trials=2, executor="inline", progress=False)


def test_resume_with_less_budget_than_was_granted(experiment: Path) -> None:
    with pytest.raises(InvalidInput, match="total_budget=2 is below the 10 that were granted already"):
        resume(experiment, train, total_budget=2, executor="inline", progress=False)


def test_resume_with_less_time_than_was_taken(experiment: Path) -> None:
    with pytest.raises(InvalidInput, match=r"time_limit=1e-06 s is below the 0\.\d s that the experiment took already"):
        resume(experiment, train, time_limit=1e-6, executor="inline", progress=False)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"num_trials": 0}, "num_trials must be a whole number of at least 1; got num_trials=0"),
        ({"num_trials": 7.5}, "num_trials must be a whole number of at least 1; got num_trials=7.5"),
        ({"time_limit": "-3s"}, "time_limit must be seconds or a text such as"),
        ({"total_budget": -1}, "total_budget=-1 is not enough for one trial to report"),
        ({"executor": "dask"}, "executor must be 'ray' or 'inline'; got executor='dask'"),
    ],
)
def test_resume_with_a_limit_that_makes_no_sense(experiment: Path, limit: dict[str, Any], message: str) -> None:
    before = ray_hpo.load(experiment).experiment
    with pytest.raises(InvalidInput) as caught:
        resume(experiment, train, **{"executor": "inline", "progress": False, **limit})
    assert str(caught.value).startswith(message)
    assert ray_hpo.load(experiment).experiment.closed == before.closed


def test_resume_with_another_kind_of_trainable(experiment: Path) -> None:
    def budgeted(config: dict[str, Any], budget: int) -> dict[str, float]:
        return {"loss": 1.0}

    with pytest.raises(InvalidInput, match="the trainable is of another kind than the recorded one"):
        resume(experiment, budgeted, executor="inline", progress=False)


def test_resume_of_a_lambda_by_name_says_what_to_do(tmp_path: Path) -> None:
    folder = start(tmp_path, trainable=lambda config: {"loss": config["x"]}).path
    with pytest.raises(InvalidInput) as caught:
        resume(folder, executor="inline", progress=False)
    text = str(caught.value)
    assert text.startswith(f"the trainable of {folder} has no name to import it by (a lambda,")
    assert f"call ray_hpo.resume('{folder}', train) where it is defined" in text


def test_resume_of_a_trainable_that_is_gone(tmp_path: Path, script: Path) -> None:
    folder = tmp_path / "runs" / "gone"
    subprocess.run([sys.executable, script, folder.parent, "gone"], check=True)
    script.write_text("")
    with pytest.raises(ray_hpo.RayHpoError, match=r"cannot import the trainable .*script.py:train: .* has no 'train'"):
        resume(folder, executor="inline", progress=False)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "script.py"
    path.write_text(
        "import sys\n"
        "import ray_hpo\n"
        "def train(config):\n"
        "    return {'loss': config['x']}\n"
        "if __name__ == '__main__':\n"
        "    ray_hpo.tune_run({'x': ray_hpo.uniform(0, 1)}, train, metric='loss', num_trials=2, executor='inline',\n"
        "                     storage=sys.argv[1], name=sys.argv[2], progress=False)\n"
    )
    yield path
    sys.modules.pop("ray_hpo_resumed_script", None)


# ---- another package called strategies ----


def test_a_foreign_strategies_package_is_named(tmp_path: Path) -> None:
    foreign = tmp_path / "strategies"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("")
    run = subprocess.run(
        [sys.executable, "-c", "import ray_hpo"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ray_hpo needs its own package 'strategies'")
    assert str(foreign / "__init__.py") in last
    assert "rename that one" in last
