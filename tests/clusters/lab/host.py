"""What runs as process 1 of a host of the lab: `python host.py JSON`, in namespaces of its own that `lab.py` made.

Gives the host what no other shares (/tmp, /run, /dev/shm, a home, a name), starts its sshd, and reaps orphans until it
is killed. The rest of the file system is the machine's, as if it were mounted from one server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SHM = "256m"  # Ray's object store needs little here


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def tmpfs(place: str, *options: str) -> None:
    run("mount", "-t", "tmpfs", *options, "tmpfs", place)


def own_folders(kept: list[str]) -> None:
    """Empty /run, /tmp and /dev/shm, but for the folders in `kept` that lie there."""
    hidden = [place for place in kept if Path(place).is_relative_to("/tmp")]
    tmpfs("/run")
    for number, place in enumerate(hidden):
        aside = Path("/run/kept", str(number))
        aside.mkdir(parents=True)
        run("mount", "--bind", place, str(aside))
    tmpfs("/tmp", "-o", "mode=1777")
    for number, place in enumerate(hidden):
        Path(place).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", f"/run/kept/{number}", place)
    tmpfs("/dev/shm", "-o", f"size={SHM}")


def main(told: dict[str, Any]) -> None:
    folder, home = Path(told["folder"]), Path(told["home"])
    own_folders(told["kept"])
    for file in ("passwd", "hosts", "resolv.conf"):
        source = folder / f"{told['name']}.{file}" if file == "passwd" else folder / file
        run("mount", "--bind", str(source), f"/etc/{file}")
    run("hostname", told["name"])
    run("ip", "link", "set", "lo", "up")
    Path("/run/sshd").mkdir()
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    (home / ".ssh" / "authorized_keys").write_text((folder / "key.pub").read_text())
    os.chdir(home)
    server = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", str(folder / "host_key")]
    for option in ("UsePAM=no", "UseDNS=no", "StrictModes=no", "PermitRootLogin=prohibit-password", "MaxStartups=100"):
        server += ["-o", option]
    subprocess.Popen(server)
    Path(told["ready"]).touch()
    while True:
        os.wait()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
