"""A first sweep file for a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_hpo import InvalidInput
from ray_hpo.sweepfile.init import options_in_help, read_options, sweep_text
from ray_hpo.sweepfile.reading import read_sweep

SCRIPT = """
import argparse
print("loading")
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3, help="learning rate: the step")
parser.add_argument("--hidden-size", type=int, default=64)
parser.add_argument("--layers", default=2, type=int)
parser.add_argument("--dropout", type=float, default=0.1)
parser.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output-dir", default="out")
parser.add_argument("--checkpoint", type=__import__("pathlib").Path)
parser.add_argument("--data", default="digits")
parser.add_argument("--amp", action="store_true")
parser.add_argument("--num-workers", type=int, default=4)
args = parser.parse_args()
print(f"val_acc={args.lr}")
"""


def test_a_file_for_an_argparse_script(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    target = tmp_path / "sweep.yaml"
    target.write_text(sweep_text(script, read_options(script)))
    sweep = read_sweep(target).sweep()  # what it writes can be read
    assert sweep.to_command().words == (
        *("python", str(script), "--lr", ":lr:", "--hidden-size", ":hidden_size:", "--layers", ":layers:"),
        *("--dropout", ":dropout:", "--optimizer", ":optimizer:", "--epochs", ":budget:", "--seed", ":seed:"),
        *("--output-dir", ":output:", "--checkpoint", ":checkpoint:"),
    )
    assert sweep.parameters == {
        "lr": "1e-05:0.01:log",
        "hidden_size": [16, 32, 64, 128],
        "layers": "1:4:int",
        "dropout": "0:0.6",
        "optimizer": ["sgd", "adam"],
    }
    assert (sweep.metric, sweep.mode, sweep.max_budget) == ("val_acc", "max", 12)
    sweep.to_command().check(list(sweep.parameters))
    text = target.read_text()
    assert "# learning rate: the step; default 0.001" in text and "  # data: digits" in text


CLICK_HELP = """\
Usage: train.py [OPTIONS]

Options:
  --lr FLOAT                Learning rate.  [default: 0.1]
  -n, --layers INTEGER      Layers.  [default: 2]
  --opt [sgd|adam]          Optimizer.
  --fast                    Quick.
  --help                    Show this message and exit.
"""


def test_other_scripts_are_read_from_their_help() -> None:
    found = {option.name: (option.type, option.default, list(option.choices)) for option in options_in_help(CLICK_HELP)}
    assert found == {
        "lr": ("float", 0.1, []),
        "layers": ("int", 2, []),
        "opt": ("NoneType", None, ["sgd", "adam"]),
        "fast": ("NoneType", None, []),
    }


def test_a_program_that_is_no_python_script(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text("#!/bin/sh\necho '  --lr FLOAT  step [default: 0.1]'\n")
    script.chmod(0o755)
    assert [option.name for option in read_options(script)] == ["lr"]


@pytest.mark.parametrize(("text", "message"), [(None, "is not a file"), ("print('hi')", "names no options")])
def test_nothing_to_go_by(text: str | None, message: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    if text:
        script.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_options(script)
