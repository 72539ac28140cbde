"""The command `ray-hpo`: a thin face over ray_hpo. Each group of commands has a file beside this one."""

from __future__ import annotations

import os
import sys

from ray_hpo.cli import run  # isort: skip  # the first in the help
from ray_hpo.cli import cluster, explain, init, inspect, logs, plan, remove, replay, restore, top
from ray_hpo.cli.app import app, tell
from ray_hpo.errors import InvalidInput, RayHpoError

__all__ = ["cluster", "explain", "init", "inspect", "logs", "main", "plan", "remove", "replay", "restore", "run", "top"]

YAML = (".yaml", ".yml")
FLAGS = ("-q", "--quiet", "--json", "--shell", "--measure")


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error and exit code 2, a failure 1."""
    try:
        app(_sweep_file_last(sys.argv[1:]))
    except InvalidInput as error:
        _fail(error, 2)
    except RayHpoError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:  # `ray-hpo show PATH | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _sweep_file_last(arguments: list[str]) -> list[str]:
    """`run sweep.yaml --seed 1` with the options first: behind the first word all would belong to a command."""
    if arguments[:1] not in (["run"], ["plan"]):
        return arguments
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for i, word in enumerate(options[1:], 1):
        is_value = options[i - 1].startswith("-") and options[i - 1] not in FLAGS
        if word.endswith(YAML) and not is_value:
            return [*arguments[:i], *arguments[i + 1 :], word]
    return arguments


def _fail(error: Exception, code: int) -> None:
    text = str(error).replace("\n", "\\n")  # one line, also where what was written has several
    tell(f"error: {text}", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
