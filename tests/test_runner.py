"""Several jobs in one call: they run one after another, and nobody waits behind a long one."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_hpo.messages import AtMilestone, Crashed, Ended, Job, Message, Notice
from ray_hpo.reports import Reports
from ray_hpo.storage import CheckpointStore
from ray_hpo.worker.runner import StuckTrial, TrialRunner
from ray_hpo.worker.session import HEAD_START_SECONDS, Setting, report

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
    messages, given_back, *_ = runner.next_batch(LONG)
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
    messages, given_back, *_ = runner.next_batch(LONG)
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
    messages, *_ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(0)
    runner.proceed(9.0)
    messages, *_ = runner.next_batch(LONG)
    assert messages[-1] == Ended(0)


def test_what_is_behind_a_long_job_is_given_back(runner_of: Any) -> None:
    go_on = threading.Event()

    def train(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] == 1:
            go_on.wait()
        return {"loss": 0.0}

    runner = runner_of(train)
    runner.start([job(trial) for trial in range(4)])
    messages, given_back, *_ = runner.next_batch(0.05)
    assert given_back == 2
    assert kinds(messages) == [(0, "Reports"), (0, "Ended")]
    go_on.set()
    messages, given_back, *_ = runner.next_batch(LONG)
    assert (kinds(messages), given_back) == ([(1, "Reports"), (1, "Ended")], 0)


def test_a_long_job_that_says_nothing_gives_back_the_others_all_the_same(runner_of: Any) -> None:
    go_on = threading.Event()
    runner = runner_of(lambda config: go_on.wait() and None)
    runner.start([job(trial) for trial in range(3)])
    messages, given_back, *_ = runner.next_batch(0.01)
    assert messages == []
    assert given_back in (2, 3)  # 3: the thread had not even begun
    go_on.set()


def test_after_an_exception_the_others_are_given_back(runner_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is not used again."""
    monkeypatch.setattr("ray_hpo.worker.runner.BEHIND_SECONDS", LONG)  # a slow machine gives none back before

    def train(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] == 1:
            raise ValueError("diverged")
        return {"loss": 0.0}

    runner = runner_of(train)
    runner.start([job(trial) for trial in range(4)])
    messages, given_back, *_ = runner.next_batch(LONG)
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
    messages, *_ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(7)


# ---- the next order ----


def saving(config: dict[str, Any]) -> None:
    for epoch in range(4):
        report({"loss": epoch}, checkpoint={"epoch": epoch})


def test_a_trial_at_its_milestone_makes_way_for_the_next_order(runner_of: Any) -> None:
    left = threading.Event()

    def train(config: dict[str, Any]) -> None:
        try:
            saving(config)
        finally:
            left.set()

    runner = runner_of(train)
    runner.start([job(0, until=2.0)])
    messages, *_ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(0, saved=True)
    runner.start([job(1, until=3.0)])
    messages, *_ = runner.next_batch(LONG)
    assert left.is_set()
    assert {message.trial for message in messages} == {1}
    assert messages[-1] == AtMilestone(1, saved=True)


# ---- a job that is offered for after the present one ----


def test_a_trial_with_a_checkpoint_makes_way_for_what_is_offered(runner_of: Any) -> None:
    """What it said comes first, whoever asks; then what the next one says."""
    runner = runner_of(saving)
    runner.offer(job(1, until=3.0), turn=1)  # offers and orders may overtake one another
    runner.start([job(0, until=2.0)])
    first, second = runner.next_batch(LONG), runner.next_batch(LONG)
    assert first.made_way and {message.trial for message in first.messages} == {0}
    assert first.messages[-1] == AtMilestone(0, released=True, saved=True)
    assert not second.made_way and {message.trial for message in second.messages} == {1}
    assert isinstance(second.messages[-1], AtMilestone) and second.messages[-1].seconds is not None
    assert not second.messages[-1].released


def test_its_last_word_comes_when_its_checkpoint_is_there(runner_of: Any) -> None:
    runner = runner_of(saving)
    runner.start([job(0, until=2.0)])
    runner.offer(job(1, until=3.0), turn=1)
    messages, *_ = runner.next_batch(LONG)
    assert [type(message).__name__ for message in messages][-2:] == ["Saved", "AtMilestone"]
    assert sum(message.count for message in messages if isinstance(message, Reports)) == 2


