"""What Ray's autoscaler may add to the cluster, as far as can be seen from here.

Ray's own autoscalers publish no list of the nodes that they may add. Ours is read from the file that the autoscaler was
started with, which lies on the head, where `ray job submit` runs drivers; or from the cluster's store, where a
platform has put it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import yaml

from ray_hpo.executors.ray.fit import Node
from ray_hpo.resources import Request

MANAGED = "ray.io/node-group"  # the label of nodes that were started by an autoscaler, or by Kubernetes


def addable(nodes: Sequence[Node]) -> Sequence[Node] | None:
    """The kinds of nodes that the cluster may have at its largest; empty where nothing adds any; None where something
    might, and what cannot be seen from here. nodes: those that are alive."""
    published = _published()
    if published is not None:
        return published
    config = _config_of_monitor(ray.get_runtime_context().gcs_address)
    if config is not None:
        return kinds_of(config)
    return None if any(node.labels.get(MANAGED) for node in nodes) else ()


def says_never(request: Request) -> bool:
    """Whether the autoscaler, if it is one that says so (version 2, Kubernetes'), has found that it can never add nodes
    for a request like this one, which waits."""
    with contextlib.suppress(Exception):  # likewise
        import ray._raylet as raylet
        from ray.core.generated import autoscaler_pb2 as messages

        client: Any = raylet.GcsClient(address=ray.get_runtime_context().gcs_address)  # type: ignore[attr-defined]
        reply: Any = messages.GetClusterStatusReply()  # type: ignore[attr-defined]  # both made without stubs
        reply.ParseFromString(client.get_cluster_status(timeout_s=5))
        return is_infeasible(reply.autoscaling_state, request)
    return False


def is_infeasible(state: Any, request: Request) -> bool:
    """Whether the autoscaler's `state`, a message of Ray's, names a request like this one as one for which there is no
    node."""
    never = [[one] for one in state.infeasible_resource_requests]
    for gang in state.infeasible_gang_resource_requests:
        never.append(gang.requests or gang.bundle_selectors[0].resource_requests)
    wanted = sorted(_plain(bundle) for bundle in request.bundles)
    return any(sorted(_plain(one.resources_bundle) for one in group) == wanted for group in never)


def _plain(bundle: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted((name, amount) for name, amount in bundle.items() if amount)


def kinds_of(config: Mapping[str, Any]) -> list[Node]:
    """The kinds of worker nodes that a cluster file (as for `ray up`) names, each with the most there can be of it."""
    most = config.get("max_workers", 2)
    kinds = []
    for name, kind in (config.get("available_node_types") or {}).items():
        count = min(most, kind.get("max_workers", most))
        if name != config.get("head_node_type") and count > 0:
            labels = {MANAGED: name, **(kind.get("labels") or {})}
            kinds.append(Node(_amounts(kind.get("resources") or {}), labels, count))
    return kinds


def _published() -> list[Node] | None:
    with contextlib.suppress(Exception):  # not a public part of Ray: whatever goes wrong, it is not to be had
        from ray._private.state import state

        config = state.get_cluster_config()
        if config is not None and config.node_group_configs:
            return [
                Node(_amounts(dict(kind.resources)), {MANAGED: kind.name}, _count(kind.max_count))
                for kind in config.node_group_configs
                if kind.max_count
            ]
    return None


def _count(most: int) -> int:
    return sys.maxsize if most < 0 else most


def _amounts(resources: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(amount) for name, amount in resources.items()}


def _config_of_monitor(address: str) -> Mapping[str, Any] | None:
    """What the autoscaler of the cluster at `address` was started with, if it runs on this machine."""
    for words in _command_lines():
        options = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
        if options.get("gcs-address") == address and options.get("autoscaling-config"):
            with contextlib.suppress(OSError, yaml.YAMLError):
                config = yaml.safe_load(Path(options["autoscaling-config"]).expanduser().read_text())
                if isinstance(config, Mapping):
                    return config
    return None


def _command_lines() -> Iterator[list[str]]:
    """Of the processes on this machine that are monitors of Ray."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(word.endswith("monitor.py") for word in words):
                yield words
