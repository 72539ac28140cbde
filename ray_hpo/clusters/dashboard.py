"""The way to a cluster's dashboard, which runs jobs and tells of nodes: its address, or a tunnel of ssh to the head."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import urlopen

from ray_hpo.clusters.file import ClusterFile
from ray_hpo.clusters.ray_cli import NO_CLUSTER, last_line, ray_command
from ray_hpo.errors import RayHpoError

PORT = 8265  # where `ray start --head` puts it
WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.1


@contextlib.contextmanager
def dashboard_of(cluster: ClusterFile | str, wait: float = WAIT_SECONDS) -> Iterator[str]:
    """The address of the dashboard, for as long as the context lasts. cluster: a file; or the address itself.

    Raises:
        RayHpoError: the cluster is not up, or its dashboard does not answer within `wait` seconds.
    """
    if isinstance(cluster, str):
        address = cluster if "://" in cluster else f"http://{cluster}"
        if not _answers(address, 10.0):
            raise RayHpoError(f"{address}: no dashboard of Ray answers there; is the cluster up, and the port right?")
        yield address
        return
    port = _free_port()
    with tempfile.TemporaryFile() as output:
        # A session of its own: ssh is a child of `ray dashboard`, and Ctrl-C shall not end it before we are done.
        tunnel = subprocess.Popen(
            _tunnel(cluster, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(cluster, address, tunnel, output.fileno(), wait)
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(tunnel.pid, signal.SIGTERM)
            tunnel.wait()


def _tunnel(cluster: ClusterFile, port: int) -> list[str]:
    if cluster.head is not None:
        forward = ("-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{PORT}", "-o", "ExitOnForwardFailure=yes")
        return cluster.ssh(cluster.head).command(*forward)
    return ray_command("dashboard", str(cluster.path), "--port", str(port), "--remote-port", str(PORT))


def _wait_for(cluster: ClusterFile, address: str, tunnel: subprocess.Popen[bytes], output: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while not _answers(address, 2.0):
        if tunnel.poll() is not None:
            told = os.pread(output, 1 << 20, 0).decode(errors="replace")
            if NO_CLUSTER in told:
                raise not_up(cluster)
            raise RayHpoError(f"{cluster.path}: no way to the head of cluster {cluster.name}: {last_line(told)}")
        if time.monotonic() > deadline:
            raise not_up(cluster, f"no dashboard answers on port {PORT} of its head (it takes ray[default] there)")
        time.sleep(_LOOK_SECONDS)


def not_up(cluster: ClusterFile, why: str = "it has no head") -> RayHpoError:
    return RayHpoError(f"cluster {cluster.name} is not up: {why}; `ray-hpo cluster up {cluster.path}` starts it")


def _answers(address: str, seconds: float) -> bool:
    try:
        with urlopen(f"{address}/api/version", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])
