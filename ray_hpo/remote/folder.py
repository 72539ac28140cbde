"""A folder on remote storage: the few things that are asked of pyarrow.fs, and its errors as ours.

What is written appears under its name when it is complete, on object stores; elsewhere, or after an error, half a file
may be there. So whoever reads a name must have been told it, or must be able to tell whether all of it is there.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ray_hpo.errors import StorageError
from ray_hpo.remote.uri import Uri

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

ATTEMPTS = 3  # of each request, before it has failed; the SDK waits a little between them
CONNECT_SECONDS = 3.0
SILENT_SECONDS = 5.0  # without a byte, after which an attempt has failed
CHUNK = 4 << 20
OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss")  # which have no folders that must be made first


@dataclass(frozen=True)
class File:
    """path: below the folder that was listed.  written: by the clock of the storage, in seconds since 1970."""

    path: str
    size: int
    written: float


class RemoteFolder:
    """`uri` and what is below it; paths are relative to it.

    Every method raises StorageError where the storage does not answer or refuses, FileNotFoundError where nothing is.
    """

    def __init__(self, uri: Uri) -> None:
        self.uri = uri

    def __truediv__(self, name: str) -> RemoteFolder:
        return RemoteFolder(self.uri / name)

    def write(self, path: str, data: bytes) -> None:
        with self.writing(path) as file:
            file.write(data)

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A stream to a new file, or one that takes another's place. An error inside leaves half a file, or none."""
        with self._told():
            if self.uri.scheme not in OBJECT_STORES:
                self._fs.create_dir(self._at(path).rpartition("/")[0], recursive=True)
            file = self._fs.open_output_stream(self._at(path))
        try:
            yield cast(BinaryIO, _Told(file, self))
        finally:
            with self._told():
                file.close()

    def upload(self, source: Path, path: str) -> None:
        with open(source, "rb") as file, self.writing(path) as target:
            while chunk := file.read(CHUNK):
                target.write(chunk)

    @contextmanager
    def reading(self, path: str) -> Iterator[BinaryIO]:
        with self._told():
            file = self._fs.open_input_stream(self._at(path))
        with io.BufferedReader(cast(Any, _Told(file, self)), CHUNK) as buffered:
            yield cast(BinaryIO, buffered)

    def read(self, path: str) -> bytes:
        with self.reading(path) as file:
            return file.read()

    def download(self, path: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.reading(path) as file, open(target, "wb") as copy:
            while chunk := file.read(CHUNK):
                copy.write(chunk)

    def files(self, path: str = "") -> list[File]:
        """All files below `path`, by name; none where nothing is."""
        return [file for file, is_file in self._list(path, recursive=True) if is_file]

    def folders(self, path: str = "") -> list[str]:
        """Names of the folders in `path`."""
        return [file.path.rpartition("/")[2] for file, is_file in self._list(path, recursive=False) if not is_file]

    def exists(self, path: str) -> bool:
        with self._told():
            (info,) = self._fs.get_file_info([self._at(path)])
        return bool(info.is_file)

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone is no error."""
        try:
            with self._told():
                self._fs.delete_file(self._at(path))
        except FileNotFoundError:
            pass

    def delete_folder(self, path: str = "") -> None:
        """Delete a folder with all that is in it; one that is gone is no error."""
        try:
            with self._told():
                self._fs.delete_dir(self._at(path))
        except FileNotFoundError:
            pass

    def _list(self, path: str, recursive: bool) -> list[tuple[File, bool]]:
        from pyarrow.fs import FileSelector, FileType

        with self._told():
            selector = FileSelector(self._at(path), allow_not_found=True, recursive=recursive)
            found = self._fs.get_file_info(selector)
            if not found and self.uri.scheme in OBJECT_STORES:  # an empty folder, or a bucket that is gone
                bucket = self._fs.get_file_info(self._root.partition("/")[0])
                if bucket.type == FileType.NotFound:
                    raise StorageError(f"{self.uri.bare}: {_no_bucket(self.uri)}")
        start = len(self._root) + 1
        listed = [
            (File(info.path[start:], info.size or 0, _seconds(info.mtime)), info.type == FileType.File)
            for info in found
            if len(info.path) > start
        ]
        return sorted(listed, key=lambda entry: entry[0].path)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @property
    def _fs(self) -> FileSystem:
        return self._opened[0]

    @functools.cached_property
    def _root(self) -> str:
        return f"{self._opened[1]}/{self.uri.path}".rstrip("/")

    @property
    def _opened(self) -> tuple[FileSystem, str]:
        return _open(self.uri.scheme, self.uri.host, self.uri.told_endpoint().query)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the storage, on one line."""
        try:
            yield
        except (FileNotFoundError, StorageError, NotImplementedError):
            raise
        except (OSError, ValueError) as error:  # pyarrow's own are both
            raise StorageError(f"{self.uri.bare}: {_reason(str(error), self.uri)}") from error


class _Told(io.RawIOBase):
    """A stream of pyarrow's whose errors are ours."""

    def __init__(self, file: Any, folder: RemoteFolder) -> None:
        self._file = file
        self._folder = folder

    def readable(self) -> bool:
        return bool(self._file.readable())

    def writable(self) -> bool:
        return bool(self._file.writable())

    def write(self, data: Any) -> int:
        with self._folder._told():
            return int(self._file.write(data))

    def readinto(self, buffer: Any) -> int:
        with self._folder._told():
            return int(self._file.readinto(buffer))

    def close(self) -> None:
        if not self.closed and self._file.readable():
            self._file.close()
        super().close()


@functools.lru_cache(maxsize=16)
def _open(scheme: str, host: str, query: str) -> tuple[FileSystem, str]:
    """The file system, and what it calls its top: the bucket. One a process: opening it takes a few requests."""
    from pyarrow import fs

    if scheme != "s3":
        system, top = fs.FileSystem.from_uri(f"{scheme}://{host}/{query and '?'}{query}")
        return system, top.rstrip("/")
    options: dict[str, Any] = Uri(scheme, host, "", query).options
    for name in ("anonymous", "allow_bucket_creation", "force_virtual_addressing"):
        if name in options:
            options[name] = options[name].lower() in ("1", "true", "yes")
    if "endpoint_override" in options:
        prefix, _, options["endpoint_override"] = options["endpoint_override"].rpartition("://")
        if prefix:
            options["scheme"] = prefix
    elif "region" not in options:
        options["region"] = fs.resolve_s3_region(host)
    system = fs.S3FileSystem(
        **options,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENT_SECONDS,
        background_writes=False,  # else all parts of a large file wait in memory
        allow_delayed_open=True,  # a small file is one request
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
    return system, host


_DENIED = ("ACCESS_DENIED", "SIGNATURE_DOES_NOT_MATCH", "INVALID_ACCESS_KEY_ID")
_SAID = re.compile(r"AWS Error ([A-Z_]+)(?: \((.*?)\))? during (\w+) operation:? ?(.*)", re.DOTALL)


def _reason(text: str, uri: Uri) -> str:
    """What the storage said, on one line, with the way out where it is known."""
    text = " ".join(text.split())
    said = _SAID.search(text)
    code, status, detail = (said[1], said[2] or "", said[4]) if said else ("", "", text)
    if code == "NO_SUCH_BUCKET" or re.search("[Bb]ucket '[^']*' (does not exist|not found)", text):
        return _no_bucket(uri)
    if code in _DENIED or "status 403" in status:
        return f"access is denied ({code.lower()}): look at AWS_ACCESS_KEY_ID, or at the role of the machine"
    if "curlCode" in detail or code == "NETWORK_CONNECTION":
        return f"no connection ({detail.split(' (Req')[0][:200]})"
    return detail[:300] if not code else f"{status or code.lower()} ({detail[:200]})"


def _no_bucket(uri: Uri) -> str:
    return f"there is no bucket {uri.host!r}: create it, or mend the name"


def download_target(folder: Path, name: str) -> Path:
    """The file `name` of the storage, in `folder`: whoever wrote it may have called it ../../something.

    Raises:
        StorageError: it would lie outside.
    """
    path = folder / name
    if name.startswith("/") or ".." in path.relative_to(folder).parts:
        raise StorageError(f"{name!r} leads out of its folder: it is not fetched")
    return path


def _seconds(time: datetime | None) -> float:
    return 0.0 if time is None else time.timestamp()
