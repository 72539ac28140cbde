"""The house rules that an import can break: layers, circles, and what must not be loaded."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ray_hpo

ROOT = Path(ray_hpo.__file__).parent.parent
FILES = [file for package in ("ray_hpo", "strategies") for file in sorted((ROOT / package).rglob("*.py"))]
HEAVY = (
    "ConfigSpace",
    "scipy",
    "sklearn",
    "pandas",
    "torch",
    "plotly",
    "ray.tune",
    "rich",
    "typer",
    "starlette",
    "cmaes",
)


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path, *, everywhere: bool = False) -> set[str]:
    """Modules that `file` imports when it is loaded (`everywhere`: inside functions as well)."""
    tree = ast.parse(file.read_text())
    nodes: list[ast.AST] = list(ast.walk(tree)) if everywhere else list(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def loaded_after(statement: str, *, block: str = "") -> set[str]:
    """The modules that a fresh interpreter has after `statement`; importing anything in `block` fails there."""
    code = f"import sys\nfor name in {block.split()!r}: sys.modules[name] = None\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ}
    )
    return set(done.stdout.split())


def test_strategies_work_without_ray() -> None:
    loaded = loaded_after(
        "import strategies.registry, strategies.strategy, strategies.space_builder, strategies.plan\n"
        "strategies.registry.resolve_algo('bohb')",
        block="ray ray_hpo",
    )
    assert "strategies.searchers.kde" in loaded


@pytest.mark.parametrize("file", [f for f in FILES if "strategies" in f.parts], ids=module_name)
def test_strategies_import_nothing_from_above(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports(file, everywhere=True)}
    assert not roots & {"ray", "ray_hpo", "time", "datetime", "random", "os", "threading"}, "strategies are pure"


def test_import_ray_hpo_is_light() -> None:
    loaded = loaded_after("import ray_hpo")
    assert not loaded & {*HEAVY, "ray", "numpy"}


def test_names_for_a_training_script_are_light() -> None:
    loaded = loaded_after("from ray_hpo import report, get_checkpoint, get_context, uniform, loguniform, choice")
    assert not loaded & {*HEAVY, "ray", "numpy"}


def test_a_worker_is_light() -> None:
    assert not loaded_after("import ray_hpo.worker.actor, ray_hpo.worker.command_body") & {*HEAVY, "numpy", "pyarrow"}


def test_the_controller_knows_neither_ray_nor_sql() -> None:
    for file in (ROOT / "ray_hpo" / "controller.py", *(ROOT / "ray_hpo" / "loop").glob("*.py")):
        assert not {"ray", "sqlite3"} & {name.split(".")[0] for name in imports(file)}, file


def test_no_circles() -> None:
    names = {module_name(file) for file in FILES}
    graph = {module_name(file): imports(file) & names for file in FILES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the circle


ARROWS = {
    "ray_hpo.clusters": (
        "ray_hpo.cli",
        "ray_hpo.tune",
        "ray_hpo.drive",
        "ray_hpo.journal",
        "ray_hpo.executors",
        "strategies",
    ),
    "ray_hpo.cli": ("ray_hpo.ui",),
    "ray_hpo.controller": ("ray_hpo.tune", "ray_hpo.drive", "ray_hpo.cli", "ray_hpo.executors.ray"),
    "ray_hpo.loop": ("ray_hpo.controller", "ray_hpo.tune", "ray_hpo.drive", "ray_hpo.cli", "ray_hpo.executors.ray"),
    "ray_hpo.executors": ("ray_hpo.tune", "ray_hpo.drive", "ray_hpo.controller", "ray_hpo.journal", "strategies"),
    "ray_hpo.worker": ("ray_hpo.executors", "ray_hpo.journal", "ray_hpo.controller", "ray_hpo.tune", "strategies"),
    "ray_hpo.journal": ("ray_hpo.executors", "ray_hpo.controller", "ray_hpo.tune", "ray_hpo.worker"),
    "ray_hpo.remote": (
        "ray_hpo.worker",
        "ray_hpo.executors",
        "ray_hpo.controller",
        "ray_hpo.tune",
        "ray_hpo.drive",
        "strategies",
    ),
    "ray_hpo.storage": ("ray_hpo.worker", "ray_hpo.executors", "ray_hpo.controller", "ray_hpo.journal", "strategies"),
}


@pytest.mark.parametrize("part", ARROWS)
def test_arrows_point_downward(part: str) -> None:
    for file in FILES:
        if module_name(file) == part or module_name(file).startswith(part + "."):
            for name in imports(file, everywhere=True):
                assert not name.startswith(ARROWS[part]), f"{module_name(file)} imports {name}"


def test_every_public_name_can_be_had() -> None:
    for name in ray_hpo.__all__:
        assert getattr(ray_hpo, name) is not None
    assert set(ray_hpo.__all__) <= set(dir(ray_hpo))


def test_the_types_of_the_face_are_those_of_the_lazy_names() -> None:
    """What type checkers see (under TYPE_CHECKING) and what is loaded lazily are the same names."""
    tree = ast.parse(Path(ray_hpo.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == ray_hpo._HOME
