"""What every searcher, every scheduler and every pair of them must hold to.

A new algorithm is covered by its registry line."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest

from strategies.actions import Limit, Reached, Start, record_from_json, record_to_json
from strategies.domains import choice, loguniform, randint, uniform
from strategies.earlier import Earlier, earlier_results
from strategies.history import History
from strategies.points import first_points
from strategies.registry import PRESETS, SCHEDULERS, SEARCHERS, algo_from_json, algo_to_json
from strategies.schedulers.base import Scheduler
from strategies.schedulers.rungs import Fidelity
from strategies.searchers.base import Context, Searcher
from strategies.space import SearchSpace
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

from tests.strategies.world import (
    believed_space,
    categorical_space,
    mixed_space,
    noisy,
    one_element_space,
    run,
    starts,
)

SEARCHER_NAMES = sorted(SEARCHERS)
SCHEDULER_NAMES = sorted(SCHEDULERS)
NO_ORDINALS = {"hpbandster"}  # its generator refuses them


def make(searcher: str, scheduler: str) -> Scheduler:
    return SCHEDULERS[scheduler](searcher=SEARCHERS[searcher]())


def space_for(searcher: str) -> SearchSpace:
    if searcher not in NO_ORDINALS:
        return mixed_space()
    return as_space(
        {
            "lr": loguniform(1e-5, 1.0),
            "optimizer": choice(["sgd", "adam"]),
            "momentum": uniform(0.0, 0.99).when(optimizer="sgd"),
            "layers": randint(1, 5),
        }
    )


def assert_legal(space: SearchSpace, config: dict[str, object]) -> None:
    """In bounds, active where the conditions say so, not forbidden (test_space.py holds the space to ConfigSpace)."""
    row = space.encode(config)
    assert space.decode(row) == config
    np.testing.assert_array_equal(space.canonical(row[None])[0], row)
    assert space.allowed(row[None])[0]


ALL_PAIRS = [(a, b) for a in SEARCHER_NAMES for b in SCHEDULER_NAMES]
# Each searcher with three schedulers, each scheduler with as many searchers: enough where the two hardly meet.
SOME_PAIRS = [
    (a, SCHEDULER_NAMES[(i + k) % len(SCHEDULER_NAMES)]) for i, a in enumerate(SEARCHER_NAMES) for k in (0, 3, 7)
]
pairs = pytest.mark.parametrize(("searcher", "scheduler"), ALL_PAIRS, ids=lambda name: str(name))
some_pairs = pytest.mark.parametrize(("searcher", "scheduler"), SOME_PAIRS, ids=lambda name: str(name))
searchers = pytest.mark.parametrize("searcher", SEARCHER_NAMES)


@pairs
def test_runs_to_its_end_with_legal_configs(searcher: str, scheduler: str) -> None:
    space = space_for(searcher)
    records = run(make(searcher, scheduler), space)
    begun = [record for record in records if isinstance(record, Start)]
    assert [start.trial for start in begun] == list(range(len(begun)))
    assert len(starts(records)) == 30
    for start in begun:
        assert_legal(space, dict(start.config))
        assert all(record.reason for record in records if hasattr(record, "reason"))


@some_pairs
def test_same_seed_same_sequence(searcher: str, scheduler: str) -> None:
    space = space_for(searcher)
    first = run(make(searcher, scheduler), space, seed=7)
    assert run(make(searcher, scheduler), space, seed=7) == first
    if searcher != "grid":
        assert run(make(searcher, scheduler), space, seed=8) != first


@pairs
def test_every_cut_rebuilds_to_the_same_run(searcher: str, scheduler: str) -> None:
    """The heart of resume: cut the records anywhere, fold them through JSON into a new strategy, and go on."""
    space, algo = space_for(searcher), make(searcher, scheduler)
    num_trials = 12 if searcher in ("hpbandster", "gp") else 25
    if scheduler in ("pbt", "median_stopping"):  # with replacements, or at many milestones: many more records
        num_trials = 9
    whole = run(algo, space, num_trials=num_trials)
    for cut in range(1, len(whole)):
        stored = [record_from_json(json.loads(json.dumps(record_to_json(record)))) for record in whole[:cut]]
        assert run(make(searcher, scheduler), space, records=stored) == whole


@some_pairs
def test_given_points_come_first_and_every_cut_rebuilds(searcher: str, scheduler: str) -> None:
    """In their order, at the first rung of the bracket whose turn it is, and part of the same fold."""
    space, algo = space_for(searcher), make(searcher, scheduler)
    points = first_points(space, [{"lr": 0.01}, {}, {"optimizer": "sgd", "layers": 4}], seed=3)
    whole = run(algo, space, num_trials=8, points=points)
    begun = starts(whole)
    assert [start.config for start in begun[:3]] == list(points)
    assert all(start.reason.startswith(f"points_to_evaluate[{k}]: ") for k, start in enumerate(begun[:3]))
    without = starts(run(algo, space, num_trials=8, objective=lambda *_: 1.0))
    beside = starts(run(algo, space, num_trials=8, objective=lambda *_: 1.0, points=points))
    assert [(start.until, start.bracket) for start in beside] == [(start.until, start.bracket) for start in without]
    for cut in range(1, len(whole), 3):
        assert run(make(searcher, scheduler), space, records=whole[:cut], points=points) == whole


def earlier_of(space: SearchSpace, count: int = 20) -> Earlier:
    """Results of a run with another seed, at three rungs, failures among them."""
    return earlier_results(
        run(make("random", "hyperband"), space, num_trials=count, seed=11), space, (1.0, 3.0, 9.0), 3
    )


@some_pairs
def test_earlier_results_and_every_cut_rebuilds(searcher: str, scheduler: str) -> None:
    space, algo = space_for(searcher), make(searcher, scheduler)
    earlier = Earlier.from_json(json.loads(json.dumps(earlier_of(space).to_json())))
    points = first_points(space, [{"lr": 0.01}], seed=3)
    num_trials = 10 if searcher in ("hpbandster", "gp") else 16
    whole = run(algo, space, num_trials=num_trials, points=points, earlier=earlier)
    assert [start.trial for start in starts(whole)] == list(range(num_trials))
    for start in starts(whole):
        assert_legal(space, dict(start.config))
    for cut in range(1, len(whole), 1 if scheduler == "hyperband" else 5):
        stored = [record_from_json(json.loads(json.dumps(record_to_json(record)))) for record in whole[:cut]]
        again = run(make(searcher, scheduler), space, records=stored, points=points, earlier=earlier)
        assert again == whole


@searchers
def test_earlier_results_look_like_trials_to_the_searcher(searcher: str) -> None:
    """A suggestion after them is that after trials with the same results, for the same number."""
    space = space_for(searcher)
    earlier = earlier_of(space)
    began, ran = History(space.dim), History(space.dim)
    rows = [space.encode(config) for config in earlier.configs]
    began.begin(rows, earlier.results)
    for row in rows:
        ran.start(row, 1.0)
    for number, fidelity, value in earlier.results:
        ran.apply(Reached(number, fidelity, value))
    for k, row in enumerate(space.sample(np.random.default_rng(1), 9)):
        first = SEARCHERS[searcher]().suggest(Context(space, began, 5, 9.0))
        second = SEARCHERS[searcher]().suggest(Context(space, ran, 5, 9.0, given=len(rows)))
        np.testing.assert_array_equal(first, second)
        began.start(row, 1.0)
        ran.start(row, 1.0)
        if k % 2:
            began.apply(Reached(k, 1.0, 0.5))
            ran.apply(Reached(len(rows) + k, 1.0, 0.5))


@searchers
def test_earlier_results_change_what_is_suggested_if_the_searcher_learns(searcher: str) -> None:
    space = space_for(searcher)
    without = run(make(searcher, "fifo"), space, num_trials=12)
    beside = run(make(searcher, "fifo"), space, num_trials=12, earlier=earlier_of(space, 60))
    assert (beside == without) == (not SEARCHERS[searcher].learns)


@pytest.mark.parametrize("scheduler", SCHEDULER_NAMES)
def test_schedulers_do_not_see_earlier_results(scheduler: str) -> None:
    space, algo = mixed_space(), make("random", scheduler)
    assert run(algo, space, earlier=earlier_of(space)) == run(algo, space)


@pairs
def test_growing_the_limit_goes_on(searcher: str, scheduler: str) -> None:
    space, algo = space_for(searcher), make(searcher, scheduler)
    first = run(algo, space, num_trials=10)
    grown = run(algo, space, records=[*first, Limit(24)])
    assert grown[: len(first)] == first
    assert len(starts(grown)) == 24


@pairs
def test_the_best_of_a_clean_run_gets_the_full_budget(searcher: str, scheduler: str) -> None:
    records = run(
        make(searcher, scheduler),
        space_for(searcher),
        objective=lambda trial, config, until: float(trial),
        num_trials=20,
    )
    assert any(isinstance(record, Reached) and record.fidelity == 9.0 for record in records)


@pairs
@pytest.mark.parametrize("bad", [None, math.inf], ids=["crash", "not a number"])
def test_nothing_but_failures_ends_all_the_same(searcher: str, scheduler: str, bad: float | None) -> None:
    records = run(make(searcher, scheduler), space_for(searcher), objective=lambda *_: bad, num_trials=15)
    assert len(starts(records)) == 15
    assert not any(type(record).__name__ in ("Resume", "Continue") for record in records), "a failure went on"


@some_pairs
def test_constant_values(searcher: str, scheduler: str) -> None:
    assert len(starts(run(make(searcher, scheduler), space_for(searcher), objective=lambda *_: 1.0))) == 30


@some_pairs
def test_one_element_space(searcher: str, scheduler: str) -> None:
    begun = starts(run(make(searcher, scheduler), one_element_space()))
    assert len(begun) == (1 if searcher == "grid" else 30)
    assert all(start.config == {"only": "this", "fixed": 3} for start in begun)


@some_pairs
def test_only_categoricals(searcher: str, scheduler: str) -> None:
    space = categorical_space()
    begun = starts(run(make(searcher, scheduler), space))
    assert len(begun) == (12 if searcher == "grid" else 30)
    for start in begun:
        assert_legal(space, dict(start.config))


@searchers
def test_priors(searcher: str) -> None:
    """Used or not: legal configurations, and the same after a cut. The mode of these priors is forbidden."""
    space, algo = believed_space(), make(searcher, "hyperband")
    whole = run(algo, space, num_trials=16)
    for start in starts(whole):
        assert_legal(space, dict(start.config))
    for cut in range(1, len(whole), 5):
        assert run(make(searcher, "hyperband"), space, records=whole[:cut]) == whole


@some_pairs
def test_no_fidelity_below_the_top(searcher: str, scheduler: str) -> None:
    """min_budget == max_budget: one rung, every trial complete."""
    records = run(make(searcher, scheduler), space_for(searcher), fidelity=Fidelity.of(5, 5), num_trials=8)
    assert {record.fidelity for record in records if isinstance(record, Reached)} == {5.0}


@searchers
def test_a_thousand_pending(searcher: str) -> None:
    """1,000 workers ask at once, after 20 results; every answer is legal and they are not all the same."""
    space = space_for(searcher)
    algo = make(searcher, "fifo")
    count = 60 if searcher == "hpbandster" else 1_000  # its generator takes 20 ms a suggestion
    strategy = Strategy(algo, Problem(space, Fidelity.of(9), 0))
    size = algo.searcher.size(space)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(min(20 + count, size or math.inf)):
            action = strategy.next()
            assert isinstance(action, Start)
            strategy.apply(action)
            if k < 20:
                strategy.apply(Reached(k, 9.0, noisy(k, dict(action.config), 9.0) or 0.0))
                strategy.apply(strategy.verdict(k))
    rows = strategy.history.X[20:]
    assert space.allowed(rows).all()
    assert len(np.unique(np.nan_to_num(rows, nan=-1.0), axis=0)) > len(rows) / 2


@searchers
def test_asking_changes_nothing(searcher: str) -> None:
    """A suggestion is a function of its context: asked twice, or with a cold cache, the same."""
    space = space_for(searcher)
    warm: Searcher = SEARCHERS[searcher]()
    history = History(space.dim)
    rows = space.sample(np.random.default_rng(0), 40)
    for k, row in enumerate(rows):
        history.start(row, 9.0)
        if k < 36:
            history.apply(Reached(k, 9.0, float(row[~np.isnan(row)].sum())))
        context = Context(space, history, 5, 9.0)
        first = warm.suggest(context)
        np.testing.assert_array_equal(warm.suggest(context), first)
        if k % 6 == 0:
            np.testing.assert_array_equal(SEARCHERS[searcher]().suggest(context), first)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_round_trip_through_json(name: str) -> None:
    algo = PRESETS[name]()
    assert algo_from_json(json.loads(json.dumps(algo_to_json(algo)))) == algo
    assert dataclasses.is_dataclass(algo)


@pytest.mark.parametrize("scheduler", SCHEDULER_NAMES)
def test_a_thousand_workers(scheduler: str) -> None:
    """1,000 trials under way at once, which then arrive one by one."""
    records = run(make("random", scheduler), mixed_space(), num_trials=1_500, workers=1_000, fidelity=Fidelity.of(27))
    assert len(starts(records)) == 1_500
    assert all(isinstance(record, Start | Limit) for record in records[:1_001])
