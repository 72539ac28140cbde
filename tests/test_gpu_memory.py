"""A GPU without memory: how it is recognised, and who makes room for a trial that needs more of it."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ray_hpo import Command, tune_run, uniform
from ray_hpo.command.process import CommandFailed
from ray_hpo.executors.ray.sharing import Held, to_leave, workers_taken
from ray_hpo.resources import Request, larger_share, normalise
from ray_hpo.worker.gpu_memory import is_gpu_out_of_memory


class OutOfMemoryError(RuntimeError):
    """As PyTorch's own is called."""

    __module__ = "torch"


class XlaRuntimeError(RuntimeError):
    """As JAX's is called."""


MESSAGES = [
    OutOfMemoryError("the text may change"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB"),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1073741824 bytes."),
    CommandFailed("exit code 1: return forward(x)", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate"),
]


@pytest.mark.parametrize("error", MESSAGES, ids=str)
def test_what_frameworks_say_is_recognised_also_behind_other_errors(error: Exception) -> None:
    assert is_gpu_out_of_memory(error)
    behind = ValueError("the epoch failed")
    behind.__cause__ = error
    assert is_gpu_out_of_memory(behind)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("layers do not fit"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        XlaRuntimeError("RESOURCE_EXHAUSTED: too many open files"),
        CommandFailed("killed by SIGKILL", "Killed"),
    ],
    ids=repr,
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_gpu_out_of_memory(error)


def test_errors_in_a_circle_come_to_an_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert not is_gpu_out_of_memory(first)


def test_shares_double_up_to_a_whole_gpu() -> None:
    trial = Request.of(normalise({"gpu": 0.1}))
    assert [larger_share(trial, share) for share in (None, 0.25, 0.5, 0.6, 1.0)] == [0.2, 0.5, 1.0, 1.0, None]
    measured = Request.of(normalise({"gpu": "auto"}))
    assert [larger_share(measured, share) for share in (None, 1.0)] == [1.0, None], "who knows what half of it is"


@pytest.mark.parametrize(
    ("share", "usual", "taken"), [(0.5, 0.25, 2), (1.0, 0.25, 4), (1.0, 0.3, 3), (0.6, 0.3, 2), (0.2, 0.1, 2)]
)
def test_how_many_workers_a_larger_share_takes_the_place_of(share: float, usual: float, taken: int) -> None:
    assert workers_taken(share, usual) == taken


def held(gpu: str, idle: bool = False, leaves: bool = False, share: float = 0.25) -> Held:
    return Held(gpu, share, share == 0.25, idle, leaves)


def test_idle_workers_go_first_and_those_on_one_gpu() -> None:
    workers = [held("a"), held("b"), held("a"), held("b", idle=True), held("a"), held("b"), held("a"), held("b")]
    assert to_leave(workers, 0.5) == [3, 1]
    assert sorted(to_leave(workers, 1.0)) == [1, 3, 5, 7]


def test_those_that_leave_already_are_enough() -> None:
    assert to_leave([held("a", leaves=True), held("a", leaves=True), held("a"), held("a"), held("b")], 0.5) == []


def test_workers_with_a_larger_share_stay() -> None:
    assert sorted(to_leave([held("a", share=0.5), held("a"), held("a"), *[held("b")] * 4], 1.0)) == [3, 4, 5, 6]
    assert to_leave([held("a", share=0.5), held("a"), held("a")], 1.0) == [], "nothing helps"


@given(
    workers=st.lists(st.builds(held, st.sampled_from(["a", "b", ""]), st.booleans(), st.booleans()), max_size=8),
    share=st.sampled_from([0.5, 1.0]),
    least=st.integers(0, 3),
)
def test_whoever_goes_makes_room_on_one_gpu(workers: list[Held], share: float, least: int) -> None:
    workers = [w for i, w in enumerate(workers) if sum(o.gpu == w.gpu for o in workers[:i]) < 4]  # as many as fit
    going = to_leave(workers, share, least)
    assert len({workers[i].gpu for i in going} | {""}) <= 2
    assert not any(workers[i].leaves for i in going)
    for gpu in {workers[i].gpu for i in going}:
        left = sum(w.share for i, w in enumerate(workers) if w.gpu == gpu and not w.leaves and i not in going)
        assert left + share <= 1.0 + 1e-9
        needed = math.ceil((left + share - 1.0 + 0.25 * len(going)) / 0.25 - 1e-9)
        assert len(going) <= max(needed, least)


def test_a_program_that_says_so_as_it_fails(tmp_path: Path) -> None:
    code = "import sys; sys.exit('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB')"
    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        Command([sys.executable, "-c", code, ":x:"]),
        metric="loss",
        algo="random",
        num_trials=1,
        max_failures=1,
        storage=tmp_path,
        executor="inline",
        progress=False,
    )
    (trial,) = result.trials
    assert [cause for _, cause, _ in trial.crashes] == ["gpu out of memory"] * 2
    assert (trial.state, trial.failures, trial.gpu) == ("failed", 2, None)
