"""What a sweep on a cluster has done so far, read from its journal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.journal import read_reports
from tests.clusters import sweep


def undisturbed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same sweep in this process, where nothing fails."""
    with monkeypatch.context() as patched:
        patched.setattr(sweep, "EPOCH_SECONDS", 0.0)
        patched.setattr(sweep, "CPUS", 1.0)
        folder.mkdir()
        (folder / "go").touch()
        return sweep.start(folder / "sweep", executor="inline", progress=False)


def check_nothing_is_lost(folder: Path, expected: Any) -> Any:
    """Wait for the end; the sweep in `folder` is the expected one, each of its steps is there once; the result."""
    wait_until(lambda: bool(ray_hpo.load(folder).status == expected.status), 120.0, "the end of the sweep")
    result = ray_hpo.load(folder)
    assert _outcome(result) == _outcome(expected)
    for trial in result.trials:
        assert [step for _, step, *_ in read_reports(folder, trial.number)] == list(range(1, int(trial.step) + 1))
        assert trial.failures == 0
    return result


def _outcome(result: Any) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, t.bracket, t.state, t.step, t.fidelity, t.value) for t in result.trials]


def hosts_at_work(folder: Path, since: float = 0.0) -> set[int]:
    """The numbers of the hosts from which there are reports."""
    try:
        return {metrics["host"] for _, _, at, metrics in read_reports(folder) if at > since}
    except ray_hpo.JournalError:
        return set()


def tell_recovery(what: str, folder: Path) -> None:
    """Wait until a trial is given up that was on a host that is gone since now, and until it trains elsewhere."""
    began = time.time()

    def lost() -> dict[int, float]:
        trials = ray_hpo.load(folder).trials
        return {t.number: t.crashes[-1][0] for t in trials if t.crashes and t.crashes[-1][0] > began}

    def again() -> bool:
        given_up = lost()
        return any(at > given_up.get(number, float("inf")) for number, _, at, _ in read_reports(folder))

    wait_until(lambda: bool(lost()), 60.0, f"{what}: a trial given up")
    noticed = min(lost().values()) - began
    wait_until(again, 60.0, f"{what}: the trial at work again")
    tell(f"{what}: noticed after {noticed:.1f} s, the trial at work again after {time.time() - began:.1f} s")


def tell(line: str) -> None:
    """A figure of docs/clusters.md; `pytest -s` shows it."""
    print(f"\n{line}")
