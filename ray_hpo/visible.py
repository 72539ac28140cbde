"""Text from elsewhere on its way to a terminal: what would steer the terminal is shown instead.

A trial's errors, metrics, configuration and output may be anybody's, and a terminal obeys what is in them: it moves the
cursor and overwrites lines, sets its title, fills the clipboard.
"""

from __future__ import annotations

import codecs
import re

# C0 but newline and tab, DEL, C1, and what makes text run backwards or breaks lines unseen.
_STEERING = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_SHOWN = {code: ascii(chr(code))[1:-1] for code in _STEERING - {ord("\n"), ord("\t")}}

_COLOUR = re.compile("(\x1b\\[[0-9;:]{0,40}m)")  # ECMA-48's SGR: colours, bold and the like
_UNFINISHED = re.compile("(?:\r|\x1b(?:\\[[0-9;:]{0,40})?)\\Z")
RESET = "\x1b[0m"


def visible(text: str) -> str:
    r"""`text` with its control characters written out, as \x1b; newlines and tabs stay."""
    return text.translate(_SHOWN)


class Output:
    """The output of a program, which comes in pieces: its colours stay, and a carriage return begins a new line, where
    it would have overwritten one. The rest is as in `visible`; bytes that are no UTF-8 are written out, too.

    coloured: whether there was a colour so far.
    """

    def __init__(self) -> None:
        self.coloured = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""  # what may be half of something

    def next(self, data: bytes, last: bool = False) -> str:
        """What can be shown with `data`. last: nothing follows."""
        text = self._rest + self._decoder.decode(data, last)
        unfinished = None if last else _UNFINISHED.search(text)
        end = len(text) if unfinished is None else unfinished.start()
        self._rest = text[end:]
        parts = _COLOUR.split(text[:end].replace("\r\n", "\n").replace("\r", "\n"))
        self.coloured |= len(parts) > 1
        return "".join(part if i % 2 else visible(part) for i, part in enumerate(parts))
