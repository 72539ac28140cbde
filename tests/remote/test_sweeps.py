"""Sweeps on S3, in this process: as on a folder, whatever becomes of machine and storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo.journal import read_experiment, read_reports, read_spec
from ray_hpo.journal.schema import FILE
from ray_hpo.remote import folder as folders, keeper
from ray_hpo.remote.folder import RemoteFolder
from ray_hpo.remote.snapshots import fetch, listed
from ray_hpo.remote.store import RemoteStore
from ray_hpo.remote.uri import Uri
from ray_hpo.spec import Spec
from tests.remote.sweep import EPOCHS, Cut, live_folder, on_a_new_machine, outcome, resume, run, terminate
from tests.s3 import S3


def remote_of(result: ray_hpo.Result) -> RemoteFolder:
    return RemoteFolder(Uri.parse(str(result.path)))


def each_step_once(result: ray_hpo.Result) -> bool:
    rows = [(trial, step) for trial, step, *_ in read_reports(result.place.folder)]
    return len(rows) == len(set(rows)) == sum(trial.step for trial in result.trials)


def test_a_sweep_is_what_it_is_on_a_folder(s3: S3, reference: ray_hpo.Result) -> None:
    result = run(s3.uri())
    assert result.path == s3.uri("sweeps/sweep")
    assert outcome(result) == outcome(reference)
    assert result.best_checkpoint == reference.best_checkpoint
    again = ray_hpo.load(result.path)
    assert (outcome(again), again.status) == (outcome(result), "all trials have run")
    requests = len(s3.requests)
    ray_hpo.load(result.path)
    assert not any(method == "GET" and ".sqlite" in path for method, path in s3.requests[requests:])  # it is here
    kept = {trial.checkpoint.path for trial in result.trials if trial.checkpoint}
    assert {"/".join(f.path.split("/")[:3]) for f in remote_of(result).files() if "checkpoint_" in f.path} == kept
    assert remote_of(result).files("drivers") == []  # nobody is at work


def test_a_new_machine_goes_on(s3: S3, reference: ray_hpo.Result) -> None:
    first = run(s3.uri(), Cut(14, terminate))
    assert first.status == "terminated" and first.spent < reference.spent
    on_a_new_machine()
    result = resume(first.path)
    assert outcome(result) == outcome(reference)
    assert each_step_once(result)
    assert outcome(resume(result.path)) == outcome(reference)  # here the journal is at hand


@pytest.mark.parametrize("back", [1, 3])
def test_what_came_after_the_last_snapshot_is_done_again(
    back: int, s3: S3, reference: ray_hpo.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is lost: the newest snapshots are not there, as if they had never been sent."""
    monkeypatch.setattr(keeper, "KEPT", 10**6)
    monkeypatch.setattr(keeper, "SNAPSHOT_SECONDS", 0.01)
    monkeypatch.setattr(RemoteStore, "delete", lambda self, path: None)
    first = run(s3.uri(), Cut(16, terminate))
    remote = remote_of(first)
    for snapshot in listed(remote)[-back:]:
        remote.delete(snapshot.path)
    left = listed(remote)
    assert left
    on_a_new_machine()
    before = {row[:2]: row[2:] for row in read_reports(ray_hpo.load(first.path).place.folder)}
    result = resume(first.path)
    assert outcome(result) == outcome(reference)
    after = {row[:2]: row[2:] for row in read_reports(result.place.folder)}
    assert before.items() <= after.items()
    assert each_step_once(result)


