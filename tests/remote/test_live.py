"""The live journal of this machine and the snapshots of the storage: which one counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ray_hpo
from ray_hpo.journal.schema import FILE
from ray_hpo.remote import keeper, live
from ray_hpo.remote.folder import RemoteFolder
from ray_hpo.remote.snapshots import listed
from ray_hpo.remote.store import RemoteStore
from ray_hpo.remote.uri import Uri
from tests.remote.sweep import Cut, live_folder, outcome, resume, run, terminate
from tests.s3 import S3


@pytest.fixture
def all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots and checkpoints, so that any moment can be gone back to."""
    monkeypatch.setattr(keeper, "KEPT", 10**6)
    monkeypatch.setattr(RemoteStore, "delete", lambda self, path: None)


def forget_newest(path: object) -> None:
    """As if only the first snapshot had been sent before the driver died."""
    remote = RemoteFolder(Uri.parse(str(path)))
    for snapshot in listed(remote)[1:]:
        remote.delete(snapshot.path)


@pytest.mark.usefixtures("all_kept")
def test_a_live_journal_that_knows_more_is_kept(
    s3: S3, reference: ray_hpo.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_set_aside", None)  # must not be called
    first = run(s3.uri(), Cut(14, terminate))
    forget_newest(first.path)
    result = resume(first.path)
    assert outcome(result) == outcome(reference)
    assert result.experiment.records[: len(first.experiment.records)] == first.experiment.records


def test_a_live_journal_that_knows_less_gives_way(
    s3: S3, reference: ray_hpo.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(s3.uri(), Cut(10, terminate))
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(live, "home", lambda: tmp_path / "other")
        second = resume(first.path, Cut(6, terminate))
    assert len(second.experiment.records) > len(first.experiment.records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "_set_aside", None)
        result = resume(first.path)
    assert outcome(result) == outcome(reference)
    assert result.experiment.records[: len(second.experiment.records)] == second.experiment.records


@pytest.mark.usefixtures("all_kept")
def test_what_only_this_machine_knew_is_set_aside(
    s3: S3, reference: ray_hpo.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(s3.uri(), Cut(14, terminate))
    forget_newest(first.path)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(live, "home", lambda: tmp_path / "other")
        second = resume(first.path, Cut(6, terminate))
    result = resume(first.path, progress=True)
    (aside,) = live_folder(first.path).glob("set-aside-*")
    assert f"what only this machine had of it is set aside in {aside}" in capsys.readouterr().out
    assert outcome(ray_hpo.load(aside)) == outcome(first)
    assert outcome(result) == outcome(reference)
    assert result.experiment.records[: len(second.experiment.records)] == second.experiment.records


def test_a_damaged_live_journal_is_replaced(s3: S3, reference: ray_hpo.Result) -> None:
    first = run(s3.uri(), Cut(14, terminate))
    file = live_folder(first.path) / FILE
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.warns(UserWarning, match="set aside"):
        result = resume(first.path)
    assert outcome(result) == outcome(reference)


def test_storage_that_lost_everything_is_filled_again(s3: S3, reference: ray_hpo.Result) -> None:
    first = run(s3.uri(), Cut(14, terminate))
    RemoteFolder(Uri.parse(str(first.path))).delete_folder()
    result = resume(first.path)
    assert [trial.value for trial in result.trials] == [trial.value for trial in reference.trials]
    assert sum(
        "is damaged (it is not on the storage any more): starts from nothing" in n for n in result.experiment.notices
    )
    shutil.rmtree(live.home())
    assert outcome(ray_hpo.load(first.path)) == outcome(result)


def test_what_is_looked_at_is_not_tidied_away(s3: S3) -> None:
    first = run(s3.uri(), num_trials=1, algo="random")
    shutil.rmtree(live_folder(first.path))
    early = ray_hpo.load(first.path)
    late = resume(first.path, num_trials=2)
    shutil.rmtree(live_folder(first.path))
    now = ray_hpo.load(first.path)
    assert len(now.all_reports()) == 2 * len(early.all_reports()) == late.spent
    folder = early.place.folder
    del early
    resume(first.path, num_trials=3)
    shutil.rmtree(live_folder(first.path))
    ray_hpo.load(first.path)
    assert not folder.exists()
