"""What came out of an experiment: a view of its journal, finished or not."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_hpo.errors import RayHpoError
from ray_hpo.folder import find
from ray_hpo.journal import read_experiment, read_reports, read_spec
from ray_hpo.place import Place
from ray_hpo.spec import Spec
from ray_hpo.trial import Trial
from ray_hpo.verification import Verified, is_over, next_verification, verification_folders, verified_configs

if TYPE_CHECKING:
    import pandas


class Result:
    """An experiment on disk. Reads the journal when made; make another one to see later events."""

    def __init__(self, at: Path | Place) -> None:
        self.place = at if isinstance(at, Place) else Place(at)
        self.spec = Spec.from_json(read_spec(self.place.folder))
        self.experiment = read_experiment(self.place.folder, self.spec.experiment())

    @property
    def path(self) -> Path | str:
        """Its folder; or its URI, where it is on remote storage."""
        return self.place.shown

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number; `trials[17].why` is the reason of the last decision on trial 17."""
        return self.experiment.trials

    @property
    def best_searched(self) -> Trial:
        """The trial with the best value at its last milestone, among those that got furthest.

        Under constraints it is one that meets them; if none does (`best_searched.violation` is above 0), the one that
        violates them least.

        Raises:
            RayHpoError: no trial has a result, or there are several metrics: see `pareto_front`.
        """
        best = self.experiment.best
        if best is None:
            raise RayHpoError(f"no trial of {self.path} has a result yet; `ray-hpo show {self.place.quoted}` tells why")
        return best

    @property
    def best_trial(self) -> Trial:
        """The trial whose configuration has the best verified mean; `best_searched` where nothing is verified.

        Raises:
            RayHpoError: no trial has a result, or there are several metrics: see `pareto_front`.
        """
        winner = self.winner
        return self.best_searched if winner is None else self.trials[winner.trial]

    @property
    def pareto_front(self) -> list[Trial]:
        """With several metrics: of the trials that meet the constraints and got furthest those that no other beats,
        that is, none is at least as good in all metrics and better in one. Sorted by the first metric, best first;
        `trial.values` has the metrics. With one metric the best trial alone; empty while no trial qualifies."""
        return self.experiment.pareto_front

    @property
    def best_config(self) -> dict[str, Any]:
        """The best trial's configuration, nested as the space is."""
        return self.spec.space.nest(self.best_trial.config)

    @property
    def best_value(self) -> float:
        """The verified mean of the best trial's configuration, or its metric at the last milestone."""
        winner, value = self.winner, self.best_trial.value
        assert value is not None
        return value if winner is None else winner.mean

    @property
    def winner(self) -> Verified | None:
        """The best of `verified`, once the verification is over and one has a result; else None."""
        rows = self.verified
        return rows[0] if rows and rows[0].number and not self.verification_due else None

    @property
    def verified(self) -> list[Verified]:
        """What training the best again with fresh seeds (`verify_top`) gave: one row a configuration, best mean
        first, those with a failed run last. `pandas.DataFrame(result.verified)` makes a table of it."""
        return verified_configs((part.spec, part.experiment) for part in self.verifications)

    @cached_property
    def verifications(self) -> list[Result]:
        """The runs behind `verified`, as experiments of their own; a search that grew may have several."""
        return [Result(self.place.part(part.name)) for part in verification_folders(self.place.folder)]

    @property
    def verification_due(self) -> bool:
        """Whether the search is to be verified, and that is not over."""
        if not self.spec.verify_top:
            return False
        parts = self.verifications
        missing = next_verification(self.spec, self.experiment, [part.spec for part in parts])
        return missing is not None or not all(is_over(part.spec, part.experiment) for part in parts)

    @property
    def best_checkpoint(self) -> dict[str, Any] | Path | None:
        """The best trial's last checkpoint: the dict, or the path of the folder, that it reported."""
        return self.checkpoint(self.best_trial)

    def checkpoint(self, trial: Trial) -> dict[str, Any] | Path | None:
        """The last checkpoint of a trial; None if it reported none, or was stopped."""
        return None if trial.checkpoint is None else self.place.store().load(trial.checkpoint.path)

    def lineage(self, trial: Trial) -> list[Trial]:
        """A trial and those of which it is a copy of a copy, the oldest first: each trained to the next one's
        `origin`, with a configuration of its own."""
        line = [trial]
        while line[0].parent is not None:
            line.insert(0, self.trials[line[0].parent])
        return line

    @property
    def status(self) -> str:
        """running, interrupted, or why it ended; for a search that is over how its verification stands as well."""
        if self.experiment.closed:
            open_parts = [part.status for part in self.verifications if not is_over(part.spec, part.experiment)]
            return "; verification ".join([self.experiment.closed, *open_parts])
        return "running" if self.place.is_busy() else "cut off: its driver is gone"

    @property
    def spent(self) -> float:
        """Units of fidelity (epochs, say) that were trained, work that was redone after crashes left out."""
        return self.experiment.spent

    @property
    def resume_command(self) -> str:
        return f"ray-hpo resume {self.place.quoted}"

    def reports(self, trial: int) -> pandas.DataFrame:
        """One row a report of one trial: step, time, metrics."""
        rows = [
            {"step": step, "time": time, **metrics} for _, step, time, metrics in read_reports(self.place.folder, trial)
        ]
        return _frame(rows)

    def all_reports(self) -> pandas.DataFrame:
        """One row a report of every trial: trial, step, time, metrics."""
        rows = read_reports(self.place.folder)
        return _frame([{"trial": n, "step": step, "time": time, **metrics} for n, step, time, metrics in rows])

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a trial: number, state, parent, fidelity, the metrics of the last report, config/NAME, why, error.

        With several metrics, or constraints, also what these were at the last milestone as value/NAME; the total
        violation of constraints; whether the trial is on the Pareto front.
        """
        return _frame([self._row(trial) for trial in self.trials]).set_index("trial")

    def _row(self, trial: Trial) -> dict[str, Any]:
        return {
            "trial": trial.number,
            "state": trial.state,
            "bracket": trial.bracket,
            "parent": trial.parent,
            "fidelity": trial.fidelity,
            "step": trial.step,
            "value": trial.value,
            **self._goal_columns(trial),
            **{key: value for key, value in trial.metrics.items() if not isinstance(value, dict)},
            **{f"config/{key}": value for key, value in trial.config.items()},
            "seconds": trial.seconds,
            "failures": trial.failures,
            "losses": trial.losses,
            "seed": self.spec.trial_seed(trial.number),
            "why": trial.why,
            "error": trial.error,
        }

    def _goal_columns(self, trial: Trial) -> dict[str, Any]:
        goals = self.spec.goals
        if goals.plain:
            return {}
        columns: dict[str, Any] = {f"value/{name}": trial.values.get(name) for name in goals.names}
        if goals.constraints:
            columns["violation"] = trial.violation if trial.values else None
        if goals.several:
            columns["pareto_front"] = trial.number in self._front
        return columns

    @cached_property
    def _front(self) -> set[int]:
        return {trial.number for trial in self.pareto_front}

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in sorted(self.experiment.counts().items()))
        shown = "no result yet"
        if self.spec.goals.several:
            shown = f"{len(self.pareto_front)} on the Pareto front of {', '.join(self.spec.goals.metrics)}"
        elif self.experiment.best is not None:
            shown = f"best {self.spec.metric} {self.best_value:.6g} (trial {self.best_trial.number})"
        return f"<Result {self.spec.name}: {counts or 'no trials'}; {shown}; {self.path}>"


def load(path: str | Path) -> Result:
    """The experiment at `path`, a folder or a URI, while it runs or afterwards.

    Raises:
        RayHpoError: there is none, or its storage does not answer.
    """
    return Result(find(path))


def _frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    import pandas

    try:
        return pandas.DataFrame(rows)
    except UnicodeEncodeError:  # half a character, which a trial may report and no string of Arrow can hold
        return pandas.DataFrame([{_whole(key): _whole(value) for key, value in row.items()} for row in rows])


def _whole(value: Any) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
