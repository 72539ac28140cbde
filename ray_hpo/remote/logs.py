"""A trial's output on remote storage, put together again from the parts that were sent (see attempt.py)."""

from __future__ import annotations

from collections.abc import Iterator

from ray_hpo.remote.attempt import offset_of
from ray_hpo.remote.folder import CHUNK, RemoteFolder


class RemoteSource:
    """The output of one trial; path: its own, on storage."""

    look_seconds = 5.0

    def __init__(self, remote: RemoteFolder, path: str) -> None:
        self._remote = remote
        self._path = path
        self._ends: dict[str, int] = {}  # of each attempt's log, how much of it was read

    def new(self, name: str) -> Iterator[bytes]:
        """What has come of the log `name` since the last time: attempts one after another, each byte once."""
        for part in self._remote.files(f"{self._path}/{name}"):
            attempt, begin = part.path.rpartition("-")[0], offset_of(part.path)
            known = self._ends.get(attempt, 0)
            if begin + part.size <= known:
                continue
            with self._remote.reading(part.path) as file:
                file.read(max(0, known - begin))
                while chunk := file.read(CHUNK):
                    yield chunk
            self._ends[attempt] = begin + part.size
