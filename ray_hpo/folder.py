"""The folder of an experiment: where it is to lie, and whether it may."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from pathlib import Path

from ray_hpo.errors import InvalidInput, RayHpoError
from ray_hpo.journal.schema import FILE


def choose_name(name: str | None, trainable_name: str) -> str:
    """The experiment's name: the user's, or trainable, date and a few letters.

    Raises:
        InvalidInput: a name that is not a plain file name.
    """
    if name is None:
        return f"{trainable_name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        raise InvalidInput(f"name must be a plain folder name; got name={name!r}")
    return name


def make_folder(storage: str | os.PathLike[str], name: str) -> Path:
    """Create and return the folder of a new experiment.

    Raises:
        InvalidInput: an experiment of this name is there already, or nothing can be written there.
    """
    folder = Path(storage).expanduser().absolute() / name
    refuse_existing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidInput(f"storage={os.fspath(storage)!r} cannot be written: {error}") from error
    return folder


def refuse_existing(folder: Path) -> None:
    """
    Raises:
        InvalidInput: there is an experiment in `folder`.
    """
    if (folder / FILE).exists():
        raise InvalidInput(
            f"name={folder.name!r}: {folder} holds an experiment already; "
            f"resume it with `ray-hpo resume {folder}`, or give another name"
        )


def existing_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of an experiment that is there.

    Raises:
        RayHpoError: none is.
    """
    folder = Path(path).expanduser().absolute()
    if not os.path.isfile(folder / FILE):
        raise RayHpoError(f"{folder} holds no experiment: there is no {FILE} in it; `ray-hpo ls` lists what is there")
    return folder


def experiments_in(storage: str | os.PathLike[str]) -> list[Path]:
    """The folders of the experiments in `storage`, the newest first.

    Raises:
        RayHpoError: `storage` is no folder.
    """
    root = Path(storage).expanduser()
    if not os.path.isdir(root):  # False as well for a name that cannot be one
        raise RayHpoError(f"{root} is not a folder; experiments lie in the folder that tune_run got as storage=")
    return sorted((file.parent for file in root.glob(f"*/{FILE}")), key=lambda folder: -(folder / FILE).stat().st_mtime)
