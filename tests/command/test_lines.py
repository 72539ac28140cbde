"""Bytes to lines: whatever the pieces they come in, as a terminal would show them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from ray_hpo.command.lines import LONGEST, Lines


def lines_of(*pieces: bytes) -> list[str]:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)]
    return found + lines.finish()


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"no end", ["no end"]),
        (b" 10%\r 50%\r100% loss: 0.1\n", ["100% loss: 0.1"]),
        (b"\x1b[1m\x1b[32mloss\x1b[0m: 0.1\n", ["loss: 0.1"]),
        (b"1/2\b\b\b2/2 - loss: 0.1\n", ["1/22/2 - loss: 0.1"]),
        (b"caf\xc3\xa9 \xff\n", ["café \ufffd"]),
        (b"", []),
    ],
)
def test_lines_are_what_a_terminal_shows(printed: bytes, shown: list[str]) -> None:
    assert lines_of(printed) == shown


@given(st.lists(st.binary(max_size=8).map(lambda b: b + b"\n\r"[: len(b) % 3])))
def test_the_pieces_make_no_difference(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert lines_of(*pieces) == lines_of(whole) == lines_of(*(whole[i : i + 1] for i in range(len(whole))))


@given(st.lists(st.binary(max_size=6).map(lambda b: b + b"=\n"[: len(b) % 3]), max_size=10))
def test_what_is_not_wanted_is_passed_over(pieces: list[bytes]) -> None:
    lines = Lines(re.compile(b"="))
    found = [line for piece in pieces for line in lines.feed(piece)] + lines.finish()
    assert [line for line in found if "=" in line] == [line for line in lines_of(*pieces) if "=" in line]


def test_a_line_without_end_is_not_held_in_memory() -> None:
    lines = Lines()
    for _ in range(20):
        assert lines.feed(b"x" * LONGEST) == []
    (line,) = lines.feed(b" loss=0.5\n")
    assert len(line) == LONGEST and line.endswith("x loss=0.5")
