"""Seconds that are right for clouds are too long for loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

import ray_hpo
from ray_hpo.remote import attempt, keeper, lease
from tests.remote import sweep


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "SNAPSHOT_SECONDS", 0.1)
    monkeypatch.setattr(keeper, "SHARE", 0.0)
    monkeypatch.setattr(keeper, "RETRY_SECONDS", (0.05, 0.05))
    monkeypatch.setattr(keeper, "END_SECONDS", 5.0)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(attempt, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(attempt, "LOG_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's trials have their folders."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(attempt, "_parent", lambda: scratch)
    return scratch


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ray_hpo.Result:
    """The sweep on a folder."""
    return sweep.run(tmp_path_factory.mktemp("reference"))
