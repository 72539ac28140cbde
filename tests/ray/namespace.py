"""Clusters of several nodes, in namespaces of their own: they talk on a loopback that is theirs alone, see no other
Ray, and nothing is left of them when the test is over."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UNSHARE = ["unshare", "--net", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child"]


@functools.cache
def why_not() -> str:
    """Why there can be no namespaces here; empty if there can."""
    try:
        tried = subprocess.run([*UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    except FileNotFoundError as error:
        return f"needs {error.filename}"
    return f"needs namespaces, so root: {tried.stderr.strip()}" if tried.returncode else ""


def run_alone(module: str, *words: str, timeout: float = 170.0) -> str:
    """What `python -m module words` prints in namespaces of its own, with a folder of its own for Ray."""
    if why_not():
        pytest.skip(why_not())
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {"RAY_TMPDIR": folder, "HOME": folder, "PYTHONPATH": str(ROOT)}
        command: Sequence[str] = [
            "sh",
            "-c",
            'ip link set lo up && exec "$@"',
            "sh",
            sys.executable,
            "-m",
            module,
            *words,
        ]
        done = subprocess.run(
            [*UNSHARE, *command], capture_output=True, text=True, timeout=timeout, env=environment, cwd=ROOT
        )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
