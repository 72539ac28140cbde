"""`verify_top`: the best of a search, trained again with fresh seeds; what it is worth, and that no cut harms it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strategies.domains import choice, uniform
from strategies.registry import resolve_algo
from strategies.schedulers.fifo import Fifo
from strategies.space_builder import as_space

import ray_hpo
from ray_hpo import Result, get_context, load, report, resume, tune_run
from ray_hpo.cli.main import main
from ray_hpo.drive import Limits, create, drive
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.experiment import Experiment
from ray_hpo.journal import read_reports
from ray_hpo.journal.journal import Journal
from ray_hpo.messages import Job
from ray_hpo.seeds import derived_seed
from ray_hpo.simulation import simulate
from ray_hpo.spec import Spec
from ray_hpo.trial import Trial
from ray_hpo.verification import next_verification, verified_configs

CONFIGS = 8
GAP, NOISE = 0.15, 0.3


class Seeded(SimulatedExecutor):
    """Tells the benchmark the seed of each run, as a trainable learns it from its context."""

    def launch(self, job: Job) -> None:
        super().launch(dataclasses.replace(job, config={**job.config, "seed": job.seed}))


class Noisy:
    """Configuration i is worth GAP * i, and every training of it that and some luck."""

    space = as_space({"i": choice(list(range(CONFIGS)))})

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        luck = np.random.default_rng([self.seed, config["seed"], config["i"]]).normal()
        return {"loss": GAP * config["i"] + NOISE * luck + 1 / budget, "seed": config["seed"]}, budget


def spec_of(algo: str = "grid", **changes: Any) -> Spec:
    spec = Spec(
        name="noisy",
        space=Noisy.space,
        algo=resolve_algo(algo),
        metric="loss",
        mode="min",
        max_budget=9,
        min_budget=None,
        fidelity=None,
        num_trials=None,
        time_limit=None,
        total_budget=None,
        resources={"CPU": 1.0},
        max_concurrent=None,
        max_failures=0,
        isolate=False,
        seed=4,
        trainable=None,
        resumable=True,
        verify_top=3,
        verify_seeds=4,
    )
    return dataclasses.replace(spec, **changes)


def run(folder: Path, spec: Spec, benchmark: Any = None, limits: Limits = Limits(), workers: int = 3) -> Result:
    """One call of the driver, on simulated workers; the experiment is begun if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "journal.sqlite").exists():
        create(folder, spec)
    return drive(folder, spec, lambda *_: Seeded(benchmark or Noisy(), workers), limits, None)


def outcome(result: Result) -> list[list[tuple[Any, ...]]]:
    """Of the search and of each verification."""
    parts = [result, *result.verifications]
    return [[(t.number, t.config, t.state, t.value, t.metrics.get("seed"), t.why) for t in p.trials] for p in parts]


# ---- what it is worth ----


def test_the_verified_winner_is_right_more_often_than_the_searched_one() -> None:
    """Of 100 pairs the verified winner is truly better than the searched one in 43 and worse in 7 on average: the
    probabilities of one pair, by 20,000 draws, are 0.434 and 0.068. Less than 7 more have probability 6e-7 then."""
    gain = 0
    spec = spec_of(verify_top=4, verify_seeds=10)
    for seed in range(100):
        search = simulate(Noisy(seed), algo="grid", metric="loss", max_budget=9, executor=Seeded(Noisy(seed), 8))
        chosen = next_verification(spec, search, [])
        assert chosen is not None and search.best is not None
        bench = Noisy(1_000 + seed)
        points = [dict(point) for point in chosen.points_to_evaluate]
        runs = simulate(
            bench,
            algo=Fifo(),
            metric="loss",
            max_budget=9,
            num_trials=len(points),
            points_to_evaluate=points,
            executor=Seeded(bench, 8),
        )
        searched, verified = search.best.config["i"], verified_configs([(chosen, runs)])[0].config["i"]
        gain += (verified < searched) - (verified > searched)
    assert gain >= 7


# ---- the runs ----


