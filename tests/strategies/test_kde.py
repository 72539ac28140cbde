"""What BOHB's searcher must do beyond its numbers (those: test_kde_model, test_kde_against_hpbandster)."""

import copy
import math
import pickle

import numpy as np
import pytest

from strategies.actions import Reached, Resume
from strategies.domains import Space, choice, uniform
from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.searchers.kde import KDE
from strategies.space import SearchSpace
from strategies.space_builder import as_space

from tests.strategies.histories import CATEGORIES, CONDITIONAL, FLAT, SQUARE, each_space, history_of, record, suggest

pytestmark = pytest.mark.usefixtures("no_numpy_errors")
MODEL = KDE(random_fraction=0.0)


def many(searcher: KDE, space: SearchSpace, history: History, n: int) -> Array:
    """n suggestions at the same history, from n seeds."""
    return np.stack([suggest(searcher, space, history, seed) for seed in range(n)])


@each_space
@pytest.mark.parametrize("value", [0.0, math.inf, None], ids=["constant", "failed", "varied"])
def test_suggests_whatever_the_results(space: SearchSpace, value: float | None) -> None:
    history = History(space.dim)
    for i in range(60):
        row = suggest(KDE(), space, history)
        record(history, row[None, :], [value if value is not None else (math.inf, 1.0, 2.0)[i % 3]])


def test_finds_the_good_region() -> None:
    history = history_of(FLAT, 150, lambda u: abs(u[0] - 0.2) + abs(u[1] - 0.8) + (u[3] > 0.34))
    found = many(MODEL, FLAT, history, 100)
    assert abs(np.median(found[:, 0]) - 0.2) < 0.12
    assert abs(np.median(found[:, 1]) - 0.8) < 0.12
    assert (found[:, 3] < 0.34).mean() > 0.8


def test_learns_categories() -> None:
    history = history_of(CATEGORIES, 40, lambda u: float(u[0] > 0.34))
    assert (many(MODEL, CATEGORIES, history, 100)[:, 0] < 0.34).mean() > 0.9


def test_learns_below_a_condition() -> None:
    history = history_of(CONDITIONAL, 200, lambda u: 2.0 if np.isnan(u[2]) else abs(u[2] - 0.25))
    found = many(MODEL, CONDITIONAL, history, 100)
    assert (~np.isnan(found[:, 2])).mean() > 0.9
    assert abs(np.nanmedian(found[:, 2]) - 0.25) < 0.12


def test_random_fraction() -> None:
    history = history_of(FLAT, 100, lambda u: u[0])
    model, mixed = many(MODEL, FLAT, history, 50), many(KDE(random_fraction=1.0), FLAT, history, 50)
    assert np.median(model[:, 0]) < 0.35 < np.median(mixed[:, 0])


def test_duplicates_make_no_trouble() -> None:
    row = FLAT.sample(np.random.default_rng(0), 1)
    history = record(History(FLAT.dim), np.repeat(row, 40, axis=0), range(40))  # type: ignore[arg-type]
    found = many(MODEL, FLAT, history, 20)
    assert np.abs(found[:, 0] - row[0, 0]).max() < 0.05, "the minimum bandwidth"
    assert len(np.unique(found[:, 0])) == 20


def test_one_element_space() -> None:
    space = as_space({"x": 3, "c": choice(["only"])})
    history = History(space.dim)
    for _ in range(12):
        row = suggest(KDE(), space, history)
        assert space.decode(row) == {"x": 3, "c": "only"}
        record(history, row[None, :], [1.0])


# --- which results make the model -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "d", "good", "bad"),
    [(5, 2, None, None), (6, 2, 3, 3), (20, 2, 3, 17), (50, 2, 7, 42), (100, 3, 15, 85), (7, 3, None, None)],
)
def test_split_sizes(n: int, d: int, good: int | None, bad: int | None) -> None:
    split = KDE().split(np.arange(n, dtype=float)[::-1], d)
    assert (split is None) == (good is None)
    if split is not None:
        assert split[0].tolist() == list(range(n - 1, -1, -1))[:good]
        assert len(split[1]) == bad


def test_min_points() -> None:
    assert KDE(min_points=10).split(np.zeros(12), 2) is None, "two are left: no bad set"
    assert KDE(min_points=10).split(np.zeros(13), 2) is not None
    assert KDE(min_points=1).split(np.zeros(5), 2) is None, "at least d + 1"


