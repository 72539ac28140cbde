"""The cluster under the executor: joining it, and what its nodes hold."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle

from ray_hpo.errors import InvalidInput
from ray_hpo.executors.ray.autoscaler import addable
from ray_hpo.executors.ray.fit import Node, capacity
from ray_hpo.resources import Request, labels_text, resources_text
from ray_hpo.trainable_ref import short_name

# Where Ray keeps the address of the cluster that was last started on this machine (see ray.init's documentation).
REMEMBERED = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray", "ray_current_cluster")

# Of a Ray that is started here, where the user has not said otherwise.
STARTED = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # spares every user a warning about the future
    # In some starts a node looks for its object store just before that listens, and by default again after a second,
    # up to ten times.
    "RAY_raylet_client_connect_timeout_milliseconds": "50",
    "RAY_raylet_client_num_connect_attempts": "200",
}


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names or that was started on this machine, or start Ray here; quietly.

    A Ray that is up is left as it is. A cluster that this machine remembers, but that is gone, is passed over: Ray
    itself would wait for it for minutes.

    Raises:
        InvalidInput: RAY_ADDRESS names a cluster that does not answer.
    """
    if ray.is_initialized():
        return
    asked, address = os.environ.get("RAY_ADDRESS"), None
    if asked:
        if not _answers(asked):
            raise InvalidInput(f"RAY_ADDRESS={asked}: no Ray cluster answers there; start it, or unset RAY_ADDRESS")
    elif REMEMBERED.is_file() and not _answers(REMEMBERED.read_text().strip()):
        address = "local"
    for name, value in STARTED.items():
        os.environ.setdefault(name, value)
    with ThreadPoolExecutor(1, "import") as beside:  # starting Ray is mostly waiting
        beside.submit(_import_early)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)


def _import_early() -> None:
    """What Ray imports when it first sends something, which takes 0.3 s."""
    for name in ("pyarrow", "pydantic.fields"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _answers(address: str) -> bool:
    """Whether something listens at host:port; any other form of address is left to Ray."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdigit()) or "/" in host:
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError:
        return False
    return True


def check_sendable(trainable: Any) -> None:
    """
    Raises:
        InvalidInput: `trainable` cannot be pickled.
    """
    try:
        cloudpickle.dumps(trainable)  # type: ignore[no-untyped-call]  # Ray's
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidInput(
            f"the trainable {short_name(trainable)} cannot be sent to workers: {reason}; "
            "make what it refers to inside of it, not outside"
        ) from error


def alive_nodes() -> list[Node]:
    """The nodes that trials can be placed on: alive, and not about to be shut down."""
    leaving = draining()
    return [
        Node(node["Resources"], node.get("Labels") or {}, id=node["NodeID"])
        for node in _all_nodes()
        if node["Alive"] and node["NodeID"] not in leaving
    ]


def draining() -> frozenset[str]:
    """The ids of nodes that Ray knows will be shut down soon; it places nothing there any more."""
    with contextlib.suppress(Exception):  # not a public part of Ray: without it nodes are lost unannounced
        from ray._private.state import state

        return frozenset(state.get_draining_nodes())
    return frozenset()


def job_id() -> str:
    """Ray's name for this driver."""
    number: str = ray.get_runtime_context().get_job_id()
    return number


def ended_jobs() -> frozenset[str]:
    """Ray's names for the drivers that are gone."""
    with contextlib.suppress(Exception):  # not a public part of Ray
        from ray._private.state import state

        jobs: list[dict[str, Any]] = state.job_table()  # type: ignore[no-untyped-call]  # Ray's
        return frozenset(job["JobID"] for job in jobs if job["IsDead"])
    return frozenset()


def slots(request: Request, most: int | None = None) -> int:
    """How many trials at a time the cluster holds, and could hold with all nodes that its autoscaler may add."""
    nodes = alive_nodes()
    return max(capacity(nodes, request, most), capacity(addable(nodes) or (), request, most))


def node_name(number: str) -> str:
    """The address of the node with this id, and enough of the id to tell it from others there."""
    found = [node["NodeManagerAddress"] for node in _all_nodes() if node["NodeID"] == number]
    return f"{found[0]} ({number[:8]})" if found else number[:8]


def _all_nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's
    return nodes


def check_possible(request: Request) -> None:
    """
    Raises:
        InvalidInput: neither the nodes nor any that the autoscaler may add can ever give `request`; the message says
            what they have.
    """
    nodes = alive_nodes()
    kinds = addable(nodes)
    if kinds is None or capacity([*nodes, *kinds], request, most=1):
        return
    more = f"; its autoscaler may add {node_texts(kinds, request)}" if kinds else ""
    what = "no node of this cluster has" if not request.grouped else "the nodes of this cluster do not have"
    raise InvalidInput(
        f"resources={request}: {what} that for one trial; its nodes have {node_texts(nodes, request)}{more}"
    )


def node_texts(nodes: Sequence[Node], request: Request) -> str:
    """What `nodes` have, each kind once, for messages about `request`."""
    return ", ".join(sorted({_text(node, request) for node in nodes})) or "nothing"


def _text(node: Node, request: Request) -> str:
    """What is of interest of a node: memory, which differs from node to node, and labels only where they are asked
    for."""
    silent = () if request.amount("memory") else ("memory",)
    text = resources_text({name: amount for name, amount in node.resources.items() if name not in silent})
    if not request.labels:
        return text
    there = {key: node.labels[key] for key in request.labels if key in node.labels}
    return f"{text} with {labels_text(there)}" if there else f"{text} without labels"
