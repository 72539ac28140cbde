"""Journals that earlier releases wrote must still load, and go on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from strategies.strategy import Strategy

from ray_hpo import load, report, resume
from ray_hpo.journal import Journal, read_reports
from ray_hpo.journal.schema import VERSION
from ray_hpo.results import Result

FOLDER = Path(__file__).parent / "journals"


@dataclass(frozen=True)
class Written:
    """What stands in one of them."""

    version: int
    counts: dict[str, int]
    best: int
    value: float
    causes: list[str]

    @property
    def trials(self) -> int:
        return sum(self.counts.values())


JOURNALS = {
    "0.1": Written(1, {"stopped": 17, "completed": 6, "failed": 1}, 19, 0.167598, ["user"]),
    "0.1-v2": Written(2, {"paused": 13, "stopped": 1, "failed": 1, "completed": 1}, 5, 0.186344, ["user", "user"]),
}


def test_every_journal_is_known() -> None:
    assert {file.stem for file in FOLDER.glob("*.sql")} == set(JOURNALS)


@pytest.fixture(params=JOURNALS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def written(name: str) -> Written:
    return JOURNALS[name]


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        connection.executescript((FOLDER / f"{name}.sql").read_text())
    return tmp_path


def train(config: dict[str, float]) -> None:
    for epoch in range(1, 10):
        report({"loss": config["x"] + 1 / epoch})


def strategy_of(result: Result) -> Strategy:
    return Strategy.rebuild(result.spec.algo, result.spec.problem(), result.experiment.records)


def test_it_loads(folder: Path, written: Written) -> None:
    result = load(folder)
    assert result.experiment.counts() == written.counts
    assert (result.best_trial.number, round(result.best_value, 6)) == (written.best, written.value)
    assert result.best_trial.why == "completed: reached max_budget 9"
    assert len(result.to_dataframe()) == written.trials
    assert [cause for trial in result.trials for _, cause, _ in trial.crashes] == written.causes


def test_its_reports_are_the_same_before_and_after_a_resume(folder: Path, written: Written) -> None:
    before = read_reports(folder)
    assert len(before) == load(folder).spent
    assert before[0][:2] == (0, 1.0)
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        assert connection.execute("SELECT version FROM head").fetchone() == (written.version,)
    Journal(folder).close()  # which makes it one of today's
    assert read_reports(folder) == before
    assert read_reports(folder, written.best) == [row for row in before if row[0] == written.best]
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        assert connection.execute("SELECT version FROM head").fetchone() == (VERSION,)


def test_it_goes_on(folder: Path, written: Written) -> None:
    before, more = load(folder), written.trials + 6
    over = [trial.number for trial in before.trials if trial.state not in ("paused", "running")]
    result = resume(folder, train, num_trials=more, executor="inline", progress=False)
    for number in over:
        assert repr(result.trials[number]) == repr(before.trials[number])
    assert len(result.trials) == more
    assert strategy_of(result).table.num_trials == more
