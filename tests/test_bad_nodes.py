"""Which nodes are to be avoided, by the record of trials that were lost."""

from __future__ import annotations

from hypothesis import given, strategies as st

from ray_hpo.executors.ray.bad_nodes import AVOID_SECONDS, STRIKES, Loss, Losses, nodes_to_avoid

NODES = {"a", "b", "c"}


def losses_on(node: str, *trials: int, at: float = 0.0) -> list[Loss]:
    return [Loss(node, trial, at) for trial in trials]


def test_three_losses_in_a_row_are_enough() -> None:
    assert nodes_to_avoid(losses_on("a", 1, 2), NODES, 0.0) == set()
    assert nodes_to_avoid(losses_on("a", 1, 2, 3), NODES, 0.0) == {"a"}
    assert nodes_to_avoid(losses_on("a", 1, 1, 1), NODES, 0.0) == {"a"}


def test_a_trial_that_is_lost_everywhere_is_not_the_nodes_fault() -> None:
    assert nodes_to_avoid([*losses_on("a", 1, 1, 1), *losses_on("b", 1)], NODES, 0.0) == set()
    assert nodes_to_avoid([*losses_on("a", 1, 2, 3, 4), *losses_on("b", 1)], NODES, 0.0) == {"a"}


def test_the_only_node_that_fits_is_never_avoided() -> None:
    assert nodes_to_avoid(losses_on("a", 1, 2, 3), {"a"}, 0.0) == set()
    assert nodes_to_avoid([*losses_on("a", 1, 2, 3), *losses_on("b", 4, 5, 6)], {"a", "b"}, 0.0) == set()


def test_it_is_tried_again_after_a_while_and_then_one_loss_is_enough() -> None:
    losses = losses_on("a", 1, 2, 3)
    assert nodes_to_avoid(losses, NODES, AVOID_SECONDS) == set()
    again = [*losses, *losses_on("a", 4, at=AVOID_SECONDS)]
    assert nodes_to_avoid(again, NODES, AVOID_SECONDS + 1) == {"a"}


def test_a_trial_that_goes_well_there_clears_it() -> None:
    record = Losses()
    for trial in (1, 2):
        record.add("a", trial, 0.0)
    record.went_well("a")
    record.add("a", 3, 0.0)
    assert record.avoided(NODES, 0.0) == set()


@given(
    events=st.lists(st.tuples(st.sampled_from(sorted(NODES)), st.integers(0, 9), st.booleans())),
    nodes=st.sets(st.sampled_from(sorted(NODES)), min_size=1),
)
def test_some_node_is_always_left_and_each_avoided_one_earned_it(
    events: list[tuple[str, int, bool]], nodes: set[str]
) -> None:
    record = Losses()
    in_a_row = dict.fromkeys(NODES, 0)
    for node, trial, lost in events:
        if lost:
            record.add(node, trial, 0.0)
        else:
            record.went_well(node)
        in_a_row[node] = in_a_row[node] + 1 if lost else 0
    avoided = record.avoided(nodes, 1.0)
    assert avoided < nodes
    assert all(in_a_row[node] >= STRIKES for node in avoided)
