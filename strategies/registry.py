"""The one list of algorithms: names, aliases and presets; and how an algorithm is written as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from strategies.errors import InvalidInput, near_matches
from strategies.schedulers.asha import Asha, AshaStopping
from strategies.schedulers.async_hyperband import AsyncHyperband
from strategies.schedulers.base import Scheduler
from strategies.schedulers.fifo import Fifo
from strategies.schedulers.hyperband import Hyperband
from strategies.schedulers.median_stopping import MedianStopping
from strategies.schedulers.pasha import Pasha
from strategies.schedulers.pbt import PBT
from strategies.schedulers.successive_halving import SuccessiveHalving
from strategies.searchers.base import Searcher
from strategies.searchers.cmaes import CMAES
from strategies.searchers.de import DE
from strategies.searchers.gp import GP
from strategies.searchers.grid import Grid
from strategies.searchers.hpbandster import HpBandSter
from strategies.searchers.kde import KDE
from strategies.searchers.priorband import PriorBand
from strategies.searchers.random import Random
from strategies.searchers.sobol import Sobol
from strategies.searchers.tpe import TPE

T = TypeVar("T")

SEARCHERS: dict[str, type[Searcher]] = {
    cls.name: cls for cls in (Random, Grid, Sobol, KDE, TPE, GP, CMAES, DE, PriorBand, HpBandSter)
}
SCHEDULERS: dict[str, type[Scheduler]] = {
    cls.name: cls
    for cls in (Fifo, SuccessiveHalving, Hyperband, Asha, AshaStopping, AsyncHyperband, Pasha, MedianStopping, PBT)
}
PRESETS: dict[str, Callable[[], Scheduler]] = {
    "random": lambda: Fifo(searcher=Random()),
    "grid": lambda: Fifo(searcher=Grid()),
    "sobol": lambda: Fifo(searcher=Sobol()),
    "kde": lambda: Fifo(searcher=KDE()),
    "tpe": lambda: Fifo(searcher=TPE()),
    "gp": lambda: Fifo(searcher=GP()),
    "cmaes": lambda: Fifo(searcher=CMAES()),
    "sh": SuccessiveHalving,
    "hyperband": Hyperband,
    "asha": Asha,
    "asha_stopping": AshaStopping,
    "pasha": Pasha,
    "median_stopping": MedianStopping,
    "pbt": PBT,
    "bohb": lambda: Hyperband(searcher=KDE()),
    "dehb": lambda: Hyperband(searcher=DE()),
    "mobster": lambda: AsyncHyperband(searcher=GP()),
    "priorband": lambda: Hyperband(searcher=PriorBand()),
    "hpbandster": lambda: Hyperband(searcher=HpBandSter()),
}
ALIASES = {"successive_halving": "sh", "fifo": "random"}


def resolve_algo(algo: str | Searcher | Scheduler) -> Scheduler:
    """The scheduler, with its searcher, that `algo=` stands for.

    A name is a preset; a searcher alone runs every trial to the end (fifo).

    Raises:
        InvalidInput: an unknown name (the message lists near ones), or something else altogether.
    """
    if isinstance(algo, Scheduler):
        return algo
    if isinstance(algo, Searcher):
        return Fifo(searcher=algo)
    if isinstance(algo, str):
        name = algo.lower().replace("-", "_")
        return _lookup(PRESETS, ALIASES.get(name, name), "algo")()
    raise InvalidInput(f"algo must be a name, a searcher or a scheduler; got {algo!r}")


def algo_to_json(algo: Scheduler) -> dict[str, Any]:
    """An algorithm with all its settings."""
    return {**_settings(algo), "searcher": _settings(algo.searcher)}


def algo_from_json(body: Mapping[str, Any]) -> Scheduler:
    """The inverse of `algo_to_json`.

    Raises:
        InvalidInput: a name that this version does not know.
    """
    searcher = dict(body["searcher"])
    scheduler = {key: value for key, value in body.items() if key != "searcher"}
    made = _lookup(SEARCHERS, searcher.pop("name"), "searcher")(**searcher)
    return _lookup(SCHEDULERS, scheduler.pop("name"), "scheduler")(searcher=made, **scheduler)


def describe(algo: Scheduler) -> str:
    """An algorithm in two words: "kde x hyperband"."""
    return f"{algo.searcher.name} x {algo.name}"


def _lookup(table: Mapping[str, T], name: str, field: str) -> T:
    if name not in table:
        raise InvalidInput(f"{field}={name!r} is unknown; {near_matches(name, table)}")
    return table[name]


def _settings(part: Searcher | Scheduler) -> dict[str, Any]:
    fields = (field.name for field in dataclasses.fields(part) if field.name != "searcher")  # type: ignore[arg-type]
    return {"name": part.name, **{name: getattr(part, name) for name in fields}}
