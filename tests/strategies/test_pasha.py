"""PASHA: soft rankings on numbers worked by hand, and when a rung opens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from strategies.actions import Pause, Reached, Start
from strategies.domains import uniform
from strategies.errors import InvalidInput
from strategies.models.soft_ranking import agree, concordance, noise
from strategies.schedulers.asha import Asha
from strategies.schedulers.pasha import Pasha, _paths
from strategies.schedulers.rungs import Fidelity
from strategies.space_builder import as_space

from tests.strategies.test_schedulers import Trace, kind
from tests.strategies.world import hash01, run


def test_rankings_agree_up_to_epsilon() -> None:
    lower = np.array([1.0, 1.1, 2.0, 5.0])
    assert agree(lower, np.array([0.1, 0.2, 0.3, 0.4]), 0.0)
    swapped = np.array([0.2, 0.1, 0.3, 0.4])  # first place: 1.1 at the lower rung, where 1.0 has it
    assert not agree(lower, swapped, 0.0)
    assert not agree(lower, swapped, 0.09)
    assert agree(lower, swapped, 0.1 + 1e-12)
    round_about = np.array([0.3, 0.1, 0.2, 0.4])  # places: 1.1, 2.0, 1.0, 5.0 against 1.0, 1.1, 2.0, 5.0
    assert not agree(lower, round_about, 0.99)
    assert agree(lower, round_about, 1.0)


def test_concordance_is_kendalls_tau() -> None:
    rng = np.random.default_rng(1)
    for n in (2, 3, 10, 64):
        lower, upper = rng.normal(size=(2, n))
        assert concordance(lower, upper) == pytest.approx(kendalltau(lower, upper).statistic)
    assert concordance(np.array([1.0]), np.array([2.0])) == 0.0
    assert concordance(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 3)


def test_ties_are_no_disagreement() -> None:
    assert agree(np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.5]), 0.0)
    assert agree(np.array([]), np.array([]), 0.0)
    assert agree(np.array([1.0]), np.array([0.0]), 0.0)


def test_noise_is_what_changes_places_and_changes_back() -> None:
    back_and_forth = [[1.0, 3.0, 1.5], [2.0, 2.0, 2.0]]
    assert noise(np.array(back_and_forth)) == 0.5
    assert noise(np.array([*back_and_forth, [5.0, 5.0, 5.0]])) == 0.5  # never near the others
    assert noise(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])) == 0.0  # overtaken once: that is no noise
    assert noise(np.array([[1.0, 2.0, 1.0], [2.0, 2.0, 2.0]])) == 0.0  # a tie is no change of places
    assert noise(np.array([[1.0, 3.0]])) == 0.0
    # Pairs (0, 1): 0.5, (0, 2) the same shape: 1.0, (1, 2) parallel. 90 % of the way from 0.5 to 1.0.
    assert noise(np.array([[1.0, 4.0, 1.5], [2.0, 2.0, 2.0], [2.5, 2.5, 2.5]])) == pytest.approx(0.95)


def paused_at_3(values: dict[int, float]) -> tuple[Trace, list[object]]:
    """Nine trials of which trials 2, 1 and 0, the best of rung 1 in this order, come to rung 3 with these values."""
    trace, verdicts = Trace(Pasha(points=0), max_budget=27, num_trials=12), []
    for trial, value in enumerate([3.0, 2.0, 1.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]):
        action = trace.next()
        if kind(action)[0] == "Resume":
            verdicts.append(trace.reach(action.trial, values[action.trial]))
            action = trace.next()
        assert kind(action) == ("Start", trial, 1.0)
        if kind(trace.reach(trial, value))[0] == "Continue":
            verdicts.append(trace.reach(trial, values[trial]))
    assert kind(trace.next()) == ("Resume", 0, 3.0)
    verdicts.append(trace.reach(0, values[0]))
    return trace, verdicts


def test_higher_rungs_stay_closed_while_rankings_agree() -> None:
    """Rung 3 gets trials 2, 1, 0 in the order in which they stand at rung 1: Asha would send trial 2 on."""
    trace, verdicts = paused_at_3({2: 1.0, 1: 1.1, 0: 1.2})
    closed = "higher rungs are closed while 1 and 3 rank alike"
    assert verdicts == [Pause(t, f"rung 3: ranked {r} of {r} so far; {closed}") for t, r in ((2, 1), (1, 2), (0, 3))]
    assert kind(trace.next()) == ("Start", 9, 1.0)


def test_a_rung_opens_when_rankings_disagree() -> None:
    """Trial 1 overtakes trial 2 at rung 3, so rung 9 is open when the third result makes a promotion due."""
    trace, verdicts = paused_at_3({2: 1.0, 1: 0.9, 0: 0.5})
    assert [kind(verdict) for verdict in verdicts] == [("Pause", 2, None), ("Pause", 1, None), ("Continue", 0, 9.0)]
    verdict = trace.reach(0, 0.4)
    assert verdict == Pause(0, "rung 9: ranked 1 of 1 so far; higher rungs are closed while 3 and 9 rank alike")


def test_at_the_end_the_best_gets_the_full_budget() -> None:
    trace, _ = paused_at_3({2: 1.0, 1: 1.1, 0: 1.2})
    for trial in range(9, 12):
        trace.next()
        trace.reach(trial, 20.0 + trial)
    assert kind(trace.next()) == ("Resume", 3, 3.0)  # 12 results at rung 1: top 4
    trace.reach(3, 4.0)
    assert kind(trace.next()) == ("Resume", 2, 9.0)
    assert kind(trace.next()) == ("Wait", None, None)  # it alone
    assert kind(trace.reach(2, 1.0)) == ("Pause", 2, None)
    assert kind(trace.next()) == ("Resume", 2, 27.0)
    assert kind(trace.reach(2, 1.0)) == ("Stop", 2, None)
    assert kind(trace.next()) == ("Done", None, None)


def test_milestones_between_rungs() -> None:
    assert _paths((1.0, 3.0, 9.0), 2, True) == ((1.0, 2.0, 3.0), (3.0, 5.0, 7.0, 9.0))
    assert _paths((0.25, 1.0), 2, False) == ((0.25, 0.5, 0.75, 1.0),)
    trace = Trace(Pasha(eta=2), max_budget=4)
    trace.next(), trace.reach(0, 2.0)
    trace.next()
    assert kind(trace.reach(1, 1.0)) == ("Continue", 1, 2.0)
    assert kind(trace.reach(1, 1.0)) == ("Pause", 1, None)
    trace.next(), trace.reach(2, 1.5)
    trace.next(), trace.reach(3, 9.0)
    assert kind(trace.next()) == ("Resume", 2, 2.0)
    assert kind(trace.reach(2, 0.5)) == ("Continue", 2, 3.0)  # overtakes trial 1; on its way to rung 4
    verdict = trace.reach(2, 0.5)
    assert (kind(verdict), verdict.reason) == (("Continue", 2, 4.0), "3: on its way to rung 4")


@pytest.mark.parametrize("crossing", [False, True])
def test_it_spends_what_the_rankings_ask_for(crossing: bool) -> None:
    """81 trials of 1..27 epochs. Parallel curves: nothing but the winner goes beyond rung 3. Curves that cross
    between all rungs, but no pair twice, so that there is no noise: as much as Asha."""

    def objective(trial: int, config: dict[str, float], until: float) -> float:
        return hash01(trial) + 0.3 * crossing * hash01(trial, 1.0) * math.log(until)

    def reached(algo: Asha) -> list[float]:
        records = run(algo, as_space({"x": uniform(0, 1)}), objective=objective, num_trials=81, fidelity=FIDELITY)
        assert sum(isinstance(record, Start) for record in records) == 81
        return [record.fidelity for record in records if isinstance(record, Reached)]

    FIDELITY = Fidelity.of(27)
    counts = {rung: (reached(Pasha(points=0)).count(rung), reached(Asha()).count(rung)) for rung in (9.0, 27.0)}
    if crossing:
        assert all(pasha == asha for pasha, asha in counts.values())
    else:
        assert all(pasha == 1 < asha for pasha, asha in counts.values())


@pytest.mark.parametrize("points", [-1, 1.5, True])
def test_bad_points(points: int) -> None:
    with pytest.raises(InvalidInput, match="points, the milestones between two rungs"):
        Pasha(points=points)
