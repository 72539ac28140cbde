"""What Gaussian-process search must do beyond its numbers (those: test_gp_model, test_acquisition)."""

import copy
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from strategies.actions import Reached
from strategies.domains import Space, choice, uniform
from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.searchers.base import Context
from strategies.searchers.gp import GP, MAX_PENDING
from strategies.searchers.gp_data import Data
from strategies.searchers.sobol import Sobol
from strategies.space import SearchSpace
from strategies.space_builder import as_space

from tests.strategies.histories import CATEGORIES, CONDITIONAL, FLAT, SQUARE, each_space, history_of, record, suggest

pytestmark = pytest.mark.usefixtures("no_numpy_errors")


def search(space: SearchSpace, objective: Callable[[Array], float], n: int, seed: int) -> Array:
    """The values that one run finds, in order."""
    searcher, history = GP(), History(space.dim)
    for _ in range(n):
        row = suggest(searcher, space, history, seed)
        record(history, row[None, :], [objective(row)])
    return np.array(history.results(1.0).values)


# --- how good ------------------------------------------------------------------------------------------


def branin(u: Array) -> float:
    x, y = 15 * u[0] - 5, 15 * u[1]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def hartmann6(u: Array) -> float:
    scales = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8]])
    scales = np.concatenate([scales, [[17, 8, 0.05, 10, 0.1, 14]]])
    centres = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]]
    centres += [[2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
    bumps = np.exp(-(scales * (u - 1e-4 * np.array(centres)) ** 2).sum(axis=1))
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ bumps)


@pytest.mark.parametrize(("objective", "d"), [(branin, 2), (hartmann6, 6)], ids=["branin", "hartmann6"])
def test_beats_random_search(objective: Callable[[Array], float], d: int) -> None:
    """Ten runs, each better than three quarters of random searches of the same length.

    Random search itself would pass with probability 4^-10 < 1e-6. The seeds are fixed: no run raises a false alarm.
    """
    n = 30
    space = as_space({f"x{j}": uniform(0, 1) for j in range(d)})
    # The best of n is below the p-quantile of single values with probability 1 - (1 - p)^n = 1/4.
    p = 1 - 0.75 ** (1 / n)
    limit = np.quantile([objective(u) for u in np.random.default_rng(0).random((20_000, d))], p)
    assert max(search(space, objective, n, seed).min() for seed in range(10)) < limit


def test_converges() -> None:
    assert search(SQUARE, branin, 40, 1).min() < 0.3979 + 1e-2


def test_finds_the_good_region_of_a_mixed_space() -> None:
    history = history_of(FLAT, 60, lambda u: abs(u[0] - 0.2) + abs(u[1] - 0.8) + (u[3] > 0.34))
    found = np.stack([suggest(GP(), FLAT, history, seed) for seed in range(5)])
    assert np.abs(found[:, :2] - [0.2, 0.8]).max() < 0.1
    assert (found[:, 3] < 0.34).all()


def test_learns_below_a_condition() -> None:
    history = history_of(CONDITIONAL, 60, lambda u: 2.0 if np.isnan(u[2]) else abs(u[2] - 0.25))
    found = np.stack([suggest(GP(), CONDITIONAL, history, seed) for seed in range(5)])
    assert np.abs(found[:, 2] - 0.25).max() < 0.1


def test_stays_away_from_failures() -> None:
    """Everything right of the middle fails; the best there is lies at the edge of that."""
    history = history_of(SQUARE, 40, lambda u: math.inf if u[0] > 0.5 else -u[0])
    assert all(0.2 < suggest(GP(), SQUARE, history, seed)[0] < 0.6 for seed in range(5))


# --- whatever comes ------------------------------------------------------------------------------------


@each_space
@pytest.mark.parametrize("value", [0.0, math.inf, None], ids=["constant", "failed", "varied"])
def test_suggests_whatever_the_results(space: SearchSpace, value: float | None) -> None:
    history = History(space.dim)
    for i in range(25):
        row = suggest(GP(), space, history)
        record(history, row[None, :], [value if value is not None else (math.inf, 1.0, 1e200)[i % 3]])


def test_starts_with_sobol_points() -> None:
    history = history_of(FLAT, 4)
    assert np.array_equal(suggest(GP(), FLAT, history), Sobol().suggest(Context(FLAT, history, 0, 1.0)), equal_nan=True)
    history = History(FLAT.dim)
    for row in FLAT.sample(np.random.default_rng(0), 20):
        history.start(row, 1.0)
    assert np.array_equal(suggest(GP(), FLAT, history), Sobol().suggest(Context(FLAT, history, 0, 1.0)), equal_nan=True)


def test_duplicates_make_no_trouble() -> None:
    row = FLAT.sample(np.random.default_rng(0), 1)
    history = record(History(FLAT.dim), np.repeat(row, 40, axis=0), list(range(40)))
    assert not np.array_equal(suggest(GP(), FLAT, history), row[0])


def test_a_small_space_is_tried_out_and_then_repeats() -> None:
    history = History(CATEGORIES.dim)
    for _ in range(24):
        row = suggest(GP(), CATEGORIES, history)
        record(history, row[None, :], [float(row[0] + row[1])])
    repeats = 5 - len(np.unique(history.X[:5], axis=0))
    assert len(np.unique(history.X[: 21 + repeats], axis=0)) == 21


def test_one_element_space() -> None:
    space = as_space({"x": 3, "c": choice(["only"])})
    history = History(space.dim)
    for _ in range(12):
        row = suggest(GP(), space, history)
        assert space.decode(row) == {"x": 3, "c": "only"}
        record(history, row[None, :], [1.0])


def test_forbidden_regions() -> None:
    space = as_space(Space({"x": uniform(0, 1), "y": uniform(0, 1)}, forbidden=["x < 0.5"]))
    history = history_of(space, 20, lambda u: u[0])
    assert all(0.5 <= suggest(GP(), space, history, seed)[0] < 0.6 for seed in range(5))


def test_fidelities_that_disagree() -> None:
    """At fidelity 1 the best is on the left; of full trainings, to 9, it is on the right, and a few tell so."""
    space = as_space({"x": uniform(0, 1)})
    rows = np.linspace(0.02, 0.98, 31)[:, None]
    history = record(History(1), rows, rows[:, 0], 1.0)
    searcher = GP(random_fraction=0)
    assert suggest(searcher, space, history, max_budget=9.0)[0] < 0.1
    record(history, rows[::3], -rows[::3, 0], 9.0)
    assert suggest(searcher, space, history, max_budget=9.0)[0] > 0.9


def test_what_low_fidelities_tell_is_used() -> None:
    """Two full trainings say nothing of the bowl that 40 short ones show, with another offset."""
    rows = SQUARE.sample(np.random.default_rng(0), 42)
    bowl = np.square(rows - 0.3).sum(axis=1)
    history = record(History(2), rows[:40], 5.0 + bowl[:40], 1.0)
    record(history, rows[40:], bowl[40:], 9.0)
    for seed in range(5):
        assert np.abs(suggest(GP(random_fraction=0), SQUARE, history, seed, 9.0) - 0.3).max() < 0.15


def test_a_share_is_random_where_there_are_several_fidelities() -> None:
    """Near the best result with the model, anywhere without. False alarm: 2e-9 (no random one of 200 at 0.1)."""
    rows = SQUARE.sample(np.random.default_rng(0), 30)
    history = record(History(2), rows, np.square(rows - 0.3).sum(axis=1), 1.0)
    far = [np.abs(suggest(GP(), SQUARE, history, seed, 9.0) - 0.3).max() > 0.25 for seed in range(200)]
    assert 0 < sum(far) < 60


def test_more_results_than_enter() -> None:
    """All good results are old; they enter, and so do the latest."""
    values = np.array([*range(5), *range(100, 50, -1)], dtype=float)
    data = Data(np.arange(55), np.empty((55, 1)), np.zeros(55), values)
    assert data.cut(10).numbers.tolist() == [*range(5), *range(50, 55)]
    high = Data(np.arange(55), np.empty((55, 1)), (np.arange(55) == 20).astype(float), values)
    assert data.cut(55) is data and high.cut(10).numbers.tolist() == [*range(4), 20, *range(50, 55)]
    history = history_of(SQUARE, 50, lambda u: float(((u - 0.3) ** 2).sum()))
    record(history, SQUARE.sample(np.random.default_rng(1), 500) * 0.3 + 0.7, 1.0 + np.arange(500))
    assert suggest(GP(max_points=60), SQUARE, history).max() < 0.7


# --- pending -------------------------------------------------------------------------------------------


def ask_at_once(space: SearchSpace, history: History, n: int) -> Array:
    asked, searcher = copy.deepcopy(history), GP()
    for _ in range(n):
        asked.start(suggest(searcher, space, asked), 1.0)
    return asked.X[len(history) :]


@each_space
def test_pending_in_every_space(space: SearchSpace) -> None:
    rows = ask_at_once(space, history_of(space, 12), 20)
    distinct = len(np.unique(np.nan_to_num(rows, nan=-1), axis=0))
    assert distinct == 20 if space is not CATEGORIES else distinct >= 10


def test_suggestions_asked_at_once_spread_out() -> None:
    """Without knowing what runs, all go to one place; else they stay around it, and apart."""
    history = history_of(SQUARE, 20, lambda u: float(((u - [0.3, 0.6]) ** 2).sum()))
    blind = np.stack([suggest(GP(), SQUARE, history, seed) for seed in range(8)])
    aware = ask_at_once(SQUARE, history, 24)
    assert aware.std(axis=0).min() > 3 * blind.std(axis=0).max()
    gaps = np.linalg.norm(aware[:, None] - aware[None], axis=2) + np.eye(24)
    assert gaps.min() > 1e-6


def test_many_pending_and_few_results() -> None:
    """More than enter the model: suggestions stay good and stay apart."""

    def value(u: Array) -> float:
        return float(((u - [0.3, 0.6]) ** 2).sum())

    rows = ask_at_once(SQUARE, history_of(SQUARE, 20, value), 3 * MAX_PENDING + 10)
    random = np.median([value(u) for u in np.random.default_rng(0).random((1000, 2))])
    assert np.median([value(u) for u in rows[-50:]]) < random
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_beliefs_are_about_trials_without_a_result_at_the_models_fidelity() -> None:
    history = history_of(FLAT, 20)
    promoted = copy.deepcopy(history)
    promoted.pending[3] = 9.0
    assert np.array_equal(suggest(GP(), FLAT, promoted), suggest(GP(), FLAT, history))


# --- determinism and settings ---------------------------------------------------------------------------


@pytest.mark.parametrize("space", [FLAT, CONDITIONAL], ids=["flat", "conditional"])
def test_what_was_asked_before_does_not_matter(space: SearchSpace) -> None:
    """One instance that sees every history as it grows, one shared by two histories, fresh ones; some trials run."""
    old, shared, histories = GP(), GP(), [History(space.dim), History(space.dim)]
    for i, row in enumerate(space.sample(np.random.default_rng(0), 50)):
        fidelity = (1.0, 3.0)[i // 40]
        for history, value in zip(histories, ((i * 7) % 11, (i * 5) % 13), strict=True):
            history.start(row, fidelity)
            if i % 5:
                history.apply(Reached(i, fidelity, value))
            elif i > 10:  # one that was sent off earlier
                history.apply(Reached(i - 10, fidelity, value))
        for seed in (1, 2) if i % 3 == 0 else ():
            expected = [suggest(GP(), space, history, seed) for history in histories]
            assert np.array_equal(suggest(old, space, histories[0], seed), expected[0], equal_nan=True)
            for history, answer in zip(histories, expected, strict=True):
                assert np.array_equal(suggest(shared, space, history, seed), answer, equal_nan=True)


def test_believing_all_at_once_or_one_by_one_is_the_same() -> None:
    """Across the place where the oldest pending trials leave the model."""
    history, warm = history_of(SQUARE, 20), GP()
    for row in SQUARE.sample(np.random.default_rng(1), 2 * MAX_PENDING + 3):
        history.start(row, 1.0)
        answer = suggest(warm, SQUARE, history)
    assert np.array_equal(answer, suggest(GP(), SQUARE, history))


def test_copies_and_pickles_without_its_cache() -> None:
    history, searcher = history_of(FLAT, 20), GP()
    expected = suggest(searcher, FLAT, history)
    for twin in (copy.deepcopy(searcher), pickle.loads(pickle.dumps(searcher))):
        assert twin == searcher
        assert np.array_equal(suggest(twin, FLAT, history), expected)
    assert len(pickle.dumps(searcher)) < 1000


def test_does_not_keep_histories_alive() -> None:
    searcher = GP()
    suggest(searcher, FLAT, history_of(FLAT, 20))
    assert len(searcher._memo) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_startup": 1}, "num_startup must be at least 2; got num_startup=1"),
        ({"num_startup": math.nan}, "num_startup must be at least 2"),
        ({"max_points": 9}, "max_points must be at least 10; got max_points=9"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        GP(**settings)  # type: ignore[arg-type]


def test_does_not_stay_on_a_plateau() -> None:
    """A hundred stairs in two dimensions: a stair that is known teaches nothing more."""

    def stairs(u: Array) -> float:
        return float(np.floor(10 * u[0]) + 0.1 * np.floor(10 * u[1]))

    found = search(SQUARE, stairs, 45, seed=0)
    assert found.min() == 0.0
    assert len(set(found[15:].tolist())) > 20
