"""Results of earlier experiments, as a new one can use them: its searcher's first lessons.

The space may have changed since. What becomes of an earlier trial's configuration:

- a value that the new space does not have (out of bounds, a choice that is gone, no multiple of a new q): the trial is
  left out, and so is one whose configuration is forbidden now;
- a parameter that is gone, or inactive now: its value is forgotten;
- a parameter that is new, or active where it was not: a value is drawn at random, anew for each trial, so that none
  looks better than another;
- a constant is a parameter: if the earlier space had `"dropout": 0.1`, all its trials have that value of the new one.

Why not the centre of a new parameter: densities then have their good results there alone, and search nowhere else. Why
not NaN: that says inactive, and no searcher expects it where the conditions say otherwise. Measured: 40 earlier trials
of a sphere (d = 3), then a fourth parameter with its optimum at 0.85; mean of log10 of the regret after 20 new trials,
without earlier results / random / centre: kde -1.16 / -1.60 / -0.99, tpe -1.49 / -2.18 / -1.01 (20 seeds, +-0.1), gp
-2.30 / -1.74 / -1.81 (8 seeds, +-0.2). After 10 gp has -1.09 / -1.53 / -1.48: what is made up about the new parameter
is noise, which helps at first and costs precision later.

And what becomes of the fidelity of a result: it counts at the nearest rung of the new ladder at or below it, so that
no trial claims a training that it never had; of two of one trial, the one nearer to the rung. Where there is no such
rung, it stays at its own fidelity, below the ladder, where searchers turn while the rungs have too few results.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from strategies.actions import Failed, Reached, Record, Start
from strategies.errors import InvalidInput
from strategies.history import Array
from strategies.points import completions
from strategies.space import SearchSpace

EARLIER = 2  # what sets the draws for new parameters apart from those of suggestions (see `points.POINTS`)
TRIES = 1_000  # draws of the new parameters, until a configuration counts as forbidden

Values: TypeAlias = tuple[float, ...] | None
More: TypeAlias = tuple[Values, Values]


@dataclass(frozen=True)
class Earlier:
    """configs: flat and complete. results: (index of the configuration, fidelity, minimised value), as they arrived.

    more: of each result `values` and `excess` as in `actions.Reached`; empty where there is one metric alone.
    left_out: trials with a result that could not be used, by the reason in words.
    """

    configs: Sequence[Mapping[str, Any]] = ()
    results: Sequence[tuple[int, float, float]] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    more: Sequence[More] = ()

    def to_json(self) -> dict[str, Any]:
        """Infinity becomes the string "inf", as in the records."""
        results = [[number, *("inf" if math.isinf(x) else x for x in pair)] for number, *pair in self.results]
        body = {"configs": list(self.configs), "results": results, "left_out": dict(self.left_out)}
        more = [[part and ["inf" if math.isinf(x) else x for x in part] for part in pair] for pair in self.more]
        return {**body, "more": more} if more else body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Earlier:
        results = [(number, float(fidelity), float(value)) for number, fidelity, value in body["results"]]
        more = [(_floats(values), _floats(excess)) for values, excess in body.get("more", ())]
        return cls(body["configs"], results, body["left_out"], more)

    def __add__(self, other: Earlier) -> Earlier:
        n = len(self.configs)
        shifted = [(n + number, fidelity, value) for number, fidelity, value in other.results]
        left_out = dict(Counter(self.left_out) + Counter(other.left_out))
        return Earlier([*self.configs, *other.configs], [*self.results, *shifted], left_out, [*self.more, *other.more])


def earlier_results(records: Iterable[Record], space: SearchSpace, rungs: Sequence[float], seed: int) -> Earlier:
    """What the `records` of an experiment, of whatever space and ladder, tell one on `space` with the ladder `rungs`.

    A new parameter of trial k is drawn with default_rng([seed, k, EARLIER]).
    """
    records = list(records)
    results = _at_rungs(records, rungs)
    told = {trial for trial, _ in results}
    configs: dict[int, dict[str, Any]] = {}
    left_out: Counter[str] = Counter()
    for record in records:
        if isinstance(record, Start) and record.trial in told:
            try:
                row = _translated(record.config, space, np.random.default_rng([seed, record.trial, EARLIER]))
            except InvalidInput as error:
                left_out[str(error)] += 1
            else:
                configs[record.trial] = space.decode(row)
    index = {trial: i for i, trial in enumerate(configs)}
    used = [(index[trial], rung, _outcome(record)) for (trial, rung), record in results.items() if trial in index]
    plain = all(values is None and excess is None for *_, (_, values, excess) in used)
    more = () if plain else [(values, excess) for *_, (_, values, excess) in used]
    return Earlier(list(configs.values()), [(i, rung, value) for i, rung, (value, *_) in used], dict(left_out), more)


def _at_rungs(records: Iterable[Record], rungs: Sequence[float]) -> dict[tuple[int, float], Reached | Failed]:
    """(trial, fidelity) -> what is known of it, in order of arrival."""
    found: dict[tuple[int, float], Reached | Failed] = {}
    for record in records:
        if isinstance(record, (Reached, Failed)):
            found.setdefault((record.trial, _rung(record.fidelity, rungs)), record)  # a trial's fidelities ascend
    return found


def _outcome(record: Reached | Failed) -> tuple[float, Values, Values]:
    """The value, the values, and the excess, of a result."""
    return (record.value, record.values, record.excess) if isinstance(record, Reached) else (math.inf, None, None)


def _floats(values: Sequence[Any] | None) -> Values:
    return None if values is None else tuple(map(float, values))


def _rung(fidelity: float, rungs: Sequence[float]) -> float:
    below = [rung for rung in rungs if rung <= fidelity * (1 + 1e-9)]
    return max(below, default=fidelity)


def _translated(config: Mapping[str, Any], space: SearchSpace, rng: np.random.Generator) -> Array:
    """The point (d,) of `space` for a configuration of another space.

    Raises:
        InvalidInput: there is none; the message is the reason in a few words, without the values.
    """
    known = {name: value for name, value in config.items() if name in space.names}
    for column in space.columns:
        if column.name in known:
            try:
                column.code(known[column.name])
            except InvalidInput:
                what = "outside the new bounds" if column.is_number else "a choice that is gone"
                raise InvalidInput(f"{column.name}: {what}") from None
    for n in (1, TRIES):
        rows = completions(space, known, rng, n)
        rows = rows[space.allowed(rows)]
        if len(rows):
            row: Array = rows[0]
            return row
    raise InvalidInput("forbidden now")
