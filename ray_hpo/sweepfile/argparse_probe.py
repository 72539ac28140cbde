"""Run as `python argparse_probe.py SCRIPT`: runs SCRIPT up to where it parses its arguments, and prints them as JSON.

One line to standard output, after MARK: a list of options, each with flag, type, default, choices, help, switch.
Nothing of ray_hpo is imported: the script's interpreter may not have it.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys

MARK = "ray_hpo options: "


def main() -> None:
    script = sys.argv[1]
    argparse.ArgumentParser.parse_args = _tell  # type: ignore[assignment,method-assign]
    argparse.ArgumentParser.parse_known_args = _tell  # type: ignore[assignment,method-assign]
    sys.argv = [script]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")


def _tell(parser: argparse.ArgumentParser, *arguments: object, **options: object) -> None:
    found = []
    for action in parser._actions:
        flags = [flag for flag in action.option_strings if flag.startswith("--")]
        if flags and not isinstance(action, argparse._HelpAction):
            kind = action.type or (type(action.default) if action.default is not None else str)
            found.append(
                {
                    "flag": flags[0],
                    "type": getattr(kind, "__name__", "str"),
                    "default": action.default if isinstance(action.default, (bool, int, float, str)) else None,
                    "choices": [c for c in action.choices or [] if isinstance(c, (int, float, str))],
                    "help": " ".join((action.help or "").split()),
                    "switch": action.nargs == 0,
                }
            )
    print(MARK + json.dumps(found), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
