"""What all tests share."""

import os
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # small matrices: more threads only get in each other's way

HERE = Path(__file__).parent
RAY = ("ray", "examples", "benchmarks")  # folders of tests that start a Ray


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, those that start a Ray share one process: one Ray at a time."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).parts[0] in RAY:
            item.add_marker(pytest.mark.xdist_group("ray"))
