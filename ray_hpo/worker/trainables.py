"""The kinds of trainable, and how each becomes a body that runs with a session.

train(config)                 reports along the way, or returns its metrics once
train(config), a generator    yields metrics, or (metrics, checkpoint)
train(config, budget)         trains to `budget` from nothing and returns metrics
class with setup, step, save, load
ray.tune.Trainable            see integrations/ray_tune.py
Command                       a program; see command/command.py and command_body.py
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ray_hpo.command.command import Command
from ray_hpo.errors import InvalidInput
from ray_hpo.worker.session import CheckpointLike, Session

Body = Callable[[dict[str, Any], Session], None]
Kind = Literal["function", "generator", "budgeted", "class", "tune class", "command"]


def kind_of(trainable: Any) -> Kind:
    """Which kind of trainable this is.

    Raises:
        InvalidInput: none of them.
    """
    if isinstance(trainable, Command):
        return "command"
    if inspect.isclass(trainable):
        if any(base.__module__.startswith("ray.tune.") for base in trainable.__mro__):
            return "tune class"
        missing = [name for name in ("setup", "step") if not callable(getattr(trainable, name, None))]
        if missing:
            raise InvalidInput(
                f"trainable class {trainable.__name__} lacks {' and '.join(missing)}: it needs setup and step"
            )
        return "class"
    if not callable(trainable):
        raise InvalidInput(f"trainable must be a function, a class or a Command; got {trainable!r}")
    if inspect.isgeneratorfunction(inspect.unwrap(trainable)):
        return "generator"
    parameters = _positional(trainable)
    if len(parameters) >= 2 and (parameters[1].name == "budget" or parameters[1].default is inspect.Parameter.empty):
        return "budgeted"
    if not parameters:
        raise InvalidInput(f"trainable {_name(trainable)} takes no argument: it is called with config")
    return "function"


def is_resumable(trainable: Any, pauses: bool = True) -> bool:
    """Whether budget that a trial was given before need not be paid again.

    pauses: whether the algorithm ever takes a trial's worker away between two milestones.
    """
    if isinstance(trainable, Command):
        return trainable.saves or not pauses
    return kind_of(trainable) != "budgeted"


def as_body(trainable: Any) -> Body:
    """The trainable as a function of (config, session)."""
    match kind_of(trainable):
        case "function":
            return lambda config, session: _run_function(trainable, config, session)
        case "generator":
            return lambda config, session: _run_generator(trainable, config, session)
        case "budgeted":
            return lambda config, session: _run_budgeted(trainable, config, session)
        case "class":
            return lambda config, session: _run_class(trainable, config, session)
        case "command":
            from ray_hpo.worker.command_body import run_command

            return lambda config, session: run_command(trainable, config, session)
        case "tune class":
            from ray_hpo.integrations.ray_tune import run_tune_class

            return lambda config, session: run_tune_class(trainable, config, session)


def _run_function(function: Callable[..., Any], config: dict[str, Any], session: Session) -> None:
    from ray_hpo.integrations.ray_tune import tune_session

    with tune_session(session):
        returned = function(config)
    if isinstance(returned, Mapping):  # the result of a function that reports only once
        session.report(returned, last=True)


def _run_generator(function: Callable[..., Any], config: dict[str, Any], session: Session) -> None:
    for item in function(config):
        metrics, checkpoint = item if isinstance(item, tuple) else (item, None)
        session.report(metrics, checkpoint)


def _run_budgeted(function: Callable[..., Any], config: dict[str, Any], session: Session) -> None:
    """Every milestone is trained anew."""
    while True:
        until = session.until
        session.report_at(until, function(config, int(until) if session.setting.whole else until))


def _run_class(cls: type[Any], config: dict[str, Any], session: Session) -> None:
    """Saves at milestones only: between them the object itself is the state."""
    trainable = cls()
    trainable.setup(config)
    checkpoint = session.load_checkpoint()
    if checkpoint is not None and hasattr(trainable, "load"):
        trainable.load(checkpoint)
    while True:
        metrics = trainable.step()
        saves = hasattr(trainable, "save") and hasattr(trainable, "load") and session.checkpoint_is_due(metrics)
        saved: CheckpointLike | None = trainable.save() if saves else None
        done = bool(metrics.get("done"))
        session.report(metrics, saved, last=done)
        if done:
            return


def _positional(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"trainable {_name(function)} has no signature that can be read: {error}") from error
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter for parameter in signature.parameters.values() if parameter.kind in kinds]


def _name(function: Any) -> str:
    return getattr(function, "__name__", repr(function))