def test_the_best_are_trained_again_at_full_budget_with_the_same_fresh_seeds(tmp_path: Path) -> None:
    result = run(tmp_path, spec_of("bohb", num_trials=20))
    (verification,) = result.verifications
    chosen = verification.spec.verifies
    assert [trial.number for trial in result.experiment.ranked() if trial.number in chosen] == list(chosen)
    assert chosen[0] == result.best_searched.number and len({result.trials[n].config["i"] for n in chosen}) == 3
    assert [run.config for run in verification.trials] == [result.trials[n].config for n in chosen] * 4
    assert all((run.state, run.fidelity) == ("completed", 9.0) for run in verification.trials)
    seeds = [run.metrics["seed"] for run in verification.trials]
    assert all(len(set(seeds[k : k + 3])) == 1 for k in range(0, 12, 3)) and len(set(seeds)) == 4
    searched = {trial.metrics["seed"] for trial in result.trials}
    assert len(searched) == 20 and not searched & set(seeds)
    assert all(0 <= seed < 2**31 for seed in searched | set(seeds))
    assert {row.trial for row in result.verified} == set(chosen)


def test_the_best_is_the_one_with_the_best_mean(tmp_path: Path) -> None:
    result = next(
        result
        for seed in range(50)
        if (result := run(tmp_path / str(seed), spec_of(seed=seed))).best_trial != result.best_searched
    )
    winner = result.verified[0]
    assert winner.mean == min(row.mean for row in result.verified)
    assert (result.best_trial.number, result.best_value) == (winner.trial, winner.mean)
    assert result.best_config == winner.config == {"i": result.best_trial.config["i"]}
    assert result.best_searched.value == min(trial.value for trial in result.trials if trial.value is not None)
    assert f"best loss {winner.mean:.6g} (trial {winner.trial})" in repr(result)


def test_in_mode_max_the_largest_mean_wins(tmp_path: Path) -> None:
    result = run(tmp_path, spec_of(mode="max"))
    assert result.verified[0].mean == max(row.mean for row in result.verified)


def test_mean_deviation_and_interval() -> None:
    """Values 1, 2, 6: mean 3, s^2 = 14/2; t of 2 degrees of freedom at 0.975 is 4.302653 (tables)."""
    spec = spec_of(num_trials=6, verifies=[5, 2], points_to_evaluate=[{"i": 5}, {"i": 2}] * 3)
    runs = Experiment("loss", "min", 9)
    for number, value in enumerate([1.0, 1.0, 2.0, 1.0, 6.0, 1.0]):
        runs.trials.append(Trial(number, {}, 9, state="completed", value=value))
    rows = verified_configs([(spec, runs)])
    assert [(row.trial, row.config, row.mean, row.std) for row in rows] == [
        (2, {"i": 2}, 1.0, 0.0),
        (5, {"i": 5}, 3.0, math.sqrt(7)),
    ]
    assert rows[1].margin == pytest.approx(4.302653 * math.sqrt(7 / 3), rel=1e-6)
    assert (rows[1].low + rows[1].high) / 2 == pytest.approx(3.0)
    runs.trials[3].value = math.nan  # NaN is a failure, and a failure ranks last
    runs.trials[4].state = "running"  # not over: counts neither way
    rows = verified_configs([(spec, runs)])
    assert [(row.trial, row.mean, row.number, row.failed) for row in rows] == [(5, 1.5, 2, 0), (2, 1.0, 2, 1)]


class Breaking(Noisy):
    """With fresh seeds the configurations in `broken` fail every other time, or always."""

    def __init__(self, broken: set[int], always: bool = False) -> None:
        super().__init__()
        self.broken, self.always = broken, always
        self.calls = 0

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        self.calls += 1
        fresh = config["seed"] not in {spec_of().trial_seed(k) for k in range(CONFIGS)}
        if fresh and config["i"] in self.broken and (self.always or self.calls % 2):
            raise ValueError("diverged")
        return super().evaluate(config, budget)


def test_a_configuration_that_fails_with_another_seed_loses(tmp_path: Path) -> None:
    best = run(tmp_path / "plain", spec_of()).verified[0]
    result = run(tmp_path / "breaking", spec_of(), Breaking({best.config["i"]}, always=True))
    assert (result.verified[-1].trial, result.verified[-1].number, result.verified[-1].failed) == (best.trial, 0, 4)
    assert result.best_trial.number != best.trial
    some = run(tmp_path / "some", spec_of(), Breaking({best.config["i"]}), workers=1)
    assert some.verified[-1].trial == best.trial and some.verified[-1].failed in (1, 2, 3)


def test_if_every_run_fails_the_searched_one_stays(tmp_path: Path) -> None:
    result = run(tmp_path, spec_of(), Breaking(set(range(CONFIGS)), always=True))
    assert result.best_trial == result.best_searched and result.best_value == result.best_searched.value
    assert not any(row.number for row in result.verified)


