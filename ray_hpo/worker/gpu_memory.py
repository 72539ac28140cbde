"""Whether a trial broke off because its GPU has no memory left, told by what the frameworks say."""

from __future__ import annotations

from collections.abc import Iterator

# PyTorch (CUDA, ROCm, XPU), cuBLAS and cuDNN, the CUDA driver, XLA (JAX), TensorFlow.
_WORDS = (
    "cuda out of memory",
    "hip out of memory",
    "xpu out of memory",
    "cuda error: out of memory",
    "cuda_error_out_of_memory",
    "cudaerrormemoryallocation",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "resource_exhausted: out of memory",
    "resource_exhausted: failed to allocate",
    "oom when allocating tensor",
)


def is_gpu_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, what caused it, or what a program printed as it failed, says so."""
    return any(_says_so(each) for each in _chain(error))


def _says_so(error: BaseException) -> bool:
    kind = type(error)
    if kind.__name__ == "OutOfMemoryError" and kind.__module__.partition(".")[0] == "torch":
        return True
    try:
        text = f"{error}\n{getattr(error, 'details', '')}".lower()  # a command's last lines
    except Exception:  # it is the user's own, and may be broken
        return False
    return any(words in text for words in _WORDS)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those behind it, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
