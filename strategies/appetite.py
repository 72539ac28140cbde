"""How much work there is at a moment: what free workers would be given, one after the other, if nothing new arrived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from strategies.actions import Record, Resume, Start, Stop
from strategies.schedulers.base import New
from strategies.strategy import Strategy
from strategies.trials import TrialTable


def work_at_hand(strategy: Strategy, records: Iterable[Record]) -> Iterator[Start | Resume]:
    """The jobs that `strategy`, which was told `records`, would hand out now, in order; without end if it has no limit
    on trials. New trials have no configuration: the searcher is not asked.

    Takes some microseconds a record; `strategy` is left as it is.
    """
    problem, algo = strategy.problem, strategy.algo
    table = TrialTable(problem.objectives, constrained=problem.constraints > 0)
    for record in records:
        table.apply(record)
    table.num_trials = strategy.table.num_trials
    while True:
        new = algo.next(table, problem.fidelity)
        if not isinstance(new, (New, Resume, Stop)):
            return
        action = _started(len(table.trials), new) if isinstance(new, New) else new
        table.apply(action)
        if not isinstance(action, Stop):
            yield action


def _started(number: int, new: New) -> Start:
    return Start(number, {}, new.until, new.bracket, new.reason, new.parent, new.replaces)
