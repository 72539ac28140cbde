"""What a trial asks of the cluster: resources of one worker or of several bundles, and labels of their nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strategies.numbers import is_finite

from ray_hpo.errors import InvalidInput, near_matches

AUTO = "auto"
STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
_NAMES = {"cpu": "CPU", "gpu": "GPU"}
_OWN_KEYS = ("bundles", "strategy", "labels")  # of `resources`, which are no resources
_KEY = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_VALUE = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"!?{_VALUE}|!?in\({_VALUE}(, ?{_VALUE})*\)")

Bundle = Mapping[str, float]


@dataclass(frozen=True)
class Request:
    """What one trial holds while it runs.

    bundles: with Ray's names for resources; the trial runs in the first, and what it starts with Ray, in all of them.
    strategy: how several bundles are spread over nodes, in Ray's words.  labels: what Ray is to find on each node.
    auto_gpu: the GPU share of the only bundle is to be found by measuring; until then it is a whole GPU.
    """

    bundles: tuple[Bundle, ...]
    strategy: str = "PACK"
    labels: Mapping[str, str] | None = None
    auto_gpu: bool = False

    @classmethod
    def of(cls, resources: Mapping[str, Any]) -> Request:
        """Of `resources` as `normalise` gives them."""
        labels = resources.get("labels")
        if "bundles" in resources:
            return cls(tuple(dict(bundle) for bundle in resources["bundles"]), resources["strategy"], labels)
        bundle = {name: amount for name, amount in resources.items() if name not in _OWN_KEYS}
        auto = bundle.get("GPU") == AUTO
        return cls(({**bundle, "GPU": 1.0} if auto else bundle,), labels=labels, auto_gpu=auto)

    def amount(self, name: str) -> float:
        """Of one resource in all bundles together."""
        return sum(bundle.get(name, 0.0) for bundle in self.bundles)

    @property
    def empty(self) -> bool:
        """Whether it asks for nothing, so that any number of trials fit anywhere."""
        return not any(amount for bundle in self.bundles for amount in bundle.values())

    @property
    def grouped(self) -> bool:
        """Whether it needs a placement group."""
        return len(self.bundles) > 1

    def with_gpu(self, share: float) -> Request:
        """The same with another share of a GPU."""
        return Request(({**self.bundles[0], "GPU": share},), self.strategy, self.labels, self.auto_gpu)

    def __str__(self) -> str:
        parts = [resources_text(bundle) for bundle in self.bundles]
        text = f"{self.strategy} [{', '.join(parts)}]" if self.grouped else parts[0]
        return f"{text} on nodes with {labels_text(self.labels)}" if self.labels else text


def normalise(resources: Mapping[str, Any] | None) -> dict[str, Any]:
    """A user's `resources` with Ray's names, as they stand in the journal: {"CPU": 0.5, ...}, maybe with "labels"; or
    {"bundles": [...], "strategy": ...}. One CPU if none is given.

    Raises:
        InvalidInput: they make no sense; the message names what.
    """
    if resources is None:
        return {"CPU": 1.0}
    if not isinstance(resources, Mapping):
        raise InvalidInput(f'resources must be a dict such as {{"cpu": 1, "gpu": 0.5}}; got {resources!r}')
    labels = _labels(resources.get("labels"))
    if "bundles" not in resources:
        if "strategy" in resources:
            raise InvalidInput("resources: strategy says how bundles are spread, and there are none; give bundles")
        amounts = {name: amount for name, amount in resources.items() if name != "labels"}
        return {**_amounts(amounts, "resources"), **labels}
    others = [name for name in resources if name not in _OWN_KEYS]
    if others:
        raise InvalidInput(f"resources: {others[0]} stands beside bundles; put it into one of the bundles")
    bundles, strategy = resources["bundles"], resources.get("strategy", "PACK")
    if not isinstance(bundles, Sequence) or isinstance(bundles, str) or not bundles:
        raise InvalidInput(f'resources: bundles must be a list such as [{{"cpu": 1}}, {{"gpu": 1}}]; got {bundles!r}')
    if strategy not in STRATEGIES:
        raise InvalidInput(f"resources: strategy={strategy!r}: {near_matches(str(strategy), STRATEGIES)}")
    amounts_of = [_bundle(bundle, number) for number, bundle in enumerate(bundles)]
    if len(bundles) == 1:
        return {**amounts_of[0], **labels}
    return {"bundles": amounts_of, "strategy": strategy, **labels}


def resources_text(resources: Mapping[str, float]) -> str:
    """{CPU: 4, GPU: 1}, without what Ray counts for itself, and without what is zero."""
    shown = {
        name: f"{amount:g}"
        for name, amount in sorted(resources.items())
        if amount and not name.startswith(("node:", "object_store", "accelerator_type"))
    }
    if "memory" in shown:
        shown["memory"] = f"{resources['memory'] / 2**30:.3g} GiB"
    return "{" + ", ".join(f"{name}: {amount}" for name, amount in shown.items()) + "}"


def labels_text(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in sorted(labels.items())) + "}"


def _bundle(bundle: Any, number: int) -> dict[str, float]:
    where = f"resources: bundles[{number}]"
    if not isinstance(bundle, Mapping):
        raise InvalidInput(f'{where} must be a dict such as {{"cpu": 1}}; got {bundle!r}')
    amounts = _amounts(bundle, where)
    if not any(amounts.values()):
        raise InvalidInput(f"{where} must ask for something; give cpu or gpu")
    if amounts.get("GPU") == AUTO:
        raise InvalidInput(f"{where}: gpu='auto' is for trials of one bundle; give the number of GPUs")
    return amounts


def _amounts(given: Mapping[Any, Any], where: str) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    for name, amount in given.items():
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"{where}: the name of a resource must be a text; got {name!r}")
        known = _NAMES.get(name, name)
        if known in asked:
            raise InvalidInput(f"{where}: {known} is there twice; once is enough")
        if known == "object_store_memory":
            raise InvalidInput(f"{where}: {name} cannot be asked for; ask for memory, in bytes")
        asked[known] = AUTO if known == "GPU" and amount == AUTO else _amount(name, amount, where)
    asked.setdefault("CPU", 0.0 if asked.get("GPU") else 1.0)
    return asked


def _amount(name: str, amount: Any, where: str) -> float:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not (is_finite(amount) and amount >= 0):
        raise InvalidInput(f"{where}: {name} must be a number of at least 0; got {name}={amount!r}")
    if amount > 1 and amount != int(amount):
        raise InvalidInput(f"{where}: {name} above 1 must be a whole number, as Ray wants it; got {name}={amount}")
    if 0 < amount < 1e-4:
        raise InvalidInput(f"{where}: {name} must be at least 0.0001, the least that Ray counts; got {name}={amount}")
    return float(amount)


def _labels(labels: Any) -> dict[str, dict[str, str]]:
    if not labels:
        return {}
    if not isinstance(labels, Mapping):
        raise InvalidInput(f'resources: labels must be a dict such as {{"zone": "a"}}; got {labels!r}')
    for key, value in labels.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise InvalidInput(f"resources: labels: {key!r} cannot be the name of a label")
        if not isinstance(value, str) or not _SELECTOR.fullmatch(value):
            raise InvalidInput(
                f"resources: labels: {key} must be a value, or one of !value, in(a, b), !in(a, b); got {value!r}"
            )
    return {"labels": dict(labels)}


def matches(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    """Whether a node with `labels` is one that `wanted` selects, in Ray's language of selectors."""
    return all(_selects(selector, labels.get(key)) for key, selector in (wanted or {}).items())


