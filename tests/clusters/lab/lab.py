"""Many hosts on one machine, without containers: a laptop and its servers on a network of their own, over ssh.

Each host has a network, process, mount, host name and IPC namespace of its own (`host.py` runs in them). All end with
the test that made them, also where that is killed. Nothing in the lab reaches anything outside, and what acts on all
processes of a host, as `ray stop` does, sees only those of that host.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.chaos.waiting import wait_until

ROOT = Path(__file__).parents[3]
LAPTOP = "laptop"
TOOLS = {
    "/usr/sbin/sshd": "openssh-server",
    "ssh": "openssh-client",
    "rsync": "rsync",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid")


@functools.cache
def missing() -> str:
    """What keeps this machine from having a lab, in words; empty where nothing does."""
    packages = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if packages:
        return f"the Debian packages {', '.join(packages)}"
    if os.geteuid() != 0:
        return "root"
    allowed = subprocess.run(["unshare", *NAMESPACES, "--fork", "--mount-proc", "true"], capture_output=True)
    return "" if allowed.returncode == 0 else "the right to make namespaces"


class Lab:
    """A laptop (10.77.0.1) and hosts h1 (10.77.0.11), h2, ... with one user, root, whom the key `key` lets in.

    shared: a folder that all of them see, as they see the whole file system but /tmp, /run, /dev/shm and the home.
    """

    def __init__(self, folder: Path, hosts: int) -> None:
        self.folder = folder
        self.hosts = [f"h{number}" for number in range(1, hosts + 1)]
        self.shared = folder / "shared"
        self.key = folder / "key"
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._inits: dict[str, int] = {}

    def address(self, host: str) -> str:
        return "10.77.0.1" if host == LAPTOP else f"10.77.0.{10 + int(host[1:])}"

    def home(self, host: str) -> Path:
        return self.folder / f"{host}.home"

    def up(self) -> None:
        """Start the laptop and all hosts."""
        self.shared.mkdir(parents=True)
        for name in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        names = [f"{self.address(host)} {host}" for host in (LAPTOP, *self.hosts)]
        (self.folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *names, ""]))
        (self.folder / "resolv.conf").touch()  # no name server: what is unknown fails at once
        self._start(LAPTOP)
        self._ip("link", "add", "bridge", "type", "bridge")
        self._ip("address", "add", "10.77.0.1/24", "dev", "bridge")
        self._ip("link", "set", "bridge", "up")
        for host in self.hosts:
            self.boot(host)

    def boot(self, host: str) -> None:
        """Start a host, or one that was killed, with nothing on its own disk but the home."""
        self._start(host)
        init = str(self._inits[host])
        hardware = f"02:00:00:00:00:{int(host[1:]):02x}"  # the same after a reboot, or neighbours miss it for a minute
        self._ip(
            *("link", "add", f"to-{host}", "type", "veth", "peer", "name", "eth0", "address", hardware, "netns", init)
        )
        self._ip("link", "set", f"to-{host}", "master", "bridge", "up")
        self._ip("address", "add", f"{self.address(host)}/24", "dev", "eth0", of=host)
        self._ip("link", "set", "eth0", "up", of=host)

    def kill(self, host: str) -> None:
        """End all processes of a host at once."""
        os.kill(self._inits.pop(host), signal.SIGKILL)
        self._started.pop(host).wait()

    def cut(self, host: str) -> None:
        """Pull a host's cable: it runs on, and nobody hears of it."""
        self._ip("link", "set", f"to-{host}", "down")

    def join(self, host: str) -> None:
        """Plug the cable in again."""
        self._ip("link", "set", f"to-{host}", "up")

    def run(self, host: str, command: Sequence[str], timeout: float = 120.0, **variables: str) -> str:
        """Run a command on a host, from its home; what it printed. AssertionError where it fails."""
        done = self.attempt(host, command, timeout, **variables)
        assert done.returncode == 0, f"{list(command)} on {host} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def attempt(
        self, host: str, command: Sequence[str], timeout: float = 120.0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, from its home; standard error is in its output."""
        return subprocess.run(
            self._on(host, command, variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )

    def start(self, host: str, command: Sequence[str], output: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command on a host, from its home; what it prints goes to a file."""
        with open(output, "ab") as file:
            return subprocess.Popen(
                self._on(host, command, variables), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    def processes(self, host: str) -> list[str]:
        """The command lines of all that runs on a host, but for what the lab itself runs there."""
        lines = self.run(host, ["ps", "-e", "-o", "args=", "--no-headers"]).splitlines()
        own = (str(Path(__file__).with_name("host.py")), "sshd: /usr/sbin/sshd", "ps -e -o", "[")
        return [line.strip() for line in lines if not any(words in line for words in own)]

    def down(self) -> None:
        for host in list(self._inits):
            self.kill(host)

    def _start(self, host: str) -> None:
        ready = self.folder / f"{host}.ready"
        ready.unlink(missing_ok=True)
        passwd = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
        lines = [
            ":".join([*user[:5], str(self.home(host)), "/bin/bash"] if user[2] == "0" else user) for user in passwd
        ]
        (self.folder / f"{host}.passwd").write_text("\n".join([*lines, ""]))
        told: dict[str, Any] = {
            "name": host,
            "folder": str(self.folder),
            "home": str(self.home(host)),
            "kept": [str(self.folder), *_needed()],
            "ready": str(ready),
        }
        self.home(host).mkdir(exist_ok=True)
        with open(self.folder / f"{host}.log", "ab") as log:
            enter = ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--mount-proc", "--fork", "--kill-child"]
            outer = subprocess.Popen(
                [*enter, sys.executable, str(Path(__file__).with_name("host.py")), json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def up() -> bool:
            assert outer.poll() is None, (self.folder / f"{host}.log").read_text()
            return ready.exists()

        wait_until(up, 20.0, f"the start of {host}")
        self._started[host] = outer
        self._inits[host] = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])

    def _ip(self, *words: str, of: str = LAPTOP) -> None:
        subprocess.run(["nsenter", "--target", str(self._inits[of]), "--net", "ip", *words], check=True)

    def _on(self, host: str, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        """`command` as it has to be started from outside."""
        path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        home = str(self.home(host))
        environment = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": home, "USER": "root", "OMP_NUM_THREADS": "1"}
        pairs = [f"{name}={value}" for name, value in {**environment, **variables}.items()]
        enter = ["nsenter", "--target", str(self._inits[host]), *NAMESPACES]
        return [*enter, "env", "--ignore-environment", f"--chdir={home}", *pairs, *command]


def _needed() -> list[str]:
    """Folders that Python runs from, should they lie where hosts have their own; none of them within another."""
    wanted = {Path(sys.prefix), Path(sys.base_prefix), ROOT, *(Path(place) for place in sys.path if place)}
    folders = sorted(place.resolve() for place in wanted if place.is_dir())
    return [
        str(place) for place in folders if not any(other != place and place.is_relative_to(other) for other in folders)
    ]


@contextlib.contextmanager
def lab_of(folder: Path, hosts: int) -> Iterator[Lab]:
    lab = Lab(folder, hosts)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()
