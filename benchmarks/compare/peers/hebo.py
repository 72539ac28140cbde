"""HEBO, every trial at full budget. It has no conditions: inactive parameters are values like others to it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers import hebo

from benchmarks.compare.peers.base import Peer, Setup, Training
from benchmarks.compare.task import Config


class HEBO(Peer):
    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        np.random.seed(setup.seed)  # it draws from both
        torch.manual_seed(setup.seed)
        space = DesignSpace().parse([_parameter(parameter) for parameter in setup.space_format])
        self._hebo = hebo.HEBO(space, scramble_seed=setup.seed)

    def ask(self) -> Training:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = self._hebo.suggest(n_suggestions=1)
        return Training(self._config(row.iloc[0].to_dict()), self.setup.top, row)

    def tell(self, training: Training, y: float) -> None:
        self._hebo.observe(training.tag, np.array([[y]]))

    def _config(self, values: Mapping[str, Any]) -> Config:
        config: Config = {}
        for parameter in self.setup.space_format:
            value = values[parameter["name"]]
            if parameter["type"] in ("categorical", "ordinal"):
                config[parameter["name"]] = parameter["choices"][int(value)]
            elif parameter["type"] == "int":
                config[parameter["name"]] = round(value)
            else:
                config[parameter["name"]] = min(max(float(value), parameter["lower"]), parameter["upper"])
        return config


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    name, log = parameter["name"], bool(parameter.get("log"))
    match parameter["type"]:
        case "categorical":
            return {"name": name, "type": "cat", "categories": list(range(len(parameter["choices"])))}
        case "ordinal":
            return {"name": name, "type": "int", "lb": 0, "ub": len(parameter["choices"]) - 1}
        case "int":
            bounds = {"lb": parameter["lower"], "ub": parameter["upper"]}
            return {"name": name, "type": "pow_int" if log else "int", **bounds}
        case _:
            return {"name": name, "type": "pow" if log else "num", "lb": parameter["lower"], "ub": parameter["upper"]}
