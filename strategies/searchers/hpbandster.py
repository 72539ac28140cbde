"""HpBandSter's own BOHB generator behind our contract: the reference that `strategies.searchers.kde` is tested against.

What drives it here, and what it is given, is all that this file is about; the algorithm is hpbandster's
`optimizers.config_generators.bohb.BOHB`, with its quirks:

- It draws from the global `np.random` and from the random state of its ConfigurationSpace. Both are seeded for each
  suggestion and, since a conditional space is imputed at random, for each result; the global state is put back.
- It never imputes a row in which column 0 alone is missing (`while np.any(nan_indices)` is false for [0]). That cannot
  happen: ConfigSpace sorts parents before children, so that column 0 is always active.
- It knows nothing of pending trials, and its bandwidths of categories pass (K - 1)/K (see `strategies.models.kde`).
- It complains at length to its logger when it falls back to a random configuration: not so here.
"""

from __future__ import annotations

import copy
import json
import logging
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from strategies.columns import Column
from strategies.errors import InvalidInput
from strategies.history import Array
from strategies.memo import Memo
from strategies.searchers.base import Context, Searcher
from strategies.space import SearchSpace


@dataclass
class _Fed:
    """A generator, and how many of the results at each fidelity it was told."""

    generator: Any
    space: SearchSpace
    seed: int
    counts: dict[float, int] = field(default_factory=dict)


@dataclass(frozen=True)
class HpBandSter(Searcher):
    """BOHB as hpbandster 0.7.4 has it; its default settings. Slow (tens of milliseconds): for comparisons.

    Raises: InvalidInput if hpbandster is not installed or the space has an ordinal, which it does not support.
    """

    name: ClassVar[str] = "hpbandster"

    def check(self, space: SearchSpace) -> None:
        with _quiet_and_seeded([0]):
            _generator(space)

    def suggest(self, context: Context) -> Array:
        space = context.space
        with _quiet_and_seeded([context.seed, context.number]):
            generator = self._fed(context)
            generator.configspace.seed(int(context.rng().integers(2**31)))
            config, _ = generator.get_config(context.until)
        rows = _row(space, config)
        if not space.allowed(rows)[0]:
            rows = space.sample(context.rng(), 1)
        row: Array = rows[0]
        return row

    def _fed(self, context: Context) -> Any:
        """A generator that was told all results.

        In which order fidelities are told makes no difference to what it suggests, only the order at each: results
        below a fidelity that has a model are not looked at. So a generator that is told more is as good as a new one.
        """
        history = context.history
        fed = self._memo.get(history)
        known = fed is not None and history.plain  # else the values of old results change with each new one
        if fed is None or not known or fed.space is not context.space or fed.seed != context.seed:
            fed = self._memo[history] = _Fed(_generator(context.space), context.space, context.seed)
        for fidelity in history.fidelities:
            results = history.results(fidelity)
            for i in range(fed.counts.get(fidelity, 0), len(results)):
                trial, value = results.trials[i], float(results.values[i])
                _seed_global([context.seed, trial, int.from_bytes(struct.pack("<d", fidelity), "little")])
                config = _config(context.space, history.X[trial])
                job = {"id": trial, "kwargs": {"budget": fidelity, "config": config}, "exception": None}
                # A model is made anew from all results at its fidelity: only the last one counts.
                last = i + 1 == len(results)
                fed.generator.new_result(SimpleNamespace(**job, result={"loss": value}), update_model=last)
            fed.counts[fidelity] = len(results)
        _seed_global([context.seed, context.number])
        return fed.generator

    @cached_property
    def _memo(self) -> Memo[_Fed]:
        return Memo()


def _generator(space: SearchSpace) -> Any:
    try:
        from hpbandster.optimizers.config_generators.bohb import BOHB
    except ImportError as error:
        raise InvalidInput(
            f'searcher "hpbandster" needs a package that is not installed ({error}): '
            'pip install "ray-hpo[hpbandster]", or use "kde", the same algorithm'
        ) from error
    ordinals = [column.name for column in space.columns if column.kind == "ordinal"]
    if ordinals:
        raise InvalidInput(
            f'{ordinals[0]}: searcher "hpbandster" has no ordinal parameters; write an integer that indexes '
            'the values, or use searcher "kde"'
        )
    logger = logging.Logger("hpbandster")  # not in the logging tree: nobody hears it
    logger.addHandler(logging.NullHandler())
    return BOHB(copy.deepcopy(space.config_space), logger=logger)


# --- configurations as ConfigSpace has them --------------------------------------------------------------


def _config(space: SearchSpace, row: Array) -> dict[str, Any]:
    """The configuration of a canonical row (d,), with the values that ConfigSpace stores."""
    config = space.decode(row)
    for column in space.columns:
        if column.as_json and column.name in config:
            config[column.name] = json.dumps(config[column.name], sort_keys=True)
    return config


def _row(space: SearchSpace, config: Mapping[str, Any]) -> Array:
    """The canonical row (1, d) nearest to a configuration of ConfigSpace's, which knows no multiples of q."""
    row = np.full((1, space.dim), np.nan)
    for j, column in enumerate(space.columns):
        if column.name in config:
            row[0, j] = column.units(np.array([_code(column, config[column.name])]))[0]
    return space.canonical(row)


def _code(column: Column, value: Any) -> float:
    if column.values:
        return column.code(json.loads(value) if column.as_json else value)
    if column.q is None:
        return float(value)
    return float(np.clip(round(value / column.q), column.first, column.first + column.n_values - 1))


# --- global state ----------------------------------------------------------------------------------------


def _seed_global(entropy: list[int]) -> None:
    np.random.seed(np.random.SeedSequence(entropy).generate_state(8))


@contextmanager
def _quiet_and_seeded(entropy: list[int]) -> Iterator[None]:
    """The global random state seeded for the time being, and no warnings of deprecated names."""
    state = np.random.get_state()
    _seed_global(entropy)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)
