"""The search comparison: its rules on cases worked by hand, and a whole run without data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.compare.neutral import load, task_names
from benchmarks.compare.runner import FRACTIONS, Run, run
from benchmarks.compare.scoring import score
from benchmarks.compare.synthetic import branin, hartmann, synthetic_tasks
from benchmarks.compare.task import Reference

SPACE = [
    {"name": "lr", "type": "float", "lower": 0.01, "upper": 1.0, "log": True},
    {"name": "kind", "type": "categorical", "choices": ["a", "b"]},
    {"name": "depth", "type": "int", "lower": 1, "upper": 5, "condition": {"parent": "kind", "values": ["b"]}},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A table of three rows, two of them with everything, over 27 epochs and two seeds."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    meta = {
        "space": SPACE,
        "fidelity": {"name": "epoch", "values": list(range(1, 28)), "unit": "epochs"},
        "metric": {"name": "acc", "goal": "max"},
    }
    (folder / "one.json").write_text(json.dumps(meta))
    X = np.array([[0.01, 0, np.nan], [1.0, 1, 1], [1.0, 1, 5]])
    y = np.ones((3, 27, 2)) * np.array([0.1, 0.5, 0.9])[:, None, None]
    y[2, 20:, :] = np.nan  # diverged
    y[1, :, 1] = np.nan  # one of two seeds: still a result
    np.savez(folder / "one.npz", X=X, y=y, cost=np.cumsum(np.ones((3, 27)), axis=1))
    return tmp_path


def test_a_table_answers_with_its_nearest_row(data: Path) -> None:
    task = load(data, "tiny/one")
    assert task_names(data) == ["tiny/one"]
    assert (task.resumable, task.levels) == (True, [1.0, 3.0, 9.0, 27.0])
    task.use(Reference(-0.9, -0.5, 27.0, ceiling=0.0))
    assert task.evaluate({"lr": 0.02, "kind": "a"}, 9) == ({"y": -0.1}, 9.0)
    assert task.evaluate({"lr": 0.9, "kind": "b", "depth": 2}, 3) == ({"y": -0.5}, 3.0)
    assert task.evaluate({"lr": 0.9, "kind": "b", "depth": 4}, 9) == ({"y": -0.9}, 9.0)
    assert task.evaluate({"lr": 0.9, "kind": "b", "depth": 4}, 27) == ({"y": 0.0}, 27.0)  # diverged: the ceiling


def test_a_budget_off_the_ladder_is_refused(data: Path) -> None:
    with pytest.raises(ValueError, match="budget 10 is not on the ladder"):
        load(data, "tiny/one").evaluate({"lr": 0.02, "kind": "a"}, 10)


def test_known_optima() -> None:
    best = {"x0": (np.pi + 5) / 15, "x1": 2.275 / 15}
    assert branin().raw([best], 27)[0] == pytest.approx([0.397887], abs=1e-6)
    best = dict(
        zip([f"x{i}" for i in range(6)], [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], strict=True)
    )
    assert hartmann().raw([best], 27)[0] == pytest.approx([-3.32237], abs=1e-4)


def one(method: str, seed: int, curve: list[float | None], task: str = "f/t") -> Run:
    return Run(task, method, "A", seed, curve, 0.0, min(y for y in curve if y is not None))


def test_scores_by_hand() -> None:
    """best = 0 (seen by a run, below the sample's 1), median 10: regret y / 10, clipped to 1.5."""
    late: list[float | None] = [None] * 9
    runs = [
        one("a", 0, [*late, 0.0]),
        one("a", 1, [*late, 4.0]),
        one("b", 0, [5.0] * 10),
        one("b", 1, [99.0] * 10),
        one("b", 2, [0.0] * 10),  # a has no seed 2: not counted
    ]
    scores = score(runs, {"f/t": Reference(1.0, 10.0, 1.0)}, {})
    a, b = scores.methods.index("a"), scores.methods.index("b")
    np.testing.assert_allclose(scores.curves[a, 0], [1.5] * 9 + [0.2])
    np.testing.assert_allclose(scores.curves[b, 0], [1.0] * 10)
    np.testing.assert_array_equal(scores.ranks()[a, 0], [2.0] * 9 + [1.0])
    assert scores.sooner(b, a) == 0.0
    assert scores.sooner(a, b) == 1.0  # only at the very end
    low, high = scores.interval(a)
    assert (low[-1], high[-1]) == pytest.approx((0.0, 0.4))


def test_a_run_keeps_to_its_budget_and_is_repeatable() -> None:
    first, second = (run(hartmann(), "bohb", seed=3) for _ in range(2))
    assert first.curve == second.curve
    assert len(first.curve) == len(FRACTIONS)
    values = [y for y in first.curve if y is not None]
    assert values[-1] <= values[0]


def test_setting_b_takes_the_best_of_60() -> None:
    curve = run(branin(), "random", seed=0, setting="B").curve
    assert len(curve) == 4
    values = [y for y in curve if y is not None]
    assert values == sorted(values, reverse=True)


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    command = [sys.executable, "-m", "benchmarks.compare", "--tasks", "branin/*,counting_ones/4+4"]
    command += ["--algos", "asha,random", "--seeds", "0-1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert "all: 2 tasks" in done.stdout
    assert "branin: 1 tasks" in done.stdout
    rows: list[dict[str, Any]] = json.loads(file.read_text())
    assert len(rows) == 2 * 2 * 2
    assert {"task", "method", "setting", "seed", "curve", "ask_median_s"} <= set(rows[0])
    assert set(synthetic_tasks()) >= {row["task"] for row in rows}
