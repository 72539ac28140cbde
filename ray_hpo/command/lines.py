"""From the bytes that a program prints to lines as a terminal would show them at their ends."""

from __future__ import annotations

import re

LONGEST = 1 << 16  # bytes of a line that are kept: metrics stand in short ones

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # colours, cursor movements


class Lines:
    """Feed bytes as they come, get the lines that they complete. Holds one unfinished line, at most `LONGEST` bytes.

    wanted: bytes in which this finds nothing are passed over at once; programs print a lot.
    """

    def __init__(self, wanted: re.Pattern[bytes] | None = None) -> None:
        self._rest = b""
        self._wanted = wanted

    def feed(self, data: bytes) -> list[str]:
        done, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = _last_written(rest)[-LONGEST:]
        if not newline or (self._wanted is not None and not self._wanted.search(done)):
            return []
        return [_text(line) for line in done.split(b"\n")]

    def finish(self) -> list[str]:
        """The last line, if it lacks its end."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _last_written(line: bytes) -> bytes:
    """What is not overwritten: progress bars go back to the start of their line with each step."""
    start = line[:-1].rfind(b"\r")  # the last byte may be half of "\r\n"
    return line if start < 0 else line[start + 1 :]


def _text(line: bytes) -> str:
    shown = _last_written(line.rstrip(b"\r"))[-LONGEST:]
    if b"\x1b" in shown:
        shown = _ESCAPES.sub(b"", shown)
    if b"\b" in shown:
        shown = shown.replace(b"\b", b"")
    return shown.decode(errors="replace")
