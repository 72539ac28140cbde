"""Metrics in a line of text: `key=value`, `key: value`, JSON; or what a regular expression of the user's finds.

Keys begin with a letter; values are numbers, nan and inf among them. A number that is part of something else (5s,
12:30, 2.13.0) is none. `epoch 3`, `Epoch 3/27` and `[step 100]` count as epoch=3 and step=100.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ray_hpo.errors import InvalidInput

Values: TypeAlias = dict[str, Any]
ReadLine: TypeAlias = Callable[[str], Values]

_NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[nN]a[nN]|NAN|[iI]nf(?:inity)?)"
_ENDS = r"(?!\w|[.:]\d)"
_PAIR = re.compile(
    rf"""(?<![\w./@-]) ["']? ([A-Za-z_][\w./@-]*) ["']? \s* [=:] \s*
         ["']? (?: [A-Za-z_][\w.]* \( )? ({_NUMBER}) {_ENDS}""",
    re.VERBOSE,
)
_COUNTED = re.compile(r"(?<!\w)(epoch|step|iteration)\s*[\[(#]?\s*(\d+)(?!\w|\.\d)", re.IGNORECASE)


def line_values(line: str) -> Values:
    """The values in a line; empty if there are none."""
    if line.lstrip()[:1] == "{":
        values = json_values(line)
        if values:
            return values
    found: Values = {}
    if "=" in line or ":" in line:
        found = {match[1]: number(match[2]) for match in _PAIR.finditer(line)}
    for match in _COUNTED.finditer(line):
        found.setdefault(match[1].lower(), int(match[2]))
    return found


def json_values(line: str) -> Values:
    """The scalars of a JSON object, those of inner objects under dotted names; empty for anything else."""
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return _scalars(parsed, "") if isinstance(parsed, dict) else {}


def number(text: str) -> float | int:
    """A number as it was printed: whole ones are integers.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        return float(text)


def regex_reader(patterns: Sequence[str], metric: str) -> ReadLine:
    """A reader of lines by the user's expressions: named groups are metrics, and the first group without a name, or
    the whole match, is `metric`.

    Raises:
        InvalidInput: an expression cannot be read.
    """
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise InvalidInput(f"metric_regex={pattern!r} is no regular expression: {error}") from error

    def read(line: str) -> Values:
        found: Values = {}
        for expression in compiled:
            for match in expression.finditer(line):
                groups: Mapping[str, str | None] = match.groupdict() or {
                    metric: match[1] if match.re.groups else match[0]
                }
                found |= {name: value for name, text in groups.items() if (value := _maybe_number(text)) is not None}
        return found

    return read


def cell(text: str) -> Any:
    """A cell of a table: a number, text, or None for an empty one."""
    value = _maybe_number(text)
    return (text.strip() or None) if value is None else value


def _maybe_number(text: str | None) -> float | int | None:
    try:
        return None if text is None else number(text.strip().rstrip("%"))
    except ValueError:
        return None


def _scalars(parsed: Mapping[str, Any], prefix: str) -> Values:
    found: Values = {}
    for key, value in parsed.items():
        if isinstance(value, dict):
            found |= _scalars(value, f"{prefix}{key}.")
        elif isinstance(value, (bool, int, float, str)):
            found[f"{prefix}{key}"] = value
    return found
