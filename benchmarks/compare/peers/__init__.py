"""Other packages' methods in the comparison: one file each, behind `base.Peer`, driven by `drive`.

A peer is imported only when it is run, so that none has to be installed. To add one: a file with a `Peer`, and a line
in `PEERS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.compare.peers.base import Peer, Setup

OPTUNA = 'pip install "ray-hpo[bench]"'
OPTUNA_GP = 'pip install "ray-hpo[bench,torch]"'
# One of its dependencies needs a C compiler, and is not used.
HPBANDSTER = "pip install Pyro4 serpent statsmodels, then pip install --no-deps hpbandster==0.7.4"
# It asks for NumPy 1, and works with NumPy 2.
DEHB = 'pip install "ray-hpo[bench]", then pip install --no-deps DEHB==0.1.2'
SMAC = 'pip install smac==2.4.0 "scikit-learn<1.8", in an environment of its own if others need a newer scikit-learn'
# It asks for NumPy 1.24, and works with NumPy 2.
HEBO = "pip install gpytorch catboost disjoint-set GPy, then pip install --no-deps HEBO==0.3.6 pymoo==0.6.0"


@dataclass(frozen=True)
class Entry:
    """Where a peer is, the settings it can run in, and what installs it."""

    place: str  # module:class
    settings: str
    install: str


PEERS = {
    "optuna_tpe_hyperband": Entry("optuna:PrunedTPE", "A", OPTUNA),
    "optuna_tpe": Entry("optuna:FullTPE", "AB", OPTUNA),
    "optuna_gp": Entry("optuna_gp:FullGP", "AB", OPTUNA_GP),
    "hpbandster": Entry("hpbandster:BOHB", "A", HPBANDSTER),
    "dehb": Entry("dehb:DEHB", "A", DEHB),
    "smac": Entry("smac:SMAC", "AB", SMAC),
    "hebo": Entry("hebo:HEBO", "AB", HEBO),
}


class Missing(Exception):
    """A peer that cannot run here: what is wrong, and the way out."""


def find(name: str, setting: str) -> Callable[[Setup], Peer]:
    """What makes the peer `name` for a task.

    Raises:
        Missing: there is no such peer, it is not for this setting, or its package is not installed.
    """
    entry = PEERS.get(name)
    if entry is None:
        raise Missing(f"peer {name!r} is unknown; known: {', '.join(PEERS)}")
    if setting not in entry.settings:
        able = ", ".join(peer for peer, other in PEERS.items() if setting in other.settings)
        raise Missing(f"peer {name!r} does not run in setting {setting}; these do: {able}")
    module, _, name_there = entry.place.partition(":")
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name_there)  # type: ignore[no-any-return]
    except ImportError as error:
        raise Missing(f"peer {name!r} needs a package that is not installed ({error}): {entry.install}") from error