def test_ties_go_to_the_earlier_and_failures_are_bad() -> None:
    y = np.array([math.inf, 1.0, 0.0, 1.0, 1.0, math.inf, math.inf, math.inf])
    split = KDE().split(y, 2)
    assert split is not None
    assert split[0].tolist() == [2, 1, 3]
    assert split[1].tolist() == [4, 0, 5, 6, 7]
    assert KDE().split(np.array([1.0, 2.0] + 10 * [math.inf]), 2) is None, "failures are never good"


def test_the_largest_budget_with_enough_results() -> None:
    """Budget 1 says left, budget 3 says right, 9 has too few results: right it is. Then 9 says left."""
    space = as_space({"x": uniform(0, 1)})
    rows = np.linspace(0, 1, 31)[:, None]
    history = record(History(1), rows, rows[:, 0], 1.0)
    assert np.median(many(MODEL, space, history, 30)) < 0.3
    record(history, rows[::3], -rows[::3, 0], 3.0)
    record(history, rows[:3], rows[:3, 0], 9.0)
    assert np.median(many(MODEL, space, history, 30)) > 0.7
    record(history, rows[3::5], rows[3::5, 0], 9.0)
    assert np.median(many(MODEL, space, history, 30)) < 0.3


# --- forbidden ------------------------------------------------------------------------------------------


def test_forbidden_candidates_give_way_to_the_next_best() -> None:
    free = {"x": uniform(0, 1), "c": choice(list("ab")), "d": choice(list("ab"))}
    space = as_space(Space(free, forbidden=["c == a and d == a"]))
    # The densities are products: the best category of each is a.
    history = history_of(space, 60, lambda u: u[0] + (u[1] > 0.5) + (u[2] > 0.5))
    found = many(MODEL, space, history, 60)
    assert np.median(found[:, 0]) < 0.4, "still from the model"


def test_a_random_sample_where_all_candidates_are_forbidden() -> None:
    space = as_space(Space({"x": uniform(0, 1), "y": uniform(0, 1)}, forbidden=["x < 0.5"]))
    # Results from before the clause, as it were: all candidates are near x = 0.1.
    rows = np.random.default_rng(0).random((20, 2)) * [0.01, 1] + [0.1, 0]
    history = record(History(2), rows, rows[:, 0])
    assert many(MODEL, space, history, 20)[:, 0].min() >= 0.5


# --- pending --------------------------------------------------------------------------------------------


def ask_at_once(space: SearchSpace, history: History, n: int, until: float, tell: bool = True) -> Array:
    """n suggestions, none of which gets a result; if not `tell`, the searcher takes each for the first."""
    asked = copy.deepcopy(history)
    for seed in range(n):
        seen = asked if tell else history
        asked.start(suggest(MODEL, space, seen, seed), until)
    return asked.X[len(history) :]


def test_suggestions_asked_at_once_spread_out() -> None:
    """Two basins of nearly the same depth: without knowing what runs, nearly all go to one."""

    def value(u: Array) -> float:
        return float(min((u[0] - 0.15) ** 2, (u[0] - 0.85) ** 2 + 0.001) + 0.1 * u[1])

    history = history_of(SQUARE, 80, value)
    blind, aware = (ask_at_once(SQUARE, history, 64, 1.0, tell) for tell in (False, True))
    in_minority = [min((rows[:, 0] < 0.5).mean(), (rows[:, 0] > 0.5).mean()) for rows in (blind, aware)]
    assert in_minority[1] > in_minority[0]
    assert aware.std(axis=0).mean() > blind.std(axis=0).mean()


def test_a_thousand_pending_and_twenty_results() -> None:
    """Far more lies than results: suggestions stay good, and do not heap up at one place or at the edges."""

    def value(u: Array) -> float:
        return float(((u - [0.3, 0.6]) ** 2).sum())

    rows = ask_at_once(SQUARE, history_of(SQUARE, 20, value), 1000, 1.0)
    random = np.median([value(u) for u in np.random.default_rng(0).random((1000, 2))])
    assert np.median([value(u) for u in rows[-200:]]) < 0.6 * random
    assert len(np.unique(rows, axis=0)) == 1000
    assert rows[-200:].std(axis=0).min() > 0.05
    assert ((rows == 0) | (rows == 1)).mean() < 0.01


def test_lies_are_for_trials_without_a_result_at_the_models_fidelity() -> None:
    history = history_of(FLAT, 40)
    expected = suggest(MODEL, FLAT, history)
    promoted = copy.deepcopy(history)
    promoted.pending[3] = 9.0
    assert np.array_equal(suggest(MODEL, FLAT, promoted), expected)
    assert len(promoted) == len(history)


