"""`ray-hpo logs`: what a trial printed, all of it, or as it comes; on a terminal nothing that steers it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Protocol, TextIO

import typer

from ray_hpo.cli.app import INSPECT, PathArgument, app
from ray_hpo.errors import InvalidInput
from ray_hpo.visible import RESET, Output

if TYPE_CHECKING:
    from pathlib import Path

    from ray_hpo.place import Place

CHUNK = 1 << 20


@app.command(rich_help_panel=INSPECT)
def logs(
    path: PathArgument,
    trial: Annotated[int, typer.Argument(help="The trial's number.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it prints, until the trial ends.")] = False,
) -> None:
    """Print what a trial printed: its standard output, and on standard error its standard error.

    On a terminal control characters are written out (as \\x1b), but for colours; a file or a pipe gets what it printed.
    """
    from ray_hpo.inside import check_links
    from ray_hpo.results import load

    result = load(path)
    check_trial(trial, len(result.trials), path)
    check_links(result.place.folder)

    def over() -> bool:
        now = load(path)
        return now.trials[trial].state != "running" or now.status != "running"

    with _target(sys.stdout) as out, _target(sys.stderr) as err:
        copy_logs(source_of(result.place, trial), out, err, over if follow else None)


def check_trial(trial: int, count: int, path: str) -> None:
    """
    Raises:
        InvalidInput: there is no such trial.
    """
    if not 0 <= trial < count:
        raise InvalidInput(f"trial {trial}: {path} has {count} trials, counted from 0")


class Source(Protocol):
    """Where a trial's output is."""

    look_seconds: float  # between two looks when nothing comes

    def new(self, name: str) -> Iterator[bytes]:
        """What has come of the log `name` since the last time."""


class FolderSource:
    """In a folder, in files that grow."""

    look_seconds = 0.2

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[str, int] = {}

    def new(self, name: str) -> Iterator[bytes]:
        path = self._folder / name
        if not path.is_file():
            return
        with open(path, "rb") as file:
            file.seek(self._offsets.get(name, 0))
            while chunk := file.read(CHUNK):
                self._offsets[name] = file.tell()
                yield chunk


def source_of(place: Place, trial: int) -> Source:
    if place.uri is None:
        return FolderSource(place.store().trial_folder(trial))
    from ray_hpo.remote.folder import RemoteFolder
    from ray_hpo.remote.logs import RemoteSource
    from ray_hpo.remote.store import trial_path

    return RemoteSource(RemoteFolder(place.uri), trial_path(trial))


class Target(Protocol):
    """Where output goes."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> None: ...


class OnTerminal:
    """Sends output to a terminal; see `Output`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._output = Output()

    def write(self, data: bytes) -> None:
        self._stream.write(self._output.next(data))

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """The terminal is as it was, whatever colour the output ended in."""
        self._stream.write(self._output.next(b"", last=True) + (RESET if self._output.coloured else ""))
        self._stream.flush()


@contextmanager
def _target(stream: TextIO) -> Iterator[Target]:
    if not stream.isatty():
        yield stream.buffer
        return
    terminal = OnTerminal(stream)
    try:
        yield terminal
    finally:
        terminal.close()


def copy_logs(source: Source, out: Target, err: Target, over: Callable[[], bool] | None = None) -> None:
    """Copy a trial's output. over: whether nothing more will come; None copies what is there."""
    while True:
        last = over is None or over()
        some = False
        for name in ("output.log", "stdout.log", "stderr.log"):
            for chunk in source.new(name):
                some = True
                target = err if name == "stderr.log" else out
                target.write(chunk)
                target.flush()
        if last:
            return
        if not some:
            time.sleep(source.look_seconds)
