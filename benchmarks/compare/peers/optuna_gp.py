"""Optuna's Gaussian process, every trial at full budget."""

from __future__ import annotations

import warnings

import optuna
import torch  # noqa: F401  # what the sampler needs, and asks for late

from benchmarks.compare.peers.base import Setup
from benchmarks.compare.peers.optuna import Full


class FullGP(Full):
    def __init__(self, setup: Setup) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(seed=setup.seed, deterministic_objective=True)
        super().__init__(setup, sampler)
