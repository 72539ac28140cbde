"""The search comparison: its rules on cases worked by hand, and a whole run without data."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.compare.__main__ import main
from benchmarks.compare.jobs import Unit, references_of, run_all
from benchmarks.compare.neutral import load, task_names
from benchmarks.compare.plot import write_plot
from benchmarks.compare.runner import COUNTS, FRACTIONS, Run, run
from benchmarks.compare.scoring import score
from benchmarks.compare.synthetic import branin, hartmann, synthetic_tasks
from benchmarks.compare.tables import print_tables
from benchmarks.compare.task import Reference, split_of
from ray_hpo.errors import InvalidInput

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
    scores = score(runs, {"f/t": Reference(1.0, 10.0, 1.0)}, {}, "A")
    a, b = scores.methods.index("a"), scores.methods.index("b")
    np.testing.assert_allclose(scores.curves[a, 0], [1.5] * 9 + [0.2])
    np.testing.assert_allclose(scores.curves[b, 0], [1.0] * 10)
    np.testing.assert_array_equal(scores.ranks()[a, 0], [2.0] * 9 + [1.0])
    assert scores.sooner(b, a) == 0.0
    assert scores.sooner(a, b) == 1.0  # only at the very end
    low, high = scores.interval(a)
    assert (low[-1], high[-1]) == pytest.approx((0.0, 0.4))


def test_each_method_over_its_own_seeds() -> None:
    """b is 0, but for a third seed that a does not have: 0.9."""
    runs = [one("a", 0, [3.0] * 10), one("b", 0, [0.0] * 10), one("b", 1, [0.0] * 10), one("b", 2, [9.0] * 10)]
    common, own = (score(runs, {"f/t": Reference(0.0, 10.0, 1.0)}, {}, "A", own_seeds) for own_seeds in (False, True))
    assert common.curves[:, 0, -1] == pytest.approx([0.3, 0.0])
    assert own.curves[:, 0, -1] == pytest.approx([0.3, 0.3])
    assert (common.seeds, own.seeds) == ([1, 1], [1, 3])


def test_sooner_counts_the_moment_of_each_change() -> None:
    """Two seeds come down to 0.2 at 1/10 and 1/5 of the budget: the mean is at 0.5 from 1/5 on."""
    first, second = one("a", 0, [0.9] * 9 + [0.2]), one("a", 1, [0.9] * 9 + [0.2])
    first = dataclasses.replace(first, steps=[(0.02, 0.9), (0.1, 0.2)])
    second = dataclasses.replace(second, steps=[(0.04, 0.9), (0.2, 0.2)])
    other = [one("b", seed, [0.5] * 10) for seed in (0, 1)]
    scores = score([first, second, *other], REFERENCES, {}, "A")
    assert scores.sooner(0, 1) == pytest.approx(5.0)
    np.testing.assert_allclose(scores.paths[0][0].shares, [0.02, 0.04, 0.1, 0.2])
    np.testing.assert_allclose(scores.paths[0][0].regrets, [1.2, 0.9, 0.55, 0.2])


def test_a_run_keeps_to_its_budget_and_is_repeatable() -> None:
    first, second = (run(hartmann(), "bohb", seed=3) for _ in range(2))
    assert first.curve == second.curve
    assert len(first.curve) == len(FRACTIONS)
    values = [y for y in first.curve if y is not None]
    assert values[-1] <= values[0]
    ends = [y for share, y in first.steps if share <= FRACTIONS[4]]
    assert (ends[-1] if ends else None) == first.curve[4]
    assert first.steps[-1][1] == first.curve[-1]


def test_setting_b_takes_the_best_of_60() -> None:
    found = run(branin(), "random", seed=0, setting="B")
    assert len(found.curve) == 4
    values = [y for y in found.curve if y is not None]
    assert values == sorted(values, reverse=True)
    assert all(min((y for share, y in found.steps if share <= n / 60)) == found.curve[k] for k, n in enumerate(COUNTS))


def flat(method: str, end: float, halfway: float | None = None) -> list[Run]:
    """Two seeds on two tasks of two families; regret is the value. halfway: up to .114 of the budget, then `end`."""
    curve: list[float | None] = [*[1.2 if halfway is None else halfway] * 5, *[end] * 5]
    return [one(method, seed, curve, task) for task in ("f/t", "g/t") for seed in (0, 1)]


REFERENCES = {task: Reference(0.0, 1.0, 1.0) for task in ("f/t", "g/t")}


def test_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        *flat("random", 0.6),
        *flat("ours", 0.3, halfway=0.5),
        *flat("theirs (peer)", 0.4),
        *flat("stored (curve)", 0.5),
    ]
    print_tables(runs, REFERENCES, {}, "A", None)
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines() if "tasks; mean regret" in line] == ["all", "f", "g"]
    assert "other: theirs (peer), the lowest end that is not ours" in out
    rows = [line for line in out.splitlines() if line.startswith("ours")]
    # Better than random from the first point, 1/50 of the budget; than the peer from the sixth.
    expected = ["50.0", f"{1 / FRACTIONS[5]:.1f}"]
    assert [row.split()[-3:-1] for row in rows] == [expected] * 3
    print_tables(runs, REFERENCES, {}, "A", "stored")
    out = capsys.readouterr().out
    assert "other: stored (curve), --sooner-than" in out
    with pytest.raises(InvalidInput, match="--sooner-than 'nobody' is not among the methods compared: random, ours"):
        print_tables(runs, REFERENCES, {}, "A", "nobody")


def test_tables_without_peers_or_random(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(flat("ours", 0.3), REFERENCES, {}, "A", None)
    out = capsys.readouterr().out
    assert "x random" not in out
    assert "x other" not in out


def test_sooner_in_setting_b() -> None:
    """Shares of the budget are those of 60 evaluations."""
    early, late = Run("f/t", "a", "B", 0, [0.5, 0.3, 0.2, 0.2], 0.0, 0.2), Run("f/t", "b", "B", 0, [0.9] * 4, 0.0, 0.9)
    middle = Run("f/t", "c", "B", 0, [0.9, 0.9, 0.25, 0.25], 0.0, 0.25)
    scores = score([early, late, middle], REFERENCES, {}, "B")
    assert scores.sooner(0, 1) == 6.0
    assert scores.sooner(0, 2) == 1.5
    assert scores.sooner(1, 0) == 0.0


def test_the_plot_has_a_curve_for_each_method_and_family(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    file = tmp_path / "curves.html"
    # A family without a seed that both have.
    apart = [one("ours", 0, [0.3] * 10, "h/t"), one("theirs (peer)", 1, [0.3] * 10, "h/t")]
    references = {**REFERENCES, "h/t": Reference(0.0, 1.0, 1.0)}
    write_plot(file, [*flat("ours", 0.3), *flat("theirs (peer)", 0.4), *apart], references, {}, "A")
    text = file.read_text()
    assert all(f'"text":"{title}"' in text for title in ("all tasks", "f", "g"))
    assert '"text":"h"' not in text
    assert text.count('"name":"theirs (peer)"') == 3


def test_the_split_goes_by_the_name_alone() -> None:
    """Golden: a name must never change sides, or figures would be quoted on what was chosen on."""
    names = ["lcbench/3945", "lcbench/126026", "rbv2_rpart/3", "mlp_real/digits", "branin/2", "counting_ones/4+4"]
    assert [split_of(name) for name in names] == ["test", "tune", "test", "tune", "tune", "test"]
    # Half of many, within 5 standard deviations: a false alarm below 1e-6, were names drawn anew.
    assert abs(sum(split_of(f"family/{i}") == "test" for i in range(10_000)) - 5_000) < 5 * 50


def test_what_is_found_does_not_depend_on_the_number_of_processes() -> None:
    references = references_of(None, ["branin/2", "hartmann/6"], {}, jobs=1)
    units = [
        Unit(None, name, references[name], method, seed, "A", 8)
        for name in references
        for method in ("asha", "optuna_tpe_hyperband (peer)")
        for seed in (0, 1)
    ]
    found = [[dataclasses.replace(run, ask_median_s=0.0) for run in run_all(units, jobs)] for jobs in (1, 3)]
    assert found[0] == found[1]
    assert [(run.task, run.method, run.seed) for run in found[0]] == [(u.task, u.method, u.seed) for u in units]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "nothing"], "peer 'nothing' is unknown; known: optuna_tpe_hyperband"),
        (["--peers", "dehb", "--setting", "B"], "peer 'dehb' does not run in setting B; these do: optuna_tpe"),
        (["--algos", "nothing"], "algo='nothing' is unknown"),
        (["--tasks", "nothing"], "no task matches --tasks nothing; there are: branin/2"),
        (["--tasks", "branin/2", "--split", "test"], "none of these tasks is in --split test: branin/2"),
    ],
)
def test_mistakes_end_before_anything_runs(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["compare", *arguments])
    monkeypatch.setattr("benchmarks.compare.__main__.run_all", None)
    with pytest.raises(SystemExit, match=re.escape(message)):
        main()


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    command = [sys.executable, "-m", "benchmarks.compare", "--tasks", "branin/*,counting_ones/4+4"]
    command += ["--algos", "asha,random", "--peers", "optuna_tpe_hyperband", "--seeds", "0-1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert "all: 2 tasks" in done.stdout
    assert "branin: 1 tasks" in done.stdout
    rows: list[dict[str, Any]] = json.loads(file.read_text())
    assert "other: optuna_tpe_hyperband (peer)" in done.stdout
    assert len(rows) == 2 * 3 * 2
    assert {"task", "method", "setting", "seed", "curve", "ask_median_s"} <= set(rows[0])
    assert set(synthetic_tasks()) >= {row["task"] for row in rows}
