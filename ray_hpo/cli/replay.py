"""`ray-hpo replay`: what another algorithm would have done with recorded results."""

from __future__ import annotations

from typing import Annotated

import typer

from ray_hpo.cli.app import INSPECT, JsonOption, PathArgument, app, print_json, tell


@app.command(rich_help_panel=INSPECT)
def replay(
    path: PathArgument,
    algo: Annotated[
        str, typer.Option(help="asha, hyperband, sh, median_stopping ...: who decides how far trials train.")
    ],
    workers: Annotated[
        int | None, typer.Option(help="Trials at a time; default: as many as there were.", min=1)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what another algorithm would have done with the results that an experiment recorded."""
    from ray_hpo.replay import replay as run
    from ray_hpo.results import load

    outcome = run(load(path), algo, workers)
    if as_json:
        print_json(outcome.to_json())
        return
    for line in outcome.lines():
        tell(line)
