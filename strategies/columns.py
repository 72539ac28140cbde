"""One parameter of a search space as a column of the unit cube: what u means, and what its *code* is.

A column's code is what conditions compare: a float's value, k of the multiple k*q, or the index of a choice.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from strategies.domains import Prior, identity, multiples, shorten
from strategies.errors import InvalidInput

Array: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["float", "int", "categorical", "ordinal", "constant"]

DECIMALS = 13  # ConfigSpace keeps this many decimals of a float
SIGNIFICANT = 12  # digits of a log-scaled float: coarser than the error of exp(log(x)), so that encode inverts
_KINDS: dict[str, Kind] = {
    "uniform_float": "float",
    "uniform_int": "int",
    "categorical": "categorical",
    "ordinal": "ordinal",
    "constant": "constant",
}


@dataclass(frozen=True)
class Column:
    """One parameter. `n_values` is 0 for a float, unless it has a `q`: then the number of multiples."""

    name: str
    kind: Kind
    n_values: int
    log: bool = False
    lower: float = 0.0
    upper: float = 0.0
    q: float | None = None  # 1 for integers, None for continuous floats and for choices
    values: tuple[Any, ...] = ()  # of a categorical, ordinal or constant
    as_json: bool = False  # ConfigSpace has the JSON text of the values
    first: int = 0  # k of the least multiple of q
    offset: float = 0.0  # a number's code is offset + u * scale, or the exponential of that
    scale: float = 0.0
    decimals: int = 0  # of a continuous, linear float
    index: Mapping[tuple[str, Any], int] = field(default_factory=dict, repr=False, compare=False)
    prior: Prior | None = None

    @property
    def is_number(self) -> bool:
        """Whether values have bounds, and an order of their own."""
        return self.kind in ("float", "int")

    @property
    def stepped(self) -> bool:
        """Whether it has so many values, not all between its bounds."""
        return self.q is not None or bool(self.values)

    def codes(self, u: Array) -> Array:
        """Codes, shape (n,), of unit values in [0, 1]; NaN stays NaN."""
        if self.q is None and self.kind == "float":
            t = self.offset + u * self.scale
            values = _significant(np.exp(t)) if self.log else np.round(t, self.decimals)
            return np.clip(values, self.lower, self.upper)
        if self.log:
            return np.clip(np.rint(np.exp(self.offset + u * self.scale)), self.first, self.first + self.n_values - 1)
        return self.first + np.minimum(np.floor(u * self.n_values), self.n_values - 1)

    def units(self, codes: Array) -> Array:
        """Canonical unit values, shape (n,), of codes."""
        if self.log:
            return np.clip((np.log(codes) - self.offset) / self.scale, 0.0, 1.0)
        if self.q is None and self.kind == "float":
            return np.clip((codes - self.offset) / self.scale, 0.0, 1.0)
        return (codes - self.first + 0.5) / self.n_values

    def code_at(self, u: float) -> float:
        """What `codes` gives for one unit value, to the last bit, at a tenth of the time."""
        if self.q is None and self.kind == "float":
            t = self.offset + u * self.scale
            if self.log:
                value = _significant_at(float(np.exp(t)))  # math.exp differs from np.exp in the last bit
            else:
                value = round(t * 10.0**self.decimals) / 10.0**self.decimals
            return min(max(value, self.lower), self.upper)
        if self.log:
            k = float(round(float(np.exp(self.offset + u * self.scale))))
            return min(max(k, float(self.first)), float(self.first + self.n_values - 1))
        return float(self.first + min(math.floor(u * self.n_values), self.n_values - 1))

    def unit_at(self, code: float) -> float:
        """What `units` gives for one code, likewise."""
        if self.log:
            return min(max((float(np.log(code)) - self.offset) / self.scale, 0.0), 1.0)
        if self.q is None and self.kind == "float":
            return min(max((code - self.offset) / self.scale, 0.0), 1.0)
        return (code - self.first + 0.5) / self.n_values

    @property
    def edges(self) -> Array:
        """(K + 1,) where the bins of its K values meet in the unit cube, K > 0."""
        edges = self.units(self.first + np.arange(self.n_values + 1, dtype=np.float64) - 0.5)
        edges[[0, -1]] = 0.0, 1.0
        return edges

    def value(self, code: float) -> Any:
        """The plain Python value of a code."""
        if self.values:
            return copy.deepcopy(self.values[int(code)]) if self.as_json else self.values[int(code)]
        if self.q is None:
            return float(code)
        if self.kind == "int":
            return int(code) * int(self.q)
        return min(max(float(np.round(code * self.q, DECIMALS)), self.lower), self.upper)

    def code(self, value: Any) -> float:
        """The code of a value; InvalidInput, naming the parameter, if the value is not legal."""
        if self.values:
            try:
                return self.index[identity(value.item() if isinstance(value, np.generic) else value)]
            except (KeyError, TypeError):
                choices = shorten(list(self.values))
                raise InvalidInput(f"{self.name}: must be one of {choices}; got {shorten(value)}") from None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
            raise InvalidInput(f"{self.name}: must be a number; got {shorten(value)}")
        slack = 10.0**-DECIMALS
        if not self.lower - slack <= value <= self.upper + slack:
            raise InvalidInput(f"{self.name}: must be between {self.lower:g} and {self.upper:g}; got {shorten(value)}")
        if self.q is None:
            return min(max(float(value), self.lower), self.upper)
        k = round(float(value) / self.q)
        if not math.isclose(k * self.q, float(value), rel_tol=1e-9, abs_tol=1e-9 * self.q):
            what = "a whole number" if self.q == 1 else f"a multiple of {self.q:g}"
            raise InvalidInput(f"{self.name}: must be {what}; got {shorten(value)}")
        if not self.first <= k < self.first + self.n_values:
            low, high = self.value(self.first), self.value(self.first + self.n_values - 1)
            raise InvalidInput(f"{self.name}: must be between {low} and {high}; got {shorten(value)}")
        return float(k)

    def threshold(self, value: Any) -> float:
        """`value`, which need not be legal, on the scale of the codes, for comparisons."""
        if self.values:
            found = self.index.get(identity(value))
            return -1.0 if found is None else float(found)
        if self.q is None:
            return float(value)
        k = round(value / self.q)
        return float(k) if math.isclose(value / self.q, k, rel_tol=1e-9) else float(value / self.q)

    def describe(self) -> str:
        """The domain as a user would write it."""
        if self.kind == "constant":
            return repr(self.values[0])
        prior = _describe_prior(self.prior)
        if self.values:
            return f"{'choice' if self.kind == 'categorical' else 'ordinal'}({list(self.values)!r}{prior})"
        log = "log" if self.log else ""
        if self.kind == "int":
            low, high = int(self.lower), int(self.upper)
            if self.q == 1:
                return f"{log}randint({low}, {high + 1}{prior})"
            return f"q{log}randint({low}, {high}, {self.q:g}{prior})"
        bounds = f"{self.lower!r}, {self.upper!r}"
        return f"{log}uniform({bounds}{prior})" if self.q is None else f"q{log}uniform({bounds}, {self.q!r}{prior})"


def _describe_prior(prior: Prior | None) -> str:
    """The end of a domain's arguments."""
    if prior is None:
        return ""
    plain = prior.confidence == "medium" and prior.value is not None
    return f", prior={prior.value!r}" if plain else f", prior=({prior.value!r}, {prior.confidence!r})"


