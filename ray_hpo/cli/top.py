"""`ray-hpo top`: a running experiment, seen from another terminal or another node. It only reads the journal."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_hpo.cli.app import INSPECT, PathArgument, app

if TYPE_CHECKING:
    from ray_hpo.results import Result

SHOWN = 20  # running trials


@app.command(rich_help_panel=INSPECT)
def top(
    path: PathArgument,
    every: Annotated[float, typer.Option(help="Seconds from look to look.", min=0.1)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once; so it is in a pipe.")] = False,
) -> None:
    """Watch an experiment that runs: what is best, what runs now, how far it is. Ends with it; Ctrl-C leaves."""
    from rich.live import Live

    from ray_hpo.results import load
    from ray_hpo.screen import Screen

    console = Screen()
    watched = Watched(load(path))
    if once or not console.is_terminal:
        console.print(watched.screen())
        return
    with Live(watched.screen(), console=console, auto_refresh=False) as live:
        while watched.running:
            time.sleep(every)
            watched.look(load(path))
            live.update(watched.screen(), refresh=True)


class Watched:
    """What is seen of an experiment, look by look."""

    def __init__(self, result: Result) -> None:
        from ray_hpo.progress import Outlook, View

        self._result = result
        total = _num_trials(result)
        outlook = Outlook(result.experiment.budget, total, None)
        self._view = View(result.spec, result.experiment, outlook, self._busy)

    @property
    def running(self) -> bool:
        return self._result.status == "running"

    def look(self, result: Result) -> None:
        self._result = result
        self._view.experiment = result.experiment

    def screen(self) -> Any:
        """The panel of the run itself, and the trials that train now."""
        from rich.console import Group

        from ray_hpo.progress import panel
        from ray_hpo.screen import plain

        parts: list[Any] = [panel(self._view)] if self.running else [plain(line) for line in self._outcome()]
        return Group(*parts, *([self._trials()] if self.running else []))

    def _outcome(self) -> list[str]:
        from ray_hpo.summary import result_lines

        return result_lines(self._result)

    def _busy(self) -> int:
        return sum(trial.state == "running" for trial in self._result.trials)

    def _trials(self) -> Any:
        from rich.table import Table

        from strategies.actions import fidelity_text

        from ray_hpo.budget import duration_text
        from ray_hpo.progress import config_text

        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in ("trial", "at", "to", self._result.spec.goals.metrics[0], "for", "config"):
            table.add_column(name, no_wrap=name == "config", overflow="ellipsis")
        running = [trial for trial in self._result.trials if trial.state == "running"]
        for trial in running[:SHOWN]:
            value = "" if trial.latest is None else f"{trial.latest:.5g}"
            to = "its end" if math.isinf(trial.until) else fidelity_text(trial.until)
            took = duration_text(max(0.0, time.time() - trial.begun))
            table.add_row(str(trial.number), f"{trial.step:g}", to, value, took, config_text(trial.config))
        if len(running) > SHOWN:
            table.add_row("...", f"{len(running) - SHOWN} more")
        return table


def _num_trials(result: Result) -> int | None:
    """The limit that holds now: a resume may have raised the first one."""
    from strategies.actions import Limit

    limits = [record.num_trials for record in result.experiment.records if isinstance(record, Limit)]
    size = result.spec.algo.searcher.size(result.spec.space)
    return limits[-1] if limits and limits[-1] is not None else size
