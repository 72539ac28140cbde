"""The options of `ray-hpo run` and its short forms: one dataclass, of which each command makes its parameters."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from ray_hpo.errors import InvalidInput
from ray_hpo.sweepfile.params import parse_assignment, scalar

_SEARCH, _BUDGET, _METRICS = "What to search", "When to stop", "Where metrics are"
_TRIALS, _PLACE = "How trials run", "The experiment"


def _option(help: str, panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def _number(text: str) -> float:
    """27 is a whole number, whose milestones are whole too; 27.0 is not."""
    value = scalar(text)
    if isinstance(value, str):
        raise typer.BadParameter(f"{text!r} is not a number")
    return value  # type: ignore[no-any-return]  # a number, then


@dataclass(frozen=True)
class SweepOptions:
    """What may be said on the command line; None, or an empty list, where nothing is. Most are fields of a sweep."""

    param: Annotated[
        list[str] | None,
        _option(
            "NAME=VALUE, again for each: low:high[:int][:log][:step=S], options by comma, or one value. "
            ":NAME: in the command is replaced by it; with no placeholder at all, --NAME VALUE is appended.",
            _SEARCH, "--param", "-p", metavar="NAME=VALUE",
        ),
    ] = None  # fmt: skip
    metric: Annotated[
        str | None,
        _option("The metric to optimise, as the script prints it; several by comma.", _SEARCH, "--metric", "-m"),
    ] = None
    mode: Annotated[str | None, _option("min (default) or max; by comma one for each metric.", _SEARCH)] = None
    constraint: Annotated[list[str] | None, _option('What a printed metric must meet, as "latency <= 5".', _SEARCH)] = (
        None
    )
    algo: Annotated[
        str | None,
        _option("auto (default), bohb, asha, asha_stopping, hyperband, mobster, random, grid, gp, tpe ...", _SEARCH),
    ] = None
    forbidden: Annotated[
        list[str] | None, _option('A combination not to try, as "opt == adam and lr > 0.1".', _SEARCH)
    ] = None
    warm_start: Annotated[list[str] | None, _option("An earlier experiment to learn from.", _SEARCH)] = None
    seed: Annotated[int | None, _option("Makes suggestions repeatable.", _SEARCH)] = None

    max_budget: Annotated[
        float | None,
        _option(
            "The budget of a full training (epochs, say): allows early stopping.",
            _BUDGET,
            parser=_number,
            metavar="NUMBER",
        ),
    ] = None
    min_budget: Annotated[
        float | None,
        _option("The least budget after which trials are compared.", _BUDGET, parser=_number, metavar="NUMBER"),
    ] = None
    num_trials: Annotated[int | None, _option("Configurations to try.", _BUDGET, "--num-trials", "-n")] = None
    time_limit: Annotated[str | None, _option("Time, as 1h30m.", _BUDGET)] = None
    total_budget: Annotated[
        float | None, _option("Units of budget (epochs) over all trials.", _BUDGET, parser=_number, metavar="NUMBER")
    ] = None
    gpu_hours: Annotated[float | None, _option("Hours of trials on workers, times their GPUs.", _BUDGET)] = None
    cost: Annotated[float | None, _option("What that may cost, with --price-per-hour.", _BUDGET)] = None
    price_per_hour: Annotated[
        float | None, _option("The price of a GPU for an hour; of a trial's worker, where it has none.", _BUDGET)
    ] = None
    patience: Annotated[int | None, _option("Trials in a row that end without a new best.", _BUDGET)] = None
    verify_top: Annotated[int | None, _option("Train the best so many again, with other :seed:s.", _BUDGET)] = None
    verify_seeds: Annotated[int | None, _option("How often each (default 5).", _BUDGET)] = None

    metrics_from: Annotated[
        str | None,
        _option(
            "stdout (default), stderr, csv:PATH, jsonl:PATH or tensorboard:FOLDER, PATH with :output: in it.", _METRICS
        ),
    ] = None
    metric_regex: Annotated[
        list[str] | None,
        _option("Find metrics with this, instead of key=value, key: value and JSON; named groups name them.", _METRICS),
    ] = None
    fidelity: Annotated[
        str | None,
        _option("The printed name that counts the budget, as epoch; default: reports are counted.", _METRICS),
    ] = None

    cpu: Annotated[float | None, _option("CPUs of one trial (default 1).", _TRIALS)] = None
    gpu: Annotated[float | None, _option("GPUs of one trial; 0.5 shares one.", _TRIALS)] = None
    max_concurrent: Annotated[int | None, _option("The most trials at a time.", _TRIALS)] = None
    priority: Annotated[
        float | None, _option("Of this sweep among those that share the cluster; 2 gets twice the workers.", _TRIALS)
    ] = None
    max_failures: Annotated[int | None, _option("How often a trial that failed is tried again.", _TRIALS)] = None
    trial_timeout: Annotated[
        str | None, _option("Kill a trial that reports nothing for so long, as 10m (default never).", _TRIALS)
    ] = None
    on_oom: Annotated[
        str | None,
        _option("When a trial's GPU is out of memory: fail (default), or more: again with a larger share.", _TRIALS),
    ] = None
    keep_checkpoints: Annotated[
        int | None, _option("Keep the checkpoints of so many completed trials, the best (default all).", _TRIALS)
    ] = None
    shell: Annotated[bool, _option("The command is one line for /bin/sh.", _TRIALS, "--shell")] = False
    folder: Annotated[str | None, _option("Where the command runs (default: here).", _TRIALS)] = None
    grace: Annotated[float | None, _option("Seconds from SIGTERM to SIGKILL (default 10).", _TRIALS)] = None

    name: Annotated[str | None, _option("The experiment's name.", _PLACE)] = None
    storage: Annotated[
        str | None, _option("Where experiments lie (default ~/ray_hpo): a folder, or s3://bucket/path.", _PLACE)
    ] = None
    executor: Annotated[str, _option("ray (default), or inline: one trial at a time, no Ray.", _PLACE)] = "ray"
    quiet: Annotated[bool, _option("Show nothing but errors.", _PLACE, "--quiet", "-q")] = False
    as_json: Annotated[bool, _option("Print the outcome as JSON, and nothing else.", _PLACE, "--json")] = False

    def fields(self) -> dict[str, Any]:
        """The fields of a sweep that are given.

        Raises:
            InvalidInput: a --param cannot be read, or comes twice.
        """
        own = ("param", "constraint", "cpu", "gpu", "executor", "quiet", "as_json", "seconds", "measure")
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in own}
        given = {name: value for name, value in given.items() if value not in (None, [], False)}
        parameters: dict[str, Any] = {}
        for text in self.param or []:
            name, domain = parse_assignment(text)
            if name in parameters:
                raise InvalidInput(f"param {text!r}: {name} comes twice; options go into one, by comma")
            parameters[name] = domain
        if parameters:
            given["parameters"] = parameters
        for name in ("metric", "mode"):
            if "," in given.get(name, ""):
                given[name] = [part.strip() for part in given[name].split(",")]
        if self.constraint:
            given["constraints"] = dict(_constraint(text) for text in self.constraint)
        resources = {name: amount for name, amount in (("cpu", self.cpu), ("gpu", self.gpu)) if amount is not None}
        return {**given, **({"resources": resources} if resources else {})}


def _constraint(text: str) -> tuple[str, str]:
    """The metric, and what it is compared with."""
    match = re.fullmatch(r"\s*([^<>=\s]+)\s*([<>]=?.*)", text)
    if match is None:
        raise InvalidInput(f"constraint {text!r}: write a metric and a comparison, as in 'latency <= 5'")
    return match[1], match[2]


_PLAN = "The plan"


@dataclass(frozen=True)
class PlanOptions(SweepOptions):
    """What may be said to `ray-hpo plan` on top."""

    seconds: Annotated[
        float | None, _option("What one unit of budget (an epoch) of a trial takes.", _PLAN, "--seconds-per-epoch")
    ] = None
    measure: Annotated[
        bool, _option("Run one trial to its first milestone here, and take its time.", _PLAN, "--measure")
    ] = False


Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SWEEP.yaml | -- COMMAND ...]", help="A sweep file; or the command, after --."),
]


O = TypeVar("O", bound=SweepOptions)


def with_options(run: Callable[[list[str], O], None], kind_of: type[O], **fixed: Any) -> Callable[..., None]:
    """`run` as a function with a parameter for each option of `kind_of` but those that are `fixed`."""
    hints = get_type_hints(kind_of, include_extras=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("words", kind, default=None, annotation=Words)]
    for option in dataclasses.fields(kind_of):
        if option.name not in fixed:
            parameters.append(
                inspect.Parameter(option.name, kind, default=option.default, annotation=hints[option.name])
            )

    def command(**given: Any) -> None:
        words: list[str] = given.pop("words") or []
        run(words, kind_of(**{**given, **fixed}))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
