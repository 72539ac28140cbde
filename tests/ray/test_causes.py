"""Why a worker is gone, read from the errors that Ray raises."""

from __future__ import annotations

import json
import sys

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
)

from ray_hpo.executors.ray.causes import cause_of, line_of
from tests.ray.processes import Drivers

DIED = "The actor died unexpectedly before finishing this task.\n\tclass_name: Worker\n\tpid: 17\n"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ActorDiedError(), "worker lost"),
        (RayActorError(error_msg=DIED + "The actor is dead because its worker process has died."), "worker lost"),
        (RayActorError(error_msg=DIED + "The actor is dead because its node has died. Node Id: 3f"), "node lost"),
        (ActorUnavailableError("The actor is temporarily unavailable", b"0" * 16), "unreachable"),
        (NodeDiedError("the node is gone"), "node lost"),
        (OutOfMemoryError("killed"), "out of memory"),
        (
            RayActorError(error_msg=DIED + "Task was killed due to the node running low on memory."),
            "out of memory",
        ),
        (RayActorError(error_msg=DIED + "The actor is dead because its node has died.", preempted=True), "preempted"),
    ],
)
def test_causes(error: RayError, cause: str) -> None:
    assert cause_of(error) == cause


def test_the_line_gives_the_reason() -> None:
    error = RayActorError(error_msg=DIED + "The actor is dead because its node has died. Node Id: 3f")
    assert line_of(error) == "RayActorError: The actor is dead because its node has died. Node Id: 3f"


def test_causes_of_real_deaths(drivers: Drivers) -> None:
    """Ray's own memory monitor, and a node that is drained before it goes."""
    process = drivers.run([sys.executable, "-m", "tests.ray.real_causes"])
    assert process.wait(180) == 0, drivers.output
    told = json.loads(next(line for line in drivers.output.splitlines() if line.startswith("{")))
    assert {name: cause for name, (cause, _) in told.items()} == {"small": "out of memory", "spot": "preempted"}
    assert all("\n" not in line for _, line in told.values())
