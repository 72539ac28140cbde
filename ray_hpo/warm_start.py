"""`warm_start`: from earlier experiments to what a new one's searcher is told before its first trial.

The results themselves go into the new experiment's journal: the earlier folders may vanish.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TypeAlias

from strategies.domains import shorten
from strategies.earlier import Earlier, earlier_results
from strategies.schedulers.base import Scheduler
from strategies.strategy import Problem

from ray_hpo.errors import InvalidInput, RayHpoError
from ray_hpo.experiment import Experiment
from ray_hpo.folder import find
from ray_hpo.goals import Goals
from ray_hpo.results import Result

Source: TypeAlias = str | os.PathLike[str] | Result | Experiment


def read_earlier(
    sources: Sequence[Source], problem: Problem, algo: Scheduler, goals: Goals, fidelity: str | None = None
) -> tuple[list[str], Earlier]:
    """Where the results are from, and the results; of trials only, not those that they began with themselves.

    sources: folders or URIs of experiments, `Result`s, or what `simulate` returned.  fidelity: what budgets count.

    Raises:
        InvalidInput: a source is none, measures something else, or is given twice; no result can be used; or the
        searcher does not learn from results.
    """
    if isinstance(sources, (str, bytes)) or not isinstance(sources, Sequence):
        raise InvalidInput(f"warm_start must be a list of paths or Results; got {shorten(sources)}")
    if sources and not algo.searcher.learns:
        raise InvalidInput(
            f"warm_start is of no use to searcher {algo.searcher.name!r}, which does not look at results: "
            "leave it out, or take a searcher that learns, as in algo='bohb'"
        )
    names: list[str] = []
    earlier = Earlier()
    for i, source in enumerate(sources):
        field = f"warm_start[{i}]"
        name, experiment, unit = _open(source, field)
        if name in names:
            raise InvalidInput(f"{field}: {name} is given twice; leave one out")
        if experiment.goals != goals:
            raise InvalidInput(
                f"{field}: {name} has {_goals_text(experiment.goals)}, this experiment {_goals_text(goals)}; "
                "only results of the same can be taken over"
            )
        finite = math.isfinite(experiment.max_budget) and math.isfinite(problem.fidelity.max_budget)
        if finite and not isinstance(source, Experiment) and unit != fidelity:
            raise InvalidInput(
                f"{field}: {name} has fidelity={unit!r}, this experiment fidelity={fidelity!r}; "
                "budgets that count different things cannot be compared"
            )
        found = earlier_results(experiment.records, problem.space, algo.rungs(problem.fidelity), problem.seed)
        if not (found.configs or found.left_out):
            raise InvalidInput(f"{field}: {name} has no result yet; leave it out")
        names.append(name)
        earlier += found
    if names and not earlier.configs:
        raise InvalidInput(f"warm_start: no trial fits this space, {left_out_text(earlier)}; leave warm_start out")
    return names, earlier


def left_out_text(earlier: Earlier) -> str:
    """Which trials could not be used, and why."""
    return ", ".join(f"{count} ({reason})" for reason, count in sorted(earlier.left_out.items()))


def _goals_text(goals: Goals) -> str:
    if goals.plain:
        return f"metric={goals.metrics[0]!r}, mode={goals.modes[0]!r}"
    constraints = {constraint.metric: constraint.text for constraint in goals.constraints}
    more = f", constraints={constraints!r}" if constraints else ""
    return f"metric={list(goals.metrics)!r}, mode={list(goals.modes)!r}{more}"


def _open(source: Source, field: str) -> tuple[str, Experiment, str | None]:
    """Its name, its fold, and what its budgets count."""
    if isinstance(source, Experiment):
        return f"the simulation of {field}", source, None
    if isinstance(source, (str, os.PathLike)):
        try:
            source = Result(find(source))
        except (RayHpoError, InvalidInput) as error:
            raise InvalidInput(f"{field}: {error}") from error
    if not isinstance(source, Result):
        raise InvalidInput(f"{field} must be the path of an experiment or its Result; got {shorten(source)}")
    return str(source.path), source.experiment, source.spec.fidelity
