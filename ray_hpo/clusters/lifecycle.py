"""A cluster's life: up until its workers have joined, what it does, down with nothing of Ray left on its machines."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ray_hpo.clusters.dashboard import dashboard_of
from ray_hpo.clusters.file import ClusterFile
from ray_hpo.clusters.ray_cli import on_head, run_ray
from ray_hpo.clusters.ssh import CONNECT_SECONDS, Done
from ray_hpo.errors import InvalidInput, RayHpoError

JOIN_SECONDS = 180.0  # how long machines that are there may take until they have joined
CLOUD_JOIN_SECONDS = 900.0  # those of a cloud boot first
_LOOK_SECONDS = 0.5
_STOPS = 4  # rounds of `ray stop`: a machine may have been starting Ray in the first
_CLIENTS = {"aws": ("boto3", "boto3"), "gcp": ("googleapiclient", "google-api-python-client")}
_NOTHING_LEFT = "Did not find any active Ray processes"


@dataclass(frozen=True)
class Node:
    """A node as the head knows it. resources: in Ray's names; why: of a death, in Ray's words."""

    address: str
    head: bool
    alive: bool
    resources: dict[str, float]
    why: str


@dataclass(frozen=True)
class Status:
    """nodes: alive ones first. jobs: submission id, status and command, the newest first."""

    nodes: list[Node]
    jobs: list[tuple[str, str, str]]


def up(cluster: ClusterFile, restart: bool = False) -> list[Node]:
    """Start a cluster and wait until its workers have joined; apply the file to one that is up, without a restart.

    What Ray then applies: setup commands; of a cloud, the types of machines. Its local provider reads addresses once.

    restart: restart Ray on one that is up, which ends what runs there.

    Raises:
        InvalidInput: this machine lacks ssh, rsync or the cloud's client.
        RayHpoError: machines cannot be reached, Ray does not start, or not all workers join.
    """
    _check_tools(cluster)
    if cluster.is_local:
        _check_machines(cluster)
    running = on_head(cluster, "ray health-check").code == 0
    if run_ray(cluster, "up", "--yes", *(["--no-restart"] if running and not restart else [])) != 0:
        raise RayHpoError(f"`ray up` did not succeed, see above{_hint(cluster)}")
    return wait_for_workers(cluster)


def wait_for_workers(cluster: ClusterFile) -> list[Node]:
    """The nodes, as soon as all that the file wants from the beginning have joined.

    Raises:
        RayHpoError: they have not, for minutes.
    """
    wanted = cluster.least_workers
    deadline = time.monotonic() + (JOIN_SECONDS if cluster.is_local else CLOUD_JOIN_SECONDS)
    with dashboard_of(cluster, wait=60.0) as address:
        while True:
            nodes = [node for node in _nodes(address) if node.alive]
            joined = {node.address for node in nodes if not node.head}
            if len(joined) >= wanted:
                return nodes
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_SECONDS)
    missing = [host for host in cluster.workers if host not in joined]
    raise RayHpoError(
        f"{len(joined)} of {wanted} workers joined cluster {cluster.name}"
        + (f"; missing: {', '.join(missing)} (one that is new in the file joins with --restart)" if missing else "")
        + f"; `ray monitor {cluster.path}` shows what the autoscaler says"
    )


def status(cluster: ClusterFile) -> Status:
    """
    Raises:
        RayHpoError: the cluster is not up.
    """
    from ray.job_submission import JobSubmissionClient

    with dashboard_of(cluster) as address:
        nodes = _nodes(address)
        jobs = JobSubmissionClient(address).list_jobs()
    jobs = sorted((job for job in jobs if job.submission_id), key=lambda job: -(job.start_time or 0))
    told = [(str(job.submission_id), str(job.status.value), job.entrypoint) for job in jobs]
    return Status(sorted(nodes, key=lambda node: (not node.alive, not node.head, node.address)), told)


def down(cluster: ClusterFile) -> None:
    """Stop a cluster: a cloud's machines are given back; on machines of one's own nothing of Ray is left.

    There `ray down` would stop the head alone, and take long over one that is gone.

    Raises:
        InvalidInput: this machine lacks ssh, rsync or the cloud's client.
        RayHpoError: Ray's launcher fails, or a machine cannot be reached.
    """
    _check_tools(cluster)
    if not cluster.is_local or cluster.in_docker:
        if run_ray(cluster, "down", "--yes") != 0:
            raise RayHpoError("`ray down` did not succeed, see above")
        return
    head = str(cluster.head)
    ended = {head: _stop(cluster, head)}  # first: it would start the workers again
    ended |= zip(cluster.workers, _on_all(_stop, cluster, cluster.workers), strict=True)
    failed = [f"{host}: {done.why}" for host, done in ended.items() if done.code != 0]
    if failed:
        raise RayHpoError(
            f"not stopped: {'; '.join(failed)}. Ray that still runs there ends about a minute after it misses its head"
        )


def _stop(cluster: ClusterFile, host: str) -> Done:
    """`ray stop`, until it finds nothing."""
    for _ in range(_STOPS):
        done = cluster.ssh(host).run(f"if command -v ray; then ray stop; else echo {_NOTHING_LEFT}; fi")
        if done.code != 0 or _NOTHING_LEFT in done.output + done.error:
            break
    return done


def _on_all(work: Any, cluster: ClusterFile, hosts: Sequence[str]) -> list[Done]:
    with ThreadPoolExecutor(max_workers=32) as threads:
        return list(threads.map(lambda host: work(cluster, host), hosts))


def _check_tools(cluster: ClusterFile) -> None:
    module, package = _CLIENTS.get(cluster.provider, ("ray", "ray"))
    if importlib.util.find_spec(module) is None:
        raise InvalidInput(f"provider {cluster.provider} needs a package more: pip install {package}")
    missing = [tool for tool in ("ssh", "rsync") if shutil.which(tool) is None]
    if missing:
        raise InvalidInput(f"this machine has no {' and no '.join(missing)}, which Ray's launcher uses; install them")


def _check_machines(cluster: ClusterFile) -> None:
    """Ask all machines at once: Ray's launcher would try each of them for minutes."""
    auth = cluster.config.get("auth") or {}
    key = os.path.expanduser(auth.get("ssh_private_key") or "")
    if key and not os.path.isfile(key):
        raise InvalidInput(f"{cluster.path}: auth.ssh_private_key: there is no file {key}")
    for remote, here in (cluster.config.get("file_mounts") or {}).items():
        if not os.path.exists(os.path.expanduser(here)):
            raise InvalidInput(f"{cluster.path}: file_mounts: {here} (for {remote}) is not there")
    hosts = [str(cluster.head), *cluster.workers]

    def look(cluster: ClusterFile, host: str) -> Done:
        return cluster.ssh(host).run("command -v rsync >/dev/null || echo no rsync", seconds=3 * CONNECT_SECONDS)

    wrong = []
    for host, done in zip(hosts, _on_all(look, cluster, hosts), strict=True):
        if done.code != 0:
            wrong.append(f"ssh {auth.get('ssh_user', 'root')}@{host} fails: {done.why}")
        elif "no rsync" in done.output:
            wrong.append(f"{host} has no rsync; install it there")
    if wrong:
        raise RayHpoError("; ".join(wrong))


def _hint(cluster: ClusterFile) -> str:
    """What is known to be wrong on the head."""
    found = on_head(cluster, "command -v ray >/dev/null || echo no ray")
    if found.code == 0 and "no ray" in found.output:
        return '; its head has no `ray`: let setup_commands install "ray[default]" and put it on PATH in ~/.bashrc'
    return ""


def _nodes(address: str) -> list[Node]:
    from ray.util.state import list_nodes

    return [
        Node(
            node.node_ip, node.is_head_node, node.state == "ALIVE", node.resources_total or {}, node.state_message or ""
        )
        for node in list_nodes(address=address, limit=10_000)
    ]