def test_a_torn_snapshot_is_passed_over(s3: S3, reference: ray_hpo.Result) -> None:
    first = run(s3.uri(), Cut(14, terminate))
    remote = remote_of(first)
    newest, driver = listed(remote)[-1], "000002-0123abcd"
    whole = remote.read(newest.path)
    remote.write(f"journal/{driver}-00000001-{newest.digest}.sqlite", whole[: len(whole) // 2])
    remote.write(f"journal/{driver}-00000002-{newest.digest}.sqlite", whole[:-1] + b"x")
    on_a_new_machine()
    assert outcome(ray_hpo.load(first.path)) == outcome(first)
    result = resume(first.path)
    assert outcome(result) == outcome(reference)
    for snapshot in listed(remote):
        remote.write(snapshot.path, b"")
    on_a_new_machine()
    with pytest.raises(ray_hpo.JournalError, match="holds no snapshot that is whole: put back a copy"):
        resume(first.path)


def test_no_snapshot_names_a_checkpoint_that_is_deleted(
    s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeper, "SNAPSHOT_SECONDS", 0.0)
    saved: list[str] = []
    deleted: list[str] = []
    save, delete = RemoteStore.save, RemoteStore.delete

    def noted(self: RemoteStore, trial: int, step: float, checkpoint: Any) -> str:
        saved.append(save(self, trial, step, checkpoint))
        return saved[-1]

    def checked(self: RemoteStore, path: str) -> None:
        seen = tmp_path / path.replace("/", "_")
        assert fetch(self._remote, seen / FILE) is not None
        experiment = read_experiment(seen, Spec.from_json(read_spec(seen)).experiment())
        assert path not in experiment.checkpoints
        delete(self, path)
        deleted.append(path)

    monkeypatch.setattr(RemoteStore, "save", noted)
    monkeypatch.setattr(RemoteStore, "delete", checked)
    result = run(s3.uri())
    assert sorted(saved) == sorted([*deleted, *result.experiment.checkpoints])
    assert len(deleted) > len(result.trials)


# ---- faults of the storage ----


def test_every_request_fails_once(s3: S3, reference: ray_hpo.Result) -> None:
    failed: set[tuple[str, str]] = set()

    def once(method: str, path: str) -> str:
        if (method, path) in failed or len(failed) > 12:  # the SDK waits a little longer each time
            return ""
        failed.add((method, path))
        return "500"

    s3.rule = once
    result = run(s3.uri())
    assert outcome(result) == outcome(reference)
    assert len(failed) > 12
    assert not result.experiment.notices


def test_slow_writes_change_nothing(s3: S3, reference: ray_hpo.Result) -> None:
    slow = []

    def writes(method: str, path: str) -> str:
        if method not in ("PUT", "POST"):
            return ""
        slow.append(path)
        return "slow"

    s3.rule = writes
    result = run(s3.uri())
    assert outcome(result) == outcome(reference)
    assert each_step_once(result)
    assert len(slow) > len(result.trials)
    on_a_new_machine()
    assert outcome(ray_hpo.load(result.path)) == outcome(reference)


def test_the_sweep_goes_on_while_the_bucket_is_away(
    s3: S3, reference: ray_hpo.Result, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def text() -> str:
        said.append(capsys.readouterr().out)
        return "".join(said)

    def come_back() -> None:  # before any trial needs a checkpoint
        wait_until(lambda: "storage is not up to date" in text(), what="the word that it is away")
        s3.rule = None

    trained = Cut(9, come_back)

    def trainable(config: dict[str, Any]) -> None:
        if trained.epochs == 5:
            s3.away()
        trained(config)

    result = run(s3.uri(), trainable, progress=True)
    assert text().count("storage is not up to date") == 1 == text().count("storage is up to date again")
    assert f"there is no bucket {s3.bucket!r}: create it, or mend the name); the sweep goes on" in text()
    assert f"its journal is in {live_folder(result.path)}" in text()
    assert [trial[:2] for trial in outcome(result)] == [trial[:2] for trial in outcome(reference)]
    assert [trial.value for trial in result.trials] == [trial.value for trial in reference.trials]
    assert sum("could not be written" in notice for notice in result.experiment.notices) == 1
    on_a_new_machine()
    assert outcome(ray_hpo.load(result.path)) == outcome(result)  # it caught up


def test_storage_that_is_away_at_the_end_costs_nothing(
    s3: S3, reference: ray_hpo.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "END_SECONDS", 0.3)
    last = int(reference.spent) - 1
    with pytest.warns(UserWarning, match=r"could not be sent to storage .* nothing is lost: it is in .*/cache/ray_hpo"):
        first = run(s3.uri(), Cut(last, s3.away))
    assert first.experiment.counts() == reference.experiment.counts()
    s3.rule = None
    result = resume(first.path)
    assert outcome(result) == outcome(first)
    on_a_new_machine()
    assert outcome(ray_hpo.load(first.path)) == outcome(first)


def test_a_trial_waits_for_its_checkpoint(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage that is away when a trial goes on is no failure of the trial's."""
    first = run(s3.uri(), num_trials=1, algo="random")
    trial = first.trials[0]
    assert trial.checkpoint is not None
    answers = iter(["gone"] * 3)
    s3.rule = lambda method, path: next(answers, "")
    loading = RemoteStore(remote_of(first))
    assert loading.load(trial.checkpoint.path) == {"epoch": EPOCHS}
    s3.rule = lambda method, path: "403"
    monkeypatch.setattr(loading, "_patience", 0.0)
    with pytest.raises(ray_hpo.StorageError, match="access is denied"):
        loading.load(trial.checkpoint.path)


def test_a_hung_storage_is_given_up(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "ATTEMPTS", 1)
    monkeypatch.setattr(folders, "SILENT_SECONDS", 1.0)
    folders._open.cache_clear()
    s3.rule = lambda method, path: "hang"
    with pytest.raises(ray_hpo.StorageError, match=r"no connection .*Timeout was reached"):
        RemoteFolder(Uri.parse(s3.uri())).read("file")
    s3.released.set()
    folders._open.cache_clear()


# ---- mistakes, before anything starts ----


def test_mistakes_are_told_at_once(s3: S3) -> None:
    for storage, says in [
        (
            s3.uri().replace(s3.bucket, "nobody-has-it"),
            "there is no bucket 'nobody-has-it': create it, or mend the name",
        ),
        (s3.uri().replace(s3.endpoint, "127.0.0.1:9"), "no connection"),
        ("s5://bucket/path", "unknown scheme 's5'"),
    ]:
        with pytest.raises(ray_hpo.InvalidInput, match=says) as error:
            run(storage)
        assert "\n" not in str(error.value)
    s3.rule = lambda method, path: "403"
    with pytest.raises(ray_hpo.InvalidInput, match=r"access is denied .* AWS_ACCESS_KEY_ID"):
        run(s3.uri())
    s3.rule = None
    with pytest.raises(ray_hpo.RayHpoError, match="holds no experiment: there is no snapshot"):
        ray_hpo.load(s3.uri("sweeps/sweep"))
    result = run(s3.uri(), num_trials=1)
    with pytest.raises(ray_hpo.InvalidInput, match="holds an experiment already; resume it with `ray-hpo resume"):
        run(s3.uri(), num_trials=1)
    s3.away()
    with pytest.raises(ray_hpo.StorageError, match="what this machine knows of it: ray-hpo show"):
        ray_hpo.load(result.path)


def test_what_is_not_on_the_storage_any_more_does_not_stop_a_new_one(s3: S3) -> None:
    result = run(s3.uri(), num_trials=1)
    remote_of(result).delete_folder()
    again = run(s3.uri(), num_trials=2)
    assert len(again.trials) == 2
    (aside,) = live_folder(result.path).glob("set-aside-*")
    assert len(ray_hpo.load(aside).trials) == 1


# ---- what belongs to it ----


def test_the_winner_is_verified_on_storage_too(s3: S3) -> None:
    first = run(s3.uri(), algo="random", num_trials=2, verify_top=1, verify_seeds=2)
    verified = first.verified
    assert len(verified) == 1
    on_a_new_machine()
    result = ray_hpo.load(first.path)
    assert result.verified == verified and result.winner is not None
    assert not result.verification_due


def test_earlier_experiments_may_be_there(s3: S3, tmp_path: Path) -> None:
    first = run(s3.uri(), algo="random", num_trials=3)
    result = run(tmp_path, algo="bohb", num_trials=1, warm_start=[str(first.path)])
    assert list(result.spec.warm_start) == [first.path]
    assert len(result.spec.earlier.configs) == 3


def test_a_plain_file_uri_is_a_folder(tmp_path: Path) -> None:
    result = run(f"file://{tmp_path}", num_trials=1)
    assert result.path == tmp_path / "sweep"
    assert len(ray_hpo.load(f"file://{tmp_path}/sweep").trials) == 1
