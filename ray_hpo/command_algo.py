"""What a command allows an algorithm to do with its trials, and what is made of that, in words."""

from __future__ import annotations

from strategies.schedulers.asha import AshaStopping
from strategies.schedulers.base import Scheduler
from strategies.space import SearchSpace

from ray_hpo.command.command import Command
from ray_hpo.errors import InvalidInput


def check_command(command: Command, space: SearchSpace, max_budget: float | None) -> None:
    """Look whether a command fits what it is to be used for.

    Raises:
        InvalidInput: it does not.
    """
    command.check([column.name for column in space.columns])
    command.check_program()
    if command.takes_budget and max_budget is None:
        raise InvalidInput("command: :budget: needs max_budget, the budget of a full training (epochs, say)")


def suited(algo: Scheduler, command: Command) -> Scheduler:
    """What is taken instead of `algo`, which nobody asked for by name: a command that can neither go on from a
    checkpoint nor be told a budget is best run once, and stopped."""
    if algo.early_stopping and algo.pauses and not (command.saves or command.takes_budget):
        return AshaStopping(searcher=algo.searcher)
    return algo


def how_trials_run(command: Command, algo: Scheduler) -> str:
    """One line for the user: what happens to a trial at its milestones."""
    if not algo.early_stopping:
        return "command: each trial runs once, to its end"
    if not algo.pauses:
        return f"command: each trial runs once; {algo.name} ends it with SIGTERM where it falls behind"
    if command.saves:
        return "command: a trial that is paused goes on from what it wrote into :checkpoint:"
    if command.takes_budget:
        return (
            "command: no :checkpoint: in it, so a trial that is promoted runs again from nothing to a bigger :budget:"
        )
    return (
        "command: neither :checkpoint: nor :budget: in it, so a trial that is promoted runs again from nothing; "
        "algo=asha_stopping would run each once"
    )
