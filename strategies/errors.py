"""The one exception of this package, and the end of its messages. What the runtime can raise lives in `ray_hpo`."""

from __future__ import annotations

from collections.abc import Iterable


class InvalidInput(ValueError):
    """A user's mistake. The message is one line: the field, the value and the way out."""


def near_matches(name: str, known: Iterable[str]) -> str:
    """The end of an error message: what may have been meant, else all there is."""
    import difflib

    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
