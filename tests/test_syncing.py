"""When the disk is asked to confirm what was written, and what is deleted after that."""

from __future__ import annotations

import queue
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from ray_hpo.journal import Event, Journal, journal as writer, syncing
from ray_hpo.journal.schema import FILE
from ray_hpo.loop.tidying import Tidying
from ray_hpo.sync_times import SYNC_SECONDS, sync_number, to_next_sync
from ray_hpo.worker import syncing as worker_syncing


@given(st.floats(0, 4e9))
def test_every_process_comes_to_the_same_moments(now: float) -> None:
    left = to_next_sync(lambda: now)
    assert 0 < left <= SYNC_SECONDS
    assert (now + left) / SYNC_SECONDS == pytest.approx(sync_number(lambda: now) + 1, abs=1e-5)


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the number of the latest moment, as journals see it."""
    numbers = [0]
    monkeypatch.setattr(writer, "sync_number", lambda: numbers[0])

    def set_to(number: int) -> None:
        numbers[0] = number

    return set_to


@pytest.fixture
def confirmed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The file that was confirmed, each time."""
    inodes: list[int] = []
    monkeypatch.setattr(syncing, "_confirm", lambda file: inodes.append(Path(f"/proc/self/fd/{file}").stat().st_ino))
    return inodes


def write(journal: Journal, text: str) -> None:
    journal.event(Event(1.0, "notice", None, {"text": text}))
    journal.commit()


def ended(journal: Journal) -> None:
    """Wait for the confirmation that is under way."""
    assert journal._syncing is not None
    journal.syncs += journal._syncing.ended(wait=True)


def test_the_log_is_confirmed_at_each_moment_once_and_only_if_there_is_news(
    tmp_path: Path, moment: Callable[[int], None], confirmed: list[int]
) -> None:
    journal = Journal(tmp_path)
    journal.begin({})
    log = (tmp_path / f"{FILE}-wal").stat().st_ino
    write(journal, "within the moment in which it was opened")
    assert journal.syncs == 0 and not confirmed
    moment(1)
    write(journal, "first")
    ended(journal)
    assert confirmed == [log] and journal.syncs == 1
    write(journal, "within the same")
    moment(2)
    journal.commit()
    ended(journal)
    assert confirmed == [log, log]
    moment(3)
    journal.commit()
    assert confirmed == [log, log] and journal.syncs == 2
    journal.close()


def test_what_is_in_the_log_is_taken_over_now_and_then(tmp_path: Path, moment: Callable[[int], None]) -> None:
    journal = Journal(tmp_path)
    journal.begin({})
    path = tmp_path / FILE
    assert journal._syncing is not None
    moment(1)
    write(journal, "first")
    ended(journal)
    assert b"first" not in path.read_bytes()
    journal._syncing._checkpoint_due = 0.0
    moment(2)
    write(journal, "second")
    ended(journal)
    assert b"first" in path.read_bytes() and b"second" in path.read_bytes()
    assert journal._syncing._checkpoint_due > 0.0
    journal.close()


def test_a_checkpoint_is_deleted_at_the_third_sync_from_when_it_is_not_needed() -> None:
    experiment, journal = SimpleNamespace(unneeded=["a"]), SimpleNamespace(syncs=0)
    deleted: list[str] = []
    tidying = Tidying(experiment, journal, deleted.append)  # type: ignore[arg-type]  # it asks no more of them
    for sync in (0, 1, 1, 2):
        journal.syncs = sync
        tidying.after_commit()
        assert not deleted
    experiment.unneeded.append("b")
    journal.syncs = 3
    tidying.after_commit()
    assert deleted == ["a"]
    experiment.unneeded.append("c")
    tidying.at_end()
    assert deleted == ["a", "b", "c"]


def test_the_newest_checkpoint_of_a_trial_is_confirmed_and_the_last_one_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_syncing, "to_next_sync", lambda: 60.0)
    confirmed: queue.SimpleQueue[str] = queue.SimpleQueue()
    of_worker = worker_syncing.Syncing()
    of_worker.add(0, partial(confirmed.put, "the first of trial 0"), at_once=False)
    of_worker.add(0, partial(confirmed.put, "its second"), at_once=False)
    of_worker.add(1, partial(confirmed.put, "the last of trial 1"), at_once=True)
    assert [confirmed.get(timeout=30) for _ in range(2)] == ["its second", "the last of trial 1"]