def _significant(values: Array) -> Array:
    """Positive values, rounded to SIGNIFICANT digits."""
    decimals = SIGNIFICANT - 1 - np.floor(np.log10(values))
    # Dividing by a power of ten is exact to the last bit, multiplying by its inverse is not.
    small, large = 10.0 ** np.maximum(decimals, 0), 10.0 ** np.maximum(-decimals, 0)
    rounded: Array = np.rint(values * small / large) / small * large
    return rounded


def _significant_at(value: float) -> float:
    decimals = SIGNIFICANT - 1 - math.floor(float(np.log10(value)))
    small, large = 10.0 ** max(decimals, 0), 10.0 ** max(-decimals, 0)
    return round(value * small / large) / small * large


def column_of(hp: Mapping[str, Any]) -> Column:
    """A column from ConfigSpace's JSON for a hyperparameter."""
    meta = hp.get("meta") or {}
    prior = Prior(*meta["prior"]) if "prior" in meta else None
    kind = _KINDS[hp["type"]]
    if kind not in ("float", "int"):
        stored = [hp["value"]] if kind == "constant" else hp.get("choices", hp.get("sequence"))
        as_json = bool(meta.get("json"))
        values = tuple(json.loads(text) if as_json else text for text in stored)
        index = {identity(value): i for i, value in enumerate(values)}
        return Column(hp["name"], kind, len(values), values=values, as_json=as_json, index=index, prior=prior)
    log, lower, upper = bool(hp["log"]), hp["lower"], hp["upper"]
    q = meta.get("q", 1 if kind == "int" else None)
    plain = Column(hp["name"], kind, 0, log=log, lower=lower, upper=upper, q=q, prior=prior)
    if q is None:
        offset, end = (math.log(lower), math.log(upper)) if log else (lower, upper)
        # Coarse enough that decode(encode(x)) is x in floating point, fine enough for u within 1e-11.
        step = max(1e-12 * (upper - lower), 1e-14 * max(abs(lower), abs(upper)))
        decimals = min(math.floor(-math.log10(step)), DECIMALS)
        return replace(plain, offset=offset, scale=end - offset, decimals=decimals)
    first, last = multiples(lower, upper, q)
    if first > last:
        raise InvalidInput(f"{hp['name']}: no multiple of q={q:g} lies between {lower:g} and {upper:g}")
    if not log:
        return replace(plain, n_values=last - first + 1, first=first)
    offset, end = math.log(first - 0.5), math.log(last + 0.5)
    return replace(plain, n_values=last - first + 1, first=first, offset=offset, scale=end - offset)