def test_pending_trials_make_no_model() -> None:
    history = History(FLAT.dim)
    for row in FLAT.sample(np.random.default_rng(0), 100):
        history.start(row, 1.0)
    assert np.array_equal(suggest(MODEL, FLAT, history), FLAT.sample(np.random.default_rng([0, 100]), 1)[0])


@each_space
def test_pending_in_every_space(space: SearchSpace) -> None:
    rows = ask_at_once(space, history_of(space, 30), 40, 9.0)
    distinct = len(np.unique(np.nan_to_num(rows, nan=-1), axis=0))
    assert distinct == 40 if space is not CATEGORIES else distinct >= 12, "of 21"


@pytest.mark.parametrize("results", [30, 200])
def test_a_burst_keeps_the_random_fraction(results: int) -> None:
    """10 bursts of 64 from seeds of their own: at u > 0.5, where the model never goes, are random ones alone.

    A third of 640 is random and half of that is there: 107, with a standard deviation of 9.4. False alarms: below 1e-6.
    """
    space = as_space({"x": uniform(0, 1), "y": uniform(0, 1)})
    history = history_of(space, results, lambda u: float(u[0] > 0.1))
    found = []
    for seed in range(10):
        asked, searcher = copy.deepcopy(history), KDE()
        for _ in range(64):
            asked.start(suggest(searcher, space, asked, seed), 1.0)
        found.append(asked.X[results:, 0])
    assert abs(int((np.concatenate(found) > 0.5).sum()) - 640 / 6) < 5 * 9.4


# --- determinism and settings ---------------------------------------------------------------------------


@pytest.mark.parametrize("space", [FLAT, CONDITIONAL], ids=["flat", "conditional"])
def test_what_was_asked_before_does_not_matter(space: SearchSpace) -> None:
    """One instance that sees every history as it grows, one shared by two histories, fresh ones."""
    old, shared, histories = KDE(), KDE(), [History(space.dim), History(space.dim)]
    rows = space.sample(np.random.default_rng(0), 50)
    for i, row in enumerate(rows):
        fidelity = (1.0, 3.0, 9.0)[min(i // 20, 2)]
        record(histories[0], row[None, :], [(i * 7) % 11], fidelity)
        record(histories[1], row[None, :], [(i * 5) % 13], fidelity)
        for seed in (1, 2):
            expected = [suggest(KDE(), space, history, seed) for history in histories]
            assert np.array_equal(suggest(old, space, histories[0], seed), expected[0], equal_nan=True)
            for history, answer in zip(histories, expected, strict=True):
                assert np.array_equal(suggest(shared, space, history, seed), answer, equal_nan=True)


@each_space
def test_a_burst_does_not_depend_on_who_asked(space: SearchSpace) -> None:
    """70 at once, with ends in between that make a new model, or none, or send a trial off again."""
    old, history = KDE(), history_of(space, 30)
    for i in range(70):
        row = suggest(old, space, history)
        if i % 6 == 0:
            assert np.array_equal(suggest(KDE(), space, history), row, equal_nan=True)
        history.start(row, 1.0 if i % 10 < 3 else 0.5)
        if i % 20 == 19:
            history.apply(Reached(len(history) - 5, 0.5 if i == 39 else 1.0, 1.0))
        if i == 44:
            history.apply(Resume(len(history) - 10, 1.0))


def test_copies_and_pickles_without_its_cache() -> None:
    history = history_of(FLAT, 40)
    expected = suggest(MODEL, FLAT, history)
    for twin in (copy.deepcopy(MODEL), pickle.loads(pickle.dumps(MODEL))):
        assert twin == MODEL
        assert np.array_equal(suggest(twin, FLAT, history), expected)
    assert len(pickle.dumps(MODEL)) < 1000


def test_does_not_keep_histories_alive() -> None:
    searcher = KDE(random_fraction=0.0)
    suggest(searcher, FLAT, history_of(FLAT, 40))
    assert len(searcher._memo) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_n_percent": 0}, "top_n_percent must be between 1 and 99; got top_n_percent=0"),
        ({"num_samples": 0}, "num_samples must be at least 1; got num_samples=0"),
        ({"random_fraction": 1.5}, "random_fraction must be between 0 and 1; got random_fraction=1.5"),
        ({"random_fraction": math.nan}, "random_fraction must be between 0 and 1"),
        ({"min_points": 0}, "min_points must be at least 1"),
        ({"bandwidth_factor": 0}, "bandwidth_factor must be"),
        ({"min_bandwidth": 0}, "min_bandwidth must be"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        KDE(**settings)  # type: ignore[arg-type]
