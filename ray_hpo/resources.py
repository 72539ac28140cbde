"""What a trial asks of a node, in Ray's words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ray_hpo.errors import InvalidInput

_NAMES = {"cpu": "CPU", "gpu": "GPU", "CPU": "CPU", "GPU": "GPU"}


def normalise(resources: Mapping[str, float] | None) -> dict[str, float]:
    """A user's `resources` with Ray's names: {"CPU": 0.5, ...}; one CPU if none is given.

    Raises:
        InvalidInput: not a dict of positive numbers, or a GPU count above 1 that is not whole.
    """
    if resources is None:
        return {"CPU": 1.0}
    if not isinstance(resources, Mapping):
        raise InvalidInput(f'resources must be a dict such as {{"cpu": 1, "gpu": 0.5}}; got {resources!r}')
    asked: dict[str, float] = {}
    for name, amount in resources.items():
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount < math.inf:
            raise InvalidInput(f"resources: {name} must be a number of at least 0; got {name}={amount!r}")
        if amount > 1 and amount != int(amount):
            raise InvalidInput(
                f"resources: {name} above 1 must be a whole number, as Ray wants it; got {name}={amount}"
            )
        asked[_NAMES.get(name, name)] = float(amount)
    asked.setdefault("CPU", 0.0 if asked.get("GPU") else 1.0)
    if not any(asked.values()):
        raise InvalidInput("resources must ask for something, or the cluster is filled without end; give cpu or gpu")
    return asked
