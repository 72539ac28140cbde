"""A user's script with remote storage, for tests that kill it: `python remote_driver.py URI`.

Starts the experiment at URI, or resumes the one that is there, with the seconds of a cloud made short.
"""

from __future__ import annotations

import sys
from typing import Any

import ray_hpo
from ray_hpo.remote import keeper, lease
from ray_hpo.remote.uri import Uri
from tests.ray import driver


def hurry() -> None:
    keeper.SNAPSHOT_SECONDS, keeper.SHARE = 0.2, 0.0
    keeper.RENEW_SECONDS, lease.DEAD_SECONDS, lease.LOOK_SECONDS = 0.5, 8.0, 0.2


def train(config: dict[str, Any]) -> None:
    """Slowly: whoever has seen some reports still finds the driver at work."""
    driver.EPOCH_SECONDS = 0.1
    driver.train(config)


def main() -> None:
    hurry()
    uri = Uri.parse(sys.argv[1])
    try:
        ray_hpo.load(str(uri))
    except ray_hpo.RayHpoError:
        storage = Uri(uri.scheme, uri.host, uri.path.rpartition("/")[0], uri.query)
        driver.start_in(str(storage), uri.name, train)
    else:
        ray_hpo.resume(str(uri), train)


if __name__ == "__main__":
    main()
