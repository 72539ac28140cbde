"""A command as the body of a trial: it is started, what it prints becomes reports, and it ends with the trial."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray_hpo.command.command import Command
from ray_hpo.command.epochs import Epochs
from ray_hpo.command.placeholders import as_text, budget_text, fill, flat, names_in, shell_line
from ray_hpo.command.process import CommandFailed, Process, ending
from ray_hpo.command.sources import STREAMS, Source, make_source
from ray_hpo.command.values import Values, line_values, regex_reader
from ray_hpo.messages import Notice
from ray_hpo.worker.session import Session, Setting, TrialReleased

LOOK_SECONDS = (0.02, 0.2)  # between two looks at what it printed: while something comes, and when nothing does
SETTLE_SECONDS = 2.0  # for a checkpoint that is written after its epoch was printed
SUSPENDS = 3  # attempts to hold a program still between two epochs
QUIET_SECONDS = 0.1  # a folder in which nothing changed for so long is complete
TAIL_LINES = 20


def run_command(command: Command, config: dict[str, Any], session: Session) -> None:
    """Train `config` by running `command`, once, or where it is told a budget once for each milestone."""
    trial = CommandTrial(command, config, session)
    try:
        while trial.run():
            pass
    finally:
        trial.close()


class CommandTrial:
    """One trial of a command on this worker.

    segmented: each run of the program goes to `:budget:`, the next milestone, and ends there by itself.
    """

    def __init__(self, command: Command, config: dict[str, Any], session: Session) -> None:
        self._command = command
        self._config = config
        self._session = session
        setting = session.setting
        self._segmented = command.takes_budget and (command.saves or not setting.resumable)
        folder = session.context().folder
        self._stdout, self._stderr = folder / "stdout.log", folder / "stderr.log"
        self._output = folder / "output"
        self._checkpoint = folder / "checkpoint"
        self._printed, self._printed_before = self._stdout, 0.0  # where epochs appear, and when the last one did
        self._waiting: deque[Values] = deque()  # reports that were printed and are not passed on yet
        self._told = False
        self._saved_at_end = False
        for made in (folder, self._output):
            made.mkdir(parents=True, exist_ok=True)
        if command.saves:
            self._restore(session.load_checkpoint())

    def run(self) -> bool:
        """Run the program up to its end, or to the trial's; whether there is more to run."""
        session, command = self._session, self._command
        values = self._values()
        argv, variables = self._argv(values)
        folder = self._folder(values)
        source = self._source(values, folder)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
        epochs = Epochs(needed(session.setting))
        until, report = session.until, None
        self._printed_before = time.time()
        if self._segmented and not command.saves:
            session.step = 0.0
        with Process(argv, environment, folder, self._stdout, self._stderr, command.grace) as process:
            for report in self._reports(source, epochs, process):
                if not self._segmented or session.next_step(report) < until:
                    self._report(report, lambda: self._look(source, epochs, last=False), process)
        self._check(process.status or 0)
        if report is None and not session.step:
            self._end_without_metric(epochs)
        elif report is not None and self._segmented:
            session.report_at(until, report, self._checkpoint if command.saves and self._is_saved() else None)
            return True
        return False

    def close(self) -> None:
        """The working copy of the checkpoint is not needed any more."""
        if self._command.saves:
            shutil.rmtree(self._checkpoint, ignore_errors=True)

    def _values(self) -> dict[str, str]:
        """What placeholders stand for."""
        session = self._session
        stays = not self._segmented and session.setting.resumable  # it runs on until it is stopped
        budget = session.setting.max_budget if stays else session.until
        own = {
            "budget": budget_text(budget),
            "trial_id": str(session.job.trial),
            "seed": str(session.job.seed),
            "output": str(self._output),
            "checkpoint": str(self._checkpoint),
        }
        return {**{name: as_text(value) for name, value in flat(self._config).items()}, **own}

    def _argv(self, values: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The words to run, and variables for its environment."""
        command = self._command
        if command.shell:
            line, names = shell_line(command.words[0])
            return ["/bin/sh", "-c", line], {variable: values.get(name, "") for variable, name in names.items()}
        words = fill(command.words, values)
        if command.appends:
            for name, value in flat(self._config).items():
                words += [f"--{name}", as_text(value)]
        return words, {}

    def _source(self, values: dict[str, str], folder: Path) -> Source:
        kind, path = self._command.source
        patterns, metric = self._command.metric_regex, self._session.setting.metric
        read_line = regex_reader(patterns, metric) if patterns else line_values
        if kind in STREAMS:
            self._printed = self._stdout if kind == "stdout" else self._stderr
        else:
            self._printed = folder / fill([path], values)[0]
        return make_source(kind, self._printed, read_line)

    def _folder(self, values: dict[str, str]) -> Path:
        folder = Path(fill([self._command.folder], values)[0])
        if names_in([self._command.folder]):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    # ---- reports and checkpoints ----

    def _reports(self, source: Source, epochs: Epochs, process: Process) -> Iterator[Values]:
        """Reports as they are printed, until the program is over and all that it printed is read.

        Raises:
            TrialReleased: the trial is to end.
        """
        pause = LOOK_SECONDS[0]
        while True:
            over = process.wait(pause)
            if self._session.released:
                raise TrialReleased
            if self._command.saves and not self._saved_at_end and self._session.asked_to_save:
                self._saved_at_end = True
                self._save_now(process)
            some = self._look(source, epochs, last=over)
            while self._waiting:
                yield self._waiting.popleft()
            if over:
                return
            pause = LOOK_SECONDS[0] if some else min(2 * pause, LOOK_SECONDS[1])

    def _look(self, source: Source, epochs: Epochs, last: bool) -> bool:
        """Add what was printed since to the reports that wait; whether there is any."""
        new = [report for values in source.read(last) if (report := epochs.feed(values)) is not None]
        self._waiting += new
        return bool(new)

    def _report(self, report: Values, look: Callable[[], object], process: Process) -> None:
        """look: see what was printed since."""
        session = self._session
        if not (self._command.saves and session.checkpoint_is_due(report)):
            self._printed_before = _written(self._printed)
            session.report(report)
            return
        saves_first = self._settle(process)
        self._suspend(process, saves_first)
        if not self._segmented:
            look()
            while self._waiting:  # epochs of milliseconds: what is saved holds them already
                session.report(report, last=True)
                report = self._waiting.popleft()
        if not self._is_saved():
            self._tell_missing()
        session.report(report, self._checkpoint if self._is_saved() else None)
        process.go_on()

    def _suspend(self, process: Process, saves_first: bool) -> None:
        """Hold the program still, so that the folder does not change while it is copied.

        Not where it has saved an epoch that it is just about to print: nobody would ever hear of that epoch.
        """
        process.suspend()
        for _ in range(SUSPENDS):
            printed = _written(self._printed)
            if not saves_first or _written(self._checkpoint) <= printed:
                return
            process.go_on()
            give_up = time.monotonic() + SETTLE_SECONDS
            while time.monotonic() < give_up and _written(self._printed) == printed and not process.wait(0.005):
                pass
            process.suspend()

    def _settle(self, process: Process) -> bool:
        """Wait for the checkpoint of this epoch where it is not there yet: some scripts save after they print.

        One that was saved in the second half of the epoch, before it was printed, is there. Else wait until something
        is written, and then for a moment in which nothing is; but no longer than until the next epoch is printed.
        Whether it was there.
        """
        printed, before = _written(self._printed), self._printed_before
        self._printed_before = printed
        newest = _written(self._checkpoint)
        if newest <= printed and printed - newest < (printed - before) / 2:
            return True
        give_up, quiet_since = time.monotonic() + SETTLE_SECONDS, time.monotonic()
        while time.monotonic() < give_up and _written(self._printed) == printed and not process.wait(0.02):
            now = _written(self._checkpoint)
            if now != newest:
                newest, quiet_since = now, time.monotonic()
            if newest > printed and time.monotonic() - quiet_since > QUIET_SECONDS:
                break
        return False

    def _save_now(self, process: Process) -> None:
        """What it wrote last, in the middle of an epoch."""
        process.suspend()
        if self._is_saved():
            self._session.save(self._checkpoint)
        else:
            self._tell_missing()
        process.go_on()

    def _is_saved(self) -> bool:
        return any(self._checkpoint.iterdir())

    def _tell_missing(self) -> None:
        if not self._told:
            self._told = True
            text = "wrote nothing into :checkpoint: yet; if it is paused, it starts from nothing"
            self._session.outbox.put(Notice(self._session.job.trial, text))

    def _restore(self, saved: object) -> None:
        shutil.rmtree(self._checkpoint, ignore_errors=True)
        if isinstance(saved, Path):
            shutil.copytree(saved, self._checkpoint)
        else:
            self._checkpoint.mkdir(parents=True)

    # ---- how it ended ----

    def _check(self, status: int) -> None:
        """
        Raises:
            CommandFailed: it ended with an error.
        """
        how = ending(status)
        if how:
            lines = _tail(self._stderr) or _tail(self._stdout)
            last = f": {lines[-1].strip()}" if lines else ""
            raise CommandFailed(how + last, "\n".join(lines))

    def _end_without_metric(self, epochs: Epochs) -> None:
        """Report what there is instead, which the driver takes as the wrong metric.

        Raises:
            CommandFailed: there is nothing, or the metric is elsewhere.
        """
        where, missing = self._command.metrics_from, sorted(epochs.needed - epochs.seen.keys())
        if self._command.metric_regex:
            raise CommandFailed(f"metric_regex finds no {missing[0]} in {where}", "\n".join(_tail(self._stdout)))
        if where == "stdout" and any(missing[0] in line_values(line) for line in _tail(self._stderr)):
            raise CommandFailed(f"no {missing[0]} in stdout, but in stderr: metrics_from='stderr' reads it there")
        if not epochs.pending:
            text = f"no {missing[0]} in {where}: nothing like key=value, key: value or JSON is there"
            raise CommandFailed(text, "\n".join(_tail(self._stdout)))
        self._session.report_at(1.0, epochs.pending, last=True)


def needed(setting: Setting) -> set[str]:
    """What a report has to hold: all that the experiment looks at."""
    return {setting.metric, *setting.further, *([setting.fidelity] if setting.fidelity else [])}


def _written(path: Path) -> float:
    """When a file, or anything in a folder, was last written; 0 if nothing is there."""
    times = [0.0]
    for file in path.rglob("*") if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            times.append(file.lstat().st_mtime)
    return max(times)


def _tail(path: Path) -> list[str]:
    """The last lines of a file that are not empty."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 100 * TAIL_LINES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]
