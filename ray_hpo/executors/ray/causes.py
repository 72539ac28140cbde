"""Why a worker is gone: Ray's errors in one line, and in one of the words of `messages.Cause`."""

from __future__ import annotations

from ray.exceptions import ActorUnavailableError, NodeDiedError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from ray_hpo.messages import Cause

# Ray tells the reason of an actor's death only in words.
_OUT_OF_MEMORY = ("running low on memory", "memory monitor", "due to oom", "out of memory")
_NODE = ("its node has died", "node died", "node is dead", "node was terminated", "node failure")
_REASON = ("The actor is dead because", "The actor died because")


def cause_of(error: RayError) -> Cause:
    """Of the death of a worker that was asked something."""
    text = str(error).lower()
    if isinstance(error, RayActorError) and error.preempted:
        return "preempted"
    if isinstance(error, OutOfMemoryError) or any(words in text for words in _OUT_OF_MEMORY):
        return "out of memory"
    if isinstance(error, NodeDiedError) or any(words in text for words in _NODE):
        return "node lost"
    return "unreachable" if isinstance(error, ActorUnavailableError) else "worker lost"


def line_of(error: RayError) -> str:
    """Ray's many lines in one: the last where they are the traceback of what went wrong on the worker, else the first,
    and the one that gives the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if isinstance(error, RayTaskError) or "creation task" in lines[0]:
        return lines[-1]
    reason = next((line for line in lines[1:] if line.startswith(_REASON)), "")
    return f"{type(error).__name__}: {reason or lines[0]}"
