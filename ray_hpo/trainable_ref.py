"""Where a trainable can be imported from, written into the journal so that `ray-hpo resume PATH` needs no code."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ray_hpo.command.command import Command
from ray_hpo.errors import InvalidInput, JournalError, RayHpoError


def reference_of(trainable: Any) -> dict[str, Any] | None:
    """Module, name and file of a trainable that stands at the top of a module; None for lambdas, closures and
    notebooks. A command is written down as it is."""
    if isinstance(trainable, Command):
        return {"command": trainable.to_json()}
    module = sys.modules.get(getattr(trainable, "__module__", ""))
    name = getattr(trainable, "__qualname__", "")
    if module is None or getattr(module, name, None) is not trainable:
        return None
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    if module.__name__ == "__main__":
        spec = getattr(module, "__spec__", None)  # set by `python -m package.module`
        return {"module": spec.name if spec else "", "name": name, "file": os.path.abspath(file)}
    return {"module": module.__name__, "name": name, "file": os.path.abspath(file)}


def text_of(reference: Mapping[str, Any]) -> str:
    """What the journal names, for people."""
    if "command" in reference:
        words = reference["command"].get("words", ())
        return "the command " + (words if isinstance(words, str) else " ".join(map(str, words)))
    return f"{reference.get('name')} of {reference.get('file')}"


def import_trainable(reference: Mapping[str, Any] | None, path: object) -> Any:
    """The trainable that the journal of the experiment at `path` names.

    Raises:
        InvalidInput: the journal names none.
        RayHpoError: it is not where it was.
    """
    if reference is None:
        raise InvalidInput(
            f"the trainable of {path} has no name to import it by (a lambda, a closure, a notebook's function): "
            f"call ray_hpo.resume({str(path)!r}, train) where it is defined, or move it to the top of a module"
        )
    try:
        if "command" in reference:
            return Command.from_json(reference["command"])
        module, name, file = (str(reference[key]) for key in ("module", "name", "file"))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(f"the journal of {path} names a trainable that is none: {error}") from error
    where = f"{module or file}:{name}"
    try:
        loaded = _import(module, file)
    except Exception as error:
        raise RayHpoError(f"cannot import the trainable {where}: {type(error).__name__}: {error}") from error
    if not hasattr(loaded, name):
        raise RayHpoError(f"cannot import the trainable {where}: {file} has no {name!r} any more")
    return getattr(loaded, name)


def _import(module: str, file: str) -> ModuleType:
    """By name where that leads to the recorded file, else by file."""
    if module:
        root = Path(file).parents[module.count(".") + (Path(file).name == "__init__.py")]
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        return importlib.import_module(module)
    folder = str(Path(file).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as it was when the script ran
    spec = importlib.util.spec_from_file_location(f"ray_hpo_resumed_{Path(file).stem}", file)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(loaded)  # type: ignore[no-untyped-call]  # workers cannot import it by this name
    return loaded


def short_name(trainable: Any) -> str:
    """A short name of the trainable for folders and displays."""
    if isinstance(trainable, Command):
        return trainable.name
    target = inspect.unwrap(getattr(trainable, "func", trainable))  # functools.partial
    return str(getattr(target, "__name__", type(target).__name__)).strip("<>")
