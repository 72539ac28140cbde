"""Whatever a trial reports: it counts, or that trial fails with a reason; no other trial and no experiment notices."""

from __future__ import annotations

import enum
import math
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

import ray_hpo
from ray_hpo import get_context, report, tune_run, uniform
from ray_hpo.cli.views import experiment_json
from ray_hpo.reports import Reports, rows_of
from ray_hpo.worker.session import plain_metrics


class Grade(enum.IntEnum):
    GOOD = 1


class Text(str):
    """Text of a class that only the trial knows."""


NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**6000),
    st.integers(min_value=-(10**6000), max_value=-(10**300)),
    st.booleans(),
    st.floats().map(np.float64),
    st.floats(width=32).map(np.float32),
    st.floats(width=16).map(np.float16),
    st.integers(-100, 100).map(np.int8),
    st.floats(allow_nan=False).map(np.longdouble),
    st.decimals(allow_nan=False),
    st.sampled_from([Grade.GOOD, np.array(3.0), np.array([2]), np.bool_(True), Decimal("NaN")]),
)
OTHERS = st.one_of(
    st.none(),
    st.text(),
    st.sampled_from(["\ud800", "\0", "nan", Text("text")]),
    st.binary(),
    st.complex_numbers(),
    st.complex_numbers().map(np.complex128),
    st.sampled_from(
        [np.array([1, 2]), np.datetime64("2020-01-01"), np.str_("text"), object(), print, {1, 2}, range(3)]
    ),
)
VALUES = st.recursive(
    NUMBERS | OTHERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
METRICS = st.one_of(
    st.dictionaries(st.text() | st.integers() | st.none(), VALUES, max_size=4),
    st.fixed_dictionaries({"loss": NUMBERS}, optional={"other": VALUES}),
    st.fixed_dictionaries({"loss": VALUES}, optional={"other": VALUES}),
    st.sampled_from([None, 3.0, "loss", [("loss", 1.0)]]),
)
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(metrics=METRICS)
def test_what_is_accepted_travels_and_comes_back(metrics: Any) -> None:
    try:
        plain = plain_metrics(metrics)
    except (TypeError, ValueError):
        return
    sent = pickle.loads(pickle.dumps(Reports(0, [(1.0, 2.0, plain)])))
    ((_, _, back),) = rows_of(sent.columns)
    assert repr(back) == repr(plain)


@QUICK
@given(metrics=METRICS)
@example(metrics={"loss": 10**300})
@example(metrics={"loss": -1.7e308})
def test_one_odd_trial_is_nobody_elses_trouble(tmp_path: Path, metrics: Any) -> None:
    def train(config: dict[str, float]) -> None:
        for _ in range(3):
            report(metrics if get_context().trial == 1 else {"loss": config["x"]})

    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo="random",
        max_budget=3,
        num_trials=3,
        storage=tmp_path,
        seed=1,
        executor="inline",
        progress=False,
    )
    assert isinstance(result, ray_hpo.Result)
    assert result.status == "all trials have run"
    assert result.trials[1].state in ("completed", "failed")
    assert result.trials[1].error or result.trials[1].state == "completed"
    assert result.trials[0].state == result.trials[2].state == "completed"
    assert math.isfinite(result.best_value)
    assert len(result.to_dataframe()) == 3
    result.all_reports()
    experiment_json(result)


@pytest.mark.parametrize("epoch", [math.nan, math.inf, 10**400])
def test_a_fidelity_that_is_not_finite_fails_its_trial(tmp_path: Path, epoch: float) -> None:
    def train(config: dict[str, float]) -> None:
        report({"loss": 1.0, "epoch": epoch})

    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        train,
        metric="loss",
        fidelity="epoch",
        algo="random",
        max_budget=3,
        num_trials=1,
        storage=tmp_path,
        executor="inline",
        progress=False,
    )
    assert "fidelity 'epoch' must be a finite number" in result.trials[0].error


def test_an_exception_that_cannot_be_printed_fails_its_trial(tmp_path: Path) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    def train(config: dict[str, float]) -> None:
        raise Broken

    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo="random",
        num_trials=1,
        storage=tmp_path,
        executor="inline",
        progress=False,
    )
    assert result.trials[0].error == "Broken: its text cannot be had: __str__ fails"
