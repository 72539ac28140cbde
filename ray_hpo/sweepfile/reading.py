"""Sweep files: read, told apart, and errors with the line that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ray_hpo.errors import InvalidInput
from ray_hpo.sweepfile.schema import FieldError, Sweep, make_sweep


@dataclass(frozen=True)
class SweepFile:
    """The fields of a sweep, and where they are from.

    notes: what the file asks for and has no counterpart, or means something else here; a line each.
    """

    path: Path
    fields: Mapping[str, Any]
    lines: Mapping[tuple[str | int, ...], int]
    notes: list[str] = field(default_factory=list)

    def sweep(self, changes: Mapping[str, Any] | None = None) -> Sweep:
        """The sweep, with `changes` in place of its own fields.

        Raises:
            InvalidInput: with file and line, a field that makes no sense.
        """
        try:
            sweep = make_sweep({**self.fields, **(changes or {})})
            sweep.to_space()
            return sweep
        except FieldError as error:
            raise InvalidInput(f"{self.where(error.path)}: {error}") from None

    def where(self, path: tuple[str | int, ...]) -> str:
        """file:line of the innermost part of `path` that is in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return f"{self.path}:{self.lines[path[:length]]}"
        return str(self.path)


def read_sweep(path: str | Path) -> SweepFile:
    """A sweep file of ours, of W&B or of Determined.

    Raises:
        InvalidInput: there is none, it is not YAML, or what it says cannot be done.
    """
    path = Path(path).expanduser()
    body, lines = _read_yaml(path)
    from ray_hpo.sweepfile import determined, wandb

    for kind in (determined, wandb):
        if kind.recognises(body):
            try:
                fields, notes = kind.convert(body, path)
            except FieldError as error:
                raise InvalidInput(f"{SweepFile(path, {}, lines).where(error.path)}: {error}") from None
            except (TypeError, AttributeError, LookupError) as error:  # a list where a text belongs, say
                raise InvalidInput(f"{path}: a field has a value of the wrong kind: {error}") from None
            return SweepFile(path, fields, lines, notes)
    return SweepFile(path, body, lines)


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int]]:
    """The content of a file, and the line of each of its parts."""
    try:
        text = path.read_text()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}; give the path of a sweep file") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is no text in UTF-8; give the path of a sweep file") from None
    try:
        node = yaml.compose(text, Loader=Loader)
        body = yaml.load(text, Loader=Loader)  # a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        if "mapping values are not allowed" in problem:  # `command: x :lr: y`, where ": " begins a mapping
            problem = "text with ': ' in it, such as a command with placeholders, needs quotes around it"
        raise InvalidInput(f"{path}{line}: not YAML: {problem}") from None
    except (ValueError, TypeError, RecursionError) as error:  # PyYAML's, of dates, of mappings as keys, of depths
        raise InvalidInput(f"{path}: not YAML that can be read: {' '.join(str(error).split())}") from None
    if not isinstance(body, dict):
        raise InvalidInput(
            f"{path}: a sweep file holds fields such as command, parameters and metric; this one does not"
        )
    lines: dict[tuple[str | int, ...], int] = {}
    _note_lines(node, (), lines)
    return body, lines


def _note_lines(node: Any, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, key.value)
            lines[inner] = key.start_mark.line + 1
            _note_lines(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*path, i)] = value.start_mark.line + 1
            _note_lines(value, (*path, i), lines)


class Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML has it, but 1e-5 is a number, 1:30 a text, and a key that comes twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} comes twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _resolvers() -> dict[str, list[tuple[str, Any]]]:
    """PyYAML's, without its floats and integers (1:30 is 90 there, and 1e-5 a text), and with those of YAML 1.2."""
    import re

    numbers = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:int")
    kept = {
        start: [(tag, expression) for tag, expression in found if tag not in numbers]
        for start, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    whole = re.compile(r"[-+]?\d+$")
    floating = re.compile(
        r"(?:[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    )
    for start in "-+.0123456789":
        kept[start] = [*kept.get(start, []), (numbers[1], whole), (numbers[0], floating)]
    return kept


Loader.yaml_implicit_resolvers = _resolvers()
