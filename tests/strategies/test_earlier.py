"""Earlier results: what becomes of their configurations and fidelities, and what a searcher sees of them."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from strategies.actions import Continue, Failed, Pause, Reached, Record, Resume, Start, Stop
from strategies.domains import Space, choice, loguniform, quniform, randint, uniform
from strategies.earlier import Earlier, earlier_results
from strategies.history import History
from strategies.space_builder import as_space

INF = math.inf


def trials(*configs: dict[str, Any], fidelity: float = 9.0) -> list[Record]:
    """Trial k gets the value k at the fidelity."""
    records: list[Record] = [Start(k, config, fidelity) for k, config in enumerate(configs)]
    return [*records, *(Reached(k, fidelity, float(k)) for k in range(len(configs)))]


def take(records: list[Record], space: Any, rungs: tuple[float, ...] = (1.0, 3.0, 9.0), seed: int = 0) -> Earlier:
    return earlier_results(records, as_space(space), rungs, seed)


# ---- configurations ----


def test_the_same_space_takes_all_as_it_is() -> None:
    earlier = take(trials({"x": 0.5, "k": "a"}, {"x": 0.25, "k": "b"}), {"x": uniform(0, 1), "k": choice(["a", "b"])})
    assert earlier == Earlier([{"x": 0.5, "k": "a"}, {"x": 0.25, "k": "b"}], [(0, 9.0, 0.0), (1, 9.0, 1.0)], {})


CHANGES: dict[str, tuple[Any, dict[str, Any], dict[str, Any] | str]] = {
    "narrower": ({"x": uniform(0, 0.4)}, {"x": 0.5}, "x: outside the new bounds"),
    "wider": ({"x": uniform(-5, 5)}, {"x": 0.5}, {"x": 0.5}),
    "log now": ({"x": loguniform(0.1, 1)}, {"x": 0.5}, {"x": 0.5}),
    "a choice is gone": ({"k": choice(["a", "b"])}, {"k": "c"}, "k: a choice that is gone"),
    "a choice more": ({"k": choice(["b", "z", "a"])}, {"k": "a"}, {"k": "a"}),
    "a constant now": ({"k": "a", "x": uniform(0, 1)}, {"k": "a", "x": 0.5}, {"k": "a", "x": 0.5}),
    "another constant": ({"k": "a", "x": uniform(0, 1)}, {"k": "b", "x": 0.5}, "k: a choice that is gone"),
    "was a constant": ({"x": uniform(0, 1), "n": randint(1, 9)}, {"x": 0.5, "n": 3}, {"x": 0.5, "n": 3}),
    "gone": ({"x": uniform(0, 1)}, {"x": 0.5, "y": 7}, {"x": 0.5}),
    "whole now": ({"x": randint(0, 9)}, {"x": 4.0}, {"x": 4}),
    "whole now, and it was not": ({"x": randint(0, 9)}, {"x": 4.2}, "x: outside the new bounds"),
    "of a grid": ({"x": quniform(0, 1, 0.25)}, {"x": 0.5}, {"x": 0.5}),
    "a new constant": ({"x": uniform(0, 1), "seed": 3}, {"x": 0.5}, {"x": 0.5, "seed": 3}),
    "inactive now": (
        {"k": choice(["a", "b"]), "x": uniform(0, 1).when(k="a")},
        {"k": "b", "x": 0.5},
        {"k": "b"},
    ),
    "forbidden now": (Space({"x": uniform(0, 1)}, forbidden=["x > 0.4"]), {"x": 0.5}, "forbidden now"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_space_that_changed(change: str) -> None:
    space, config, expected = CHANGES[change]
    earlier = take(trials(config), space)
    if isinstance(expected, str):
        assert earlier == Earlier([], [], {expected: 1})
    else:
        assert earlier == Earlier([expected], [(0, 9.0, 0.0)], {})


def test_a_new_parameter_is_drawn_evenly_and_only_where_it_is_active() -> None:
    """The mean of about 200 uniform draws is within 0.5 +- 0.11: 5.4 standard errors, false alarms below 1e-6."""
    space = {"k": choice(["a", "b"]), "z": uniform(0, 1).when(k="a"), "w": choice([1, 2])}
    records = trials(*({"k": "ab"[i % 2]} for i in range(400)))
    configs = take(records, space).configs
    drawn = [config["z"] for config in configs if "z" in config]
    assert [("z" in config) for config in configs] == [i % 2 == 0 for i in range(400)]
    assert abs(np.mean(drawn) - 0.5) < 0.11
    assert {config["w"] for config in configs} == {1, 2}
    assert take(records, space).configs == configs
    assert take(records, space, seed=1).configs != configs


def test_a_draw_that_is_forbidden_is_drawn_again() -> None:
    space = Space({"x": uniform(0, 1), "z": uniform(0, 1)}, forbidden=["z > 0.1"])
    earlier = take(trials(*({"x": i / 50} for i in range(50))), space)
    assert len(earlier.configs) == 50
    assert all(config["z"] <= 0.1 for config in earlier.configs)


# ---- fidelities ----


@pytest.mark.parametrize(
    ("rungs", "fidelity", "expected"),
    [
        ((1.0, 3.0, 9.0), 9.0, 9.0),
        ((1.0, 3.0, 9.0), 8.0, 3.0),
        ((1.0, 3.0, 9.0), 81.0, 9.0),
        ((1.0, 3.0, 9.0), INF, 9.0),
        ((3.0, 9.0), 1.0, 1.0),  # below the ladder: as it is
        ((INF,), 27.0, 27.0),
        ((INF,), INF, INF),
        ((1 / 27 * 3, 1 / 3, 1.0), 1 / 9, 1 / 27 * 3),  # equal but for rounding
    ],
)
def test_a_result_counts_at_the_nearest_rung_at_or_below(
    rungs: tuple[float, ...], fidelity: float, expected: float
) -> None:
    (result,) = take(trials({"x": 0.5}, fidelity=fidelity), {"x": uniform(0, 1)}, rungs).results
    assert result == (0, expected, 0.0)


def test_of_two_results_of_a_trial_at_one_rung_the_nearer_one_counts() -> None:
    records: list[Record] = [
        Start(0, {"x": 0.5}, 2.0),
        Start(1, {"x": 0.6}, 2.0),
        Start(2, {"x": 0.7}, 2.0),  # still runs: no result
        Reached(1, 2.0, 0.1),
        Continue(1, 4.0),
        Reached(0, 2.0, 0.2),
        Pause(0),
        Resume(0, 4.0),
        Reached(0, 4.0, 0.3),
        Continue(0, 8.0),
        Failed(1, 4.0),
        Reached(0, 8.0, 0.4),
        Stop(0),
    ]
    earlier = take(records, {"x": uniform(0, 1)})
    assert earlier.configs == [{"x": 0.5}, {"x": 0.6}]
    assert earlier.results == [(1, 1.0, 0.1), (0, 1.0, 0.2), (0, 3.0, 0.3), (1, 3.0, INF)]


# ---- several experiments, and JSON ----


def test_experiments_add_up_and_round_trip_through_json() -> None:
    space = {"x": uniform(0, 0.5)}
    first = take(trials({"x": 0.1}, {"x": 0.9}, fidelity=INF), space, (INF,))
    second = take([*trials({"x": 0.8}, {"x": 0.2}), Failed(1, 27.0)], space)
    both = first + second
    assert both.configs == [{"x": 0.1}, {"x": 0.2}]
    assert both.results == [(0, INF, 0.0), (1, 9.0, 1.0)]
    assert both.left_out == {"x: outside the new bounds": 2}
    text = json.dumps(dataclasses.replace(both, results=[*both.results, (1, 1.0, INF)]).to_json(), allow_nan=False)
    assert Earlier.from_json(json.loads(text)).results == [*both.results, (1, 1.0, INF)]


# ---- in the history ----


def test_trials_are_numbered_behind_the_earlier_configurations() -> None:
    history = History(1)
    history.begin([np.array([0.1]), np.array([0.2])], [(1, 9.0, 5.0), (0, 9.0, 6.0)])
    assert history.fidelities == [9.0] and not history.pending
    history.start(np.array([0.3]), 1.0)
    history.start(np.array([0.4]), 1.0)
    assert history.pending == {2: 1.0, 3: 1.0}
    history.apply(Reached(1, 1.0, 7.0))
    history.apply(Failed(0, 1.0))
    assert list(history.results(1.0).trials) == [3, 2]
    X, y = history.at(1.0)
    assert X.tolist() == [[0.4], [0.3]] and y.tolist() == [7.0, INF]
    history.apply(Continue(1, 3.0))
    assert history.pending == {3: 3.0}
    assert history.at(9.0)[0].tolist() == [[0.2], [0.1]]
    assert len(history) == 4 and history.earlier == 2