def test_the_next_one_has_a_head_start(runner_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what keeps the interpreter busy: the save, and the answer."""
    seen: list[str] = []
    begun = threading.Event()
    save = CheckpointStore.save

    def train(config: dict[str, Any]) -> None:
        if config["x"] == 1:
            seen.append("begun")
            begun.set()
        saving(config)

    def head_start(seconds: float) -> None:
        assert 0 < seconds <= HEAD_START_SECONDS
        assert begun.wait(30)

    def spy(self: Any, trial: int, *args: Any) -> str:
        seen.append(f"saved {trial}")
        return save(self, trial, *args)

    monkeypatch.setattr("ray_hpo.worker.session._sleep", head_start)
    monkeypatch.setattr("ray_hpo.storage.CheckpointStore.save", spy)
    runner = runner_of(train)
    runner.offer(job(1, until=1.0), turn=1)
    runner.start([job(0, until=1.0)])
    assert [runner.next_batch(LONG).made_way for _ in range(2)] == [True, False]
    assert seen[0] == "begun" and set(seen[1:]) == {"saved 0", "saved 1"}


def test_a_checkpoint_that_cannot_be_written_costs_a_trial_that_made_way_no_result(
    runner_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("ray_hpo.storage.CheckpointStore.save", full)
    runner = runner_of(saving)
    runner.offer(job(1, until=3.0), turn=1)
    runner.start([job(0, until=1.0)])
    first, second = runner.next_batch(LONG), runner.next_batch(LONG)
    assert first.made_way and first.messages[-1] == AtMilestone(0, released=True, saved=False)
    assert any(isinstance(message, Notice) and "no space left" in message.text for message in first.messages)
    assert kinds(second.messages)[-1] == (1, "AtMilestone")


def test_a_large_checkpoint_is_written_before_its_trial_makes_way(
    runner_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_hpo.worker.saving.SMALL", 1000)
    threads: list[str] = []
    save = CheckpointStore.save

    def spy(self: Any, *args: Any) -> str:
        threads.append(threading.current_thread().name)
        return save(self, *args)

    monkeypatch.setattr("ray_hpo.storage.CheckpointStore.save", spy)

    def train(config: dict[str, Any]) -> None:
        report({"loss": 0.0}, checkpoint={"weights": b"0" * 5000})

    runner = runner_of(train)
    runner.offer(job(1, until=1.0), turn=1)
    runner.start([job(0, until=1.0)])
    batches = [runner.next_batch(LONG) for _ in range(2)]
    assert [batch.made_way for batch in batches] == [True, False]
    assert {(t, "Saved") for t in (0, 1)} <= {kind for batch in batches for kind in kinds(batch.messages)}
    assert threads == ["trial", "trial"]


def test_the_next_one_can_make_way_as_well(runner_of: Any) -> None:
    """Turns are counted by orders, verdicts, and offers that were taken."""
    go_on = threading.Event()

    def train(config: dict[str, Any]) -> None:
        if config["x"] == 1:
            go_on.wait()
        saving(config)

    runner = runner_of(train)
    runner.start([job(0, until=1.0)])
    runner.next_batch(LONG)
    runner.offer(job(1, until=1.0), turn=2)
    runner.proceed(2.0)
    assert runner.next_batch(LONG).made_way
    runner.offer(job(2, until=9.0), turn=3)
    go_on.set()
    batch = runner.next_batch(LONG)
    assert batch.made_way and {message.trial for message in batch.messages} == {1}
    assert kinds(runner.next_batch(LONG).messages)[-1] == (2, "Ended")


def test_a_trial_that_ends_by_itself_makes_way(runner_of: Any) -> None:
    runner = runner_of(lambda config: {"loss": config["x"]})
    runner.offer(job(1), turn=1)
    runner.start([job(0)])
    batches = [runner.next_batch(LONG) for _ in range(2)]
    assert [batch.made_way for batch in batches] == [True, False]
    assert [kinds(batch.messages) for batch in batches] == [[(t, "Reports"), (t, "Ended")] for t in (0, 1)]


def test_what_a_trial_says_while_it_leaves_is_heard_before_the_next_one(runner_of: Any) -> None:
    """Its milestone may come between two calls."""
    go_on, made_way = threading.Event(), threading.Event()

    def train(config: dict[str, Any]) -> None:
        if config["x"] == 1:
            made_way.set()
        report({"loss": 0.0}, checkpoint={})
        go_on.wait()
        report({"loss": 1.0}, checkpoint={})

    runner = runner_of(train)
    runner.start([job(0, until=2.0)])
    assert kinds(runner.next_batch(0.001).messages)[0] == (0, "Reports")
    runner.offer(job(1, until=1.0), turn=1)
    go_on.set()
    assert made_way.wait(LONG)
    batch = runner.next_batch(LONG)
    assert batch.made_way and {message.trial for message in batch.messages} == {0}
    assert batch.messages[-1] == AtMilestone(0, released=True, saved=True)
    assert isinstance(runner.next_batch(LONG).messages[-1], AtMilestone)


@pytest.mark.parametrize("turn", [0, 2])
def test_an_offer_for_another_turn_is_not_taken(runner_of: Any, turn: int) -> None:
    runner = runner_of(saving)
    runner.offer(job(1), turn=turn)
    runner.start([job(0, until=1.0)])
    batch = runner.next_batch(LONG)
    assert batch.messages[-1] == AtMilestone(0, saved=True) and not batch.made_way


def test_without_a_checkpoint_nothing_makes_way(runner_of: Any) -> None:
    def train(config: dict[str, Any]) -> None:
        report({"loss": 0.0})

    runner = runner_of(train)
    runner.offer(job(1), turn=1)
    runner.start([job(0, until=1.0)])
    batch = runner.next_batch(LONG)
    assert batch.messages[-1] == AtMilestone(0) and not batch.made_way


def test_after_an_exception_nothing_is_begun(runner_of: Any) -> None:
    def train(config: dict[str, Any]) -> None:
        raise ValueError("diverged")

    runner = runner_of(train)
    runner.offer(job(1), turn=1)
    runner.start([job(0)])
    batch = runner.next_batch(LONG)
    assert isinstance(batch.messages[-1], Crashed) and not batch.made_way


def test_a_trial_that_stays_is_told_of_to_the_one_that_it_should_make_way_for(
    runner_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_hpo.worker.runner.RELEASE_SECONDS", 0.1)
    go_on = threading.Event()

    def train(config: dict[str, Any]) -> None:
        try:
            saving(config)
        finally:
            go_on.wait()

    runner = runner_of(train)
    runner.offer(job(1), turn=1)
    runner.start([job(0, until=1.0)])
    while not runner.next_batch(0.01).made_way:
        pass
    with pytest.raises(StuckTrial, match=r"trial 0 was released and did not return in 0 s"):
        runner.next_batch(LONG)
    go_on.set()
    assert kinds(runner.next_batch(LONG).messages)[-1] == (1, "Ended")


def test_an_error_of_a_trial_that_was_let_go_is_nobodys(runner_of: Any) -> None:
    def train(config: dict[str, Any]) -> None:
        try:
            saving(config)
        finally:
            if config["x"] == 0:
                raise ValueError("in its clean-up")

    runner = runner_of(train)
    runner.offer(job(1), turn=1)
    runner.start([job(0, until=1.0)])
    batches = [runner.next_batch(LONG) for _ in range(2)]
    assert batches[0].messages[-1] == AtMilestone(0, released=True, saved=True)
    assert kinds(batches[1].messages)[-1] == (1, "Ended")


@pytest.mark.parametrize("then", ["fails", "returns"])
def test_a_final_trial_is_complete_whatever_it_does_then(runner_of: Any, then: str) -> None:
    def train(config: dict[str, Any]) -> None:
        try:
            saving(config)
        except BaseException:
            if then == "fails":
                raise ValueError("in its clean-up") from None

    runner = runner_of(train)
    for _ in range(20):
        runner.start([job(0, until=2.0, final=True)])
        assert kinds(runner.next_batch(LONG).messages)[-1] == (0, "AtMilestone")
        assert runner.next_batch(0.01, timeout=0.01).messages == []


# ---- what goes wrong ----


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
    messages, *_ = runner.next_batch(LONG)
    assert messages[-1] == AtMilestone(1)


def test_after_an_exception_the_next_order_is_run(runner_of: Any) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] == 0:
            raise ValueError("diverged")
        return {"loss": 0.0}

    runner = runner_of(train)
    for _ in range(50):
        runner.start([job(0)])
        messages, *_ = runner.next_batch(LONG)
        assert isinstance(messages[-1], Crashed)
        runner.start([job(1)])
        messages, *_ = runner.next_batch(LONG)
        assert messages[-1] == Ended(1)
