"""What a person sees while an experiment runs: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from strategies.actions import fidelity_text

from ray_hpo.budget import Budget, duration_text
from ray_hpo.experiment import Experiment
from ray_hpo.screen import Screen, plain
from ray_hpo.spec import Spec

REFRESH_SECONDS = 0.25
LINE_SECONDS = 15.0
STATES = ("running", "paused", "stopped", "completed", "failed")


@dataclass(frozen=True)
class Outlook:
    """What an experiment is expected to take; None where it is not known.

    total_budget: units of fidelity in all.  num_trials: trials in all.
    """

    budget: Budget
    num_trials: int | None
    total_budget: float | None

    def fraction(self, experiment: Experiment, elapsed: float) -> float | None:
        """How far the experiment is, by the limit that will end it first; None if it has no end."""
        parts = []
        if self.budget.time_limit:
            parts.append(elapsed / self.budget.time_limit)
        if self.total_budget:
            parts.append(experiment.spent / self.total_budget)
        elif self.num_trials:
            parts.append(experiment.over / self.num_trials)
        return min(1.0, max(parts)) if parts else None


class Progress(Protocol):
    """A display. `update` is called after every tick of the controller and returns at once when nothing is due."""

    def update(self) -> None: ...

    def close(self) -> None: ...


class Silence:
    """Shows nothing."""

    def update(self) -> None:
        pass

    def close(self) -> None:
        pass


class View:
    """The facts of the display, as text; both displays show these."""

    def __init__(
        self,
        spec: Spec,
        experiment: Experiment,
        outlook: Outlook,
        slots: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.spec = spec
        self.experiment = experiment
        self.outlook = outlook
        self._slots = slots
        self._clock = clock
        self._fraction_before = outlook.fraction(experiment, experiment.elapsed) or 0.0
        self._elapsed_before = experiment.elapsed

    @property
    def elapsed(self) -> float:
        return self.experiment.elapsed_at(self._clock())

    def fraction(self) -> float | None:
        return self.outlook.fraction(self.experiment, self.elapsed)

    def eta(self) -> float | None:
        """Seconds to go, at the pace of this session; None while there is no telling."""
        fraction = self.fraction()
        if fraction is None or fraction - self._fraction_before < 0.005:
            return None
        pace = (fraction - self._fraction_before) / (self.elapsed - self._elapsed_before)
        left = (1.0 - fraction) / pace
        limit = self.outlook.budget.time_limit
        return left if limit is None else min(left, max(0.0, limit - self.elapsed))

    def best(self) -> str:
        if self.spec.goals.several:
            return self.front()
        best = self.experiment.best
        if best is None or best.value is None or best.fidelity is None:
            return "none yet"
        at = "" if math.isinf(best.fidelity) else f" at {fidelity_text(best.fidelity)}"
        feasible = "" if best.feasible else "; no trial meets the constraints yet"
        return f"{self.spec.metric} {best.value:.5g}{at}, trial {best.number}{feasible}"

    def front(self) -> str:
        """How many trials are on the Pareto front, and from where to where it goes."""
        goals, front = self.spec.goals, self.experiment.pareto_front
        if not front:
            return "none yet"
        values = [[trial.values[name] for trial in front] for name in goals.metrics]
        spans = zip(goals.metrics, map(min, values), map(max, values), strict=True)
        text = ", ".join(f"{name} {low:.5g}{f' to {high:.5g}' if high > low else ''}" for name, low, high in spans)
        fidelity = front[0].fidelity
        at = "" if fidelity is None or math.isinf(fidelity) else f" at {fidelity_text(fidelity)}"
        return f"front of {len(front)}{at}: {text}"

    def best_config(self) -> str:
        if self.spec.goals.several:
            return ""
        best = self.experiment.best
        return "" if best is None else config_text(best.config)

    def states(self) -> str:
        counts = self.experiment.counts()
        return ", ".join(f"{counts[state]} {state}" for state in STATES if state in counts) or "none yet"

    def trials(self) -> str:
        total, proposed = self.outlook.num_trials, self.experiment.proposed
        copies = len(self.experiment.trials) - proposed
        return f"{proposed}{f' of {total}' if total else ''}{f' and {copies} copies' if copies else ''}"

    def spent(self) -> str:
        spent = self.experiment.spent
        full = self.spec.max_budget
        text = f"{fidelity_text(round(spent, 2))} {unit(self.spec)}"
        if full is None or not self.experiment.trials:
            return text
        return f"{text} ({spent / (full * self.experiment.proposed):.0%} of full training)"

    def workers(self) -> str:
        slots = self._slots()
        busy = self.experiment.counts().get("running", 0)
        return f"{min(busy, slots)} of {slots} busy" if slots else "waiting for resources on the cluster"


class LiveProgress:
    """A panel that redraws itself at the foot of the terminal."""

    def __init__(self, view: View, console: Screen) -> None:
        self._view = view
        self._due = 0.0
        self._live = Live(panel(self._view), console=console, auto_refresh=False, transient=True)
        self._live.start()

    def update(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REFRESH_SECONDS
            self._live.update(panel(self._view), refresh=True)

    def close(self) -> None:
        self._live.stop()


def panel(view: View) -> Group:
    """The live display: what is best, where the trials stand, how far it is."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True, min_width=7)
    facts.add_column()
    rows = [
        ("best", view.best()),
        ("", view.best_config()),
        ("trials", f"{view.trials()}: {view.states()}"),
        ("spent", view.spent()),
        ("workers", view.workers()),
        ("time", duration_text(view.elapsed)),
    ]
    for name, text in rows:
        if text:
            facts.add_row(name, plain(text))
    parts: list[Any] = [plain(f"{view.spec.name}", "bold cyan"), facts]
    fraction, eta = view.fraction(), view.eta()
    if fraction is not None:
        bar = Table.grid(padding=(0, 2))
        ends = f"about {duration_text(eta)} left" if eta is not None else ""
        bar.add_row(ProgressBar(total=1.0, completed=fraction, width=40), f"{fraction:.0%}", ends)
        parts.append(bar)
    parts += [plain(f"! {notice}", "yellow") for notice in view.experiment.notices[-2:]]
    return Group(*parts)


