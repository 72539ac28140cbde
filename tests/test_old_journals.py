"""Journals that earlier releases wrote must still load, and go on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from strategies.strategy import Strategy

from ray_hpo import load, report, resume
from ray_hpo.journal import Journal, read_reports
from ray_hpo.journal.schema import VERSION
from ray_hpo.results import Result

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.sql"))


@pytest.fixture(params=JOURNALS, ids=lambda file: file.stem)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        connection.executescript(request.param.read_text())
    return tmp_path


def train(config: dict[str, float]) -> None:
    for epoch in range(1, 10):
        report({"loss": config["x"] + 1 / epoch})


def strategy_of(result: Result) -> Strategy:
    return Strategy.rebuild(result.spec.algo, result.spec.problem(), result.experiment.records)


def test_it_loads(folder: Path) -> None:
    result = load(folder)
    assert result.experiment.counts() == {"stopped": 17, "completed": 6, "failed": 1}
    assert (result.best_trial.number, round(result.best_value, 6)) == (19, 0.167598)
    assert result.trials[19].why == "completed: reached max_budget 9"
    assert len(result.to_dataframe()) == 24


def test_its_reports_are_the_same_before_and_after_a_resume(folder: Path) -> None:
    before = read_reports(folder)
    assert len(before) == load(folder).spent
    assert before[0][:2] == (0, 1.0)
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        (version,) = connection.execute("SELECT version FROM head").fetchone()
    assert version < VERSION
    Journal(folder).close()  # which makes it one of today's
    assert read_reports(folder) == before
    assert read_reports(folder, 19) == [row for row in before if row[0] == 19]
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        assert connection.execute("SELECT version FROM head").fetchone() == (VERSION,)


def test_it_goes_on(folder: Path) -> None:
    before = load(folder)
    result = resume(folder, train, num_trials=30, executor="inline", progress=False)
    assert repr(result.trials[:24]) == repr(before.trials)
    assert len(result.trials) == 30
    assert strategy_of(result).table.num_trials == 30
