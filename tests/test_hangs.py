"""Who counts as hanging, and who only waits for its turn."""

from __future__ import annotations

import math

from ray_hpo.loop.hangs import Hangs


def test_only_who_had_its_turn_and_says_nothing_hangs() -> None:
    hangs = Hangs(10.0)
    for trial in range(4):
        hangs.heard(trial, 0.0)
    hangs.heard(0, 5.0)  # a report
    began = {1: 0.0, 2: None, 3: 8.0}.__getitem__  # 2 was launched ahead and waits, 3 did until now
    assert hangs.patience(6.0) == 4.0
    assert hangs.overdue(9.9, began) == []
    assert hangs.overdue(12.0, began) == [1]
    assert hangs.overdue(12.0, began) == [], "it is told once"
    assert hangs.patience(12.0) == 3.0, "0 is next, at 15"
    assert hangs.overdue(18.0, {0: 0.0, 3: 8.0}.__getitem__) == [0, 3]
    assert hangs.overdue(22.0, {2: 12.0}.__getitem__) == [2]


def test_without_a_limit_nobody_hangs() -> None:
    hangs = Hangs(None)
    hangs.heard(0, 0.0)
    assert hangs.patience(1e9) == math.inf
    assert hangs.overdue(1e9, lambda trial: 0.0) == []
