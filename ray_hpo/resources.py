"""What a trial asks of a node, in Ray's words."""

from __future__ import annotations

from collections.abc import Mapping

from strategies.numbers import is_finite

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
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not (is_finite(amount) and amount >= 0):
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


def check_on_oom(on_oom: str, resources: Mapping[str, float]) -> None:
    """
    Raises:
        InvalidInput: not a policy, or one that `resources`, with Ray's names, give no room for.
    """
    if on_oom not in ("fail", "more"):
        raise InvalidInput(f"on_oom must be 'fail' or 'more'; got on_oom={on_oom!r}")
    if on_oom == "more" and not 0 < resources.get("GPU", 0.0) < 1:
        raise InvalidInput(
            "on_oom='more' gives a trial a larger share of its GPU, and needs trials that share one, as in "
            f"resources={{'gpu': 0.25}}; got gpu={resources.get('GPU', 0.0):g}"
        )


def larger_share(share: float) -> float | None:
    """Twice the share of a GPU, up to a whole one; None if it is that already."""
    return min(1.0, 2 * share) if share < 1 else None
