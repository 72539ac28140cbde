"""Commands on another machine over ssh, in the shell that Ray's own launcher uses there."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass, replace

CONNECT_SECONDS = 8
_UNREACHABLE = 255  # ssh's own failures
# As Ray's launcher does: hosts get new keys as they come and go, and a script cannot answer questions.
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": os.devnull,
    "LogLevel": "ERROR",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
}


@dataclass(frozen=True)
class Done:
    """How a command ended. code: its exit code; None where the machine could not be reached, or it took too long."""

    code: int | None
    output: str
    error: str

    @property
    def why(self) -> str:
        """The last line of what went wrong."""
        lines = [line.strip() for line in self.error.splitlines() or self.output.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


@dataclass(frozen=True)
class Ssh:
    """A user on a host. key: a file; proxy: a command of ssh's that leads there; None where ssh finds its own way."""

    user: str
    host: str
    key: str | None = None
    proxy: str | None = None

    def command(self, *options: str) -> list[str]:
        """The ssh command line, up to the host."""
        settings = {**_OPTIONS, **({"ProxyCommand": self.proxy} if self.proxy else {})}
        words = ["ssh", *(["-i", self.key, "-o", "IdentitiesOnly=yes"] if self.key else [])]
        for name, value in settings.items():
            words += ["-o", f"{name}={value}"]
        return [*words, *options, f"{self.user}@{self.host}"]

    def through(self, gate: Ssh) -> Ssh:
        """The same by way of another machine."""
        return replace(self, proxy=shlex.join(gate.command("-W", "%h:%p")))

    def run(self, command: str, seconds: float = 60.0) -> Done:
        """Run a line of shell there, with what the user's ~/.bashrc sets."""
        shell = f"bash --login -c -i {shlex.quote(f'source ~/.bashrc; {command}')}"
        try:
            done = subprocess.run(
                [*self.command(), shell], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return Done(None, "", f"no answer within {seconds:g} s")
        except FileNotFoundError:
            return Done(None, "", "this machine has no ssh; install the package openssh-client")
        return Done(None if done.returncode == _UNREACHABLE else done.returncode, done.stdout, done.stderr)