def test_fewer_configurations_than_asked_for_and_none(tmp_path: Path) -> None:
    assert len(run(tmp_path / "few", spec_of("random", num_trials=2, seed=1)).verified) == 2

    class Broken(Noisy):
        def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
            raise ValueError("no data")

    result = run(tmp_path / "none", spec_of(), Broken())
    assert result.verified == [] and not result.verification_due


def test_limits_of_the_search_do_not_cut_it_short(tmp_path: Path) -> None:
    spent = run(tmp_path / "budget", spec_of("random", total_budget=20.0))
    assert spent.status == "total_budget of 20 is spent" and spent.spent == 18
    late = run(tmp_path / "time", spec_of("random", time_limit=20.0))
    assert late.status == "time_limit of 20s is used up" and late.experiment.counts()["running"]
    for result in (spent, late):
        assert [row.number for row in result.verified] == [4] * len(result.verified)
        assert result.verified and not result.verification_due


def test_a_search_that_grows_has_its_new_best_verified_and_no_other(tmp_path: Path) -> None:
    spec = spec_of("random", num_trials=4)
    first = run(tmp_path, spec)
    grown = run(tmp_path, spec, limits=Limits(num_trials=30))
    old, new = (set(part.spec.verifies) for part in grown.verifications)
    assert outcome(grown)[1] == outcome(first)[1]
    configs = [grown.trials[n].config["i"] for n in (*old, *new)]
    assert new and len(set(configs)) == len(configs)
    best = [trial.config["i"] for trial in grown.experiment.ranked()]
    assert set(list(dict.fromkeys(best))[:3]) <= set(configs)
    assert len(grown.verified) == len(configs)
    assert grown.verifications[1].spec.seed != grown.verifications[0].spec.seed


# ---- cuts ----


class Cut(BaseException):
    """The driver dies here."""


class Commits:
    """Counts the commits of all journals, and dies at one: just before it or just after."""

    def __init__(self, at: int = 0, after: bool = False) -> None:
        self.count = 0

        class CutJournal(Journal):
            def commit(journal) -> None:  # noqa: N805
                self.count += 1
                if self.count == at and not after:
                    raise Cut
                super().commit()
                if self.count == at:
                    raise Cut

        self.journal = CutJournal


def test_cut_at_every_commit_and_resumed_it_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("bohb", num_trials=4, verify_top=2, verify_seeds=3)
    commits = Commits()
    monkeypatch.setattr("ray_hpo.drive.Journal", commits.journal)
    whole = outcome(run(tmp_path / "whole", spec))
    assert [len(part) for part in whole] == [4, 6]
    cuts = [(at, after) for at in range(1, commits.count + 1) for after in (False, True)]
    assert len(cuts) > 30
    for at, after in cuts:
        folder = tmp_path / f"{at}-{after}"
        monkeypatch.setattr("ray_hpo.drive.Journal", Commits(at, after).journal)
        with pytest.raises(Cut):
            run(folder, spec)
        monkeypatch.setattr("ray_hpo.drive.Journal", Journal)
        assert outcome(run(folder, spec)) == whole, f"cut at commit {at}, {'after' if after else 'before'} it"


def test_a_driver_that_dies_before_its_first_session_leaves_the_limits(tmp_path: Path) -> None:
    create(tmp_path, spec_of("random", num_trials=5, verify_top=0))
    assert len(run(tmp_path, spec_of("random", num_trials=5, verify_top=0)).trials) == 5
    assert len(run(tmp_path, spec_of("random", num_trials=5, verify_top=0), limits=Limits(num_trials=7)).trials) == 7


# ---- in this process, with real trainables ----


def start(storage: Path, trainable: Any, **changes: Any) -> Result:
    options = {"metric": "loss", "algo": "random", "max_budget": 3, "num_trials": 5, "seed": 1}
    options |= {"executor": "inline", "progress": False, "verify_top": 2, "verify_seeds": 3}
    result = tune_run({"x": uniform(0, 1)}, trainable, storage=storage, **{**options, **changes})
    assert isinstance(result, Result)
    return result


def train(config: dict[str, Any]) -> None:
    seed = get_context().seed
    for epoch in range(1, 4):
        report({"loss": config["x"] + seed / 2**31 + 1 / epoch, "seed": seed})


