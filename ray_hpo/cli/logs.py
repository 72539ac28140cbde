"""`ray-hpo logs`: what a trial printed, all of it, or as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ray_hpo.cli.app import INSPECT, PathArgument, app
from ray_hpo.errors import InvalidInput

CHUNK = 1 << 20
LOOK_SECONDS = 0.2


@app.command(rich_help_panel=INSPECT)
def logs(
    path: PathArgument,
    trial: Annotated[int, typer.Argument(help="The trial's number.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it prints, until the trial ends.")] = False,
) -> None:
    """Print what a trial printed: its standard output, and on standard error its standard error."""
    from ray_hpo.inside import check_links
    from ray_hpo.results import load
    from ray_hpo.storage import CheckpointStore

    result = load(path)
    check_trial(trial, len(result.trials), path)
    check_links(result.path)
    folder = CheckpointStore(result.path).trial_folder(trial)

    def over() -> bool:
        now = load(path)
        return now.trials[trial].state != "running" or now.status != "running"

    copy_logs(folder, sys.stdout.buffer, sys.stderr.buffer, over if follow else None)


def check_trial(trial: int, count: int, path: Path) -> None:
    """
    Raises:
        InvalidInput: there is no such trial.
    """
    if not 0 <= trial < count:
        raise InvalidInput(f"trial {trial}: {path} has {count} trials, counted from 0")


def copy_logs(folder: Path, out: BinaryIO, err: BinaryIO, over: Callable[[], bool] | None = None) -> None:
    """Copy a trial's output from its folder. over: whether nothing more will come; None copies what is there."""
    offsets = {"output.log": 0, "stdout.log": 0, "stderr.log": 0}
    while True:
        last = over is None or over()
        some = False
        for name in offsets:
            for chunk in _from(folder / name, offsets[name]):
                some = True
                offsets[name] += len(chunk)
                target = err if name == "stderr.log" else out
                target.write(chunk)
                target.flush()
        if last:
            return
        if not some:
            time.sleep(LOOK_SECONDS)


def _from(path: Path, offset: int) -> Iterator[bytes]:
    if not path.is_file():
        return
    with open(path, "rb") as file:
        file.seek(offset)
        while chunk := file.read(CHUNK):
            yield chunk
