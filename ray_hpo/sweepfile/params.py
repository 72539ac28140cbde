"""Parameters as text: `low:high[:int][:log][:step=S]`, options by comma, constants.

1e-5:1e-1:log       a float, uniform in its logarithm
1:4:int             1, 2, 3 or 4: both ends are included
0:1:step=0.25       0, 0.25, 0.5, 0.75, 1
sgd,adam            one of them; numbers in ascending or descending order are taken as ordered
32                  always that
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from strategies.domains import Domain, Float, Int, choice, ordinal

from ray_hpo.errors import InvalidInput, near_matches

FLAGS = ("int", "log", "step=S")
MOST_STEPS = 10_000
FORMS = "low:high[:int][:log][:step=S], options by comma, or one value"

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def parse_assignment(text: str) -> tuple[str, Any]:
    """(name, domain or constant) of `name=...`.

    Raises:
        InvalidInput: it has no name, or no value that can be read.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInput(f"param {text!r}: write name=value, where value is {FORMS}")
    return name.strip(), parse_domain(name.strip(), value)


def parse_domain(name: str, text: str) -> Any:
    """The domain, or the constant, that `text` describes.

    Raises:
        InvalidInput: it looks like a range and is none, or an option is empty.
    """
    try:
        parts = text.strip().split(":")
        if len(parts) > 1 and "," not in text and (_is_number(parts[0]) or _is_number(parts[1])):
            return _range(parts)
        if "," in text:
            return options([scalar(part) for part in text.split(",")])
        return scalar(text)
    except InvalidInput as error:
        raise InvalidInput(f"param {name}={text}: {error}") from None


def options(values: Sequence[Any]) -> Domain:
    """A list as a domain: three numbers or more that only rise, or only fall, have an order that searchers may use."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(values) >= 3:
        rises = [b > a for a, b in pairwise(numbers)]
        if all(rises) or not any(rises):
            return ordinal(values)
    return choice(values)


def scalar(text: str) -> Any:
    """A number where the text is one, else the text itself.

    Raises:
        InvalidInput: there is nothing.
    """
    text = text.strip()
    if not text:
        raise InvalidInput("an option is empty; leave out the comma, or write a value")
    if not _is_number(text):
        return text
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)


def stepped(low: float, high: float, step: float, log: bool, whole: bool) -> Domain:
    """low, low + step, ... up to `high`."""
    if not step > 0:
        raise InvalidInput(f"step must be above 0; got step={step:g}")
    if not high > low:
        raise InvalidInput(f"low must be below high; got low={low:g}, high={high:g}")
    if abs(low / step - round(low / step)) < 1e-9:  # all are multiples of the step
        return Int(int(low), int(high), log=log, q=int(step)) if whole else Float(low, high, log=log, q=step)
    count = math.floor((high - low) / step + 1e-9) + 1
    if log or count > MOST_STEPS:
        raise InvalidInput(f"low must be a multiple of step={step:g} here; got low={low:g}")
    return ordinal([int(low + i * step) if whole else low + i * step for i in range(count)])


def _range(parts: list[str]) -> Domain:
    bounds, flags = parts[:2], [flag.strip() for flag in parts[2:]]
    for bound in bounds:
        if not _is_number(bound):
            raise InvalidInput(f"a range is low:high with numbers; {bound!r} is none")
    step = None
    for flag in flags:
        if flag.startswith("step="):
            step = flag.removeprefix("step=")
            if not _is_number(step):
                raise InvalidInput(f"step must be a number; got step={step}")
        elif flag not in FLAGS:
            raise InvalidInput(f"{flag!r} is unknown; {near_matches(flag, FLAGS)}")
    low, high = (float(bound) for bound in bounds)
    log, whole = "log" in flags, "int" in flags
    if whole and not (low.is_integer() and high.is_integer() and float(step or 1).is_integer()):
        raise InvalidInput("with :int the bounds, and the step, must be whole numbers")
    if step is not None:
        return stepped(low, high, float(step), log, whole)
    return Int(int(low), int(high), log=log) if whole else Float(low, high, log=log)


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None
