"""What a strategy decides (actions) and what it is told (events): small frozen records.

A strategy's state is a fold over these records, in the order in which they happened; the journal
keeps exactly them. Fidelities (`until`, `fidelity`) are in the user's unit: epochs, steps, a sample
fraction; `math.inf` means "until the trial ends by itself". Values are minimised; a failed or
non-finite result is `math.inf`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a new trial with `config` (flat names, active parameters only) and train it to `until`.

    parent: the trial from whose checkpoint at its last milestone this one begins; None: from nothing.
    replaces: the trial, at its end already, whose place in the population this one takes.
    ahead: True if no worker was free for it, but one soon would be: it is in line behind another trial.
    """

    trial: int
    config: Mapping[str, Any]
    until: float
    bracket: int = 0
    reason: str = ""
    parent: int | None = None
    replaces: int | None = None
    ahead: bool | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Give a paused trial a worker again and train it on to `until`. ahead: as of `Start`."""

    trial: int
    until: float
    reason: str = ""
    ahead: bool | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """A trial that waits at its milestone keeps its worker and trains on to `until`."""

    trial: int
    until: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """A trial at its milestone gives its worker back; it may be resumed later."""

    trial: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """A trial gets no more budget: it is done, or others are better."""

    trial: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GoAhead:
    """A verdict ahead of time: with a value below `below` at its milestone a trial trains on to `until`.

    That would be the verdict if no other result arrived before its own. Of another value this says nothing. It becomes
    true as a `Continue` with `reason`.
    """

    trial: int
    until: float
    below: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for a free worker until a running trial reports."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do, now or later."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """A trial arrived at its milestone `fidelity` with `value` (minimised; inf if not finite).

    values: of each metric, where there are several, minimised likewise; `value` is then the first, or inf if one is.
    excess: of each constraint, where there are any, by how much it is violated, relative to its bound; at most 0 where
    it is met, inf where that is not known.
    """

    trial: int
    fidelity: float
    value: float
    values: tuple[float, ...] | None = None
    excess: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial ended for good without a result at the milestone `fidelity` it was heading for."""

    trial: int
    fidelity: float


@dataclass(frozen=True, slots=True)
class Limit:
    """From here on at most `num_trials` trials may be started in all, those with a parent not counted (None: no
    limit)."""

    num_trials: int | None


Decision = Start | Resume | Continue | Pause | Stop
Verdict = Continue | Pause | Stop
Event = Reached | Failed | Limit
Record = Decision | Event

_KINDS: dict[str, type] = {
    cls.__name__.lower(): cls for cls in (Start, Resume, Continue, Pause, Stop, Reached, Failed, Limit)
}
_LISTS = frozenset({"values", "excess"})

# class -> kind, names of all fields, and of those that are left out where they are None
_FORMS = {
    cls: (
        kind,
        tuple(field.name for field in dataclasses.fields(cls)),
        tuple(field.name for field in dataclasses.fields(cls) if field.default is None),
    )
    for kind, cls in _KINDS.items()
}


def record_to_json(record: Record) -> dict[str, Any]:
    """A record as a JSON object; infinity becomes the string "inf" so that any JSON reader takes it.

    What is None unless it is given is left out.
    """
    kind, names, optional = _FORMS[type(record)]
    body: dict[str, Any] = {"kind": kind}
    for name in names:
        body[name] = getattr(record, name)
    for name in optional:
        if body[name] is None:
            del body[name]
    for key in ("until", "fidelity", "value"):
        if body.get(key) == math.inf:
            body[key] = "inf"
    for key in _LISTS & body.keys():
        body[key] = ["inf" if math.isinf(x) else x for x in body[key]]
    return body


def record_from_json(body: Mapping[str, Any]) -> Record:
    """The inverse of `record_to_json`."""
    fields = dict(body)
    cls = _KINDS[fields.pop("kind")]
    for key in ("until", "fidelity", "value"):
        if key in fields:
            fields[key] = float(fields[key])
    for key in _LISTS & fields.keys():
        fields[key] = tuple(float(x) for x in fields[key])
    record: Record = cls(**fields)
    return record


def minimised(value: float, mode: str) -> float:
    """A metric's value as strategies see it: smaller is better, not finite is the worst."""
    if not math.isfinite(value):
        return math.inf
    return value if mode == "min" else -value


@lru_cache(maxsize=1024)
def fidelity_text(fidelity: float) -> str:
    """A fidelity as people write it: 9 rather than 9.0."""
    return f"{fidelity:g}"
