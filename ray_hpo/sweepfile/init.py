"""`ray-hpo init`: a first sweep file for a script, from the arguments that it declares."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_hpo.errors import InvalidInput
from ray_hpo.sweepfile import argparse_probe

PROBE_SECONDS = 120.0
_METRICS = ("val_loss", "val_acc", "val_accuracy", "test_loss", "test_acc", "valid_loss", "accuracy", "acc", "loss")
_PATHS = ("str", "Path", "PosixPath")
_IN_HELP = re.compile(r"^\s{1,8}(?:-\w[ ,]+(?:[A-Z_]+,\s*)?)?(--[\w-]+)(?:[ =](\S+))?\s*(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Option:
    """One argument of a script, and what may be searched: text for a sweep file, or a placeholder."""

    flag: str
    type: str
    default: Any
    choices: Sequence[Any]
    help: str
    switch: bool

    @property
    def name(self) -> str:
        return self.flag.lstrip("-").replace("-", "_")


def read_options(script: Path) -> list[Option]:
    """The options that a script declares: asked of argparse itself, else read from its `--help`.

    Raises:
        InvalidInput: it is not there, or declares nothing.
    """
    if not script.is_file():
        raise InvalidInput(f"{script} is not a file; give the script that trains")
    if script.suffix == ".py":
        told = _run([sys.executable, str(Path(argparse_probe.__file__)), str(script)])
        for line in told.splitlines():
            if line.startswith(argparse_probe.MARK):
                return [Option(**one) for one in json.loads(line.removeprefix(argparse_probe.MARK))]
    words = [sys.executable, str(script)] if script.suffix == ".py" else [str(script.absolute())]
    options = options_in_help(_run([*words, "--help"]))
    if not options:
        raise InvalidInput(
            f"{script} names no options: neither argparse nor --help tells of any; write the file by hand"
        )
    return options


def options_in_help(text: str) -> list[Option]:
    """The options in what `--help` prints, of click and others: names, and defaults where they stand there."""
    found = []
    for match in _IN_HELP.finditer(text):
        flag, placeholder, rest = match.groups()
        if flag in ("--help", "--version"):
            continue
        default = re.search(r"default[:= ]+([^\s\])]+)", rest)
        value = _value(default[1]) if default else None
        choices = re.fullmatch(r"[\[{](\S+[|,]\S+)[\]}]", placeholder or "")
        options = [_value(part) for part in re.split(r"[|,]", choices[1])] if choices else []
        found.append(Option(flag, type(value).__name__, value, options, rest.strip(), placeholder is None))
    return found


def sweep_text(script: Path, options: Sequence[Option]) -> str:
    """A commented sweep file for `script`."""
    ranges: list[str] = []
    words: list[str] = ["python" if script.suffix == ".py" else f"./{script}"]
    if script.suffix == ".py":
        words.append(str(script))
    left: list[str] = []
    for option in options:
        own, domain = _own(option), _domain(option)
        if own:
            words.append(f"{option.flag} :{own}:")
        elif domain:
            words.append(f"{option.flag} :{option.name}:")
            ranges.append(f"  {option.name}: {domain}{_comment(option)}")
        else:
            left.append(f"  # {option.name}: {_default(option)}{_comment(option)}")
    text = script.read_text(errors="replace")
    metric = next((name for name in _METRICS if re.search(rf"\b{name}\b", text)), "val_loss")
    told = " ".join(words)
    budget = next((o.default for o in options if _own(o) == "budget" and isinstance(o.default, int)), 27)
    with_budget = ":budget:" in told
    stop = (
        f"max_budget: {budget}  # a full training, in epochs"
        if with_budget
        else "# max_budget: 27  # epochs: stops early"
    )
    lines = [
        f"# A sweep of {script.name}. Look at what `ray-hpo plan {{}}` says, then `ray-hpo run` it.",
        "",
        "# :NAME: is a parameter, :budget: the epochs to train to, :seed:, :output: and :checkpoint: the trial's own;",
        "# a script that saves into :checkpoint:, and goes on from what is there, is paused instead of run again.",
        f'command: "{told}"',
        "",
        "# low:high[:int][:log][:step=S], a list of options, or one value",
        "parameters:",
        *(ranges or ["  # none was recognised: write name: low:high"]),
        *(["  # not searched:", *left] if left else []),
        "",
        f"metric: {metric}  # as the script prints it: {metric}=0.25, {metric}: 0.25, or JSON",
        f"mode: {'max' if 'acc' in metric else 'min'}",
        "",
        stop,
        "num_trials: 50",
        "# time_limit: 2h",
        "# algo: bohb  # default: chosen to fit",
        "# resources: {cpu: 1, gpu: 0.5}  # of one trial",
    ]
    return "\n".join(lines) + "\n"


def _own(option: Option) -> str:
    """The placeholder that an option is meant for by its name."""
    name = option.name
    if re.fullmatch(r"(n|num|max)?_?epochs?", name):
        return "budget"
    if name in ("seed", "random_seed"):
        return "seed"
    if re.fullmatch(r"(out|output|log|logging|results?)(_?(dir|folder|path))?", name) and option.type in _PATHS:
        return "output"
    if re.fullmatch(r"(ckpt|checkpoint|resume)(_?(dir|folder|path|from))?", name) and option.type in _PATHS:
        return "checkpoint"
    return ""


def _domain(option: Option) -> str:
    """A range around the default that is worth a search; empty where there is none."""
    name, default = option.name, option.default
    if len(option.choices) > 1:
        return json.dumps(list(option.choices))
    if (
        option.switch
        or isinstance(default, bool)
        or re.search(r"worker|thread|port|gpu|rank|interval|verbose|every", name)
    ):
        return ""
    if option.type == "float" and isinstance(default, (int, float)):
        if re.search(r"dropout|drop_rate|momentum|beta|gamma|smoothing", name) and 0 <= default < 1:
            return "0:0.99" if re.search(r"momentum|beta|gamma", name) else "0:0.6"
        return f"{default / 100:.3g}:{default * 10:.3g}:log" if default > 0 else "1e-6:1e-1:log" if default == 0 else ""
    if option.type == "int" and isinstance(default, int) and default > 0:
        if default >= 8 and default & (default - 1) == 0:  # sizes
            return json.dumps([default // 4, default // 2, default, default * 2])
        return f"{max(1, default // 2)}:{default * 2}:int"
    return ""


def _default(option: Option) -> str:
    return "" if option.default is None else str(option.default)


def _comment(option: Option) -> str:
    default = f"default {option.default}" if option.default is not None else ""
    help_text = option.help.replace("%(default)s", str(option.default))
    told = "; ".join(part for part in (help_text, "" if "default" in help_text else default) if part)
    return f"  # {told}" if told else ""


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("'\"")


def _run(words: Sequence[str]) -> str:
    """What a program prints; empty if it cannot be run."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=PROBE_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
