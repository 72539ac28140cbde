"""A journal on a disk that is full, and one that was cut short or written over: one clear error, no surprises."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import ray_hpo
from ray_hpo import JournalError, get_context, load, report, resume, tune_run, uniform
from ray_hpo.cli.views import experiment_rows

EPOCHS, TRIALS = 9, 12
PAGE = 4096  # bytes, of SQLite's files


def train(config: dict[str, Any]) -> None:
    state = ray_hpo.get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        report({"loss": config["x"] + 1 / epoch, "filler": "f" * 200}, checkpoint={"epoch": epoch})


def start(storage: Path, name: str, trainable: Any = train) -> ray_hpo.Result:
    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        trainable,
        metric="loss",
        algo="asha",
        max_budget=EPOCHS,
        num_trials=TRIALS,
        storage=storage,
        name=name,
        seed=4,
        executor="inline",
        progress=False,
    )
    assert isinstance(result, ray_hpo.Result)
    return result


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> ray_hpo.Result:
    return start(tmp_path_factory.mktemp("undisturbed"), "whole")


@contextmanager
def room_again() -> Iterator[None]:
    """Files may grow again after this, whatever happened in it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill_the_disk() -> None:
    """No file can grow any more."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))


@pytest.mark.parametrize("trial", [0, 3, 7])
def test_a_full_disk_is_one_error_and_a_resume_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, undisturbed: ray_hpo.Result, trial: int
) -> None:
    def fill_up(config: dict[str, Any]) -> None:
        if get_context().trial == trial:
            fill_the_disk()
        train(config)

    with room_again(), pytest.raises(JournalError, match=r"the journal cannot be written: .*; mend that, then resume"):
        start(tmp_path, "full", fill_up)
    assert load(tmp_path / "full").status == "cut off: its driver is gone"
    with room_again():
        fill_the_disk()
        with pytest.raises(JournalError):
            resume(tmp_path / "full", train, executor="inline", progress=False)
    result = resume(tmp_path / "full", train, executor="inline", progress=False)
    assert result.status == undisturbed.status
    assert [(t.config, t.state, t.step, t.value) for t in result.trials] == [
        (t.config, t.state, t.step, t.value) for t in undisturbed.trials
    ]


def use(folder: Path) -> None:
    """All that reads or continues a journal."""
    result = load(folder)
    result.all_reports()
    resume(folder, train, executor="inline", progress=False)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_truncated_journal_is_told(tmp_path: Path, undisturbed: ray_hpo.Result, share: float) -> None:
    """Unless all that is missing is an end of the last page in which nothing was: then nothing is missing."""
    folder = copied(undisturbed, tmp_path)
    data = (folder / "journal.sqlite").read_bytes()
    left = data[: int(share * len(data))]
    (folder / "journal.sqlite").write_bytes(left)
    told = None
    try:
        use(folder)
    except JournalError as error:
        told = str(error)
    if told is not None:
        assert "\n" not in told
    else:
        assert len(data) - len(left) < PAGE
        pd.testing.assert_frame_equal(load(folder).all_reports(), undisturbed.all_reports())
        assert [t.decisions for t in load(folder).trials] == [t.decisions for t in undisturbed.trials]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 1.0, exclude_max=True), noise=st.binary(min_size=1, max_size=3000))
def test_an_overwritten_journal_is_told_or_harmless(
    tmp_path: Path, undisturbed: ray_hpo.Result, share: float, noise: bytes
) -> None:
    """SQLite has no checksums: what is still a journal cannot be told from one that was always so."""
    folder = copied(undisturbed, tmp_path)
    data = bytearray((folder / "journal.sqlite").read_bytes())
    at = int(share * len(data))
    data[at : at + len(noise)] = noise[: len(data) - at]
    (folder / "journal.sqlite").write_bytes(data)
    with suppress(ray_hpo.RayHpoError):
        use(folder)


def test_a_row_that_makes_no_sense_is_told(tmp_path: Path, undisturbed: ray_hpo.Result) -> None:
    folder = copied(undisturbed, tmp_path)
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE events SET body = '{\"until\"' WHERE seq = 5")
    with pytest.raises(JournalError, match=r"journal.sqlite is damaged \(JSONDecodeError: .*\): put back a copy"):
        load(folder)


@pytest.mark.parametrize("spec", ["{}", "[]", '{"algo": {"name": "asha"}, "space": {}}'])
def test_a_head_that_makes_no_sense_is_told(tmp_path: Path, undisturbed: ray_hpo.Result, spec: str) -> None:
    folder = copied(undisturbed, tmp_path)
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE head SET spec = ?", (spec,))
    with pytest.raises(JournalError, match=r"what the experiment is cannot be read from its journal|its head is none"):
        load(folder)
    (row,) = experiment_rows([str(folder)])
    assert row["status"].startswith("unreadable: ")


def copied(result: ray_hpo.Result, below: Path) -> Path:
    """A copy of the experiment, without its trials' files."""
    folder = below / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(result.path / "journal.sqlite", folder)
    return folder
