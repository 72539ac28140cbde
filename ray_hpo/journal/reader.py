"""The reader's side: the spec, the fold, the reports. Works while a driver writes, and on what a crash left."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ray_hpo.experiment import Experiment
from ray_hpo.journal.damage import told_if_damaged
from ray_hpo.journal.rows import event_body
from ray_hpo.journal.schema import FILE, connect, read_head
from ray_hpo.journal.upgrade import Batch, batches
from ray_hpo.reports import rows_of


def read_spec(folder: Path) -> dict[str, Any]:
    """The spec in the head of the journal in `folder`.

    Raises:
        JournalError: there is no readable journal.
    """
    path = folder / FILE
    with closing(connect(path, write=False)) as connection:
        return read_head(connection, path)


def read_experiment(folder: Path, experiment: Experiment) -> Experiment:
    """Fold the journal in `folder` into `experiment`, and return it.

    Raises:
        JournalError: there is no journal, or it is damaged.
    """
    path = folder / FILE
    with closing(connect(path, write=False)) as connection, told_if_damaged(path):
        fold(connection, experiment)
    return experiment


def read_reports(folder: Path, trial: int | None = None) -> list[tuple[int, float, float, dict[str, Any]]]:
    """(trial, step, time, metrics) of all reports, or of one trial's, by trial and step."""
    where, values = ("", ()) if trial is None else ("WHERE trial = ?", (trial,))
    found = []
    known: tuple[int, float] | None = None  # the trial and step that came last
    path = folder / FILE
    with closing(connect(path, write=False)) as connection, told_if_damaged(path):
        for number, *_, columns in batches(connection, order="trial, step", where=where, values=values):
            for step, time, metrics in rows_of(columns):
                if known is None or (number, step) > known:
                    found.append((number, step, time, metrics))
                    known = number, step
    return found


def fold(connection: sqlite3.Connection, experiment: Experiment) -> None:
    """Events in order, each after the reports that were committed before it."""
    connection.execute("BEGIN")  # one consistent view of both tables
    reports = iter(batches(connection, order="seq, trial, step"))
    batch = next(reports, None)
    for seq, time, kind, trial, body in connection.execute(
        "SELECT seq, time, kind, trial, body FROM events ORDER BY seq"
    ):
        while batch is not None and batch[3] <= seq:
            _report(experiment, batch)
            batch = next(reports, None)
        experiment.apply(time, kind, trial, event_body(time, kind, trial, body))
    while batch is not None:
        _report(experiment, batch)
        batch = next(reports, None)
    connection.execute("COMMIT")


def _report(experiment: Experiment, batch: Batch) -> None:
    """The last one tells it all: the fold keeps no earlier ones."""
    trial, step, *_, columns = batch
    if step > experiment.trials[trial].step:
        *_, (_, _, metrics) = rows_of(columns)
        experiment.report(trial, step, metrics)
