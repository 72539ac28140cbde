"""Trials that share GPUs by what they take: the mechanism, on logical GPUs with made-up measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ray.namespace import run_alone


@pytest.mark.slow
def test_trials_are_packed_by_what_they_take_and_memory_is_freed(tmp_path: Path) -> None:
    told = json.loads(run_alone("tests.ray.packing", str(tmp_path)).splitlines()[-1])
    assert told["packed"], "two trials on each of two GPUs at a time"
    assert told["states"] == ["completed"] * 6
    assert told["losses"] == 0
    assert [notice.split(": ", 1)[1] for notice in told["notices"]] == [
        "gpu='auto': 2 trials to a GPU from here on (at most 15.00 of 40.00 GiB each so far)"
    ]
    assert told["freed"] == 1, "one process for all"
    assert told["kept"] == 3, "a fresh process after each that kept memory"
