"""gpu="auto": as many trials to a GPU as fit, found by measuring those that run."""

from __future__ import annotations

from collections.abc import Sequence

from ray_hpo.executors.ray.gpu_share import share_of, trials_to_a_gpu
from ray_hpo.messages import Measured, Message, Notice
from ray_hpo.resources import Request

FIRST = 3  # measurements before anything is packed: a first step may come before the optimizer has its memory


class GpuPacking:
    """What is known of the trials' GPU memory, and what follows for `request`.

    The first trials have whole GPUs; then the largest peak that was ever measured, on the smallest GPU, decides. From
    there on a trial that takes more makes room for those that come after it; shares never get smaller again.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self._measured = 0
        self._peak = 0
        self._total = 0
        self._trials = 0  # to a GPU; 0 while that is not known

    def sort(self, messages: Sequence[Message]) -> list[Message]:
        """`messages` without the measurements, and with a notice where these change the share."""
        others: list[Message] = []
        for message in messages:
            if not isinstance(message, Measured):
                others.append(message)
            elif text := self._note(message):
                others.insert(0, Notice(message.trial, text))
        return others

    def _note(self, measured: Measured) -> str:
        self._measured += 1
        self._peak = max(self._peak, measured.peak)
        self._total = min(self._total or measured.total, measured.total)
        if self._measured < FIRST:
            return ""
        trials = trials_to_a_gpu(self._peak, self._total)
        if trials == self._trials:
            return ""
        self._trials = trials
        self.request = self.request.with_gpu(share_of(trials))
        sizes = f"at most {self._peak / 2**30:.2f} of {self._total / 2**30:.2f} GiB each"
        return f"gpu='auto': {trials} {'trials' if trials > 1 else 'trial'} to a GPU from here on ({sizes} so far)"
