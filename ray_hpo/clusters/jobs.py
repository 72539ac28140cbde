"""Sweeps as jobs of a cluster: they run on its head, whatever becomes of the machine that submitted them."""

from __future__ import annotations

import datetime
import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path

from ray_hpo.clusters.dashboard import dashboard_of
from ray_hpo.clusters.file import ClusterFile
from ray_hpo.errors import InvalidInput, RayHpoError


def submit(cluster: ClusterFile | str, command: Sequence[str], folder: Path, job: str | None = None) -> str:
    """Start `command` on the head, in a copy of `folder`; the id of the job.

    cluster: a cluster file, or the address of a dashboard. job: an id of one's own, which no job of the cluster has.

    Raises:
        InvalidInput: there is no command or no such folder, the folder is too large to send, or the id is taken.
        RayHpoError: the cluster is not up, or does not take the job.
    """
    if not command:
        raise InvalidInput("there is nothing to submit: give -- and the command, as in `-- python sweep.py`")
    if not folder.is_dir():
        raise InvalidInput(f"--working-dir {folder}: no such folder")
    from ray.job_submission import JobSubmissionClient

    job = job or new_id()
    with dashboard_of(cluster) as address:
        try:
            client = JobSubmissionClient(address)
            client.submit_job(
                entrypoint=shlex.join(command), submission_id=job, runtime_env={"working_dir": str(folder)}
            )
        except (RuntimeError, ValueError, ConnectionError) as error:
            raise _in_one_line(error, folder, job) from None
    return job


def new_id() -> str:
    return f"sweep-{datetime.datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"


def how_to_go_on(cluster: ClusterFile | str, job: str) -> list[tuple[str, str]]:
    """What to type next, each with what it is for."""
    if isinstance(cluster, ClusterFile):
        target = shlex.quote(str(cluster.path))
        lines = [(verb, f"ray exec {target} 'ray job {words} {job}'") for verb, words in _VERBS]
        lines.append(("look", f"ray-hpo cluster status {target}"))
    else:
        target = cluster if "://" in cluster else f"http://{cluster}"
        lines = [(verb, f"ray job {words} --address {target} {job}") for verb, words in _VERBS]
    return [
        *lines,
        ("resume", f"ray-hpo submit {target} -- ray-hpo resume FOLDER    (the folder that the sweep names)"),
    ]


_VERBS = (("follow", "logs --follow"), ("stop", "stop"))


def _in_one_line(error: Exception, folder: Path, job: str) -> Exception:
    """Ray's errors of a submission are tracebacks of its server in text."""
    text = str(error)
    if "exceeds the maximum size" in text:
        return InvalidInput(
            f"--working-dir {folder} is too large to send; name another, or list in its .gitignore what is not needed"
        )
    if "already exists" in text:
        return InvalidInput(f"--id {job}: this cluster has a job of that name already; give another, or none")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return RayHpoError(f"the cluster does not take the job: {lines[-1] if lines else type(error).__name__}")
