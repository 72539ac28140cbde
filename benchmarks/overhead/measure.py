"""One measurement in a process of its own, as its parent asks for it on the command line; prints what it found."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

SUBJECTS = ("bare_ray", "ours", "ray_tune", "ray_tune_reuse")


def measure(subject: str, what: str, **options: Any) -> dict[str, float]:
    """what: a function of the subject's module."""
    if subject == "bare_ray":
        from benchmarks.overhead import bare as module
    elif subject == "ours":
        from benchmarks.overhead import ours as module  # type: ignore[no-redef]
    else:
        from benchmarks.overhead import tune as module  # type: ignore[no-redef]

        options["reuse"] = subject == "ray_tune_reuse"
    function = getattr(module, what)
    if what == "first_result":
        return dict(function(**options))
    import ray

    ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level="error")
    with tempfile.TemporaryDirectory() as folder:
        together = Path(folder, "workers")
        together.mkdir()
        return dict(function(together, **options))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))), flush=True)
