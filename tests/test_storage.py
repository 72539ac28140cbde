"""Checkpoints on storage: whole or not at all, and large ones without a second copy in memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo import get_checkpoint, report, resume, tune_run, uniform
from ray_hpo.storage import CheckpointStore

LARGE = 200 * 2**20
MEASURED = """
import resource, sys
from pathlib import Path
from ray_hpo.storage import CheckpointStore

{make}
store = CheckpointStore(Path(sys.argv[1]))
store.save(0, 0, {{"state": 1}})

def written():
    return int(next(line for line in open("/proc/self/io") if line.startswith("wchar")).split()[1])

memory, io = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, written()
path = store.save(0, 1, checkpoint)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024, written() - io)
loaded = store.load(path)
{check}
"""
KINDS = {
    "bytes": (f"checkpoint = {{'state': bytes({LARGE})}}", "assert loaded == checkpoint"),
    "array": (
        f"import numpy as np; checkpoint = {{'state': np.ones({LARGE // 8})}}",
        "assert np.array_equal(loaded['state'], checkpoint['state']); loaded['state'][0] = 2",
    ),
    "tensor": (
        f"import torch; checkpoint = {{'state': torch.ones({LARGE // 4})}}; torch.ones(3).numpy()",
        "assert torch.equal(loaded['state'], checkpoint['state']); loaded['state'][0] = 2",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_checkpoint_is_written_once_and_not_copied_in_memory(kind: str, tmp_path: Path) -> None:
    make, check = KINDS[kind]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(make=make, check=check), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(ray_hpo.__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    grown, written = map(int, done.stdout.split())
    assert grown < LARGE / 4
    assert LARGE <= written < 1.01 * LARGE


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64", "bool", "complex64"])
def test_tensors_come_back_as_they_were(dtype: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    base = torch.arange(12).to(getattr(torch, dtype)).reshape(3, 4)
    checkpoint = {
        "view": base.t()[1:],
        "empty": torch.empty(0, dtype=base.dtype),
        "model": model.state_dict(),
        "parameter": next(model.parameters()),
        "optimizer": torch.optim.Adam(model.parameters()).state_dict(),
    }
    store = CheckpointStore(tmp_path)
    loaded: Any = store.load(store.save(0, 1, checkpoint))
    for name in ("view", "empty", "parameter"):
        assert loaded[name].dtype == checkpoint[name].dtype
        assert torch.equal(loaded[name], checkpoint[name])
    assert loaded["parameter"].requires_grad
    model.load_state_dict(loaded["model"])
    assert loaded["optimizer"] == checkpoint["optimizer"]


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    kept = store.save(3, 9, {"epoch": 9})
    store.sync(kept)
    with pytest.raises(TypeError, match="cannot be pickled"):
        store.save(3, 10, {"fine": bytes(100), "lock": threading.Lock()})
    gone = store.save(3, 11, {"epoch": 11})
    store.sweep([kept])
    store.sync(gone)  # it comes too late, and that is no error
    assert [str(folder.relative_to(tmp_path)) for folder in store.trial_folder(3).iterdir()] == [kept]
    assert store.load(kept) == {"epoch": 9}


def test_a_damaged_checkpoint_costs_the_trial_its_training_and_no_more(tmp_path: Path) -> None:
    """As a power failure may leave it."""

    def train(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, 10):
            report({"loss": config["x"]}, checkpoint={"epoch": epoch})

    options: dict[str, Any] = {"executor": "inline", "progress": False}
    first = tune_run(
        {"x": uniform(0, 1)},
        train,
        metric="loss",
        algo="asha",
        max_budget=9,
        num_trials=8,
        seed=1,
        storage=tmp_path,
        **options,
    )
    damaged = next(trial for trial in first.experiment.ranked() if trial.state == "paused")  # the next to go on
    (file,) = (first.path / damaged.checkpoint.path).iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    result = resume(first.path, train, num_trials=60, **options)
    assert (
        f"trial {damaged.number}: checkpoint at {damaged.checkpoint.step:g} is damaged" in result.experiment.notices[0]
    )
    assert result.experiment.counts().keys() <= {"completed", "paused"}
    assert result.trials[damaged.number].failures == 0
