"""What TPE must do beyond its densities (those: test_parzen_model)."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

from strategies.actions import Failed, Reached
from strategies.domains import Space, choice, lograndint, randint, uniform
from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.searchers.base import Searcher
from strategies.searchers.frame import Frame
from strategies.searchers.pool import identities
from strategies.searchers.random import Random
from strategies.searchers.tpe import TPE
from strategies.space import SearchSpace
from strategies.space_builder import as_space

from tests.strategies.histories import (
    CATEGORIES,
    CONDITIONAL,
    FLAT,
    SQUARE,
    each_space,
    history_of,
    record,
    suggest,
    total,
)

pytestmark = pytest.mark.usefixtures("no_numpy_errors")


def many(space: SearchSpace, history: History, n: int) -> Array:
    """n suggestions at the same history, from n seeds."""
    searcher = TPE()
    return np.stack([suggest(searcher, space, history, seed) for seed in range(n)])


def bowl(u: Array) -> float:
    return float(((u - [0.3, 0.6]) ** 2).sum())


@each_space
@pytest.mark.parametrize("value", [0.0, math.inf, None], ids=["constant", "failed", "varied"])
def test_suggests_whatever_the_results(space: SearchSpace, value: float | None) -> None:
    history, searcher = History(space.dim), TPE()
    for i in range(60):
        row = suggest(searcher, space, history)
        record(history, row[None, :], [value if value is not None else (math.inf, 1.0, 2.0)[i % 3]])


def test_beats_random_search() -> None:
    """A sign test over 20 seeds: were TPE no better than random, all would go its way with chance 2^-20 < 1e-6."""

    def best(searcher: Searcher, seed: int) -> float:
        history = History(2)
        for _ in range(60):
            row = suggest(searcher, SQUARE, history, seed)
            record(history, row[None, :], [bowl(row)])
        return float(history.results(1.0).values.mean())

    assert all(best(TPE(), seed) < best(Random(), seed) for seed in range(20))


def test_finds_the_good_region() -> None:
    found = many(FLAT, history_of(FLAT, 150, lambda u: abs(u[0] - 0.2) + abs(u[1] - 0.8) + (u[3] > 0.34)), 100)
    assert abs(np.median(found[:, 0]) - 0.2) < 0.12
    assert abs(np.median(found[:, 1]) - 0.8) < 0.12
    assert (found[:, 3] < 0.34).mean() > 0.8


def test_learns_below_a_condition() -> None:
    history = history_of(CONDITIONAL, 200, lambda u: 2.0 if np.isnan(u[2]) else abs(u[2] - 0.25))
    found = many(CONDITIONAL, history, 100)
    assert (~np.isnan(found[:, 2])).mean() > 0.8
    assert abs(np.nanmedian(found[:, 2]) - 0.25) < 0.12


def test_each_active_set_has_densities_of_its_own() -> None:
    """Wide is good at size 8, deep is good at size 64: as good the one as the other."""
    space = as_space(
        {
            "kind": choice(["deep", "wide"]),
            "width": uniform(0, 1).when(kind="wide"),
            "depth": uniform(0, 1).when(kind="deep"),
            "size": uniform(0, 1),
        }
    )

    def value(u: Array) -> float:
        wide = np.isnan(u[2])
        return float(abs(u[3] - (0.1 if wide else 0.9)) + abs((u[1] if wide else u[2]) - 0.5))

    found = many(space, history_of(space, 200, value), 100)
    wide = np.isnan(found[:, 2])
    assert 0.15 < wide.mean() < 0.85
    assert np.median(found[wide, 3]) < 0.3
    assert np.median(found[~wide, 3]) > 0.7


def test_learns_categories_and_skips_duplicates() -> None:
    """21 configurations: the good ones come first, each once; then what is left."""
    history, searcher = History(CATEGORIES.dim), TPE()
    for _ in range(21):
        row = suggest(searcher, CATEGORIES, history)
        record(history, row[None, :], [float(row[0] > 0.34) + row[1]])
    assert len(set(identities(history.X))) == 21
    assert (history.X[10:14, 0] < 0.34).mean() >= 0.5
    suggest(searcher, CATEGORIES, history)  # the space is used up, and still there is an answer


def test_running_configurations_are_duplicates_too() -> None:
    history, searcher = History(CATEGORIES.dim), TPE()
    for _ in range(21):
        history.start(suggest(searcher, CATEGORIES, history), 1.0)
    assert len(set(identities(history.X))) == 21


def test_forbidden_candidates() -> None:
    space = as_space(Space({"x": uniform(0, 1), "y": uniform(0, 1)}, forbidden=["x < 0.5"]))
    rows = np.random.default_rng(0).random((20, 2)) * [0.01, 1] + [0.1, 0]  # results from before the clause
    found = many(space, record(History(2), rows, rows[:, 0]), 20)
    assert found[:, 0].min() >= 0.5


# --- priors ----------------------------------------------------------------------------------------------


def test_starts_from_the_priors_mode_and_then_every_other_one_is_the_priors() -> None:
    """Spread 0.05 about 0.3: within 0.15 of it are 99.7 % of the prior's and 30 % of the random ones.

    Of 50 seeds at least 45 and at most 35: false alarms of 1e-8 and 1e-8.
    """
    space = as_space({"x": uniform(0, 1, prior=(0.3, 0.05)), "c": choice(list("abc"), prior="b")})
    history = History(space.dim)
    near = []
    for k in range(8):
        rows = many(space, history, 50)
        near.append(int((np.abs(rows[:, 0] - 0.3) < 0.15).sum()))
        if not k:
            np.testing.assert_array_equal(rows, np.tile(space.prior.mode, (50, 1)))
        history.start(rows[0], 1.0)
    assert min(near[::2]) >= 45
    assert max(near[1::2]) <= 35


def test_a_right_prior_helps() -> None:
    """A sign test over 20 seeds: were the prior no help, all would go its way with chance 2^-20 < 1e-6."""
    believed = as_space({"x": uniform(0, 1, prior=(0.35, "high")), "y": uniform(0, 1, prior=(0.55, "high"))})

    def mean(space: SearchSpace, seed: int) -> float:
        history = History(2)
        for _ in range(30):
            row = suggest(TPE(), space, history, seed)
            record(history, row[None, :], [bowl(row)])
        return float(history.results(1.0).values.mean())

    assert all(mean(believed, seed) < mean(SQUARE, seed) for seed in range(20))


def test_a_wrong_prior_is_overcome() -> None:
    """After 100 results the median suggestion is where the good ones are, not where the prior is."""
    wrong = as_space({"x": uniform(0, 1, prior=(0.95, "high")), "y": uniform(0, 1, prior=(0.05, "high"))})
    found = many(wrong, history_of(SQUARE, 100, bowl), 100)
    assert np.median(np.linalg.norm(found - [0.3, 0.6], axis=1)) < 0.2


# --- which results are good ------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "good"), [(9, None), (10, 1), (11, 2), (100, 10), (250, 25), (400, 25)])
def test_split_sizes(n: int, good: int | None) -> None:
    history = record(History(1), np.linspace(0, 1, n)[:, None], np.arange(n)[::-1])
    split = TPE().split(history)
    assert (split is None) == (good is None)
    if split is not None:
        assert split[0].tolist() == list(range(n - 1, -1, -1))[:good]
        assert sorted([*split[0], *split[1]]) == list(range(n))


def test_ties_go_to_the_earlier_and_failures_are_never_good() -> None:
    history = record(History(1), np.linspace(0, 1, 12)[:, None], [1, 0, 1, 0, *[1] * 6, math.inf, 1])
    split = TPE(good_fraction=0.5).split(history)
    assert split is not None
    assert [*split[0], *split[1]] == [1, 3, 0, 2, 4, 5, 6, 7, 8, 9, 11, 10]
    failed = record(History(1), np.linspace(0, 1, 30)[:, None], [*[1.0] * 2, *[math.inf] * 28])
    split = TPE(good_fraction=0.5).split(failed)
    assert split is not None
    assert split[0].tolist() == [0, 1]
    nothing = record(History(1), np.linspace(0, 1, 30)[:, None], [math.inf] * 30)
    assert TPE().split(nothing) is None


def test_higher_fidelities_rank_first_and_late_failures_last() -> None:
    history = record(History(1), np.linspace(0, 1, 12)[:, None], np.arange(12))
    for trial, value in ((5, 9.0), (7, 8.0)):
        history.apply(Reached(trial, 3.0, value))
    history.apply(Failed(0, 3.0))
    split = TPE(good_fraction=0.25).split(history)
    assert split is not None
    assert split[0].tolist() == [7, 5, 1]
    assert split[1].tolist() == [2, 3, 4, 6, 8, 9, 10, 11, 0]


def test_failures_repel() -> None:
    rows = np.random.default_rng(0).random((80, 2))
    history = record(History(2), rows, [math.inf if x > 0.5 else 1.0 for x, _ in rows])
    assert (many(SQUARE, history, 100)[:, 0] > 0.5).mean() < 0.2


# --- pending ---------------------------------------------------------------------------------------------


def ask_at_once(space: SearchSpace, history: History, n: int, tell: bool = True) -> Array:
    """n suggestions, none of which gets a result; if not `tell`, the searcher takes each for the first."""
    asked, searcher = copy.deepcopy(history), TPE()
    for seed in range(n):
        asked.start(suggest(searcher, space, asked if tell else history, seed), 1.0)
    return asked.X[len(history) :]


def test_suggestions_asked_at_once_spread_out() -> None:
    history = history_of(SQUARE, 60, bowl)
    blind, aware = (ask_at_once(SQUARE, history, 64, tell) for tell in (False, True))
    assert len(np.unique(aware, axis=0)) == 64

    def nearest(rows: Array) -> float:
        distances = np.linalg.norm(rows[:, None] - rows[None], axis=2) + np.eye(len(rows))
        return float(np.median(distances.min(axis=1)))

    assert nearest(aware) > nearest(blind)
    assert np.median([bowl(u) for u in aware]) < 0.05, "and they stay good; at random it is 0.15"


def test_lies_are_about_trials_without_a_result() -> None:
    history = history_of(SQUARE, 40, bowl)
    promoted = copy.deepcopy(history)
    promoted.pending[3] = 9.0
    assert np.array_equal(suggest(TPE(), SQUARE, promoted), suggest(TPE(), SQUARE, history))


def test_lies_lower_the_score_where_they_are() -> None:
    history = history_of(SQUARE, 60, bowl)
    expected = suggest(TPE(), SQUARE, history)
    near = copy.deepcopy(history)
    for shift in (-1e-3, 0.0, 1e-3):
        near.start(np.clip(expected + shift, 0, 1), 1.0)
    near_seen = np.array([suggest(TPE(), SQUARE, near, seed) for seed in range(20)])
    assert np.linalg.norm(near_seen - expected, axis=1).min() > 1e-3


@each_space
def test_pending_in_every_space(space: SearchSpace) -> None:
    rows = ask_at_once(space, history_of(space, 30, total), 200)
    assert len(set(identities(rows))) >= (3 if space is CATEGORIES else 150)


# --- determinism, settings, and the frame ----------------------------------------------------------------


@pytest.mark.parametrize("space", [FLAT, CONDITIONAL], ids=["flat", "conditional"])
def test_a_burst_does_not_depend_on_who_asked(space: SearchSpace) -> None:
    """70 at once, over two pools, with results in between: one searcher sees all of it, fresh ones only the last."""
    old, history = TPE(), history_of(space, 30, total)
    for i in range(70):
        row = suggest(old, space, history)
        if i % 7 == 0:
            assert np.array_equal(suggest(TPE(), space, history), row, equal_nan=True)
        history.start(row, 1.0)
        if i % 20 == 19:
            history.apply(Reached(len(history) - 5, 1.0, 1.0))


@pytest.mark.parametrize("space", [FLAT, CONDITIONAL], ids=["flat", "conditional"])
def test_what_was_asked_before_does_not_matter(space: SearchSpace) -> None:
    """One instance that sees every history as it grows, one shared by two histories, fresh ones; some trials run."""
    old, shared, histories = TPE(), TPE(), [History(space.dim), History(space.dim)]
    rows = space.sample(np.random.default_rng(0), 50)
    for i, row in enumerate(rows):
        fidelity = (1.0, 3.0, 9.0)[min(i // 20, 2)]
        for history, factor in zip(histories, (7, 5), strict=True):
            history.start(row, fidelity)
            if i % 4:
                history.apply(Reached(i, fidelity, float((i * factor) % 11)))
        for seed in (1, 2):
            expected = [suggest(TPE(), space, history, seed) for history in histories]
            assert np.array_equal(suggest(old, space, histories[0], seed), expected[0], equal_nan=True)
            for history, answer in zip(histories, expected, strict=True):
                assert np.array_equal(suggest(shared, space, history, seed), answer, equal_nan=True)


def test_copies_and_pickles_without_its_cache() -> None:
    searcher, history = TPE(), history_of(FLAT, 40, lambda u: u[0])
    expected = suggest(searcher, FLAT, history)
    for twin in (copy.deepcopy(searcher), pickle.loads(pickle.dumps(searcher))):
        assert twin == searcher
        assert np.array_equal(suggest(twin, FLAT, history), expected)
    assert len(pickle.dumps(searcher)) < 1000


def test_does_not_keep_histories_alive() -> None:
    searcher = TPE()
    suggest(searcher, FLAT, history_of(FLAT, 40, lambda u: u[0]))
    assert len(searcher._memo) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"startup": 1}, "startup must be at least 2; got startup=1"),
        ({"good_fraction": 0}, "good_fraction must be between"),
        ({"good_fraction": math.nan}, "good_fraction must be between"),
        ({"max_good": 0}, "max_good must be at least 1; got max_good=0"),
        ({"candidates": 0}, "candidates must be between 1 and"),
        ({"candidates": 100_000}, "candidates must be between 1 and"),
        ({"prior_weight": 0}, "prior_weight must be at least"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        TPE(**settings)  # type: ignore[arg-type]


def test_the_frame_and_back() -> None:
    """Rows of every kind of parameter survive the way to points and back."""
    space = as_space(
        {
            "k": randint(-3, 9),
            "big": randint(0, 10_000),
            "log": lograndint(1, 60),
            "c": choice(list("abc")),
            "x": uniform(2, 3),
        }
    )
    frame = Frame.of(space)
    rows = space.sample(np.random.default_rng(0), 300)
    points = frame.points(rows)
    assert [axis.size for axis in frame.axes] == [12, 0, 59, 3, 0]
    assert [space.decode(row) for row in frame.rows(points)] == [space.decode(row) for row in rows]
    for j, axis in enumerate(frame.axes):
        if axis.size:
            assert set(points[:, j]) <= set(range(axis.size))
