"""A world in which strategies run without workers or clock: who finishes next depends on the records alone.

So a strategy that was rebuilt from any prefix of the records can go on in the very same world.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from strategies.actions import Done, Failed, Limit, Reached, Record, Start, Wait
from strategies.domains import Space, choice, loguniform, ordinal, randint, uniform
from strategies.earlier import Earlier
from strategies.schedulers.base import Scheduler
from strategies.schedulers.rungs import Fidelity
from strategies.space import SearchSpace
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy
from strategies.trials import Status

# (trial, config, until) -> what `Reached` takes: a value, or one with values and excess; None: it crashes
Objective = Callable[[int, dict[str, Any], float], float | tuple[Any, ...] | None]


def mixed_space() -> SearchSpace:
    """Every kind of parameter, two levels of conditions, a forbidden combination."""
    return as_space(
        Space(
            {
                "optimizer": choice(["sgd", "adam", None]),
                "momentum": uniform(0.0, 0.99).when(optimizer="sgd"),
                "nesterov": choice([True, False]).when("momentum > 0.5"),
                "lr": loguniform(1e-5, 1.0),
                "layers": randint(1, 5),
                "size": ordinal([8, 16, 32]),
                "epochs": 27,
            },
            forbidden=["optimizer == adam and layers == 4"],
        )
    )


def categorical_space() -> SearchSpace:
    return as_space({"a": choice(["x", "y"]), "b": choice([1, 2, 3]), "c": choice([True, None])})


def believed_space() -> SearchSpace:
    """Priors on every kind of parameter, and on one that exists under a condition; one without."""
    return as_space(
        Space(
            {
                "optimizer": choice(["sgd", "adam", "rmsprop"], prior=("adam", "high")),
                "momentum": uniform(0.0, 0.99, prior=(0.9, "low")).when(optimizer="sgd"),
                "lr": loguniform(1e-5, 1.0, prior=1e-3),
                "layers": randint(1, 5, prior=2),
                "width": randint(1, 1000, prior=(64, 0.05)),
                "decay": uniform(0.0, 1.0),
            },
            forbidden=["optimizer == adam and layers == 2"],
        )
    )


def one_element_space() -> SearchSpace:
    return as_space({"only": choice(["this"]), "fixed": 3})


def hash01(*numbers: float) -> float:
    """A number in [0, 1) that depends on `numbers` alone."""
    return math.modf(sum(math.sin((i + 1) * 12.9898 * n + i) for i, n in enumerate(numbers)) * 43758.5453)[0] % 1.0


def noisy(trial: int, config: dict[str, Any], until: float) -> float | None:
    """Depends on the configuration, and sometimes crashes or gives no number."""
    luck = hash01(trial, until)
    if luck < 0.06:
        return None
    return math.inf if luck < 0.12 else float(config.get("lr", 0.1)) + hash01(trial) + 1.0 / until


def run(
    algo: Scheduler,
    space: SearchSpace,
    *,
    objective: Objective = noisy,
    num_trials: int | None = 30,
    fidelity: Fidelity | None = None,
    workers: int = 4,
    seed: int = 3,
    records: list[Record] | None = None,
    points: Sequence[Mapping[str, Any]] = (),
    earlier: Earlier = Earlier(),
    most: int = 10_000,
    objectives: int = 1,
    constraints: int = 0,
) -> list[Record]:
    """All records of a run to its end; `records` is a prefix to go on from."""
    problem = Problem(space, fidelity or Fidelity.of(9), seed, points, earlier, objectives, constraints)
    records = list(records) if records else [Limit(num_trials)]
    strategy = Strategy.rebuild(algo, problem, records)

    def note(record: Record) -> None:
        records.append(record)
        strategy.apply(record)

    while len(records) < most:
        for trial in strategy.waiting():
            note(strategy.verdict(trial))
        action: Any = None
        while strategy.table.running < workers:
            action = strategy.next()
            if isinstance(action, (Wait, Done)):
                break
            note(action)
        running = [row for row in strategy.table.trials if row.status is Status.RUNNING]
        if not running:
            assert isinstance(action, Done), f"nothing runs, yet the strategy says {action}"
            return records
        row = running[int(hash01(len(records)) * len(running))]
        config = space.decode(strategy.history.X[strategy.history.earlier + row.number])
        found = objective(row.number, config, row.until)
        result = found if isinstance(found, tuple) else (found,)
        note(Failed(row.number, row.until) if found is None else Reached(row.number, row.until, *result))
    return records


def starts(records: list[Record]) -> list[Start]:
    """The trials that the searcher proposed: those without a parent."""
    return [record for record in records if isinstance(record, Start) and record.parent is None]
