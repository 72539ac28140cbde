"""Trials' files on S3: checkpoints whole or not at all, output in parts, folders that follow a trial."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from benchmarks.chaos.waiting import wait_until
from ray_hpo import Command, get_context, report, tune_run, uniform
from ray_hpo.cli.logs import copy_logs
from ray_hpo.remote.folder import RemoteFolder, download_target
from ray_hpo.remote.logs import RemoteSource
from ray_hpo.remote.store import RemoteStore, trial_path
from ray_hpo.remote.uri import Uri
from tests.remote.sweep import run
from tests.s3 import S3


@pytest.fixture
def remote(s3: S3) -> RemoteFolder:
    return RemoteFolder(Uri.parse(s3.uri()))


def log_of(remote: RemoteFolder, trial: int = 0) -> str:
    out, err = io.BytesIO(), io.BytesIO()
    copy_logs(RemoteSource(remote, trial_path(trial)), out, err)
    return out.getvalue().decode() + err.getvalue().decode()


def test_a_dict_comes_back(remote: RemoteFolder) -> None:
    store = RemoteStore(remote)
    local = type("Local", (), {"value": 3})  # as in a script: it is pickled by value
    path = store.save(3, 9, {"epoch": 9, "large": bytes(9_000_000), "kind": local})
    loaded = store.load(path)
    assert isinstance(loaded, dict)
    assert (loaded["epoch"], loaded["large"], loaded["kind"].value) == (9, bytes(9_000_000), 3)
    store.delete(path)
    with pytest.raises(EOFError, match="not on the storage any more"):
        store.load(path)


def test_a_folder_comes_back(remote: RemoteFolder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("weights.bin", "deep/ä b.txt", "deep/er/empty"):
        (folder / name).write_bytes(name.encode() if "empty" not in name else b"")
    store = RemoteStore(remote, downloads=tmp_path / "downloads")
    loaded = store.load(store.save(0, 1, folder))
    assert isinstance(loaded, Path)
    assert {str(f.relative_to(loaded)): f.read_bytes() for f in loaded.rglob("*") if f.is_file()} == {
        "weights.bin": b"weights.bin",
        "deep/ä b.txt": "deep/ä b.txt".encode(),
        "deep/er/empty": b"",
    }


def test_no_name_on_the_storage_leads_out_of_a_folder(remote: RemoteFolder, tmp_path: Path) -> None:
    store = RemoteStore(remote, downloads=tmp_path / "downloads")
    path = "trials/00000/checkpoint_1-0123"
    for name in ("../../../evil", "deep/../../evil"):
        with pytest.raises(ray_hpo.StorageError, match="leads out of its folder"):
            download_target(tmp_path, name)
    assert download_target(tmp_path, "a..b/c") == tmp_path / "a..b" / "c"
    remote.write(f"{path}/.ray_hpo_folder", b"{}")
    assert store.load(path) == tmp_path / "downloads" / ".restored" / "checkpoint_1-0123"
    for bad in ("trials/00000/..", "../other/trials/1/2", "trials", ""):
        for use in (store.load, store.delete):
            with pytest.raises(ray_hpo.JournalError, match="not among its trials' files"):
                use(bad)


def test_what_cannot_be_saved_leaves_nothing(remote: RemoteFolder) -> None:
    store = RemoteStore(remote)
    for bad, says in [
        ({"lock": threading.Lock()}, "cannot be pickled"),
        ("/nowhere", "is not a folder"),
        (3, "a dict or"),
    ]:
        with pytest.raises(TypeError, match=says):
            store.save(0, 1, bad)  # type: ignore[arg-type]  # that is the point
    assert remote.files() == []


def test_what_a_crash_left_behind_is_swept(remote: RemoteFolder) -> None:
    store = RemoteStore(remote)
    kept, gone = store.save(0, 1, {"epoch": 1}), store.save(1, 1, {"epoch": 1})
    remote.write("trials/00001/output/checkpoint_1-0123", b"the user's own")
    store.sweep([kept])
    left = [file.path.rpartition("/")[0] for file in remote.files("trials")]
    assert left == [kept, "trials/00001/output"]
    assert gone not in left


def test_output_arrives_while_the_trial_prints(s3: S3, remote: RemoteFolder) -> None:
    def train(config: dict[str, Any]) -> None:
        print("first", flush=True)
        wait_until(lambda: log_of(remote / "sweep") == "first\n", what="the first line, on storage")
        (get_context().folder / "table.csv").write_text("a,b\n")
        report({"loss": 1.0})
        print("second")

    run(s3.uri(), train, num_trials=1, algo="random", max_budget=1)
    assert remote.read("sweep/trials/00000/table.csv") == b"a,b\n"
    assert log_of(remote / "sweep") == "first\n"  # at its milestone the trial was stopped


def test_a_folder_follows_its_trial(s3: S3, remote: RemoteFolder, own_scratch: Path) -> None:
    """Each time a trial goes on it may be on another machine."""

    def train(config: dict[str, Any]) -> None:
        state = ray_hpo.get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, 10):
            with open(get_context().folder / "epochs.txt", "a") as file:
                file.write(f"{epoch}\n")
            print("epoch", epoch)
            report({"loss": config["x"]}, checkpoint={"epoch": epoch})

    result = run(s3.uri(), train)
    best = next(trial for trial in result.trials if trial.state == "completed")
    epochs = remote.read(f"sweep/{trial_path(best.number)}/epochs.txt").decode().split()
    assert epochs == [str(epoch) for epoch in range(1, 10)]
    assert log_of(remote / "sweep", best.number).split("\n")[:-1] == [f"epoch {epoch}" for epoch in range(1, 10)]
    assert list(own_scratch.iterdir()) == []  # nothing is left on the machine


def test_a_killed_worker_s_output_is_sent_by_the_next(remote: RemoteFolder, own_scratch: Path) -> None:
    code = """if True:
        import os, sys
        from pathlib import Path
        from ray_hpo.remote import attempt
        from ray_hpo.remote.folder import RemoteFolder
        from ray_hpo.remote.uri import Uri
        attempt._parent = lambda: Path(sys.argv[2])
        trial = attempt.Attempt(RemoteFolder(Uri.parse(sys.argv[1])), "trials/00000", False)
        log = trial.folder / "output.log"
        log.write_text("sent\\n")
        assert trial.flush()
        log.write_text("sent\\nnot sent\\n")
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", code, str(remote.uri), str(own_scratch)], check=False)
    assert done.returncode == -9
    assert log_of(remote) == "sent\n"
    store = RemoteStore(remote)
    store.begin(1, goes_on=False)
    store.trial_folder(1)
    wait_until(lambda: log_of(remote) == "sent\nnot sent\n", what="the rest of what it printed")
    store.end()
    wait_until(lambda: not list(own_scratch.iterdir()), what="the end of its folder")


