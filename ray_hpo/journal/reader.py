"""The reader's side: the spec, the fold, the reports. Works while a driver writes, and on what a crash left."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ray_hpo.journal.schema import FILE, connect, read_head
from ray_hpo.trial import Experiment


def read_spec(folder: Path) -> dict[str, Any]:
    """The spec in the head of the journal in `folder`.

    Raises:
        JournalError: there is no readable journal.
    """
    path = folder / FILE
    with closing(connect(path, write=False)) as connection:
        return read_head(connection, path)


def read_experiment(folder: Path, experiment: Experiment) -> Experiment:
    """Fold the journal in `folder` into `experiment`, and return it."""
    with closing(connect(folder / FILE, write=False)) as connection:
        fold(connection, experiment)
    return experiment


def read_reports(folder: Path, trial: int | None = None) -> list[tuple[int, float, float, dict[str, Any]]]:
    """(trial, step, time, metrics) of all reports, or of one trial's, by trial and step."""
    where, values = ("", ()) if trial is None else ("WHERE trial = ?", (trial,))
    query = f"SELECT trial, step, time, metrics FROM reports {where} ORDER BY trial, step"
    with closing(connect(folder / FILE, write=False)) as connection:
        return [(t, s, at, json.loads(m)) for t, s, at, m in connection.execute(query, values)]


def fold(connection: sqlite3.Connection, experiment: Experiment) -> None:
    """Events in order, each after the reports that were committed before it."""
    connection.execute("BEGIN")  # one consistent view of both tables
    events = connection.execute("SELECT seq, time, kind, trial, body FROM events ORDER BY seq")
    reports = connection.execute("SELECT seq, trial, step, metrics FROM reports ORDER BY seq, trial, step")
    report = reports.fetchone()
    for seq, time, kind, trial, body in events:
        while report is not None and report[0] <= seq:
            experiment.report(report[1], report[2], json.loads(report[3]))
            report = reports.fetchone()
        experiment.apply(time, kind, trial, json.loads(body))
    while report is not None:
        experiment.report(report[1], report[2], json.loads(report[3]))
        report = reports.fetchone()
    connection.execute("COMMIT")
