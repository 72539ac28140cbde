"""Commands of Ray's own launcher, each in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from ray_hpo.clusters.file import ClusterFile
from ray_hpo.clusters.ssh import Done

NO_CLUSTER = "Head node of cluster"  # how Ray begins to say that there is none
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def ray_command(*words: str) -> list[str]:
    """The command line of `ray WORDS`, of the Ray that is installed beside us."""
    return [sys.executable, "-m", "ray.scripts.scripts", *words]


def run_ray(cluster: ClusterFile, *words: str) -> int:
    """Run `ray WORDS FILE` with its output on our terminal; its exit code."""
    environment = dict(os.environ)
    if cluster.is_local:  # Ray 2.60's second autoscaler starts one machine of these less than it shall
        environment["RAY_UP_enable_autoscaler_v2"] = "0"
    return subprocess.run(ray_command(*words, str(cluster.path)), stdin=subprocess.DEVNULL, env=environment).returncode


def on_head(cluster: ClusterFile, command: str, seconds: float = 60.0) -> Done:
    """Run a line of shell on the head; in its container, where it has one."""
    if cluster.head is not None and not cluster.in_docker:
        return cluster.ssh(cluster.head).run(command, seconds)
    try:
        done = subprocess.run(
            ray_command("exec", str(cluster.path), command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return Done(None, "", f"no answer within {seconds:g} s")
    return Done(done.returncode, done.stdout, done.stderr)


def last_line(text: str) -> str:
    """The last line that says something, without colours."""
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines()]
    return next((line for line in reversed(lines) if line), "it ended without a word")
