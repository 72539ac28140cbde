"""Other packages in the comparison: the clock that drives them on a trace worked by hand, and every adapter."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.compare.peers import PEERS, Missing, find
from benchmarks.compare.peers.base import Peer, Setup, Training
from benchmarks.compare.peers.drive import drive
from benchmarks.compare.runner import Watched
from benchmarks.compare.task import Config, Reference, Task, Values

SPACE = [
    {"name": "kind", "type": "categorical", "choices": ["a", "b", "c"]},
    {"name": "lr", "type": "float", "lower": 0.01, "upper": 1.0, "log": True},
    {"name": "depth", "type": "int", "lower": 1, "upper": 5, "condition": {"parent": "kind", "values": ["b", "c"]}},
    {"name": "units", "type": "int", "lower": 4, "upper": 64, "log": True},
    {"name": "size", "type": "ordinal", "choices": [8, 16, 64]},
    {"name": "drop", "type": "float", "lower": 0.0, "upper": 0.5, "condition": {"parent": "kind", "values": ["c"]}},
]


class Bowl(Task):
    """Best at lr = 0.1. A second for each of 27 epochs."""

    def __init__(self, resumable: bool = True) -> None:
        super().__init__("bowl/1", SPACE, 27.0, resumable)
        self.use(Reference(0.0, 1.0, 27.0))

    def raw(self, configs: Sequence[Config], budget: float) -> tuple[Values, Values]:
        for config in configs:
            assert ("depth" in config) == (config["kind"] != "a")
            assert ("drop" in config) == (config["kind"] == "c")
            assert all(type(config[name]) is int for name in ("units", "size"))
        y = [abs(math.log10(config["lr"]) + 1) + 1 / budget for config in configs]
        return np.array(y), np.full(len(configs), budget)


class Scripted(Peer):
    """Says what is on its list; None is a worker that must wait. told: (lr, level, simulated time)."""

    def __init__(self, script: list[tuple[float, int] | None], executor: Watched, levels: int = 4) -> None:
        super().__init__(Setup(SPACE, levels, seed=0))
        self._script, self._executor = script, executor
        self.told: list[tuple[float, int, float]] = []
        self.closed = False

    def ask(self) -> Training | None:
        entry = self._script.pop(0) if self._script else None
        if entry is None:
            return None
        config = {"kind": "a", "lr": entry[0], "depth": 3, "units": 5, "size": 16, "drop": 0.1}
        return Training(config, entry[1], tag=entry)

    def tell(self, training: Training, y: float) -> None:
        assert training.tag == (training.config["lr"], training.level)
        self.told.append((*training.tag, self._executor.now()))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("resumable", "ends"),
    [
        # Worker 1: 0.1 to 3 epochs, then on to 9. Worker 2: 0.2 to 9; it waits. Then 0.1 to 27.
        (True, [(0.1, 1, 3.0), (0.2, 2, 9.0), (0.1, 2, 9.0), (0.1, 3, 27.0)]),
        (False, [(0.1, 1, 3.0), (0.2, 2, 9.0), (0.1, 2, 12.0), (0.1, 3, 39.0)]),
    ],
    ids=["goes on where it stopped", "paid anew"],
)
def test_the_clock_by_hand(resumable: bool, ends: list[tuple[float, int, float]]) -> None:
    task = Bowl(resumable)
    watched = Watched(task, workers=2)
    # At 9 seconds one worker is told to wait until the other is done.
    peer = Scripted([(0.1, 1), (0.2, 2), (0.1, 2), None, (0.1, 3)], watched)
    asked = drive(peer, task, watched, limit=1000.0)
    assert peer.told == ends
    assert len(asked) == 2, "new configurations"
    assert peer.closed
    finals = [value for _, value in watched.trace]
    assert finals == pytest.approx([1 / 27, abs(math.log10(0.2) + 1) + 1 / 27, 1 / 27, 1 / 27])


def test_what_ends_too_late_is_not_told() -> None:
    task = Bowl()
    watched = Watched(task, workers=1)
    peer = Scripted([(0.1, 2), (0.3, 2), (0.5, 2)], watched)
    drive(peer, task, watched, limit=18.0)
    assert [end for *_, end in peer.told] == [9.0, 18.0]
    assert peer.closed


def test_setting_b_counts_trainings() -> None:
    task = Bowl()
    watched = Watched(task, workers=1)
    peer = Scripted([(0.1, 0)] * 9, watched, levels=1)
    drive(peer, task, watched, trainings=4)
    assert watched.values == pytest.approx([1 / 27] * 4), "level 0 of one level is the full budget"


def made(name: str, setting: str, seed: int = 0, levels: int = 4) -> Peer:
    try:
        return find(name, setting)(Setup(SPACE, levels, seed, None if levels > 1 else 60))
    except Missing as error:
        pytest.skip(str(error))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setting", ["A", "B"])
@pytest.mark.parametrize("name", PEERS)
def test_every_peer_in_a_conditional_space(name: str, setting: str) -> None:
    """Legal configurations (the task looks at them), every training told, and the same again with the same seed."""
    if setting not in PEERS[name].settings:
        with pytest.raises(Missing, match=f"{name}' does not run in setting {setting}; these do: "):
            find(name, setting)
        return
    traces = []
    for seed in (3, 3):
        task = Bowl()
        watched = Watched(task, 8 if setting == "A" else 1)
        peer = made(name, setting, seed, levels=4 if setting == "A" else 1)
        drive(peer, task, watched, trainings=10 if name in ("optuna_gp", "hebo") else 60)
        traces.append(watched.trace)
        assert len(watched.values) >= 10
    assert traces[0] == traces[1]


def test_hpbandsters_brackets() -> None:
    """Four rungs: 27, 9, 6 and 4 configurations, a third of which go on each time (Falkner et al. 2018)."""
    levels: list[int] = []
    peer = made("hpbandster", "A")
    for _ in range(27 + 9 + 3 + 1 + 9 + 3 + 1 + 6 + 2 + 4):
        training = peer.ask()
        assert training is not None
        levels.append(training.level)
        peer.tell(training, float(training.config["lr"]))
    first, second, third = [0] * 27 + [1] * 9 + [2] * 3 + [3], [1] * 9 + [2] * 3 + [3], [2] * 6 + [3] * 2
    assert levels == [*first, *second, *third, 3, 3, 3, 3]
    opened = [peer.ask() for _ in range(30)]
    assert [training.level for training in opened if training] == [0] * 27 + [1] * 3, "a free worker opens the next one"


def test_optuna_prunes_at_the_rungs() -> None:
    peer = made("optuna_tpe_hyperband", "A")
    trained: dict[Any, list[int]] = {}
    for i in range(120):
        training = peer.ask()
        assert training is not None
        trained.setdefault(training.tag.number, []).append(training.level)
        peer.tell(training, float(i % 7))
    assert all(levels == list(range(len(levels))) for levels in trained.values()), "one rung after the other"
    assert 0.3 < np.mean([len(levels) == 1 for levels in trained.values()]) < 0.95


@pytest.mark.parametrize("name", PEERS)
def test_a_missing_package_is_named_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = PEERS[name]

    def missing(module: str) -> None:
        raise ImportError("No module named 'it'")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(Missing, match=rf"peer '{name}' needs a package that is not installed .*: pip install"):
        find(name, entry.settings[0])


def test_an_unknown_peer() -> None:
    with pytest.raises(Missing, match="peer 'nothing' is unknown; known: optuna_tpe_hyperband"):
        find("nothing", "A")
