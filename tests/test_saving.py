"""Small checkpoints are written while training goes on: in order, the newest one always, and what fails is told."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.waiting import wait_until
from ray_hpo.messages import AtMilestone, Checkpoint, Ended, Job, Message, Notice, Saved
from ray_hpo.reports import Reports
from ray_hpo.storage import CheckpointStore, Pickled
from ray_hpo.worker.runner import TrialRunner
from ray_hpo.worker.saving import SMALL, Saving, copied
from ray_hpo.worker.session import Setting, report

LONG = 3600.0
TIMEOUT = 30.0  # for what must come


class Gate:
    """A write that takes as long as it is let."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.go_on.wait(TIMEOUT)


def test_what_comes_while_another_is_written_replaces_what_waits() -> None:
    written: list[int] = []
    saving, gate = Saving(), Gate()
    saving.put(gate)
    assert gate.begun.wait(TIMEOUT)
    for i in range(5):
        saving.put(lambda i=i: written.append(i))  # type: ignore[misc]
    gate.go_on.set()
    saving.settle(also_next=True)
    assert written == [4]
    saving.put(lambda: written.append(5))
    saving.settle(also_next=True)
    assert written == [4, 5]


def test_what_is_replaced_by_the_caller_is_not_begun() -> None:
    written: list[int] = []
    saving, gate = Saving(), Gate()
    saving.put(gate)
    assert gate.begun.wait(TIMEOUT)
    saving.put(lambda: written.append(1))
    settled = threading.Thread(target=saving.settle, args=(False,))
    settled.start()
    wait_until(lambda: saving._next is None, TIMEOUT, "what waits is left out before what is under way is waited for")
    gate.go_on.set()
    settled.join(TIMEOUT)
    assert not settled.is_alive() and written == []


def test_an_error_is_raised_to_who_waits_once() -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    saving = Saving()
    saving.put(fail)
    with pytest.raises(RuntimeError, match="broken"):
        saving.settle(also_next=True)
    saving.settle(also_next=True)


def test_a_copy_is_of_now_and_only_of_what_is_small() -> None:
    state: dict[str, Any] = {"weights": [1, 2]}
    copy = copied(state)
    state["weights"].append(3)
    assert copy is not None and pickle.loads(copy.data) == {"weights": [1, 2]}
    assert copied({"weights": b"x" * SMALL}) is None
    local: Callable[[], int] = lambda: 7  # noqa: E731  # pickled by value
    copy = copied({"head": local})
    assert copy is not None and pickle.loads(copy.data)["head"]() == 7
    with pytest.raises(TypeError, match="cannot be pickled"):
        copied({"lock": threading.Lock()})


# ---- in a trial ----


def messages_of(folder: Path, train: Any, until: float) -> list[Message]:
    runner = TrialRunner(train, Setting(folder, "loss", max_budget=9.0))
    try:
        runner.start([Job(0, {}, until, None, 0.0)])
        messages, *_ = runner.next_batch(LONG)
    finally:
        runner.release()
    return messages


def saved(messages: list[Message]) -> list[Checkpoint]:
    return [message.checkpoint for message in messages if isinstance(message, Saved)]


def changing(config: dict[str, Any]) -> None:
    state = {"epoch": 0}
    for _ in range(9):
        state["epoch"] += 1
        report({"loss": 1.0}, checkpoint=state)


@pytest.mark.parametrize("until", [1.0, 5.0, 9.0])
def test_at_its_milestone_the_checkpoint_is_there(tmp_path: Path, until: float) -> None:
    messages = messages_of(tmp_path, changing, until)
    checkpoints = saved(messages)
    steps = [checkpoint.step for checkpoint in checkpoints]
    assert steps == sorted(set(steps)) and steps[-1] == until
    assert isinstance(messages[-1], AtMilestone) and messages[-1].saved
    for checkpoint in checkpoints:
        assert CheckpointStore(tmp_path).load(checkpoint.path) == {"epoch": checkpoint.step}


@pytest.mark.parametrize("size", [10, 2 * SMALL])
def test_a_report_is_told_before_its_checkpoint(tmp_path: Path, size: int) -> None:
    """Else a death between the two would cost a result: the trial goes on beyond it."""

    def train(config: dict[str, Any]) -> None:
        for _ in range(9):
            report({"loss": 1.0}, checkpoint={"weights": b"0" * size})

    told = 0.0
    for message in messages_of(tmp_path, train, 3.0):
        if isinstance(message, Reports):
            told = message.step
        elif isinstance(message, Saved):
            assert message.checkpoint.step <= told
    assert told == 3.0


def test_a_milestone_between_two_checkpoints_comes_after_the_first(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        for epoch in range(1, 9):
            report({"loss": 1.0}, checkpoint={"epoch": epoch} if epoch % 2 == 0 else None)

    for trial in range(20):
        messages = messages_of(tmp_path / str(trial), train, 3.0)
        assert [checkpoint.step for checkpoint in saved(messages)] == [2.0]
        assert messages[-1] == AtMilestone(0)


def ending(config: dict[str, Any]) -> None:
    for epoch in range(1, 4):
        report({"loss": 1.0}, checkpoint={"epoch": epoch})


def test_a_trial_that_ends_by_itself_leaves_its_last_checkpoint(tmp_path: Path) -> None:
    messages = messages_of(tmp_path, ending, 9.0)
    assert isinstance(messages[-1], Ended)
    assert saved(messages)[-1].step == 3.0


def test_a_crash_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        report({"loss": 1.0}, checkpoint={"epoch": 1})
        raise ValueError("diverged")

    assert [checkpoint.step for checkpoint in saved(messages_of(tmp_path, train, 9.0))] == [1.0]


def test_a_disk_that_is_full_costs_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(self: CheckpointStore, trial: int, step: float, checkpoint: Any) -> str:
        assert isinstance(checkpoint, Pickled)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckpointStore, "save", save)
    messages = messages_of(tmp_path, ending, 9.0)
    assert isinstance(messages[-1], Ended) and saved(messages) == []
    notices = [message.text for message in messages if isinstance(message, Notice)]
    assert notices[-1] == "checkpoint at 3 could not be written: [Errno 28] No space left on device"
