"""Where an experiment keeps its trials' files: checkpoints and output, below the experiment's folder.

trials/00017/checkpoint_9-1f3a/    one checkpoint: data.pkl for a dict, the user's own files for a folder
trials/00017/output.log            what the trial printed
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ray_hpo.inside import check_links, inside

_DICT_FILE = ".ray_hpo_checkpoint.pkl"
_PARTIAL = ".partial-"


class CheckpointStore:
    """Checkpoints below `folder`, which every worker and the driver can reach.

    A checkpoint appears whole or not at all: it is written beside its place and renamed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def trial_folder(self, trial: int) -> Path:
        return self.folder / _trial_path(trial)

    def save(self, trial: int, step: float, checkpoint: Mapping[str, Any] | str | os.PathLike[str]) -> str:
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
        data = folder / _DICT_FILE
        if not data.is_file():
            return folder
        with open(data, "rb") as file:
            loaded: dict[str, Any] = pickle.load(file)
        return loaded

    def delete(self, path: str) -> None:
        folder = inside(self.folder, path)
        try:  # that of a dict, of which there may be many
            os.unlink(os.path.join(folder, _DICT_FILE))
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


def _trial_path(trial: int) -> str:
    return f"trials/{trial:05d}"


def _write(checkpoint: Mapping[str, Any] | str | os.PathLike[str], target: Path) -> None:
    if isinstance(checkpoint, Mapping):
        target.mkdir()
        with open(target / _DICT_FILE, "wb") as file:
            _dump(dict(checkpoint), file)
    elif isinstance(checkpoint, (str, os.PathLike)):
        if not os.path.isdir(checkpoint):
            raise TypeError(
                f"checkpoint={os.fspath(checkpoint)!r} is not a folder; give a dict or the path of a folder"
            )
        shutil.copytree(checkpoint, target)  # in the kernel, without passing through this process
    else:
        raise TypeError(f"a checkpoint is a dict or the path of a folder; got {type(checkpoint).__name__}")


def _dump(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """Pickle `checkpoint`: fast where that works, by value where it holds classes of a script or a notebook."""
    try:
        _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(checkpoint)
    except (pickle.PicklingError, AttributeError, TypeError):
        from ray import cloudpickle

        file.seek(0)
        file.truncate()
        try:
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
