"""Clusters of the lab's hosts."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import yaml

from tests.clusters.lab.lab import LAPTOP, ROOT, Lab

SHIPPED = ROOT / "cluster" / "local.yaml"


def edited(lab: Lab, name: str) -> None:
    """Put cluster/local.yaml on the laptop as a user edits it, but without installations: no host has a way out."""
    shipped = SHIPPED.read_text()
    head, *workers = (lab.address(host) for host in lab.hosts)
    config = yaml.safe_load(shipped.replace(yaml.safe_load(shipped)["provider"]["head_ip"], head))
    config["provider"]["worker_ips"] = workers
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(lab.key)}
    config["file_mounts"] = {}
    config["setup_commands"] = [f"echo {shlex.quote(python_here())} > ~/.bashrc"]
    (lab.home(LAPTOP) / name).write_text(yaml.safe_dump(config))


def python_here() -> str:
    """A line of shell after which `python`, `ray` and `ray-hpo` are those of this test."""
    folder = Path(sys.executable).parent
    return f"export PATH={shlex.quote(str(folder))}:$PATH PYTHONPATH={shlex.quote(str(ROOT))}"


def ray_hpo_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "ray_hpo.cli.main", *words]
