"""Words with `:name:` in them: which names they hold, and the words with values filled in.

A value is put into a word and stays in that word: it is never split, nor read by a shell. For a shell, values become
variables of its environment (`shell_line`), whose content a shell does not read as code either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

RESERVED = {
    "budget": "the budget to train to in all",
    "trial_id": "the trial's number",
    "checkpoint": "a folder to go on from, if anything is in it, and to save into",
    "output": "a folder of the trial's own",
    "seed": "a number of the trial's own, the same after a pause or a crash",
}
_NAME = r"[A-Za-z_][\w.-]*"
_TOKEN = re.compile(rf"::({_NAME})::|:({_NAME}):")  # two colons on both sides stand for one


def names_in(words: Sequence[str]) -> list[str]:
    """The placeholders in `words`, each once, in order."""
    found = (match[2] for word in words for match in _TOKEN.finditer(word) if match[2])
    return list(dict.fromkeys(found))


def fill(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """`words` with each `:name:` replaced by its value.

    A word with a name that has no value, a parameter that is inactive, is left out; and the option before it, if the
    word is nothing but that name: `--momentum :momentum:`.
    """
    filled: list[str] = []
    for word in words:
        missing = [name for name in names_in([word]) if name not in values]
        if not missing:
            filled.append(_TOKEN.sub(lambda match: f":{match[1]}:" if match[1] else values[match[2]], word))
        elif word == f":{missing[0]}:" and filled and _is_lone_option(filled[-1]):
            filled.pop()
    return filled


def shell_line(line: str) -> tuple[str, dict[str, str]]:
    """A line for a shell in which each `:name:` is a variable; and name of the variable -> name of the placeholder."""
    variables: dict[str, str] = {}

    def variable(match: re.Match[str]) -> str:
        if match[1]:
            return f":{match[1]}:"
        name = "ray_hpo_" + re.sub(r"\W", "_", match[2])
        while variables.setdefault(name, match[2]) != match[2]:  # a.b and a-b
            name += "_"
        return f"${{{name}}}"

    return _TOKEN.sub(variable, line), variables


def in_single_quotes(line: str) -> list[str]:
    """The placeholders of a shell's line that stand where the shell would not look at them."""
    quoted, found, i = "", [], 0
    while i < len(line):
        match = _TOKEN.match(line, i)
        if match:
            found += [match[2]] if quoted == "'" and match[2] else []
            i = match.end()
            continue
        character = line[i]
        if character == "\\" and quoted != "'":
            i += 1
        elif character in "'\"" and quoted in ("", character):
            quoted = "" if quoted else character
        i += 1
    return found


def as_text(value: Any) -> str:
    """A value of a configuration as one word: numbers so that nothing is lost, true and false, all else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if value is None:
        return "null"
    return value if isinstance(value, str) else _json(value) if isinstance(value, (list, dict)) else str(value)


def budget_text(budget: float) -> str:
    """A budget as a script wants it: whole numbers without a point."""
    return str(int(budget)) if float(budget).is_integer() else repr(budget)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted names, as placeholders have them."""
    values: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[f"{prefix}{name}"] = value
    return values


def _is_lone_option(word: str) -> bool:
    return word.startswith("-") and "=" not in word and not re.fullmatch(r"-[\d.]+", word)


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
