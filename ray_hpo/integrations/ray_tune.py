"""Trainables that were written for Ray Tune run unchanged.

Functions: `ray.tune.report`, `ray.tune.get_checkpoint` and `ray.tune.get_context` all speak to one session object
inside Ray; ours takes its place while a trial runs. Nothing here imports ray.tune (2 s) unless the trainable does.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ray_hpo.worker.session import Session

_SESSION_MODULE = "ray.train._internal.session"

# What ray.tune.Trainable.train() adds to the user's own result; training_iteration is kept.
_AUTO_FILLED = frozenset(
    [
        "trial_id",
        "date",
        "timestamp",
        "time_this_iter_s",
        "time_total_s",
        "pid",
        "hostname",
        "node_ip",
        "config",
        "time_since_restore",
        "iterations_since_restore",
        "timesteps_since_restore",
        "timesteps_total",
        "episodes_total",
        "done",
    ]
)


class _TuneSession:
    """The part of Ray's session object that `ray.tune`'s functions use inside a trial."""

    world_rank = None  # "not a Ray Train worker"
    local_rank = None
    node_rank = None
    world_size = 1
    local_world_size = 1
    metadata = None

    def __init__(self, session: Session) -> None:
        self._session = session
        self.experiment_name = self.run_id = session.setting.name
        self.trial_name = self.trial_id = f"{session.job.trial:05d}"
        self.trial_resources = None

    @property
    def trial_dir(self) -> str:
        return str(self._session.context().folder)

    def report(self, metrics: Mapping[str, Any], checkpoint: Any = None) -> None:
        if checkpoint is None:
            self._session.report(metrics)
            return
        with checkpoint.as_directory() as folder:
            self._session.report(metrics, folder)

    @property
    def loaded_checkpoint(self) -> Any:
        loaded = self._session.load_checkpoint()
        if loaded is None:
            return None
        from ray.tune import Checkpoint

        return Checkpoint.from_directory(str(loaded))


@contextlib.contextmanager
def tune_session(session: Session) -> Iterator[None]:
    """While it is open, `ray.tune`'s functions speak to `session`, even if ray.tune is first imported inside."""
    if _SESSION_MODULE in sys.modules:
        _install(_TuneSession(session))
    elif not any(isinstance(finder, _OnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnImport())
    try:
        yield
    finally:
        _install(None)


def run_tune_class(cls: type[Any], config: dict[str, Any], session: Session) -> None:
    """Train a subclass of `ray.tune.Trainable`; it is saved at milestones only."""
    trainable = cls(config=dict(config))
    loaded = session.load_checkpoint()
    if loaded is not None:
        trainable.restore(str(loaded))
        trainable._iteration = int(session.step)
    try:
        while True:
            result = trainable.train()
            metrics = {key: value for key, value in result.items() if key not in _AUTO_FILLED}
            done = bool(result.get("done"))
            if session.checkpoint_is_due(metrics):
                with tempfile.TemporaryDirectory() as folder:
                    trainable.save(folder)
                    session.report(metrics, Path(folder), last=done)
            else:
                session.report(metrics, last=done)
            if done:
                return
    finally:
        trainable.stop()


def _install(session: _TuneSession | None) -> None:
    module = sys.modules.get(_SESSION_MODULE)
    if module is not None:
        module._session = session  # type: ignore[attr-defined]  # Ray's own global


class _OnImport(importlib.abc.MetaPathFinder):
    """Installs our session when Ray's session module is imported inside a trial. It stays: that may be a later one."""

    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _SESSION_MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader would, then installs the session of the trial that runs now."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        from ray_hpo.worker.session import running

        self._loader.exec_module(module)
        session = running()
        if session is not None:
            module._session = _TuneSession(session)  # type: ignore[attr-defined]  # Ray's own global
