"""The last good copy of a journal: made beside it, offered when it is damaged, and gone on from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from typer.main import get_command

import ray_hpo
from ray_hpo import InvalidInput, JournalError, load, resume
from ray_hpo.cli.main import app
from ray_hpo.experiment import Experiment
from ray_hpo.journal import Event, Journal, backup
from ray_hpo.journal.backup import DAMAGED, restore
from ray_hpo.journal.damage import BACKUP
from ray_hpo.journal.reader import read_experiment
from ray_hpo.journal.schema import FILE
from tests.test_journal_damage import TRIALS, start, train


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start(tmp_path_factory.mktemp("original"), "whole").path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "whole"))


def test_three_files_besides_those_of_the_trials(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [BACKUP, "journal.lock", FILE, "trials"]


@pytest.mark.parametrize("damage", ["truncated", "written over", "empty", "gone"])
def test_a_damaged_journal_goes_back_to_its_copy_and_on(folder: Path, damage: str) -> None:
    before = load(folder)
    data = (folder / FILE).read_bytes()
    if damage == "gone":
        (folder / FILE).unlink()
    else:
        damaged = {"truncated": data[: len(data) // 2], "written over": b"\xff" * len(data), "empty": b""}[damage]
        (folder / FILE).write_bytes(damaged)
        (folder / f"{FILE}-wal").write_bytes(b"what the damaged one had not taken over yet")
        with pytest.raises(JournalError) as caught:
            resume(folder, train, executor="inline", progress=False)
        if damage != "empty":  # SQLite takes an empty file for a new one
            assert str(caught.value).endswith(f"; `ray-hpo restore {folder}` goes back to its last good copy")
    done = CliRunner().invoke(get_command(app), ["restore", str(folder)])
    assert done.exit_code == 0, done.output
    assert f"resume: ray-hpo resume {folder}\n" in done.output
    assert (folder / DAMAGED).exists() == (damage != "gone")
    assert repr(load(folder).trials) == repr(before.trials)
    result = resume(folder, train, num_trials=TRIALS + 4, executor="inline", progress=False)
    assert len(result.trials) == TRIALS + 4


def test_a_journal_that_is_whole_stays(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="is whole: there is nothing to restore"):
        restore(folder)


def test_a_copy_that_is_missing_or_damaged_is_told(folder: Path) -> None:
    (folder / FILE).write_bytes(b"nothing")
    (folder / BACKUP).write_bytes(b"nothing, either")
    with pytest.raises(JournalError, match=r"journal.backup is damaged, too"):
        restore(folder)
    (folder / BACKUP).unlink()
    with pytest.raises(JournalError, match=r"has no journal.backup"):
        restore(folder)
    with pytest.raises(JournalError) as caught:
        load(folder)
    assert "restore" not in str(caught.value)


def test_checkpoints_that_a_later_session_deleted_cost_their_trials_a_new_beginning(folder: Path) -> None:
    (folder / FILE).write_bytes(b"nothing")
    restore(folder)
    shutil.rmtree(folder / "trials")
    result = resume(folder, train, num_trials=TRIALS + 8, executor="inline", progress=False)
    assert result.status == "all trials have run"
    gone = [notice for notice in result.experiment.notices if "is gone): starts from nothing" in notice]
    promoted = [t for t in result.trials[:TRIALS] if any("resume" in text for _, text in t.decisions[-3:])]
    assert bool(gone) <= bool(promoted)


def test_copies_are_made_while_a_driver_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(backup, "SHARE", float("inf"))
    journal = Journal(tmp_path)
    journal.begin({"name": "test"})
    for count in (1, 2):
        journal.event(Event(float(count), "limit", None, {"num_trials": count}))
        journal.commit()
        journal.sync()
        copy = tmp_path / "copy"
        copy.mkdir(exist_ok=True)
        shutil.copy(tmp_path / BACKUP, copy / FILE)
        assert len(read_experiment(copy, Experiment("loss", "min", 1)).records) == count
    journal.close()


def test_a_damaged_journal_never_replaces_a_good_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "EVERY_SECONDS", 0.0)
    good = (folder / BACKUP).read_bytes()
    journal = Journal(folder)
    with open(folder / FILE, "r+b") as file:
        size = len(file.read())
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    journal.sync()
    assert (folder / BACKUP).read_bytes() == good
    journal.close()
    assert (folder / BACKUP).read_bytes() == good
    assert not (folder / f".{BACKUP}").exists()


def test_a_copy_is_as_good_as_the_journal(folder: Path) -> None:
    before = load(folder)
    (folder / FILE).unlink()
    shutil.copy(folder / BACKUP, folder / FILE)
    assert repr(load(folder).trials) == repr(before.trials)
    assert isinstance(before, ray_hpo.Result)
