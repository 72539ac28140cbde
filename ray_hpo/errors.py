"""The errors that users meet. Each message is one line: what, with which value, and the way out."""

from __future__ import annotations

from strategies.errors import InvalidInput, near_matches

__all__ = [
    "ExperimentLocked",
    "InvalidInput",
    "JournalError",
    "MetricMissing",
    "RayHpoError",
    "StorageError",
    "near_matches",
]


class RayHpoError(Exception):
    """Whatever goes wrong with an experiment and is not a bug of ours."""


class ExperimentLocked(RayHpoError):
    """Another driver is at work on this experiment."""


class JournalError(RayHpoError):
    """The journal is missing, of another version, or damaged."""


class MetricMissing(RayHpoError):
    """The trainable never reports the metric that the experiment optimises."""


class StorageError(RayHpoError, OSError):
    """Remote storage does not answer, or refuses. An OSError too: for a trial it is what a full disk is.

    again: so it was the last time, and nothing has gone well since.
    """

    again = False
