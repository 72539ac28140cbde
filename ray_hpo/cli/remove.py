"""`ray-hpo rm`: remove experiments with all that belongs to them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from ray_hpo.cli.app import INSPECT, app, ask, tell
from ray_hpo.errors import InvalidInput

if TYPE_CHECKING:
    from ray_hpo.place import Place


@app.command("rm", rich_help_panel=INSPECT)
def remove(
    paths: Annotated[list[str], typer.Argument(help="The experiments' folders, or URIs.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove experiments: journals, checkpoints and output. One that runs is refused."""
    from ray_hpo.folder import find

    places = [find(path) for path in paths]
    for place in places:  # all are looked at before any is removed
        if place.folder.is_symlink():
            raise InvalidInput(f"{place} is a link to {place.folder.resolve()}: give that folder itself")
        if place.is_busy():
            raise InvalidInput(f"{place} is running: interrupt its driver first")
    for place in places:
        if yes or ask(f"remove {place} ({_size(place)})?"):
            _remove(place)
            tell(f"removed {place}")


def _remove(place: Place) -> None:
    if place.uri is None:
        shutil.rmtree(place.folder)
        return
    from ray_hpo.remote.folder import RemoteFolder
    from ray_hpo.remote.live import forget

    RemoteFolder(place.uri).delete_folder()
    forget(place.uri)


def _size(place: Place) -> str:
    if place.uri is None:
        sizes = [file.lstat().st_size for file in place.folder.rglob("*") if not file.is_dir()]
    else:
        from ray_hpo.remote.folder import RemoteFolder

        sizes = [file.size for file in RemoteFolder(place.uri).files()]
    size = float(sum(sizes))
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
