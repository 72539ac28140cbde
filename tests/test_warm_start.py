"""`warm_start`: whole experiments that begin with the results of others."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_hpo import InvalidInput, Result, choice, load, report, resume, tune_run, uniform
from ray_hpo.cli.main import main
from ray_hpo.experiment import Experiment
from ray_hpo.simulation import simulate

SPACE = {"x": uniform(0.0, 1.0), "kind": choice(["a", "b", "c"])}
CHANGED = {"x": uniform(0.3, 1.0), "kind": choice(["a", "b"]), "z": uniform(0.0, 1.0)}


def train(config: dict[str, Any]) -> None:
    for epoch in range(1, 10):
        report({"loss": (config["x"] - 0.7) ** 2 + 0.2 * "abc".index(config["kind"]) + 1 / epoch})


def run(storage: Path, name: str, space: Any = SPACE, trainable: Any = train, **changes: Any) -> Result:
    options = {"metric": "loss", "algo": "bohb", "max_budget": 9, "num_trials": 20, "seed": 4}
    options |= {"executor": "inline", "progress": False}
    result = tune_run(space, trainable, storage=storage, name=name, **{**options, **changes})
    assert isinstance(result, Result)
    return result


def outcome(result: Result) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, t.state, t.fidelity, t.value, t.why) for t in result.trials]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(tmp_path_factory.mktemp("earlier"), "first", seed=1)


def test_the_results_are_in_the_new_journal_and_the_old_folder_may_vanish(first: Result, tmp_path: Path) -> None:
    shutil.copytree(first.path, tmp_path / "copy")
    whole = run(tmp_path, "whole", warm_start=[first])
    small = run(tmp_path, "small", warm_start=[tmp_path / "copy"], num_trials=12, algo="kde")
    shutil.rmtree(tmp_path / "copy")
    assert small.spec.earlier == load(small.path).spec.earlier == whole.spec.earlier
    assert len(small.spec.earlier.configs) == 20
    assert small.spec.warm_start == [str(tmp_path / "copy")]
    grown = resume(small.path, train, num_trials=20, executor="inline", progress=False)
    assert outcome(grown) == outcome(run(tmp_path, "grown", warm_start=[first], algo="kde"))
    assert [trial.number for trial in grown.trials] == list(range(20))


def test_what_was_left_out_is_told_before_and_afterwards(
    first: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = sum(trial.config["kind"] == "c" and trial.config["x"] >= 0.3 for trial in first.trials)
    outside = sum(trial.config["x"] < 0.3 for trial in first.trials)
    assert gone and outside
    result = run(tmp_path, "changed", CHANGED, warm_start=[first], progress=True, num_trials=3)
    earlier = result.spec.earlier
    line = (
        f"warm start: {len(earlier.results)} results of {20 - gone - outside} trials from {first.path}; "
        f"left out: {gone} (kind: a choice that is gone), {outside} (x: outside the new bounds)\n"
    )
    assert capsys.readouterr().out.count(line) == 2
    for arguments in (["show", str(result.path)], ["show", str(result.path), "--json"]):
        monkeypatch.setattr(sys, "argv", ["ray-hpo", *arguments])
        with pytest.raises(SystemExit):
            main()
        out = capsys.readouterr().out
        if "--json" in arguments:
            shown = json.loads(out)["warm_start"]
            assert (shown["from"], shown["trials"]) == ([str(first.path)], len(earlier.configs))
            assert sum(shown["left_out"].values()) == gone + outside
        else:
            assert line in out


def test_results_that_were_taken_over_are_not_taken_over_again(first: Result, tmp_path: Path) -> None:
    second = run(tmp_path, "second", warm_start=[first], num_trials=5)
    assert len(run(tmp_path, "third", warm_start=[second], num_trials=1).spec.earlier.configs) == 5
    assert len(run(tmp_path, "both", warm_start=[second, first], num_trials=1).spec.earlier.configs) == 25


def test_what_makes_no_sense_is_refused_before_anything_starts(first: Result, tmp_path: Path) -> None:
    def fail(config: dict[str, Any]) -> None:
        raise ValueError("no data")

    def counted(config: dict[str, Any]) -> None:
        for step in range(1, 10):
            report({"loss": 1.0, "steps": 10 * step})

    steps = run(tmp_path, "steps", trainable=counted, fidelity="steps", max_budget=90, min_budget=10, num_trials=1)
    empty = run(tmp_path, "empty", num_trials=1)
    empty.experiment.records.clear()
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"warm_start": str(first.path)}, "warm_start must be a list of paths or Results; got '"),
        ({"warm_start": [3]}, "warm_start[0] must be the path of an experiment or its Result; got 3"),
        ({"warm_start": [first, tmp_path / "none"]}, f"warm_start[1]: {tmp_path / 'none'} holds no experiment"),
        ({"warm_start": [first, first.path]}, f"warm_start[1]: {first.path} is given twice; leave one out"),
        (
            {"warm_start": [first], "metric": "acc", "mode": "max"},
            f"warm_start[0]: {first.path} has metric='loss', mode='min', this experiment metric='acc', mode='max'",
        ),
        ({"warm_start": [first], "mode": "max"}, f"warm_start[0]: {first.path} has metric='loss', mode='min'"),
        ({"warm_start": [steps]}, f"warm_start[0]: {steps.path} has fidelity='steps', this experiment fidelity=None"),
        ({"warm_start": [empty]}, f"warm_start[0]: {empty.path} has no result yet; leave it out"),
        ({"warm_start": [first], "algo": "asha"}, "warm_start is of no use to searcher 'random', which does not look"),
        (
            {"warm_start": [first], "space": {"x": uniform(2, 3)}},
            "warm_start: no trial fits this space, 20 (x: outside the new bounds); leave warm_start out",
        ),
    ]
    storage = tmp_path / "runs"
    for changes, message in mistakes:
        with pytest.raises(InvalidInput) as caught:
            run(storage, "new", **changes)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
    assert not storage.exists()


# ---- what it is good for ----


class Bowl:
    """The best is at x = 0.7, y = 0.2, kind a; z, if it is there, is best at 0.4."""

    def __init__(self, space: dict[str, Any]) -> None:
        self.space = space

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        loss = (config["x"] - 0.7) ** 2 + (config["y"] - 0.2) ** 2 + 0.2 * "abc".index(config["kind"])
        return {"loss": loss + 0.3 * (config.get("z", 0.4) - 0.4) ** 2 + 1 / budget}, budget


OLD = Bowl({**SPACE, "y": uniform(0.0, 1.0)})
NEW = Bowl({**CHANGED, "y": uniform(0.0, 1.0)})


def mean_loss(experiment: Experiment) -> float:
    """How far from the best the trials were on average, all budgets alike."""
    return float(np.mean([t.value - 1 / t.fidelity for t in experiment.trials if t.value and t.fidelity]))


@pytest.mark.parametrize(
    ("algo", "num_trials", "bench"), [("kde", 12, OLD), ("bohb", 30, NEW)], ids=["same space", "changed space"]
)
def test_the_first_trials_lie_nearer_to_the_best(algo: str, num_trials: int, bench: Bowl) -> None:
    """They did so in at least 96 of 100 other pairs of runs. At 0.95 fewer than 29 of 40 have probability 4e-7."""
    wins = 0
    for seed in range(40):
        common: dict[str, Any] = {"algo": algo, "metric": "loss", "max_budget": 9, "workers": 2}
        earlier = simulate(OLD, num_trials=40, seed=1_000 + seed, **common)
        cold = simulate(bench, num_trials=num_trials, seed=seed, **common)
        warm = simulate(bench, num_trials=num_trials, seed=seed, warm_start=[earlier], **common)
        wins += mean_loss(warm) < mean_loss(cold)
    assert wins >= 29


def test_ladders_need_not_agree(first: Result, tmp_path: Path) -> None:
    """A result counts at the nearest rung at or below; one below the ladder keeps its fidelity."""

    def fidelities(result: Result) -> set[float]:
        return {fidelity for _, fidelity, _ in result.spec.earlier.results}

    full = run(tmp_path, "full", warm_start=[first], algo="kde", max_budget=27, num_trials=1)
    assert fidelities(full) == {1.0, 3.0, 9.0}
    assert fidelities(run(tmp_path, "shorter", warm_start=[first], max_budget=4, num_trials=1)) == {1.0, 4.0}
    to_the_end = run(tmp_path, "end", algo="kde", max_budget=None, num_trials=5)
    assert fidelities(run(tmp_path, "longer", warm_start=[to_the_end], max_budget=27, num_trials=1)) == {27.0}
