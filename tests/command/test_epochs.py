"""When an epoch is over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from ray_hpo.command.epochs import Epochs


def reports(needed: set[str], *lines: dict[str, Any]) -> list[dict[str, Any]]:
    epochs = Epochs(needed)
    return [report for line in lines if (report := epochs.feed(line)) is not None]


def test_a_line_with_the_metric_is_a_report() -> None:
    lines = [{"epoch": i, "loss": 1 / i} for i in (1, 2, 3)]
    assert reports({"loss"}, *lines) == lines


def test_lines_before_the_metric_belong_to_its_epoch() -> None:
    assert reports({"loss"}, {"lr": 0.1}, {"epoch": 1}, {"loss": 1.0}, {"epoch": 2}, {"loss": 0.5}) == [
        {"lr": 0.1, "epoch": 1, "loss": 1.0},
        {"epoch": 2, "loss": 0.5},
    ]


def test_lines_after_the_metric_are_not_counted_with_the_next_epoch() -> None:
    lines = [{"epoch": 1}, {"loss": 1.0}, {"acc": 0.1}, {"epoch": 2}, {"loss": 0.5}, {"acc": 0.2}]
    assert reports({"loss"}, *lines) == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]


def test_a_report_waits_for_the_fidelity() -> None:
    lines = [{"loss": 1.0}, {"loss": 0.9}, {"step": 100}, {"loss": 0.8}, {"step": 200}]
    assert reports({"loss", "step"}, *lines) == [{"loss": 0.9, "step": 100}, {"loss": 0.8, "step": 200}]


@pytest.mark.parametrize("needed", [{"a"}, {"a", "b"}])
@given(lines=st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(), min_size=1)))
def test_reports_hold_what_is_needed_and_the_latest_of_it(needed: set[str], lines: list[dict[str, int]]) -> None:
    epochs, arrived = Epochs(needed), {}
    for line in lines:
        arrived |= line
        report = epochs.feed(line)
        if report is not None:
            assert needed <= report.keys()
            assert {name: report[name] for name in needed} == {name: arrived[name] for name in needed}
    assert set(epochs.seen) == set(arrived)