def test_a_trial_keeps_its_seed_when_it_is_tried_again(tmp_path: Path) -> None:
    seen: dict[tuple[str, int], set[int]] = {}

    def fails_once(config: dict[str, Any]) -> None:
        context = get_context()
        seeds = seen.setdefault((context.experiment, context.trial), set())
        if not seeds:
            seeds.add(context.seed)
            raise ValueError("once")
        seeds.add(context.seed)
        train(config)

    result = start(tmp_path, fails_once, max_failures=1, name="retried")
    assert all(len(seeds) == 1 for seeds in seen.values()) and len(seen) == 11
    assert [seen["retried", k] for k in range(5)] == [{result.spec.trial_seed(k)} for k in range(5)]
    assert list(result.to_dataframe()["seed"]) == [derived_seed(1, "trial", k) for k in range(5)]


def test_an_interrupt_during_the_verification_leaves_it_to_a_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupting(config: dict[str, Any]) -> None:
        if get_context().experiment == "verification-0" and get_context().trial == 3:
            os.kill(os.getpid(), signal.SIGINT)
        train(config)

    whole = start(tmp_path / "whole", train)
    cut = start(tmp_path / "cut", interrupting, progress=True)
    out = capsys.readouterr().out
    assert cut.status == "all trials have run; verification interrupted"
    over = sum(row.number for row in cut.verified)
    assert over in (3, 4)  # whether run 3 still arrived
    assert f"not verified yet: {over} runs are over; that is done when the search is over, or resumed\n" in out
    assert f"resume: ray-hpo resume {cut.path}\n" in out
    assert cut.verification_due and cut.best_trial == cut.best_searched
    before = read_reports(cut.verifications[0].path)
    done = resume(cut.path, train, executor="inline", progress=False)
    assert (done.status, done.verified) == ("all trials have run", whole.verified)
    assert read_reports(done.verifications[0].path)[: len(before)] == before
    assert outcome(done) == outcome(whole)


def test_an_interrupted_search_is_verified_after_its_resume(tmp_path: Path) -> None:
    def interrupting(config: dict[str, Any]) -> None:
        if get_context().trial == 2:
            os.kill(os.getpid(), signal.SIGINT)
        train(config)

    cut = start(tmp_path, interrupting)
    assert (cut.status, cut.verifications) == ("interrupted", [])
    assert len(resume(cut.path, train, executor="inline", progress=False).verified) == 2


def test_the_summary_and_the_command_line_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = start(tmp_path, train, progress=True)
    first, second = result.verified
    line = (
        f"winner verified over 3 seeds: {first.mean:.4g} +- {first.margin:.2g}; "
        f"runner-up trial {second.trial}: {second.mean:.4g} +- {second.margin:.2g} (95 % intervals)\n"
    )
    out = capsys.readouterr().out
    assert "verification: the best 2 configurations, 3 fresh seeds each, 1 workers; 18 epochs on top of the" in out
    assert f"at 3 epochs; mean of 3 fresh seeds {first.mean:.6g}\n" in out
    assert line in out

    def shown(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ray-hpo", "show", str(result.path), *arguments])
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out

    assert line in shown()
    body = json.loads(shown("--json"))
    assert body["verified"] == [dataclasses.asdict(row) for row in result.verified]
    assert (body["best_trial"], body["best_searched"]) == (first.trial, result.best_searched.number)
    assert f"seed: {result.spec.trial_seed(0)}\n" in shown("--trial", "0")


def test_a_trainable_that_ignores_its_seed_is_told_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(tmp_path, lambda config: {"loss": config["x"]}, progress=True, max_budget=None)
    assert "all seeds gave the same: seed what you draw with get_context().seed\n" in capsys.readouterr().out


def test_the_searcher_and_the_next_experiment_see_none_of_it(tmp_path: Path) -> None:
    result = start(tmp_path, train, name="first", algo="kde")
    grown = resume(result.path, train, num_trials=9, executor="inline", progress=False)
    plain = start(tmp_path, train, name="plain", algo="kde", num_trials=9, verify_top=0)
    assert outcome(grown)[0] == outcome(plain)[0]
    assert len(start(tmp_path, train, algo="kde", warm_start=[grown], verify_top=0).spec.earlier.configs) == 9
    assert load(grown.path).spent == 27


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verify_top": -1}, "verify_top must be a whole number of at least 0; got verify_top=-1"),
        ({"verify_top": 2.5}, "verify_top must be a whole number of at least 0; got verify_top=2.5"),
        ({"verify_seeds": 1}, "verify_seeds must be a whole number of at least 2; got verify_seeds=1"),
    ],
)
def test_mistakes(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ray_hpo.InvalidInput, match=message):
        start(tmp_path / "runs", train, **changes)
    assert not (tmp_path / "runs").exists()