class LineProgress:
    """A line when the best changes, or when nothing was said for a while."""

    def __init__(self, view: View, console: Screen) -> None:
        self._view = view
        self._console = console
        self._due = time.monotonic() + LINE_SECONDS
        self._best = self._standing()
        self._label = "" if view.spec.goals.several else "best "
        self._notices = len(view.experiment.notices)

    def update(self) -> None:
        view = self._view
        if len(view.experiment.notices) > self._notices:
            for notice in view.experiment.notices[self._notices :]:
                self._print(f"! {notice}")
            self._notices = len(view.experiment.notices)
        best = self._standing()
        if best != self._best:
            self._best = best
            self._line(f"new {self._label}{view.best()}")
        elif time.monotonic() >= self._due:
            self._line(f"{self._label}{view.best()}")

    def close(self) -> None:
        pass

    def _standing(self) -> list[tuple[int, float | None]]:
        """What changes when there is a new best."""
        experiment = self._view.experiment
        several = self._view.spec.goals.several
        trials = experiment.pareto_front if several else [experiment.best] if experiment.best else []
        return [(trial.number, trial.value) for trial in trials]

    def _line(self, news: str) -> None:
        view, fraction, eta = self._view, self._view.fraction(), self._view.eta()
        done = "" if fraction is None else f" {fraction:4.0%}"
        left = "" if eta is None else f", about {duration_text(eta)} left"
        self._print(f"[{duration_text(view.elapsed)}]{done} {news} | {view.states()} | {view.spent()}{left}")
        self._due = time.monotonic() + LINE_SECONDS

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def make_progress(view: View, console: Screen) -> Progress:
    """The display that fits where the output goes."""
    return LiveProgress(view, console) if console.is_terminal else LineProgress(view, console)


def unit(spec: Spec) -> str:
    """What budgets are counted in."""
    return spec.fidelity or ("epochs" if spec.resumable else "units of budget")


def config_text(config: dict[str, Any]) -> str:
    """A configuration on one line."""
    return ", ".join(f"{name}={_short(value)}" for name, value in config.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
