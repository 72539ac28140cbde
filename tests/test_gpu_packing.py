"""gpu="auto": how many trials fit on a GPU, from what was measured."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ray_hpo.executors.ray.gpu_packing import FIRST, GpuPacking
from ray_hpo.executors.ray.gpu_share import HEADROOM, MOST, RESERVED, share_of, trials_to_a_gpu
from ray_hpo.messages import AtMilestone, Measured, Message, Notice
from ray_hpo.resources import Request, normalise
from ray_hpo.worker import gpu_usage
from ray_hpo.worker.gpu_usage import CONTEXT_BYTES, Usage

GIB = 2**30
BYTES = st.integers(1, 200 * GIB)


@given(peak=BYTES, total=BYTES)
def test_what_is_packed_fits(peak: int, total: int) -> None:
    trials = trials_to_a_gpu(peak, total)
    assert 1 <= trials <= MOST
    assert trials == 1 or trials * peak * HEADROOM <= total * (1 - RESERVED)
    if trials < MOST:
        assert (trials + 1) * peak * HEADROOM > total * (1 - RESERVED), "one more would not fit"
    share = share_of(trials)
    assert trials * share <= 1 < (trials + 1) * share + 1e-9, "Ray packs just as many"
    assert share >= 1e-4


@given(peaks=st.tuples(BYTES, BYTES), total=BYTES)
def test_who_takes_more_gets_no_less(peaks: tuple[int, int], total: int) -> None:
    smaller, larger = sorted(peaks)
    assert trials_to_a_gpu(larger, total) <= trials_to_a_gpu(smaller, total)


def request() -> Request:
    return Request.of(normalise({"gpu": "auto"}))


def test_nothing_is_packed_before_enough_was_measured() -> None:
    packing = GpuPacking(request())
    rest = AtMilestone(0)
    for _ in range(FIRST - 1):
        assert packing.sort([Measured(0, 3 * GIB, 24 * GIB), rest]) == [rest]
    assert packing.request.amount("GPU") == 1.0
    notice, last = packing.sort([Measured(1, 2 * GIB, 24 * GIB), rest])
    text = "gpu='auto': 6 trials to a GPU from here on (at most 3.00 of 24.00 GiB each so far)"
    assert (notice, last) == (Notice(1, text), rest)
    assert packing.request.amount("GPU") == 0.1666


def test_a_trial_that_takes_more_makes_room_and_the_smallest_gpu_counts() -> None:
    packing = GpuPacking(request())
    packing.sort([Measured(0, 3 * GIB, 24 * GIB)] * FIRST)
    before = packing.request
    assert packing.sort([Measured(2, 1 * GIB, 24 * GIB)]) == []
    assert packing.request is before, "shares do not get smaller"
    packing.sort([Measured(2, 5 * GIB, 24 * GIB)])
    assert packing.request.amount("GPU") == 0.3333
    packing.sort([Measured(3, 1 * GIB, 16 * GIB)])
    assert packing.request.amount("GPU") == 0.5


@given(st.lists(st.tuples(BYTES, BYTES), min_size=FIRST, max_size=20))
def test_shares_only_grow(measured: list[tuple[int, int]]) -> None:
    packing, shares = GpuPacking(request()), []
    for number, (peak, total) in enumerate(measured):
        found: list[Message] = packing.sort([Measured(number, peak, total)])
        assert all(isinstance(message, Notice) for message in found)
        if number >= FIRST - 1:
            shares.append(packing.request.amount("GPU"))
    assert shares == sorted(shares)


# ---- on the worker, with a torch that is made up ----


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    made_up: Any = types.ModuleType("torch")
    made_up.calls = []
    made_up.cuda = types.SimpleNamespace(
        is_initialized=lambda: True,
        max_memory_reserved=lambda: 4 * GIB,
        memory_reserved=lambda: 3 * GIB,
        memory_allocated=lambda: 123,
        mem_get_info=lambda: (10 * GIB, 24 * GIB),
        empty_cache=lambda: made_up.calls.append("empty_cache"),
        reset_peak_memory_stats=lambda: made_up.calls.append("reset_peak_memory_stats"),
    )
    monkeypatch.setitem(sys.modules, "torch", made_up)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return made_up


def test_pytorch_tells_its_peak_and_the_context_comes_on_top(torch: Any) -> None:
    assert gpu_usage.measure() == Usage(4 * GIB + CONTEXT_BYTES, 24 * GIB)


def test_what_the_driver_counts_beyond_pytorch_is_the_context(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_usage, "_by_driver", lambda: Usage(3 * GIB + 400, 24 * GIB))
    assert gpu_usage.measure() == Usage(4 * GIB + 400, 24 * GIB)


def test_memory_is_freed_and_what_is_kept_is_told(torch: Any) -> None:
    gpu_usage.free()
    assert torch.calls == ["empty_cache", "reset_peak_memory_stats"]
    assert gpu_usage.kept() == 123


def test_without_a_gpu_in_use_nothing_is_done(torch: Any) -> None:
    torch.cuda.is_initialized = lambda: False
    gpu_usage.free()
    assert (torch.calls, gpu_usage.kept(), gpu_usage.measure()) == ([], 0, None)


def test_nothing_is_imported_to_measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    gpu_usage.free()
    assert "torch" not in sys.modules
