"""What a peer is: something that can be asked for work and told how it went."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.compare.task import ETA, Config


@dataclass(frozen=True)
class Setup:
    """All that a peer may know of its task.

    space_format: the parameters in the neutral format, parents before children.
    levels: how many rungs the ladder has; 1 in setting B.
    evaluations: how many there will be; None where simulated time ends the run.
    """

    space_format: Sequence[Mapping[str, Any]]
    levels: int
    seed: int
    evaluations: int | None = None

    @property
    def top(self) -> int:
        return self.levels - 1

    def resource(self, level: int) -> int:
        """What a peer takes for the budget of a rung: 1, eta, eta^2, ..."""
        return int(ETA**level)

    def level(self, resource: float) -> int:
        """The rung nearest to a peer's budget."""
        return min(range(self.levels), key=lambda level: abs(self.resource(level) - resource))


@dataclass(frozen=True)
class Training:
    """Work for one worker: train `config` up to the rung `level`. Inactive parameters may be left in.

    tag: whatever the peer wants to see again.
    """

    config: Config
    level: int
    tag: Any = None


class Peer(ABC):
    """A method of another package. It sees the value at the end of each training, and never the clock."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    @abstractmethod
    def ask(self) -> Training | None:
        """What a free worker does next; None if nothing before another training has ended."""

    @abstractmethod
    def tell(self, training: Training, y: float) -> None:
        """A training has ended with the value `y`, to be minimised."""

    def close(self) -> None:  # noqa: B027  # most have nothing to clear away
        """The run is over."""
