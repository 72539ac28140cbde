"""Batches of reports: what a worker gathers, what travels, what the journal gives back."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path
from typing import Any

from hypothesis import given, strategies as st

from ray_hpo.journal import Event, Journal, read_reports
from ray_hpo.messages import Checkpoint, Ended, Message, Saved
from ray_hpo.reports import Reports, Row, in_batches, rows_of
from ray_hpo.worker.outbox import Bell, Outbox

METRICS = st.dictionaries(
    st.sampled_from(["loss", "acc", "note", "nested"]),
    st.one_of(st.floats(allow_nan=False), st.integers(), st.text(), st.none(), st.lists(st.integers(), max_size=2)),
)
ROWS = st.lists(st.tuples(st.floats(0, 1e9), METRICS), max_size=20).map(
    lambda found: [(float(step), time, metrics) for step, (time, metrics) in enumerate(found)]
)


def unpacked(messages: list[Any]) -> list[Row]:
    return [row for message in messages if isinstance(message, Reports) for row in rows_of(message.columns)]


@given(ROWS)
def test_batches_give_the_rows_back(rows: list[Row]) -> None:
    batches = pickle.loads(pickle.dumps(in_batches(3, rows)))
    assert unpacked(batches) == rows
    assert sum(batch.count for batch in batches) == len(rows)
    for batch in batches:
        assert batch.trial == 3
        assert (batch.step, batch.time, batch.metrics) == list(rows_of(batch.columns))[-1]
        json.loads(batch.columns)


@given(ROWS.filter(bool), st.integers(-1, 20))
def test_what_is_known_is_cut_off(rows: list[Row], known: int) -> None:
    for batch in in_batches(0, rows):
        for form in (batch, pickle.loads(pickle.dumps(batch))):
            new = form.after(known)
            assert unpacked([new]) == [row for row in rows_of(batch.columns) if row[0] > known]


def test_a_window_holds_what_comes_in_it_and_a_last_message_ends_it() -> None:
    bell = Bell()
    outbox = Outbox(5, bell)
    for step in range(3):
        outbox.report(float(step), {"loss": 0.5})
    outbox.put(Saved(5, Checkpoint("path", 2.0)))
    outbox.report(3.0, {"loss": 0.25})
    outbox.put(Ended(5))
    bell.ring_out()
    bell.wait(window=3600.0)
    first, saved, second, ended = outbox.take()
    assert isinstance(first, Reports) and isinstance(second, Reports)
    assert (first.count, first.step, second.count, second.step) == (3, 2.0, 1, 3.0)
    assert (saved, ended) == (Saved(5, Checkpoint("path", 2.0)), Ended(5))
    bell.wait(window=0.0, timeout=0.0)
    assert outbox.take() == []


def test_nothing_is_lost_between_a_trainable_and_its_runner() -> None:
    bell, count = Bell(), 50_000
    outbox = Outbox(0, bell)
    writer = threading.Thread(
        target=lambda: [
            *(outbox.report(float(step), {"loss": step}) for step in range(count)),
            outbox.put(Ended(0)),
            bell.ring_out(),
        ]
    )
    writer.start()
    messages: list[Message] = []
    while not (messages and isinstance(messages[-1], Ended)):
        bell.wait(window=0.001)
        messages += outbox.take()
    writer.join()
    assert [row[0] for row in unpacked(messages)] == list(range(count))


def test_steps_that_overlap_in_the_journal_are_read_once(tmp_path: Path) -> None:
    """Whatever a writer did: a reader gives each step once, in order."""
    journal = Journal(tmp_path)
    journal.begin({})
    journal.event(Event(0.0, "start", 0, {"config": {}, "until": 9.0}))
    for first, last in ((1, 4), (3, 6), (3, 4), (1, 8)):
        journal.report(Reports(0, [(float(s), 0.0, {"loss": first}) for s in range(first, last + 1)]))
        journal.commit()
    journal.close()
    assert [(step, metrics["loss"]) for _, step, _, metrics in read_reports(tmp_path)] == [
        (1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1), (5.0, 3), (6.0, 3), (7.0, 1), (8.0, 1),
    ]  # fmt: skip
    assert {file.name for file in tmp_path.iterdir()} <= {"journal.sqlite", "journal.backup"}
