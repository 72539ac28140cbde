"""Seeds for what is trained: numbers that follow from the experiment's seed. Imports nothing heavy: workers wait."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """A seed in [0, 2^31), which NumPy and torch take; another one for each purpose and number."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
