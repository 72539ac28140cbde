"""Tasks in the neutral format: tables of measured runs, and surrogates fitted to such.

DATA/FAMILY/TASK.json and .npz      a table: a query takes the nearest row
DATA/surrogates/FAMILY/             a surrogate, evaluated by DATA/surrogates/surrogate_numpy.py
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.task import Config, Task, Values

RESUMES = ("epoch", "step")  # a fidelity with such a name or unit goes on where it stopped


def task_names(data: Path) -> list[str]:
    """All tasks in a folder, as FAMILY/TASK."""
    tables = [f"{file.parent.name}/{file.stem}" for file in data.glob("*/*.json") if file.with_suffix(".npz").exists()]
    surrogates = []
    for file in data.glob("surrogates/*/space.json"):
        surrogates += [f"{file.parent.name}/{task}" for task in json.loads(file.read_text())["tasks"]]
    return sorted(tables + surrogates)


def load(data: Path, name: str) -> Task:
    family, task = name.split("/", 1)
    if (data / "surrogates" / family).is_dir():
        return SurrogateTask(data, family, task)
    return TableTask(data, family, task)


def resumes(fidelity: Mapping[str, Any]) -> bool:
    """Whether trained budget counts on: by what the fidelity is called."""
    return any(word in f"{fidelity['name']} {fidelity.get('unit', '')}" for word in RESUMES)


@cache
def _surrogate(root: Path, family: str) -> Any:
    spec = importlib.util.spec_from_file_location("surrogate_numpy", root / "surrogate_numpy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Surrogate(family, str(root))


class SurrogateTask(Task):
    """A surrogate: any configuration, any budget."""

    def __init__(self, data: Path, family: str, task: str) -> None:
        self._surrogate = _surrogate(data / "surrogates", family)
        self._task = task
        meta = self._surrogate.meta
        self._metric, self._cost = meta["metric"], meta["cost_output"]
        fidelity = meta["fidelity"]
        super().__init__(f"{family}/{task}", self._surrogate.space, float(fidelity["upper"]), resumes(fidelity))

    def raw(self, configs: Sequence[Config], budget: float) -> tuple[Values, Values]:
        out = self._surrogate.predict(self._task, configs, budget)
        sign = -1.0 if self._metric["goal"] == "max" else 1.0
        return sign * out[self._metric["name"]].astype(float), out[self._cost].astype(float)


class TableTask(Task):
    """A table: the nearest row answers.

    Squared distance: the squared difference in the unit cube (log where the space says so) of numeric and ordinal
    parameters, plus 1 for each categorical that differs; a parameter that is inactive on either side adds nothing. The
    budget is an index on the table's axis, from 1; an untrained model (fidelity 0) is left out.
    """

    def __init__(self, data: Path, family: str, task: str) -> None:
        meta = json.loads((data / family / f"{task}.json").read_text())
        with np.load(data / family / f"{task}.npz") as arrays:
            X, y = arrays["X"].astype(float), arrays["y"].astype(float)
            cost = arrays["cost"].astype(float) if "cost" in arrays.files else None
        axis = meta["fidelity"]["values"]
        untrained = int(axis[0] == 0)
        length = len(axis) - untrained
        super().__init__(f"{family}/{task}", meta["space"], float(length), resumes(meta["fidelity"]))
        self._y = _mean_over_seeds(y, gaps_are_missing=family == "nasbench201")[:, untrained:]
        if meta["metric"]["goal"] == "max":
            self._y = -self._y
        self._seconds = _cumulative(cost, np.array(axis[untrained:], float), len(X), untrained, len(axis))
        self._columns = meta["space"]  # in the order of X
        self._U = np.stack([_unit(p, X[:, j]) for j, p in enumerate(self._columns)], axis=1)
        self._categorical = np.array([p["type"] == "categorical" for p in self._columns])
        self._grid = _full_grid(self._columns, X)

    def raw(self, configs: Sequence[Config], budget: float) -> tuple[Values, Values]:
        rows = [self._row(config) for config in configs]
        index = round(budget) - 1
        return self._y[rows, index], self._seconds[rows, index]

    def optimum(self) -> float:
        return float(np.nanmin(self._y[:, -1]))

    def ceiling(self) -> float:
        """The largest, over the ladder, of median + 5 (median - best): early values are worse than any final one."""
        tops = []
        for level in self.levels if self.resumable else [self.max_budget]:
            y = self._y[:, round(level) - 1]
            median = float(np.median(np.where(np.isfinite(y), y, np.inf)))
            tops.append(median + 5 * (median - float(np.nanmin(y))))
        return max(tops)

    def _row(self, config: Config) -> int:
        if self._grid is not None:
            return self._grid[tuple(p["choices"].index(config[p["name"]]) for p in self._columns)]
        u = np.array([_unit_value(p, config[p["name"]]) if p["name"] in config else np.nan for p in self._columns])
        difference = self._U - u
        distance = np.where(self._categorical, difference != 0, difference**2)
        return int(np.argmin(np.where(np.isnan(difference), 0.0, distance).sum(axis=1)))


def _full_grid(columns: Sequence[Mapping[str, Any]], X: Values) -> dict[tuple[int, ...], int] | None:
    """Choice indices -> row, where the table holds every configuration of its space: the nearest row is the row
    itself."""
    if len(X) != math.prod(len(p.get("choices", ())) for p in columns):
        return None
    return {tuple(row): i for i, row in enumerate(X.astype(int).tolist())}


def _mean_over_seeds(y: Values, gaps_are_missing: bool) -> Values:
    """(n, fidelities) of y (n, fidelities, seeds). A row of which more than half of the seeds diverged has diverged."""
    finite = np.isfinite(y)
    count = finite.sum(axis=2)
    mean = np.where(finite, y, 0.0).sum(axis=2) / np.maximum(count, 1)
    enough = count > 0 if gaps_are_missing else (2 * count >= y.shape[2]) & (count > 0)
    return np.where(enough, mean, np.nan)


def _cumulative(cost: Values | None, axis: Values, n: int, untrained: int, width: int) -> Values:
    """(n, fidelities) seconds from nothing; the axis itself where the table has no time."""
    if cost is None:
        cost = np.tile(axis, (n, 1))
    elif cost.shape[1] == width:
        cost = cost[:, untrained:]
    known = np.maximum.accumulate(np.where(np.isfinite(cost), cost, -np.inf), axis=1)  # a diverged run stands still
    finite = np.isfinite(known)
    return np.where(finite, known, known[finite].mean())


def _unit(parameter: Mapping[str, Any], column: Values) -> Values:
    """A column of X in the unit interval; categories stay indices."""
    if parameter["type"] == "categorical":
        return column
    if parameter["type"] == "ordinal":
        return column / max(len(parameter["choices"]) - 1, 1)
    with np.errstate(all="ignore"):
        return np.array([np.nan if np.isnan(x) else _scaled(parameter, x) for x in column])


def _unit_value(parameter: Mapping[str, Any], value: Any) -> float:
    if parameter["type"] in ("categorical", "ordinal"):
        index = float(parameter["choices"].index(value))
        return index if parameter["type"] == "categorical" else index / max(len(parameter["choices"]) - 1, 1)
    return _scaled(parameter, float(value))


def _scaled(parameter: Mapping[str, Any], x: float) -> float:
    low, high = float(parameter["lower"]), float(parameter["upper"])
    if parameter.get("log"):
        return float((np.log(x) - np.log(low)) / (np.log(high) - np.log(low)))
    return (x - low) / (high - low)
