"""`Command`: a program to tune, as it is written on a command line."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray_hpo.command.placeholders import RESERVED, in_single_quotes, names_in
from ray_hpo.command.sources import KINDS, STREAMS
from ray_hpo.command.values import regex_reader
from ray_hpo.errors import InvalidInput, near_matches

LONGEST_GRACE = 25.0  # seconds; a worker whose trial takes longer to end is given up, see worker/runner.py


@dataclass(frozen=True)
class Command:
    """A program to tune: `Command(["python", "train.py", "--lr", ":lr:", "--epochs", ":budget:"])`.

    words: the program and its arguments, in which `:name:` stands for the parameter of that name, anywhere in a word;
        and `:budget:`, `:trial_id:`, `:seed:`, `:output:` (a folder of the trial's own) and `:checkpoint:` (a folder to
        go on from, if anything is in it, and to save into). Without any parameter's placeholder, `--name value` is
        appended for each.
    shell: `words` is one line for /bin/sh. Values reach it as variables, never as code.
    metrics_from: "stdout", "stderr", or "csv:PATH", "jsonl:PATH", "tensorboard:FOLDER" for what the program writes;
        these paths may hold placeholders.
    metric_regex: expressions to find metrics in lines with, instead of `key=value`, `key: value` and JSON: a named
        group is the metric of that name, the first group of an expression without names the experiment's metric.
    folder: where it runs; default: where this is called. Placeholders may stand in it.
    grace: seconds that it has to end after SIGTERM, before SIGKILL.

    Each new epoch in what it prints is a report (see command/epochs.py). With `:checkpoint:` a trial is paused and goes
    on from what it saved; with `:budget:` it is run again, from nothing, to a bigger budget; with neither it is run
    again too, unless the algorithm only stops trials (asha_stopping, median_stopping).

    Raises:
        InvalidInput: the command makes no sense.
    """

    words: Sequence[str]
    shell: bool = False
    metrics_from: str = "stdout"
    metric_regex: Sequence[str] = ()
    folder: str = field(default_factory=os.getcwd)
    grace: float = 10.0

    def __post_init__(self) -> None:
        words = [self.words] if isinstance(self.words, str) and self.shell else self.words
        if isinstance(words, str) or not words or not all(isinstance(word, str) and "\0" not in word for word in words):
            raise InvalidInput(
                f"a command is a list of words, as in Command(['python', 'train.py']); got {self.words!r}; "
                "or one line with shell=True"
            )
        if self.shell and len(words) != 1:
            raise InvalidInput(f"with shell=True a command is one line, in quotes; got {len(words)} words: {words!r}")
        object.__setattr__(self, "words", tuple(words))
        object.__setattr__(self, "metric_regex", tuple(self.metric_regex))
        if not self.folder.startswith(":"):  # a placeholder, of a whole path
            object.__setattr__(self, "folder", os.path.abspath(os.path.expanduser(self.folder)))
        if self.shell and in_single_quotes(words[0]):
            name = in_single_quotes(words[0])[0]
            raise InvalidInput(
                f"command: :{name}: stands in single quotes, where a shell looks at nothing; use double ones"
            )
        if not 0 < self.grace <= LONGEST_GRACE:
            raise InvalidInput(f"grace must be seconds above 0, at most {LONGEST_GRACE:g}; got grace={self.grace!r}")
        regex_reader(self.metric_regex, "")
        self._check_source()

    @property
    def names(self) -> list[str]:
        """The placeholders anywhere in it, the reserved ones among them."""
        return names_in([*self.words, self.folder, self.source[1]])

    @property
    def saves(self) -> bool:
        """Whether it is told a folder to go on from and to save into."""
        return "checkpoint" in self.names

    @property
    def takes_budget(self) -> bool:
        return "budget" in self.names

    @property
    def appends(self) -> bool:
        """Whether parameters are appended as `--name value`."""
        return not self.shell and not any(name not in RESERVED for name in self.names)

    @property
    def source(self) -> tuple[str, str]:
        """(kind, path) of where metrics are; the path is empty for streams."""
        kind, _, path = self.metrics_from.partition(":")
        return kind, path

    @property
    def name(self) -> str:
        """A short name, of the script rather than of its interpreter."""
        words = self.words[0].split() if self.shell else self.words
        scripts = [word for word in words[1:3] if re.fullmatch(r"[\w./-]*\w\.[A-Za-z]\w*", word)]
        stem = os.path.splitext(os.path.basename((scripts or words)[0]))[0]
        return re.sub(r"[^\w.-]", "-", stem).strip("-.") or "command"

    def check(self, parameters: Sequence[str]) -> None:
        """Look whether the command and the parameters of a space go together.

        Raises:
            InvalidInput: a placeholder without a parameter, a parameter without a placeholder.
        """
        for name in parameters:
            if name in RESERVED:
                raise InvalidInput(
                    f"parameter {name!r}: the placeholder :{name}: is {RESERVED[name]}; give another name"
                )
        for name in self.names:
            if name not in RESERVED and name not in parameters:
                near = near_matches(name, [*parameters, *RESERVED])
                raise InvalidInput(f"command: :{name}: is no parameter; {near}; write ::{name}:: if you mean the text")
        missing = [name for name in parameters if name not in self.names]
        if missing and not self.appends:
            raise InvalidInput(
                f"parameter {missing[0]!r} is not in the command: put :{missing[0]}: where it belongs, or leave it out"
            )

    def check_program(self) -> None:
        """Look for the program on this machine.

        Raises:
            InvalidInput: it is not here.
        """
        program = self.words[0]
        if self.shell or names_in([program, self.folder]):
            return
        if not os.path.isdir(self.folder):
            raise InvalidInput(f"folder={self.folder!r} is not a folder")
        path = os.path.join(self.folder, program) if os.path.dirname(program) else program
        if shutil.which(path) is None:
            way_out = "make it executable, or begin with its interpreter" if os.path.isfile(path) else _like(program)
            raise InvalidInput(f"command: the program {program!r} cannot be run: {way_out}")

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Command:
        return cls(**body)

    def _check_source(self) -> None:
        kind, path = self.source
        if kind in STREAMS and not path:
            return
        if kind not in KINDS or not path:
            known = ", ".join([*STREAMS, "csv:PATH", "jsonl:PATH", "tensorboard:FOLDER"])
            raise InvalidInput(f"metrics_from must be one of {known}; got metrics_from={self.metrics_from!r}")
        if not {"output", "trial_id"} & {*names_in([path, self.folder])}:
            raise InvalidInput(
                f"metrics_from={self.metrics_from!r}: every trial would write the same place; "
                f"put :output: or :trial_id: into the path, as in {kind}::output:/{os.path.basename(path)}"
            )


def _like(program: str) -> str:
    """What may have been meant by a program that is not on the PATH."""
    found: set[str] = set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isdir(folder):
            found |= {name for name in os.listdir(folder) if name[:1] == program[:1]}
    near = near_matches(program, found) if found else ""
    return f"it is not on the PATH; {near}" if near.startswith("did") else "it is not on the PATH; give its whole path"
