"""`ray-hpo init`: a first sweep file for a script."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ray_hpo.cli.app import SWEEP, app, tell
from ray_hpo.errors import InvalidInput


@app.command(rich_help_panel=SWEEP)
def init(
    script: Annotated[Path, typer.Argument(help="The script that trains, with argparse or a --help.")],
    to: Annotated[Path, typer.Option("--to", "-o", help="The file to write; - for standard output.")] = Path(
        "sweep.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented sweep file for a script, from the arguments that it declares."""
    from ray_hpo.sweepfile.init import read_options, sweep_text

    if str(to) != "-" and to.exists() and not force:
        raise InvalidInput(f"{to} is there already; --force writes over it, --to names another")
    text = sweep_text(script, read_options(script)).replace("ray-hpo plan {}", f"ray-hpo plan {to}")
    if str(to) == "-":
        tell(text, end="")
        return
    to.write_text(text)
    tell(f"{to} is written: look at its ranges and its metric, then `ray-hpo run {to}`")