def _selects(selector: str, value: str | None) -> bool:
    negated, plain = selector.startswith("!"), selector.removeprefix("!")
    several = plain.startswith("in(") and plain.endswith(")")
    options = [option.strip() for option in plain[3:-1].split(",")] if several else [plain]
    return (value in options) != negated


def check_on_oom(on_oom: str, request: Request) -> None:
    """
    Raises:
        InvalidInput: not a policy, or one that `request` gives no room for.
    """
    if on_oom not in ("fail", "more"):
        raise InvalidInput(f"on_oom must be 'fail' or 'more'; got on_oom={on_oom!r}")
    share = request.amount("GPU")
    if on_oom == "more" and not request.auto_gpu and (request.grouped or not 0 < share < 1):
        raise InvalidInput(
            "on_oom='more' gives a trial a larger share of its GPU, and needs trials that share one, as in "
            f"resources={{'gpu': 0.25}}; got gpu={share:g}"
        )


def larger_share(request: Request, share: float | None) -> float | None:
    """Twice the share of a GPU that was too little, up to a whole one, and at once a whole one where shares follow
    from what was measured; None if it is that already. share: None is that of `request`."""
    if request.auto_gpu:
        return 1.0 if share is None else None
    had = request.amount("GPU") if share is None else share
    return min(1.0, 2 * had) if had < 1 else None
