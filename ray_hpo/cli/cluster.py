"""`ray-hpo cluster up`, `status`, `down` and `ray-hpo submit`: clusters that `ray up` starts, and sweeps on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_hpo.cli.app import CLUSTERS, Group, JsonOption, app, print_json, tell

if TYPE_CHECKING:
    from ray_hpo.clusters.file import ClusterFile
    from ray_hpo.clusters.lifecycle import Node

cluster_app = typer.Typer(cls=Group, no_args_is_help=True, help="Start, look at and stop a cluster of a `ray up` file.")
app.add_typer(cluster_app, name="cluster", rich_help_panel=CLUSTERS)

FileArgument = Annotated[Path, typer.Argument(help="A cluster file, as those in cluster/.")]


@cluster_app.command()
def up(
    file: FileArgument,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart Ray where it runs: ends what runs on it.")
    ] = False,
) -> None:
    """Start a cluster, and wait until its workers have joined. One that is up is brought up to date, and runs on."""
    from ray_hpo.clusters import lifecycle

    cluster = _read(file)
    nodes = lifecycle.up(cluster, restart)
    workers = sum(not node.head for node in nodes)
    tell(f"cluster {cluster.name} is up: a head and {workers} workers")
    tell(f"submit: ray-hpo submit {file} -- python sweep.py")


@cluster_app.command()
def status(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show a cluster's nodes and jobs."""
    from ray_hpo.clusters import lifecycle

    cluster = _read(file)
    found = lifecycle.status(cluster)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    alive = sum(node.alive for node in found.nodes)
    tell(f"cluster {cluster.name}: {alive} nodes alive, {len(found.nodes) - alive} gone")
    for node in found.nodes:
        tell(f"  {_node(node)}")
    tell("jobs" if found.jobs else "no jobs")
    for job, state, command in found.jobs:
        tell(f"  {job}  {state.lower()}  {command}")


@cluster_app.command()
def down(file: FileArgument) -> None:
    """Stop a cluster, and all that runs on it. What sweeps have stored stays."""
    from ray_hpo.clusters import lifecycle

    cluster = _read(file)
    lifecycle.down(cluster)
    tell(f"cluster {cluster.name} is down")


@app.command(rich_help_panel=CLUSTERS, no_args_is_help=True)
def submit(
    cluster: Annotated[str, typer.Argument(metavar="FILE|ADDRESS", help="A cluster file, or a dashboard's address.")],
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND ...", help="What to run.")] = None,
    working_dir: Annotated[
        Path, typer.Option(help="The folder that the command needs; what its .gitignore names is not sent.")
    ] = Path("."),
    job: Annotated[str | None, typer.Option("--id", help="A name of your own for the job.")] = None,
) -> None:
    """Run a sweep on a cluster, on its head: this machine may go. ray-hpo submit cluster.yaml -- python sweep.py"""
    from ray_hpo.clusters.jobs import how_to_go_on, submit

    target = cluster if _is_address(cluster) else _read(Path(cluster))
    name = submit(target, command or [], working_dir, job)
    tell(f"submitted: {name}; it runs on the cluster, whatever becomes of this machine")
    for what, line in how_to_go_on(target, name):
        tell(f"{what}: {line}")


def _is_address(text: str) -> bool:
    """http://host:8265, or host:8265."""
    return "://" in text or text.rpartition(":")[2].isdigit()


def _read(file: Path) -> ClusterFile:
    from ray_hpo.clusters.file import read_cluster_file

    return read_cluster_file(file)


def _node(node: Node) -> str:
    kind = "head" if node.head else "worker"
    if not node.alive:
        return f"{node.address:<16} {kind:<7} gone: {node.why or 'no reason given'}"
    shown = ", ".join(f"{node.resources[name]:g} {name}" for name in ("CPU", "GPU") if node.resources.get(name))
    return f"{node.address:<16} {kind:<7} {shown}"
