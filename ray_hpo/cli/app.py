"""The typer application that the groups of commands below add to, and what they share."""

from __future__ import annotations

import io
import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ray_hpo.errors import InvalidInput, near_matches
from ray_hpo.visible import visible

EPILOG = (
    "Exit codes: 0 all went well; 1 it failed, or no trial has a result; 2 a mistake in what you wrote; "
    "130 interrupted by Ctrl-C and 143 by SIGTERM (ray-hpo resume goes on). "
    "NO_COLOR is respected; in a pipe the output is plain."
)


class Group(TyperGroup):
    """Commands; a name that is none is told as any other mistake."""

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):  # whatever trials report is printed, half of an emoji too
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().invoke(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is None and not ctx.resilient_parsing:
            raise InvalidInput(f"no command {cmd_name!r}; {near_matches(cmd_name, self.commands)}")
        return command


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Hyperparameter tuning on Ray: sweeps of any script, and a look at what they found.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PathArgument = Annotated[str, typer.Argument(help="The experiment's folder, or its URI.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

INSPECT = "Look at experiments"
SWEEP = "Sweep a script"
CLUSTERS = "Clusters"


def tell(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print text, whoever it is from; see `visible`. All that is printed goes through this, or through a `Screen`."""
    typer.echo(visible(text) + end, err=err, nl=False)


def ask(question: str) -> bool:
    """Have the user say yes or no."""
    return typer.confirm(visible(question))


def print_json(value: Any) -> None:
    tell(json.dumps(value, indent=2, default=str).replace("\x7f", "\\u007f"))  # the one that JSON leaves as it is
