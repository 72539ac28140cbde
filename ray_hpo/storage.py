"""Where an experiment keeps its trials' files: checkpoints and output, below the experiment's folder.

trials/00017/checkpoint_9-1f3a/    one checkpoint: data.pkl for a dict, the user's own files for a folder
trials/00017/output.log            what the trial printed
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ray_hpo.inside import check_links, inside

DICT_FILE = ".ray_hpo_checkpoint.pkl"
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Pickled:
    """A dict as a checkpoint, pickled already."""

    data: bytes


Savable = Mapping[str, Any] | Pickled | str | os.PathLike[str]

SAVE_NOW = "save-now"  # a file in the experiment's folder by which its driver asks all trials to save


class TrialStore(Protocol):
    """What workers ask of storage: `CheckpointStore` for folders, `remote.store.RemoteStore` for URIs."""

    def trial_folder(self, trial: int) -> Path:
        """The trial's own folder, on this machine; it may have to be made."""

    def save(self, trial: int, step: float, checkpoint: Savable) -> str: ...

    def sync(self, path: str) -> None: ...

    def load(self, path: str) -> dict[str, Any] | Path: ...

    def delete(self, path: str) -> None: ...

    def sweep(self, keep: Iterable[str]) -> None: ...

    def begin(self, trial: int, goes_on: bool) -> None:
        """A trial begins here, or goes on after a pause: what it wrote before is to be in its folder."""

    def flush(self) -> None:
        """What the trial wrote so far is to be where everybody can read it."""

    def end(self) -> None:
        """The trial writes no more."""

    def ask_to_save(self) -> None:
        """Have all trials that can save between two reports do so."""

    def forget_asking(self) -> None: ...

    @property
    def asked_to_save(self) -> bool: ...


class CheckpointStore:
    """Checkpoints below `folder`, which every worker and the driver can reach.

    A checkpoint appears whole or not at all: it is written beside its place and renamed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def trial_folder(self, trial: int) -> Path:
        return self.folder / _trial_path(trial)

    def save(self, trial: int, step: float, checkpoint: Savable) -> str:
        """Store a dict (pickled) or a folder (copied); return its path relative to the experiment's folder.

        Raises:
            OSError: it cannot be written.
            TypeError: it is neither a dict nor a path, or a dict that cannot be pickled.
        """
        parent = _trial_path(trial)
        if not os.path.isdir(f"{self.folder}/{parent}"):  # to try to make it takes longer than to look
            os.makedirs(f"{self.folder}/{parent}", exist_ok=True)
        unique = os.urandom(4).hex()  # an attempt that was given up may still be writing the same step
        final = f"{parent}/checkpoint_{step:g}-{unique}"
        partial = Path(f"{self.folder}/{parent}/{_PARTIAL}{unique}")
        try:
            _write(checkpoint, partial)
            os.replace(partial, f"{self.folder}/{final}")
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return final

    def sync(self, path: str) -> None:
        """Have the disk confirm a checkpoint, so that it survives a power failure. One that is gone needs none.

        Raises:
            OSError: the disk has not got it.
        """
        for folder, _, files in os.walk(self.folder / path):
            for name in files:
                with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name), "rb") as file:
                    os.fsync(file.fileno())

    def load(self, path: str) -> dict[str, Any] | Path:
        """What `save` was given: the dict, or the path of a folder with the same content.

        Raises:
            FileNotFoundError: it is gone.
            JournalError: `path` leads somewhere else.
        """
        folder = inside(self.folder, path)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is gone")
        data = folder / DICT_FILE
        if not data.is_file():
            return folder
        with open(data, "rb") as file:
            loaded: dict[str, Any] = pickle.load(file)
        return loaded

    def delete(self, path: str) -> None:
        folder = inside(self.folder, path)
        try:  # that of a dict, of which there may be many
            os.unlink(os.path.join(folder, DICT_FILE))
            os.rmdir(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, keep: Iterable[str]) -> None:
        """Delete what a crash left behind: every checkpoint that is not in `keep`, whole or partial.

        Raises:
            JournalError: something in the folder, or in `keep`, leads out of it; nothing is deleted.
        """
        kept = set(keep)
        check_links(self.folder)
        for path in kept:
            inside(self.folder, path)
        for folder in self.folder.glob("trials/*/*"):
            name = folder.name
            if name.startswith(("checkpoint_", _PARTIAL)) and str(folder.relative_to(self.folder)) not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def begin(self, trial: int, goes_on: bool) -> None:
        """Nothing to do: everybody writes in place."""

    def flush(self) -> None:
        """Likewise."""

    def end(self) -> None:
        """Likewise."""

    def ask_to_save(self) -> None:
        (self.folder / SAVE_NOW).touch()

    def forget_asking(self) -> None:
        (self.folder / SAVE_NOW).unlink(missing_ok=True)

    @property
    def asked_to_save(self) -> bool:
        return (self.folder / SAVE_NOW).exists()


def _trial_path(trial: int) -> str:
    return f"trials/{trial:05d}"


def _write(checkpoint: Savable, target: Path) -> None:
    if isinstance(checkpoint, Pickled):
        target.mkdir()
        (target / DICT_FILE).write_bytes(checkpoint.data)
    elif isinstance(checkpoint, Mapping):
        target.mkdir()
        pickle_to(lambda: open(target / DICT_FILE, "wb"), dict(checkpoint))  # noqa: SIM115  # which closes it
    else:
        shutil.copytree(checked_folder(checkpoint), target)  # in the kernel, without passing through this process


def checked_folder(checkpoint: str | os.PathLike[str]) -> str:
    """
    Raises:
        TypeError: a checkpoint that is neither a dict nor a folder.
    """
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(f"a checkpoint is a dict or the path of a folder; got {type(checkpoint).__name__}")
    if not os.path.isdir(checkpoint):
        raise TypeError(f"checkpoint={os.fspath(checkpoint)!r} is not a folder; give a dict or the path of a folder")
    return os.fspath(checkpoint)


def pickle_to(open_file: Callable[[], AbstractContextManager[BinaryIO]], checkpoint: dict[str, Any]) -> None:
    """Pickle `checkpoint`: fast where that works, by value where it holds classes of a script or a notebook.

    open_file: opens the file to write, from its beginning each time.
    """
    try:
        with open_file() as file:
            _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(checkpoint)
    except (pickle.PicklingError, AttributeError, TypeError):
        from ray import cloudpickle

        try:
            with open_file() as file:
                cloudpickle.dump(checkpoint, file)  # type: ignore[no-untyped-call]  # Ray's
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TypeError(f"the checkpoint cannot be pickled: {error}") from error


class _Pickler(pickle.Pickler):
    """Large arrays go to the file from where they lie. Torch would copy its tensors twice in memory."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj).__name__ != "TypedStorage" or type(obj).__module__ != "torch.storage":
            return NotImplemented
        storage = obj._untyped_storage
        if storage.device.type != "cpu":
            return NotImplemented
        import torch

        data = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()  # the same memory
        return _torch_storage, (data, obj.dtype)


def _torch_storage(data: Any, dtype: Any) -> Any:
    import torch

    storage = torch.from_numpy(data).untyped_storage()
    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)  # type: ignore[no-untyped-call]  # torch's
