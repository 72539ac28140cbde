"""`ray-hpo restore`: the last good copy in the place of a damaged journal."""

from __future__ import annotations

import os

from ray_hpo.cli.app import INSPECT, PathArgument, app, tell


@app.command(rich_help_panel=INSPECT)
def restore(path: PathArgument) -> None:
    """Put the last good copy of a damaged journal in its place; what came after it is lost."""
    from ray_hpo.errors import InvalidInput, RayHpoError
    from ray_hpo.folder import local_folder
    from ray_hpo.journal import Lock
    from ray_hpo.journal.backup import DAMAGED, restore as put_back
    from ray_hpo.journal.damage import BACKUP
    from ray_hpo.journal.schema import FILE
    from ray_hpo.remote.uri import is_remote

    if is_remote(path):
        raise InvalidInput(f"{path} needs no restore: a resume goes on from the last snapshot that is whole")
    folder = local_folder(path)
    if not any(os.path.lexists(folder / name) for name in (FILE, BACKUP)):
        raise RayHpoError(f"{folder} holds no experiment: there is neither {FILE} nor {BACKUP} in it")
    with Lock(folder):
        taken = put_back(folder)
    tell(f"{folder} is as it was at {taken}; the damaged journal is kept as {DAMAGED}")
    tell(f"resume: ray-hpo resume {folder}")
