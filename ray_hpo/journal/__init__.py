"""The journal: one SQLite file that remembers all that an experiment did."""

from ray_hpo.journal.journal import Event, Journal
from ray_hpo.journal.lock import Lock
from ray_hpo.journal.reader import read_experiment, read_reports, read_spec

__all__ = ["Event", "Journal", "Lock", "read_experiment", "read_reports", "read_spec"]
