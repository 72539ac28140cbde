"""How much GPU memory this process takes, and whether it gave all of it back. Nothing is imported that is not there."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

CONTEXT_BYTES = 600 * 2**20  # of CUDA's own in a process, where that cannot be measured
KEPT_BYTES = 64 * 2**20  # that a trial may leave behind: libraries keep workspaces


@dataclass(frozen=True)
class Usage:
    """Bytes. peak: the most that this process has had at a time since its trial began.  total: of its GPU."""

    peak: int
    total: int


def measure() -> Usage | None:
    """None if this process has nothing on a GPU, or that cannot be told: PyTorch tells, and NVIDIA's library where
    `nvidia-ml-py` is installed."""
    torch, seen = _torch(), _by_driver()
    if torch is None:
        return seen
    reserved = int(torch.cuda.max_memory_reserved())
    now, total = int(torch.cuda.memory_reserved()), int(torch.cuda.mem_get_info()[1])
    own = seen.peak - now if seen is not None and seen.peak > now else CONTEXT_BYTES
    return Usage(reserved + own, total)


def free() -> None:
    """Give back what the last trial's objects held, before the next trial wants it. Without a GPU in use nothing is
    done: it takes 10 ms."""
    torch = _torch()
    if torch is not None:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def kept() -> int:
    """Bytes that are still referred to after `free`: of a trial that is over, by something that outlives it."""
    torch = _torch()
    return 0 if torch is None else int(torch.cuda.memory_allocated())


def _torch() -> Any:
    """PyTorch, if this process uses a GPU with it."""
    torch: Any = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _by_driver() -> Usage | None:
    """What the driver has this process down for on the first of its GPUs."""
    with suppress(Exception):  # no library, no driver, a container that hides process ids
        import pynvml

        pynvml.nvmlInit()
        device = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        by_index = device.isdigit()
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(device)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(device)
        )
        total = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == os.getpid() and process.usedGpuMemory:
                return Usage(int(process.usedGpuMemory), total)
    return None
