"""Nothing in an experiment's folder may lead out of it: it may be somebody else's. Paths that a journal gives are
looked at before they are used, and links before anything is trained."""

from __future__ import annotations

import os
from pathlib import Path

from ray_hpo.errors import JournalError


def inside(folder: Path, path: str) -> Path:
    """`folder / path`, where a journal gave the path of something that belongs to a trial.

    Raises:
        JournalError: it is not below the trials' folder, also by a link.
    """
    parts = Path(path).parts
    if len(parts) > 2 and parts[0] == "trials" and ".." not in parts and "\0" not in path:
        target = folder / path
        if not _leads_out(target, folder):
            return target
    raise JournalError(f"the journal of {folder} names {path!r}, which is not among its trials' files: do not use it")


def check_links(folder: Path) -> None:
    """Look at what a session of the experiment in `folder` would write to.

    Raises:
        JournalError: there is a link that leads out of the folder.
    """
    trials = folder / "trials"
    entries = [folder / name for name in _names(folder)]
    if not trials.is_symlink():
        for trial in _names(trials):
            entries.append(trials / trial)
            if not (trials / trial).is_symlink():
                entries += [trials / trial / name for name in _names(trials / trial)]
    for entry in entries:
        if entry.is_symlink() and _leads_out(entry, folder):
            raise JournalError(
                f"{entry} is a link out of the experiment's folder, to {os.path.realpath(entry)}: "
                "remove it, or do not use the folder"
            )


def open_inside(path: Path, flags: int) -> int:
    """A descriptor of a plain file; no link is followed, and nothing is waited for.

    Raises:
        OSError: it cannot be opened, is a link, or no plain file.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def _leads_out(path: Path, folder: Path) -> bool:
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
