"""`ray-hpo rm`: remove experiments with all that belongs to them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from ray_hpo.cli.app import INSPECT, app
from ray_hpo.errors import InvalidInput


@app.command("rm", rich_help_panel=INSPECT)
def remove(
    paths: Annotated[list[Path], typer.Argument(help="The experiments' folders.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove experiments: journals, checkpoints and output. One that runs is refused."""
    from ray_hpo.folder import existing_folder
    from ray_hpo.journal.lock import is_held

    folders = [existing_folder(path) for path in paths]
    for folder in folders:  # all are looked at before any is removed
        if folder.is_symlink():
            raise InvalidInput(f"{folder} is a link to {folder.resolve()}: give that folder itself")
        if is_held(folder):
            raise InvalidInput(f"{folder} is running: interrupt its driver first")
    for folder in folders:
        if yes or typer.confirm(f"remove {folder} ({_size(folder)})?"):
            shutil.rmtree(folder)
            typer.echo(f"removed {folder}")


def _size(folder: Path) -> str:
    size = float(sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir()))
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
