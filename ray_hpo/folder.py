"""The folder of an experiment: where it is to lie, and whether it may."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from pathlib import Path

from ray_hpo.errors import InvalidInput, JournalError, RayHpoError
from ray_hpo.journal.schema import FILE
from ray_hpo.place import Place
from ray_hpo.remote.uri import is_remote, without_file_scheme


def choose_name(name: str | None, trainable_name: str) -> str:
    """The experiment's name: the user's, or trainable, date and a few letters.

    Raises:
        InvalidInput: a name that is not a plain file name.
    """
    if name is None:
        return f"{trainable_name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name or not _is_unicode(name):
        raise InvalidInput(f"name must be a plain folder name; got name={name!r}")
    return name


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a pair of surrogates, which no file system takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def make_place(storage: str | os.PathLike[str], name: str) -> Place:
    """The place of a new experiment; its folder is made.

    Raises:
        InvalidInput: an experiment of this name is there already, or nothing can be written there.
    """
    if is_remote(storage):
        from ray_hpo.remote.live import new_place

        return new_place(str(storage), name)
    folder = local_folder(storage) / name
    refuse_existing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, UnicodeEncodeError) as error:
        raise InvalidInput(f"storage={os.fspath(storage)!r} cannot be written: {error}") from error
    return Place(folder)


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


def find(path: str | os.PathLike[str]) -> Place:
    """The place of an experiment that is there, to look at.

    Raises:
        RayHpoError: none is, or its storage does not answer.
    """
    if is_remote(path):
        from ray_hpo.remote.live import reading_place

        return reading_place(str(path))
    folder = local_folder(path)
    if not os.path.isfile(folder / FILE):
        raise JournalError(f"{folder} holds no experiment: there is no {FILE} in it; `ray-hpo ls` lists what is there")
    return Place(folder)


def find_to_drive(path: str | os.PathLike[str]) -> Place:
    """The place of an experiment that is there, to go on with.

    Raises:
        RayHpoError: none is, or its storage does not answer.
    """
    found = find(path)
    if found.uri is None:
        return found
    from ray_hpo.remote.live import live_place

    place = live_place(found.uri)
    place.folder.mkdir(parents=True, exist_ok=True)
    return place


def experiments_in(storage: str | os.PathLike[str]) -> list[str]:
    """The experiments in `storage`, the newest first.

    Raises:
        RayHpoError: `storage` is no folder, or does not answer.
    """
    if is_remote(storage):
        from ray_hpo.remote.live import remote_experiments

        return [str(uri) for uri in remote_experiments(str(storage))]
    root = local_folder(storage)
    if not os.path.isdir(root):  # False as well for a name that cannot be one
        raise RayHpoError(f"{root} is not a folder; experiments lie in the folder that tune_run got as storage=")
    found = sorted(root.glob(f"*/{FILE}"), key=lambda file: -file.stat().st_mtime)
    return [str(file.parent) for file in found]


def local_folder(path: str | os.PathLike[str]) -> Path:
    """The folder that a user means: ~ and file:// are understood."""
    text = os.fspath(path)
    return Path(without_file_scheme(text)).expanduser().absolute()
