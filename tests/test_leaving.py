"""A trial that is asked to leave its worker goes as soon as it has saved, and not before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ray_hpo import get_checkpoint, report
from ray_hpo.messages import AtMilestone, Checkpoint, Crashed, Ended, Job, Message, Saved, is_last
from ray_hpo.reports import Reports
from ray_hpo.worker.runner import TrialRunner
from ray_hpo.worker.session import Setting

EPOCHS = 6
REASON = "its node is about to be shut down"


class Asked:
    """Asks the trial to leave, from the given question on."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self) -> str:
        self._left -= 1
        return REASON if self._left < 0 else ""


def messages_of(
    trainable: Any, folder: Path, asked: Asked, until: float = EPOCHS, checkpoint: Checkpoint | None = None
) -> list[Message]:
    """All that a trial says up to where it waits, or is over."""
    runner = TrialRunner(trainable, Setting(folder, "loss"), asked)
    runner.start([Job(0, {"x": 0.5}, until, checkpoint, 0.0)])
    messages: list[Message] = []
    while not (messages and is_last(messages[-1])):
        said, given_back, *_ = runner.next_batch(0.001)
        assert not given_back, "a lone job is not given back, however long its thread takes to turn to it"
        messages += said
    runner.release()
    return messages


def last_step(messages: list[Message]) -> float:
    return [message.step for message in messages if isinstance(message, Reports)][-1]


def saving(config: dict[str, Any]) -> None:
    begin = (get_checkpoint() or {"epoch": 0})["epoch"]
    for epoch in range(begin + 1, EPOCHS + 1):
        report({"loss": 1.0}, checkpoint={"epoch": epoch})


def saving_every_third(config: dict[str, Any]) -> None:
    for epoch in range(1, EPOCHS + 1):
        report({"loss": 1.0}, checkpoint={"epoch": epoch} if epoch % 3 == 0 else None)


class AClass:
    def setup(self, config: dict[str, Any]) -> None:
        self.epoch = 0

    def step(self) -> dict[str, float]:
        self.epoch += 1
        return {"loss": 1.0}

    def save(self) -> dict[str, int]:
        return {"epoch": self.epoch}

    def load(self, checkpoint: dict[str, int]) -> None:
        self.epoch = checkpoint["epoch"]


@pytest.mark.parametrize(("trainable", "after", "step"), [(saving, 1, 2), (saving_every_third, 0, 3), (AClass, 2, 3)])
def test_it_leaves_with_its_checkpoint_and_goes_on_from_there(
    trainable: Any, after: int, step: int, tmp_path: Path
) -> None:
    messages = messages_of(trainable, tmp_path, Asked(after))
    last = messages[-1]
    assert isinstance(last, Crashed)
    assert (last.kind, last.error) == ("preempted", REASON)
    saved = [message.checkpoint for message in messages if isinstance(message, Saved)][-1]
    assert last_step(messages) == saved.step == step
    more = messages_of(trainable, tmp_path, Asked(1000), checkpoint=saved)
    assert isinstance(more[-1], (AtMilestone, Ended))
    assert last_step(more) == EPOCHS


def test_a_trial_that_never_saves_stays(tmp_path: Path) -> None:
    def never(config: dict[str, Any]) -> None:
        for _ in range(EPOCHS):
            report({"loss": 1.0})

    messages = messages_of(never, tmp_path, Asked(0))
    assert isinstance(messages[-1], AtMilestone)


def test_at_a_milestone_the_verdict_comes_first(tmp_path: Path) -> None:
    messages = messages_of(saving, tmp_path, Asked(0), until=1.0)
    assert isinstance(messages[-1], AtMilestone)