def test_the_end_of_a_session_is_told_to_trials(remote: RemoteFolder) -> None:
    store, driver = RemoteStore(remote), RemoteStore(remote)
    store.begin(0, goes_on=False)
    store.trial_folder(0)
    assert not store.asked_to_save
    driver.ask_to_save()
    wait_until(lambda: store.asked_to_save, what="that the trial knows")
    driver.forget_asking()
    store.begin(0, goes_on=False)
    store.trial_folder(0)
    assert not store.asked_to_save and remote.files() == []
    store.end()


def test_a_part_that_is_sent_again_is_read_once(remote: RemoteFolder) -> None:
    for stamp, offset, text in [("1-a", 0, "one "), ("1-a", 4, "two "), ("1-a", 6, "o three\n"), ("2-b", 0, "four\n")]:
        remote.write(f"trials/00000/output.log/{stamp}-{offset:012d}", text.encode())
    assert log_of(remote) == "one two three\nfour\n"


def test_a_command_keeps_its_files_there(s3: S3, remote: RemoteFolder) -> None:
    script = (
        "import sys, pathlib; saved = pathlib.Path(sys.argv[1]) / 'epoch'; done = int(saved.read_text() or 0) "
        "if saved.exists() else 0\n"
        "for epoch in range(done + 1, int(sys.argv[3]) + 1):\n"
        "    saved.write_text(str(epoch))\n"
        "    print(f'epoch={epoch} loss={1 / epoch}')\n"
        "    pathlib.Path(sys.argv[2], f'{epoch}.txt').write_text('x')\n"
    )
    command = Command([sys.executable, "-c", script, ":checkpoint:", ":output:", ":budget:"])
    result = run(s3.uri(), command, num_trials=3, algo="sh", max_budget=3)
    best = next(trial for trial in result.trials if trial.state == "completed")
    names = [file.path.rpartition("/")[2] for file in (remote / "sweep").files(f"{trial_path(best.number)}/output")]
    assert names == ["1.txt", "2.txt", "3.txt"]
    assert [line.split()[0] for line in log_of(remote / "sweep", best.number).splitlines()] == [
        "epoch=1",
        "epoch=2",
        "epoch=3",
    ]


def test_a_decorated_sweep_takes_a_uri(s3: S3) -> None:
    @tune_run(
        {"x": uniform(0.0, 1.0)}, metric="loss", num_trials=1, storage=s3.uri(), executor="inline", progress=False
    )
    def result(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": config["x"]}

    assert str(result.path).startswith(f"s3://{s3.bucket}/sweeps/")
