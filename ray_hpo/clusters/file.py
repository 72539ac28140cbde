"""A cluster file: what `ray up` reads, checked before anything starts."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ray_hpo.clusters.ssh import Ssh
from ray_hpo.errors import InvalidInput


@dataclass(frozen=True)
class ClusterFile:
    """A checked cluster file. provider: Ray's word for where the nodes come from ("aws", "gcp", "local", ...)."""

    path: Path
    name: str
    provider: str
    config: Mapping[str, Any]

    @property
    def head(self) -> str | None:
        """The head's address as this machine reaches it; None where a cloud gives one."""
        provider = self.config["provider"]
        return provider.get("external_head_ip") or provider.get("head_ip") if self.is_local else None

    @property
    def workers(self) -> tuple[str, ...]:
        """The addresses of the machines beside the head; none where a cloud gives them."""
        return tuple(self.config["provider"].get("worker_ips") or ()) if self.is_local else ()

    @property
    def is_local(self) -> bool:
        """Whether these are machines of the user's own, given by address."""
        return self.provider == "local" and "head_ip" in self.config["provider"]

    @property
    def in_docker(self) -> bool:
        return bool((self.config.get("docker") or {}).get("container_name"))

    @property
    def least_workers(self) -> int:
        """How many workers join without being asked for."""
        if self.is_local:
            return int(self.config.get("min_workers", len(self.workers)))
        types = self.config.get("available_node_types") or {}
        head = self.config.get("head_node_type")
        return sum(int(kind.get("min_workers") or 0) for name, kind in types.items() if name != head)

    def ssh(self, host: str) -> Ssh:
        """How this machine reaches a machine of a local cluster: workers by way of a head that has a second address."""
        auth = self.config.get("auth") or {}
        user, key, proxy = auth.get("ssh_user", "root"), auth.get("ssh_private_key"), auth.get("ssh_proxy_command")
        direct = Ssh(user, host, key and str(Path(key).expanduser()), proxy)
        if self.config["provider"].get("external_head_ip") and host != self.head:
            return direct.through(self.ssh(str(self.head)))
        return direct


def read_cluster_file(path: Path) -> ClusterFile:
    """
    Raises:
        InvalidInput: there is no such file, or `ray up` could not work with what it says.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file; files to begin with are in cluster/ of our repository")
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InvalidInput(f"{where}: this is no YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(config, dict):
        raise InvalidInput(f"{path}: a cluster file is a mapping with cluster_name, provider, auth ...")
    if "apiVersion" in config:
        raise InvalidInput(f"{path}: this is a manifest of Kubernetes: `kubectl apply -f {path}` starts it")
    provider = config.get("provider")
    if not isinstance(provider, dict) or not isinstance(provider.get("type"), str):
        raise InvalidInput(f"{path}: provider.type is missing: aws, gcp, local, or another one of Ray's")
    file = ClusterFile(path, str(config.get("cluster_name", "default")), provider["type"], config)
    if provider["type"] == "local":
        _check_local(file)
    _check_as_ray_does(file)
    return file


def _check_local(file: ClusterFile) -> None:
    provider = file.config["provider"]
    if "coordinator_address" in provider:
        return
    workers = provider.get("worker_ips")
    if not isinstance(provider.get("head_ip"), str) or not isinstance(workers, list):
        raise InvalidInput(f"{file.path}: provider needs head_ip, an address, and worker_ips, a list of addresses")
    if file.head in workers or len(set(workers)) < len(workers):
        raise InvalidInput(
            f"{file.path}: head_ip and worker_ips name a machine twice: {file.head}, {', '.join(workers)}"
        )
    for field in ("available_node_types", "head_node_type"):
        if field in file.config:
            raise InvalidInput(f"{file.path}: {field} is for clouds: the machines of provider local are what they are")
    commands = " ".join(file.config.get("head_start_ray_commands") or [])
    given = re.search(r"--node-ip-address[= ](\S+)", commands)
    if given and given[1][0].isdigit() and given[1] != provider["head_ip"]:
        raise InvalidInput(
            f"{file.path}: head_start_ray_commands has --node-ip-address={given[1]}, but head_ip is "
            f"{provider['head_ip']}; give the same address"
        )
    if file.least_workers < len(workers):
        raise InvalidInput(
            f"{file.path}: min_workers={file.least_workers} is below the {len(workers)} worker_ips; Ray does not "
            "start machines of your own on demand: leave min_workers out, or name fewer machines"
        )


def _check_as_ray_does(file: ClusterFile) -> None:
    """What `ray up` checks first, in one line. Its functions are not public: without them, it is left to `ray up`."""
    try:
        from jsonschema import ValidationError  # type: ignore[import-untyped]  # a dependency of Ray
        from ray.autoscaler._private.util import prepare_config, validate_config
    except ImportError:
        return
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)  # or it tells what it fills in
    try:
        validate_config(prepare_config(dict(file.config)))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        raise InvalidInput(f"{file.path}: {place + ': ' if place else ''}{error.message}") from None
    except (ValueError, NotImplementedError) as error:
        raise InvalidInput(f"{file.path}: {error}") from None
