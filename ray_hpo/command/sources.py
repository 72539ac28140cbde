"""Where values come from while a program runs: text that it prints, a CSV or JSONL file, TensorBoard's event files.

A source remembers how far it has read, and starts behind what is there when it is made: an earlier attempt's.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ray_hpo.command.lines import Lines
from ray_hpo.command.values import ReadLine, Values, cell, json_values, line_values

CHUNK = 1 << 16  # bytes read at a time, whatever the program prints


class Source(Protocol):
    def read(self, last: bool = False) -> Iterator[Values]:
        """The values that are new, in their order. last: the program is over, an unfinished line is one too."""


class TextSource:
    """Lines of a file that grows, each read by `read_line`."""

    def __init__(self, path: Path, read_line: ReadLine) -> None:
        self._path = path
        self._read_line = read_line
        self._offset = _size(path)
        self._lines = Lines(_WANTED.get(read_line))

    def read(self, last: bool = False) -> Iterator[Values]:
        if _size(self._path) < self._offset:  # written anew
            self._offset, self._lines = 0, Lines(_WANTED.get(self._read_line))
        for chunk in _chunks(self._path, self._offset):
            self._offset += len(chunk)
            yield from self._values(self._lines.feed(chunk))
        if last:
            yield from self._values(self._lines.finish())

    def _values(self, lines: list[str]) -> Iterator[Values]:
        for line in lines:
            values = self._read_line(line)
            if values:
                yield values


# what a line must have in it for these to find anything
_WANTED: dict[ReadLine, re.Pattern[bytes]] = {
    line_values: re.compile(rb"[=:]|epoch|step|iteration", re.IGNORECASE),
    json_values: re.compile(rb"\{"),
}


class CsvSource:
    """Rows of a CSV file with a header; cells that are empty are left out.

    Some loggers write the file anew with a longer header when a new metric appears: rows are counted, not bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._rows = len(_rows(path, complete=False))

    def read(self, last: bool = False) -> Iterator[Values]:
        stamp = _stamp(self._path)
        if stamp == self._stamp and not last:
            return
        self._stamp = stamp
        rows = _rows(self._path, complete=not last)
        if len(rows) < self._rows:
            self._rows = 0
        new, self._rows = rows[self._rows :], len(rows)
        yield from new


def json_source(path: Path) -> TextSource:
    """Objects of a JSONL file."""
    return TextSource(path, json_values)


def make_source(kind: str, path: Path, read_line: ReadLine) -> Source:
    """The source of `kind`, a key of `KINDS`; `path` is the file, or the folder of event files."""
    if kind == "tensorboard":
        from ray_hpo.command.tensorboard import TensorBoardSource

        return TensorBoardSource(path)
    makers: dict[str, Callable[[], Source]] = {
        "csv": lambda: CsvSource(path),
        "jsonl": lambda: json_source(path),
    }
    return makers.get(kind, lambda: TextSource(path, read_line))()


STREAMS = ("stdout", "stderr")
KINDS = ("csv", "jsonl", "tensorboard")


def _rows(path: Path, complete: bool) -> list[Values]:
    """The rows of a CSV file; `complete`: without a last line that may still be growing."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    if complete:
        text = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(text))
    return [
        {key: value for key, text in row.items() if key and isinstance(text, str) and (value := cell(text)) is not None}
        for row in rows
    ]


def _chunks(path: Path, offset: int) -> Iterator[bytes]:
    try:
        file = open(path, "rb")  # noqa: SIM115  # closed below
    except OSError:
        return
    with file:
        file.seek(offset)
        while chunk := file.read(CHUNK):
            yield chunk


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
