"""The cluster under the executor: joining it, and what its nodes hold."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle

from ray_hpo.errors import InvalidInput
from ray_hpo.trainable_ref import short_name

# Where Ray keeps the address of the cluster that was last started on this machine (see ray.init's documentation).
REMEMBERED = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray", "ray_current_cluster")


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
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # spares every user a warning about the future
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


def actor_options(asked: Mapping[str, float]) -> dict[str, Any]:
    """`asked` as options of a Ray actor."""
    custom = {name: amount for name, amount in asked.items() if name not in ("CPU", "GPU") and amount}
    return {"num_cpus": asked.get("CPU", 0), "num_gpus": asked.get("GPU", 0), "resources": custom}


def not_on(nodes: Set[str]) -> dict[str, Any]:
    """Options of a Ray actor that keep it away from `nodes`, by their ids."""
    return {"label_selector": {"ray.io/node-id": f"!in({', '.join(sorted(nodes))})"}} if nodes else {}


def capacity(asked: Mapping[str, float]) -> int:
    """How many workers that ask for `asked` the nodes that are alive hold."""
    return sum(room(asked).values())


def room(asked: Mapping[str, float]) -> dict[str, int]:
    """By the id of a node how many workers that ask for `asked` it holds, if any."""
    fit = {node["NodeID"]: _fit(node["Resources"], asked) for node in _nodes()}
    return {node: count for node, count in fit.items() if count}


def node_name(number: str) -> str:
    """The address of the node with this id, and enough of the id to tell it from others there."""
    found = [node["NodeManagerAddress"] for node in _all_nodes() if node["NodeID"] == number]
    return f"{found[0]} ({number[:8]})" if found else number[:8]


def _nodes() -> list[dict[str, Any]]:
    return [node for node in _all_nodes() if node["Alive"]]


def _all_nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's
    return nodes


def check_possible(asked: Mapping[str, float]) -> None:
    """
    Raises:
        InvalidInput: no node can ever give `asked`; the message says what the nodes have.
    """
    if capacity(asked):
        return
    nodes = [_text(node["Resources"]) for node in _nodes()]
    raise InvalidInput(
        f"resources={_text(asked)}: no node of this cluster has that for one trial; its nodes have "
        + ", ".join(sorted(set(nodes)))
    )


def _fit(has: Mapping[str, float], asked: Mapping[str, float]) -> int:
    return int(min((has.get(name, 0.0) + 1e-9) // amount for name, amount in asked.items() if amount))


def _text(resources: Mapping[str, float]) -> str:
    shown = {
        name: f"{amount:g}"
        for name, amount in sorted(resources.items())
        if not name.startswith(("node:", "memory", "object_store", "accelerator_type"))
    }
    return "{" + ", ".join(f"{name}: {amount}" for name, amount in shown.items()) + "}"
