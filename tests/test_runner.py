"""Several jobs in one call: they run one after another, and nobody waits behind a long one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_hpo.messages import AtMilestone, Crashed, Ended, Job, Message
from ray_hpo.reports import Reports
from ray_hpo.worker.runner import StuckTrial, TrialRunner
from ray_hpo.worker.session import Setting, report

LONG = 3600.0  # of windows that end because all is over


def job(trial: int, until: float = float("inf"), final: bool = False) -> Job:
    return Job(trial, {"x": trial}, until, None, 0.0, final=final)


@pytest.fixture
def runner_of(tmp_path: Path) -> Iterator[Callable[[Any], TrialRunner]]:
    made: list[TrialRunner] = []

    def make(trainable: Any) -> TrialRunner:
        made.append(TrialRunner(trainable, Setting(tmp_path, "loss")))
        return made[-1]

    yield make
    for runner in made:
        runner.release()


def kinds(messages: list[Message]) -> list[tuple[int, str]]:
    return [(message.trial, type(message).__name__) for message in messages]


def test_jobs_of_one_call_come_back_in_one_answer(runner_of: Any) -> None:
    runner = runner_of(lambda config: {"loss": config["x"]})
    runner.start([job(trial) for trial in range(5)])
    messages, given_back = runner.next_batch(LONG)
    assert given_back == 0
    assert kinds(messages) == [(t, kind) for t in range(5) for kind in ("Reports", "Ended")]
    assert [m.metrics["loss"] for m in messages if isinstance(m, Reports)] == list(range(5))
    assert all(m.seconds is not None and m.seconds >= 0 for m in messages if isinstance(m, Ended))


def test_final_jobs_do_not_wait_for_a_verdict(runner_of: Any) -> None:
    ended: list[int] = []

    def train(config: dict[str, Any]) -> None:
        try:
            for epoch in range(9):
                report({"loss": epoch})
        finally:
            ended.append(config["x"])

    runner = runner_of(train)
    runner.start([job(trial, until=3.0, final=True) for trial in range(3)])
    messages, given_back = runner.next_batch(LONG)
    assert (given_back, ended) == (0, [0, 1, 2])
    assert kinds(messages) == [(t, kind) for t in range(3) for kind in ("Reports", "AtMilestone")]
    assert all(m.released for m in messages if isinstance(m, AtMilestone))
    assert [m.count for m in messages if isinstance(m, Reports)] == [3, 3, 3]


def test_a_lone_job_that_is_not_final_waits_and_goes_on(runner_of: Any) -> None:
    def train(config: dict[str, Any]) -> None:
        for epoch in range(4):
            report({"loss": epoch})

    runner = runner_of(train)
    runner.start([job(0, until=2.0)])
    messages, _ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(0)
    runner.proceed(9.0)
    messages, _ = runner.next_batch(LONG)
    assert messages[-1] == Ended(0)


def test_what_is_behind_a_long_job_is_given_back(runner_of: Any) -> None:
    go_on = threading.Event()

    def train(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] == 1:
            go_on.wait()
        return {"loss": 0.0}

    runner = runner_of(train)
    runner.start([job(trial) for trial in range(4)])
    messages, given_back = runner.next_batch(0.05)
    assert given_back == 2
    assert kinds(messages) == [(0, "Reports"), (0, "Ended")]
    go_on.set()
    messages, given_back = runner.next_batch(LONG)
    assert (kinds(messages), given_back) == ([(1, "Reports"), (1, "Ended")], 0)


def test_a_long_job_that_says_nothing_gives_back_the_others_all_the_same(runner_of: Any) -> None:
    go_on = threading.Event()
    runner = runner_of(lambda config: go_on.wait() and None)
    runner.start([job(trial) for trial in range(3)])
    messages, given_back = runner.next_batch(0.01)
    assert messages == []
    assert given_back in (2, 3)  # 3: the thread had not even begun
    go_on.set()


def test_after_an_exception_the_others_are_given_back(runner_of: Any) -> None:
    """Its process is not used again."""

    def train(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] == 1:
            raise ValueError("diverged")
        return {"loss": 0.0}

    runner = runner_of(train)
    runner.start([job(trial) for trial in range(4)])
    messages, given_back = runner.next_batch(LONG)
    assert given_back == 2
    assert isinstance(messages[-1], Crashed) and messages[-1].error == "ValueError: diverged"


def test_release_ends_the_one_that_runs_and_drops_the_rest(runner_of: Any) -> None:
    begun: list[int] = []
    has_begun = threading.Event()

    def train(config: dict[str, Any]) -> None:
        begun.append(config["x"])
        has_begun.set()
        while True:
            report({"loss": 0.0})

    runner = runner_of(train)
    runner.start([job(trial) for trial in range(3)])
    has_begun.wait()
    runner.release()
    assert begun == [0]
    runner.start([job(7, until=1.0)])
    messages, _ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(7)


# ---- the next order ----


def test_a_trial_at_its_milestone_makes_way_for_the_next_order(runner_of: Any) -> None:
    left = threading.Event()

    def train(config: dict[str, Any]) -> None:
        try:
            for epoch in range(4):
                report({"loss": epoch}, checkpoint={"epoch": epoch})
        finally:
            left.set()

    runner = runner_of(train)
    runner.start([job(0, until=2.0)])
    messages, _ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(0, saved=True)
    runner.start([job(1, until=3.0)], ahead=True)
    messages, _ = runner.next_batch(LONG)
    assert left.is_set()
    assert {message.trial for message in messages} == {1}
    assert isinstance(messages[-1], AtMilestone) and messages[-1].seconds is not None


def test_a_trial_that_does_not_make_way_is_told_of(runner_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_hpo.worker.runner.RELEASE_SECONDS", 0.1)
    go_on = threading.Event()

    def train(config: dict[str, Any]) -> None:
        try:
            report({"loss": 0.0})
        finally:
            go_on.wait()

    runner = runner_of(train)
    runner.start([job(0, until=1.0)])
    runner.next_batch(LONG)
    runner.start([job(1, until=1.0)])
    with pytest.raises(StuckTrial, match=r"trial 0 was released and did not return in 0 s"):
        runner.next_batch(LONG)
    go_on.set()
    messages, _ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(1)


def test_after_an_exception_the_next_order_is_run(runner_of: Any) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] == 0:
            raise ValueError("diverged")
        return {"loss": 0.0}

    runner = runner_of(train)
    for _ in range(50):
        runner.start([job(0)])
        messages, _ = runner.next_batch(LONG)
        assert isinstance(messages[-1], Crashed)
        runner.start([job(1)])
        messages, _ = runner.next_batch(LONG)
        assert messages[-1] == Ended(1)
