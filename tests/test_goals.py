"""Several metrics, and constraints: what they mean, and whole experiments that have them."""

from __future__ import annotations

import json
import math
import operator
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from strategies.domains import uniform
from strategies.space_builder import as_space

from ray_hpo import InvalidInput, MetricMissing, RayHpoError, Result, load, report, resume, tune_run
from ray_hpo.cli.main import main
from ray_hpo.experiment import Experiment
from ray_hpo.goals import Constraint, Goals
from ray_hpo.progress import LineProgress, Outlook, View
from ray_hpo.simulation import simulate
from tests.strategies.world import hash01

SPACE = {"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)}
BOTH = {"metric": ["loss", "latency"], "mode": ["min", "max"]}
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


class Tradeoff:
    """The loss wants a small x, latency (to be maximised) a large one; params is known from the start."""

    space = as_space(SPACE)

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        x, y = config["x"], config["y"]
        loss = math.nan if hash01(x, budget) < 0.05 else x + y + 1 / budget
        return {"loss": loss, "latency": math.sqrt(x) - y, "params": 10 * y}, budget


def train(config: dict[str, Any]) -> None:
    for epoch in range(1, 10):
        metrics = Tradeoff().evaluate(config, epoch)[0]
        report({"loss": metrics["loss"]} if epoch > 1 else metrics)


def both(config: dict[str, Any]) -> None:
    for epoch in range(1, 10):
        report(Tradeoff().evaluate(config, epoch)[0])


def run(storage: Path, name: str = "run", trainable: Any = both, **changes: Any) -> Result:
    options = {"metric": "loss", "algo": "random", "num_trials": 12, "seed": 4, "executor": "inline", "progress": False}
    result = tune_run(SPACE, trainable, storage=storage, name=name, **{**options, **changes})
    assert isinstance(result, Result)
    return result


# --- constraints ---------------------------------------------------------------------------------------


numbers = st.one_of(st.sampled_from([0.0, -1.0, 2.0, 5e6]), st.floats(-1e9, 1e9))


@given(st.sampled_from(sorted(COMPARISONS)), numbers, numbers)
def test_the_excess_is_above_zero_where_the_comparison_is_false(comparison: str, bound: float, value: float) -> None:
    constraint = Constraint.of("m", f"{comparison} {bound!r}")
    assert (constraint.excess(value) <= 0) == COMPARISONS[comparison](value, bound)


def test_the_excess_is_a_share_of_the_bound() -> None:
    assert Constraint.of("m", "<=5e6").excess(6e6) == pytest.approx(0.2)
    assert Constraint.of("m", " >  0.9 ").excess(0.45) == pytest.approx(0.5)
    assert Constraint.of("m", "<= -2").excess(-1) == pytest.approx(0.5)
    assert Constraint.of("m", "<= 0").excess(3) == 3
    assert [Constraint.of("m", "<= 1").excess(value) for value in (math.nan, -math.inf)] == [math.inf, math.inf]


@pytest.mark.parametrize("text", ["5e6", "== 3", "<= x", "<= nan", "< inf", "<", "", "<= 3 4", None, 3])
def test_what_is_no_comparison(text: Any) -> None:
    with pytest.raises(InvalidInput, match=r"as in \{'params': '<= 5e6'\}; got constraints=\{'m': "):
        Goals.of("loss", "min", {"m": text})


def test_goals_in_words_and_a_list_of_one() -> None:
    goals = Goals.of(["loss", "accuracy"], ["min", "max"], {"params": "<=5e6", "loss": "< 1"})
    assert str(goals) == "min loss, max accuracy, subject to params <= 5e6, loss < 1"
    assert goals.names == ("loss", "accuracy", "params") and goals.several and not goals.plain
    assert Goals.of(["loss"], ["max"]) == Goals.of("loss", "max") and Goals.of("loss", "max").plain
    assert Goals.of(("a", "b"), "max").modes == ("max", "max")


def test_any_metric_that_is_no_number_is_a_failure_and_any_bound_that_is_none_is_violated_most() -> None:
    goals = Goals.of(["a", "b"], "max", {"c": "<= 2"})
    reached = goals.reached(3, 9.0, {"a": 1.0, "b": math.nan, "c": math.nan})
    assert (reached.value, reached.values, reached.excess) == (math.inf, (-1.0, math.inf), (math.inf,))
    assert goals.reached(3, 9.0, {"a": 1.0, "b": 2.0, "c": 1.0}).value == -1.0


# --- experiments ---------------------------------------------------------------------------------------


def beats(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    pairs = [(a["loss"], b["loss"]), (-a["latency"], -b["latency"])]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


@pytest.mark.parametrize("algo", ["random", "bohb", "asha"])
def test_the_front_is_what_nothing_beats_among_those_that_got_furthest(algo: str) -> None:
    constraints = {"params": "<= 6"}
    found = simulate(Tradeoff(), algo=algo, **BOTH, constraints=constraints, max_budget=9, num_trials=80, workers=3)
    full = [t for t in found.trials if t.fidelity == 9 and math.isfinite(t.values["loss"]) and t.values["params"] <= 6]
    expected = [t for t in full if not any(beats(other.values, t.values) for other in full)]
    assert found.pareto_front == sorted(expected, key=lambda trial: trial.values["loss"])
    assert len(expected) >= (3 if algo == "random" else 1)
    ranked = found.ranked()
    assert {trial.number for trial in ranked[: len(expected)]} == {trial.number for trial in expected}
    assert [trial.feasible for trial in ranked] == sorted((trial.feasible for trial in ranked), reverse=True)
    with pytest.raises(RayHpoError, match=r"several metrics \(loss, latency\): pareto_front lists"):
        _ = found.best


def test_the_best_meets_the_constraints_however_much_better_others_are() -> None:
    found = simulate(
        Tradeoff(), algo="random", metric="loss", constraints={"params": "> 5"}, max_budget=9, num_trials=60
    )
    best = found.best
    assert best is not None and best.values["params"] > 5 and found.pareto_front == [best]
    met = [t for t in found.trials if t.values and t.feasible and math.isfinite(t.values["loss"])]
    furthest = max(t.fidelity for t in met if t.fidelity)
    assert best.value == min(t.value for t in met if t.fidelity == furthest and t.value is not None)
    assert any(t.value < best.value for t in found.trials if t.value is not None and not t.feasible)


def test_without_a_trial_that_meets_them_the_one_that_violates_least() -> None:
    found = simulate(
        Tradeoff(), algo="random", metric="loss", constraints={"params": "< -1"}, max_budget=9, num_trials=20
    )
    assert found.best is not None and not found.best.feasible and found.pareto_front == []
    finite = [trial for trial in found.trials if math.isfinite(trial.values["loss"])]
    assert found.best.values["params"] == min(trial.values["params"] for trial in finite)


@pytest.mark.parametrize("more", [BOTH, {"constraints": {"params": "<= 6"}}], ids=["metrics", "constraints"])
def test_a_resumed_run_is_the_whole_run(more: dict[str, Any], tmp_path: Path) -> None:
    whole = run(tmp_path, "whole", algo="gp", num_trials=14, **more)
    part = run(tmp_path, "part", algo="gp", num_trials=8, **more)
    grown = resume(part.path, both, num_trials=14, executor="inline", progress=False)

    def told(result: Result) -> list[Any]:
        return [(t.number, t.config, t.values, t.violation, t.why) for t in result.trials]

    assert told(grown) == told(whole) and grown.spec.goals == whole.spec.goals
    assert [t.number for t in grown.pareto_front] == [t.number for t in whole.pareto_front]


def test_what_was_measured_once_counts_from_then_on(tmp_path: Path) -> None:
    """The latency and the size of a network are often reported once, the loss every epoch."""
    result = run(tmp_path, trainable=train, **BOTH, constraints={"params": "<= 6"}, algo="sh", max_budget=9)
    front = result.pareto_front
    assert front and all(trial.fidelity == 9 and "params" not in trial.metrics for trial in front)
    assert all(trial.values["params"] == 10 * trial.config["y"] <= 6 for trial in front)


def test_a_constraint_about_what_is_never_reported(tmp_path: Path) -> None:
    with pytest.raises(MetricMissing, match="constraints: 'prams' was not reported by trial 0 up to 9; it reported"):
        run(tmp_path, constraints={"prams": "<= 6"})


def test_a_metric_that_one_trial_does_not_report_fails_that_trial(tmp_path: Path) -> None:
    def sometimes(config: dict[str, Any]) -> None:
        report({"loss": config["x"]} if config["x"] < 0.4 else {"loss": config["x"], "latency": 1.0})

    result = run(tmp_path, trainable=sometimes, **BOTH)
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert {trial.number for trial in failed} == {t.number for t in result.trials if t.config["x"] < 0.4}
    assert failed[0].error == "never reported 'latency'; it reported loss" and result.pareto_front


def test_a_text_in_place_of_what_is_constrained_fails_the_trial(tmp_path: Path) -> None:
    def wordy(config: dict[str, Any]) -> None:
        report({"loss": 1.0, "params": "many"})

    result = run(tmp_path, trainable=wordy, constraints={"params": "<= 6"}, num_trials=2)
    assert "metric 'params' must be a number; got 'many'" in result.trials[0].error


def test_results_of_an_earlier_front_are_taken_over(tmp_path: Path) -> None:
    constraints = {"params": "<= 6"}
    first = run(tmp_path, "first", **BOTH, constraints=constraints)
    second = run(tmp_path, "second", algo="tpe", **BOTH, constraints=constraints, warm_start=[first])
    assert len(second.spec.earlier.results) == 12 == len(second.spec.earlier.more)
    assert load(second.path).spec.earlier == second.spec.earlier
    with pytest.raises(
        InvalidInput, match=r"first has metric=\['loss', 'latency'\], mode=\['min', 'max'\], constr.*this"
    ):
        run(tmp_path, "third", algo="tpe", warm_start=[first])


def test_only_what_meets_the_constraints_is_verified(tmp_path: Path) -> None:
    result = run(tmp_path, constraints={"params": ">= 8"}, verify_top=3, verify_seeds=2, num_trials=16)
    assert result.verified and all(row.config["y"] >= 0.8 for row in result.verified)
    assert result.best_trial.feasible


def test_the_head_of_a_plain_journal_says_nothing_of_constraints(tmp_path: Path) -> None:
    assert "constraints" not in run(tmp_path, num_trials=1).spec.to_json()


# --- what people see -----------------------------------------------------------------------------------


def test_results_frames_and_errors(tmp_path: Path) -> None:
    result = run(tmp_path, **BOTH, constraints={"params": "<= 6"})
    frame = result.to_dataframe()
    assert set(frame.index[frame["pareto_front"]]) == {trial.number for trial in result.pareto_front}
    assert ((frame["violation"] == 0) == (frame["value/params"] <= 6)).all()
    assert list(frame["value/latency"]) == [trial.values["latency"] for trial in result.trials]
    assert "on the Pareto front of loss, latency" in repr(result)
    for name in ("best_trial", "best_config", "best_value", "best_checkpoint"):
        with pytest.raises(RayHpoError, match="pareto_front"):
            getattr(result, name)
    plain = run(tmp_path, "plain", num_trials=2)
    assert not {"violation", "pareto_front", "value/loss"} & set(plain.to_dataframe().columns)
    assert plain.pareto_front == [plain.best_trial]


def test_summary_and_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(tmp_path, **BOTH, constraints={"params": "<= 6"}, num_trials=20, progress=True)
    front = result.pareto_front
    said = capsys.readouterr().out
    assert "random x fifo, min loss, max latency, subject to params <= 6, seed 4" in said
    assert f"Pareto front: {len(front)} of 20 trials (min loss, max latency, subject to params <= 6)" in said
    best = front[0]
    assert f"  trial {best.number}: loss {best.values['loss']:.6g}, latency {best.values['latency']:.6g}, par" in said

    def command(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["ray-hpo", *map(str, arguments)])
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out

    assert f"Pareto front: {len(front)} of 20" in command("show", result.path)
    shown = json.loads(command("show", result.path, "--json"))
    assert shown["pareto_front"] == [trial.number for trial in front]
    assert shown["best_trial"] is None and shown["constraints"] == {"params": "<= 6"}
    assert shown["trials"][3]["values"] == pytest.approx(result.trials[3].values)
    assert f"{len(front)} on the front of loss, latency" in command("ls", tmp_path)
    [row] = json.loads(command("ls", tmp_path, "--json"))
    assert row["best"] is None and row["pareto_front"] == len(front)


@pytest.mark.parametrize("metrics", [{}, BOTH], ids=["one", "several"])
def test_a_summary_without_a_trial_that_meets_the_constraints(
    metrics: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, **metrics, constraints={"params": "< -1"}, progress=True, num_trials=5)
    said = capsys.readouterr().out
    assert "; no trial meets the constraints, least violated by trial " in said and "(< -1)" in said
    assert ("Pareto front: empty" in said) == bool(metrics)


def test_lines_while_it_runs(tmp_path: Path) -> None:
    result = run(tmp_path, **BOTH, num_trials=2)
    experiment = Experiment(**BOTH, max_budget=math.inf)
    console = Console(record=True, width=200)
    view = View(result.spec, experiment, Outlook(experiment.budget, 2, None), lambda: 1)
    lines = LineProgress(view, console)
    assert view.best() == "none yet"
    for record in result.experiment.records:
        if type(record).__name__ == "Reached":
            trial = result.trials[record.trial]
            experiment.report(record.trial, trial.step, trial.metrics)
        experiment.record(0.0, record)
    lines.update()
    assert f"new front of {len(result.pareto_front)}: loss " in console.export_text()
