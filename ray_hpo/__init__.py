"""ray_hpo: hyperparameter tuning on Ray. Everything a user needs is a name of this module.

Importing it is cheap: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ray_hpo._shadow import refuse_foreign_strategies

refuse_foreign_strategies()

__version__ = "0.1.0"

if TYPE_CHECKING:
    from strategies.domains import (
        Space as Space,
        choice as choice,
        lograndint as lograndint,
        loguniform as loguniform,
        ordinal as ordinal,
        qlograndint as qlograndint,
        qloguniform as qloguniform,
        qrandint as qrandint,
        quniform as quniform,
        randint as randint,
        uniform as uniform,
    )
    from strategies.schedulers.asha import Asha as Asha, AshaStopping as AshaStopping
    from strategies.schedulers.async_hyperband import AsyncHyperband as AsyncHyperband
    from strategies.schedulers.base import Scheduler as Scheduler
    from strategies.schedulers.fifo import Fifo as Fifo
    from strategies.schedulers.hyperband import Hyperband as Hyperband
    from strategies.schedulers.median_stopping import MedianStopping as MedianStopping
    from strategies.schedulers.pasha import Pasha as Pasha
    from strategies.schedulers.pbt import PBT as PBT
    from strategies.schedulers.successive_halving import SuccessiveHalving as SuccessiveHalving
    from strategies.searchers.base import Searcher as Searcher
    from strategies.searchers.cmaes import CMAES as CMAES
    from strategies.searchers.de import DE as DE
    from strategies.searchers.gp import GP as GP
    from strategies.searchers.grid import Grid as Grid
    from strategies.searchers.hpbandster import HpBandSter as HpBandSter
    from strategies.searchers.kde import KDE as KDE
    from strategies.searchers.priorband import PriorBand as PriorBand
    from strategies.searchers.random import Random as Random
    from strategies.searchers.sobol import Sobol as Sobol
    from strategies.searchers.tpe import TPE as TPE

    from ray_hpo.command.command import Command as Command
    from ray_hpo.errors import (
        ExperimentLocked as ExperimentLocked,
        InvalidInput as InvalidInput,
        JournalError as JournalError,
        MetricMissing as MetricMissing,
        RayHpoError as RayHpoError,
        StorageError as StorageError,
    )
    from ray_hpo.plan import Plan as Plan
    from ray_hpo.results import Result as Result, load as load
    from ray_hpo.simulation import simulate as simulate
    from ray_hpo.trial import Trial as Trial
    from ray_hpo.tune import resume as resume, tune_run as tune_run
    from ray_hpo.verification import Verified as Verified
    from ray_hpo.worker.session import (
        get_checkpoint as get_checkpoint,
        get_context as get_context,
        report as report,
    )

# module -> the public names that it holds
_PUBLIC = {
    "strategies.domains": """
        Space choice lograndint loguniform ordinal qlograndint qloguniform qrandint quniform randint uniform""",
    "strategies.schedulers.asha": "Asha AshaStopping",
    "strategies.schedulers.async_hyperband": "AsyncHyperband",
    "strategies.schedulers.base": "Scheduler",
    "strategies.schedulers.fifo": "Fifo",
    "strategies.schedulers.hyperband": "Hyperband",
    "strategies.schedulers.median_stopping": "MedianStopping",
    "strategies.schedulers.pasha": "Pasha",
    "strategies.schedulers.pbt": "PBT",
    "strategies.schedulers.successive_halving": "SuccessiveHalving",
    "strategies.searchers.base": "Searcher",
    "strategies.searchers.cmaes": "CMAES",
    "strategies.searchers.de": "DE",
    "strategies.searchers.gp": "GP",
    "strategies.searchers.grid": "Grid",
    "strategies.searchers.hpbandster": "HpBandSter",
    "strategies.searchers.kde": "KDE",
    "strategies.searchers.priorband": "PriorBand",
    "strategies.searchers.random": "Random",
    "strategies.searchers.sobol": "Sobol",
    "strategies.searchers.tpe": "TPE",
    "ray_hpo.command.command": "Command",
    "ray_hpo.errors": "ExperimentLocked InvalidInput JournalError MetricMissing RayHpoError StorageError",
    "ray_hpo.plan": "Plan",
    "ray_hpo.results": "Result load",
    "ray_hpo.simulation": "simulate",
    "ray_hpo.trial": "Trial",
    "ray_hpo.tune": "resume tune_run",
    "ray_hpo.verification": "Verified",
    "ray_hpo.worker.session": "get_checkpoint get_context report",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = [*_HOME, "__version__"]  # all of them are strings


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ray_hpo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
