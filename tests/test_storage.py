"""Checkpoints on storage: whole or not at all, and large ones without a second copy in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo.storage import CheckpointStore

LARGE = 200 * 2**20
MEASURED = """
import resource, sys
from pathlib import Path
from ray_hpo.storage import CheckpointStore

{make}
store = CheckpointStore(Path(sys.argv[1]))
small = store.finish(store.write(0, 0, {{"state": 1}}))

def written():
    return int(next(line for line in open("/proc/self/io") if line.startswith("wchar")).split()[1])

memory, io = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, written()
path = store.finish(store.write(0, 1, checkpoint))
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
    loaded: Any = store.load(store.finish(store.write(0, 1, checkpoint)))
    for name in ("view", "empty", "parameter"):
        assert loaded[name].dtype == checkpoint[name].dtype
        assert torch.equal(loaded[name], checkpoint[name])
    assert loaded["parameter"].requires_grad
    model.load_state_dict(loaded["model"])
    assert loaded["optimizer"] == checkpoint["optimizer"]


def test_nobody_sees_a_checkpoint_before_it_is_whole(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    written = store.write(3, 9, {"epoch": 9})
    assert list(store.trial_folder(3).glob("checkpoint_*")) == []
    path = store.finish(written)
    assert store.load(path) == {"epoch": 9}
    dropped = store.write(3, 10, {"epoch": 10})
    store.drop(dropped)
    store.sweep([path])
    assert [str(folder.relative_to(tmp_path)) for folder in store.trial_folder(3).iterdir()] == [path]
