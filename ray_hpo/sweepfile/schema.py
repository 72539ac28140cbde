"""What a sweep is, whichever file or command line describes it: the fields of a sweep file, validated."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from strategies.domains import Domain, Prior, Space, choice, shorten
from strategies.registry import algo_from_json

from ray_hpo.command.command import Command
from ray_hpo.errors import InvalidInput, near_matches
from ray_hpo.sweepfile.params import options, parse_domain


class Sweep(BaseModel):
    """A sweep of a command. Every field but `command`, `parameters` and `metric` may be left out."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)

    command: str | list[str] = Field(description="the program: one line, or a list of words; :name: is a parameter")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="name: low:high[:int][:log][:step=S], a list of options, a constant; "
        "or {domain: ..., when: CONDITION, prior: VALUE}",
    )
    metric: str | list[str] = Field(
        description="the metric to optimise, by the name under which the program prints it; a list of several"
    )
    mode: Any = Field(default="min", description="min or max; a list has one for each metric")
    constraints: dict[str, str] = Field(
        default_factory=dict, description="what printed metrics must meet: {size: <= 5e6}"
    )
    algo: str | dict[str, Any] = Field(
        default="auto", description="how to search: auto, bohb, asha, random, grid, gp ..."
    )
    max_budget: Any = Field(default=None, description="the budget of a full training: epochs, say")
    min_budget: Any = Field(default=None, description="the least budget after which trials are compared")
    num_trials: int | None = Field(default=None, description="configurations to try")
    time_limit: str | float | None = Field(default=None, description="1h30m, or seconds")
    total_budget: Any = Field(default=None, description="units of budget over all trials")
    gpu_hours: float | None = Field(default=None, description="hours of trials on workers, times their GPUs")
    cost: float | None = Field(default=None, description="what these may cost, with price_per_hour")
    price_per_hour: float | None = Field(default=None, description="of a GPU, or of a trial's worker without one")
    patience: int | None = Field(default=None, description="trials in a row that end without a new best")
    fidelity: str | None = Field(default=None, description="the printed name that counts the budget; default: reports")
    resources: dict[str, Any] | None = Field(default=None, description="of one trial: {cpu: 1, gpu: 0.5}")
    max_concurrent: int | None = Field(default=None, description="the most trials at a time")
    priority: float = Field(default=1.0, description="among the sweeps of one cluster: 2.0 gets twice the workers")
    max_failures: int = Field(default=0, description="how often a trial that failed is tried again")
    trial_timeout: str | float | None = Field(default=None, description="10m: a trial that is silent so long is killed")
    on_oom: str = Field(default="fail", description="more: a trial whose GPU is out of memory gets a larger share")
    keep_checkpoints: int | None = Field(default=None, description="of how many completed trials; default: of all")
    forbidden: list[str] = Field(default_factory=list, description="combinations that are not tried")
    points_to_evaluate: list[dict[str, Any]] = Field(default_factory=list, description="configurations to try first")
    warm_start: list[str] = Field(default_factory=list, description="folders of earlier experiments to learn from")
    verify_top: int = Field(default=0, description="train the best so many again with fresh seeds (:seed:)")
    verify_seeds: int = Field(default=5, description="how often each")
    metrics_from: str = Field(
        default="stdout", description="stdout, stderr, csv:PATH, jsonl:PATH or tensorboard:FOLDER"
    )
    metric_regex: list[str] = Field(default_factory=list, description="expressions to find metrics with")
    shell: bool = Field(default=False, description="run the command with /bin/sh")
    folder: str | None = Field(default=None, description="where the command runs; default: here")
    grace: float = Field(default=10.0, description="seconds from SIGTERM to SIGKILL")
    name: str | None = Field(default=None, description="the experiment's name")
    storage: str = Field(default="~/ray_hpo", description="where experiments lie: a folder, or s3://bucket/path")
    seed: int | None = Field(default=None, description="makes suggestions repeatable")

    @field_validator("mode")
    @classmethod
    def _known_mode(cls, value: Any) -> Any:
        if any(mode not in ("min", "max") for mode in (value if isinstance(value, list) else [value])):
            raise ValueError("must be min or max")
        return value

    @field_validator("max_budget", "min_budget", "total_budget")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """27 stays whole, which makes whole milestones."""
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError("must be a number")
        return value

    @field_validator("metric_regex", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def to_command(self) -> Command:
        """The command that is to be tuned.

        Raises:
            InvalidInput: it makes no sense.
        """
        words: Any = self.command
        if isinstance(words, str) and not self.shell:
            try:
                words = shlex.split(words)
            except ValueError as error:
                raise InvalidInput(f"command {words!r}: {error}; close it, or give a list of words") from None
        elif self.shell and not isinstance(words, str):
            words = words[0] if len(words) == 1 else shlex.join(words)
        where = {} if self.folder is None else {"folder": self.folder}
        return Command(
            words,
            shell=self.shell,
            metrics_from=self.metrics_from,
            metric_regex=self.metric_regex,
            grace=self.grace,
            **where,
        )

    def to_space(self) -> Space:
        """The space that is to be searched.

        Raises:
            InvalidInput: a parameter cannot be read.
        """
        if not self.parameters:
            raise InvalidInput("parameters: there are none; a sweep needs one at least, as in --param lr=1e-4:1:log")
        return Space({name: to_domain(name, value) for name, value in self.parameters.items()}, self.forbidden)

    def arguments(self) -> dict[str, Any]:
        """What is left of it as keyword arguments of `tune_run`."""
        own = {"command", "parameters", "forbidden", "metrics_from", "metric_regex", "shell", "folder", "grace"}
        arguments = {name: getattr(self, name) for name in type(self).model_fields if name not in own}
        if isinstance(self.algo, dict):
            try:
                arguments["algo"] = algo_from_json(self.algo)
            except (LookupError, TypeError, AttributeError) as error:
                raise InvalidInput(f"algo={self.algo!r} is none: {type(error).__name__}: {error}") from None
        return arguments


def make_sweep(fields: Mapping[str, Any]) -> Sweep:
    """A sweep of plain values.

    Raises:
        InvalidInput: an unknown field, or a value of the wrong kind; `location` of it is the path to the field.
    """
    try:
        return Sweep(**fields)
    except ValidationError as error:
        first = min(
            error.errors(), key=lambda one: one["type"] != "extra_forbidden"
        )  # a typo also lacks the right name
        path = tuple(first["loc"])
        raise FieldError(path, _explain(path, first["type"], first["msg"], first.get("input"))) from None


class FieldError(InvalidInput):
    """A mistake in one field of a sweep. path: to the field; the file's reader knows its line."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def to_domain(name: str, value: Any) -> Any:
    """The domain of a parameter in a sweep file: text, a list, a mapping with `domain`, or a constant.

    Raises:
        FieldError: it cannot be read.
    """
    try:
        return _domain(name, value)
    except FieldError:
        raise
    except InvalidInput as error:
        raise FieldError(("parameters", name), str(error)) from None


_EXTRAS = ("domain", "when", "prior", "confidence")


def _domain(name: str, value: Any) -> Any:
    if isinstance(value, Domain):
        return value
    if isinstance(value, str):
        return parse_domain(name, value)
    if isinstance(value, list):
        return options(value) if len(value) > 1 else choice(value)
    if not isinstance(value, Mapping):
        return value
    if "domain" not in value:
        return {inner: _domain(f"{name}.{inner}", part) for inner, part in value.items()}
    for key in value:
        if key not in _EXTRAS:
            raise FieldError(("parameters", name, key), f"{key!r} is unknown; {near_matches(str(key), _EXTRAS)}")
    domain = _domain(name, value["domain"])
    if not isinstance(domain, Domain):
        domain = choice([domain])
    if "prior" in value:
        domain = _with_prior(domain, Prior(value["prior"], value.get("confidence", "medium")))
    return domain.when(value["when"]) if "when" in value else domain


def _with_prior(domain: Domain, prior: Prior) -> Domain:
    import dataclasses

    return dataclasses.replace(domain, prior=prior)


def _explain(path: tuple[Any, ...], kind: str, message: str, given: Any) -> str:
    field = ".".join(str(part) for part in path if not str(part).startswith(("str", "list[")))
    if kind == "extra_forbidden":
        return f"{field!r} is unknown; {near_matches(field, Sweep.model_fields)}"
    if kind == "missing":
        return f"{field} is missing: {Sweep.model_fields[field].description}"
    top = Sweep.model_fields.get(str(path[0]))
    meaning = f" ({top.description})" if top else ""
    message = message.removeprefix("Value error, ")
    return f"{field}={shorten(given)}: {message[0].lower()}{message[1:]}{meaning}"
