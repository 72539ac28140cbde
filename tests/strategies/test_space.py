"""SearchSpace and its builder: against ConfigSpace as an independent judge."""

import json
import pickle
import time
from typing import Any

import ConfigSpace
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from strategies.domains import (
    Domain,
    Space,
    choice,
    lograndint,
    loguniform,
    ordinal,
    qlograndint,
    qloguniform,
    qrandint,
    quniform,
    randint,
    uniform,
)
from strategies.errors import InvalidInput
from strategies.space import SearchSpace
from strategies.space_builder import as_space

# --- a generator of spaces ----------------------------------------------------------------------------

json_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["a", "b", "c d"]), st.just([1, 2])
)


@st.composite
def float_domains(draw: st.DrawFn) -> Any:
    low = draw(st.floats(-100, 100, allow_subnormal=False))
    width = draw(st.floats(1e-2, 1e3))
    kind = draw(st.sampled_from(["plain", "log", "q", "qlog"]))
    if kind == "plain":
        return uniform(low, low + width)
    if kind == "log":
        low = 10.0 ** draw(st.floats(-8, 2))
        return loguniform(low, low * 10.0 ** draw(st.floats(0.1, 6)))
    q = draw(st.sampled_from([0.1, 0.25, 0.5, 3.0]))
    k = draw(st.integers(1, 20))
    make = quniform if kind == "q" else qloguniform
    return make(k * q, (k + draw(st.integers(1, 30))) * q, q)


@st.composite
def int_domains(draw: st.DrawFn) -> Any:
    low, width = draw(st.integers(1, 1000)), draw(st.integers(1, 2000))
    kind = draw(st.sampled_from(["randint", "lograndint", "qrandint", "qlograndint"]))
    if kind == "randint":
        return randint(low - 50, low + width)
    if kind == "lograndint":
        return lograndint(low, low + width)
    make = qrandint if kind == "qrandint" else qlograndint
    return make(8 * low, 8 * (low + width) + 3, 8)


any_domains = st.one_of(
    float_domains(),
    int_domains(),
    st.lists(json_scalars, min_size=1, max_size=4, unique_by=json.dumps).map(choice),
    st.lists(st.integers(0, 99), min_size=2, max_size=5, unique=True).map(ordinal),
    st.one_of(st.integers(), st.text(max_size=3), st.none(), st.booleans()),
)
CONDITIONS: list[dict[str, Any]] = [
    {"optimizer": "sgd"},
    {"optimizer": ["sgd", "adam"]},
    {"expression": "optimizer != sgd"},
    {"expression": "layers > 2"},
    {"expression": "layers >= 2 and optimizer == sgd or size < large"},
    {"expression": "layers == 1 or optimizer == sgd"},
    {"expression": "layers == 1 and optimizer == sgd"},
    {"expression": "layers != 3"},
    {"expression": "rate <= 0.3"},
    {"expression": "rate in [0.3, 0.7]"},
    {"expression": "size >= medium"},
    {"flag": True},
    {"expression": "flag == 1 or first_extra_gate == on"},
    {"expression": "gate != off"},
]
FORBIDDEN = [
    "optimizer == sgd and layers > 3",
    "layers in [1, 4] and size == small",
    "size <= small and flag == true",
    "rate >= 0.9 or layers == 2 and optimizer != adam",
    "gate == on and rate < 0.3",
    "layers != 2 and size > medium",
]


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    parameters: dict[str, Any] = {
        "size": ordinal(["small", "medium", "large"]),
        "optimizer": choice(["adam", "sgd", "rmsprop"]),
        "layers": randint(1, 5),
        "rate": quniform(0, 1, 0.1),
        "flag": choice([True, 1, None]),
        "gate": choice(["on", "off"]).when("layers > 1"),
    }
    for i, domain in enumerate(draw(st.lists(any_domains, max_size=5))):
        when = draw(st.none() | st.sampled_from(CONDITIONS))
        if when is not None and isinstance(domain, Domain):
            equal = {key: value for key, value in when.items() if key != "expression"}
            expression = when.get("expression", "").replace("first_extra_gate", "gate") or None
            domain = domain.when(expression, **equal)
        parameters[f"x{i}"] = domain
    names = draw(st.permutations(list(parameters)))
    forbidden = draw(st.lists(st.sampled_from(FORBIDDEN), max_size=3, unique=True))
    return as_space(Space({name: parameters[name] for name in names}, tuple(forbidden)))


def judged(space: SearchSpace, config: dict[str, Any]) -> ConfigSpace.Configuration:
    """ConfigSpace's own verdict: it raises for illegal, missing, inactive and forbidden values."""
    stored = {
        c.name: json.dumps(config[c.name], sort_keys=True) if c.as_json else config[c.name]
        for c in space.columns
        if c.name in config
    }
    return ConfigSpace.Configuration(space.config_space, values=stored)


# --- properties ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_points_round_trip_and_configspace_agrees(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = space.sample(rng, 15)
    assert points.shape == (15, space.dim)
    assert space.allowed(points).all()
    np.testing.assert_array_equal(space.canonical(points), points)
    for u in points:
        config = space.decode(u)
        judged(space, config)
        again = space.encode(config)
        np.testing.assert_allclose(again, u, rtol=0, atol=1e-9)
        assert json.dumps(space.decode(again)) == json.dumps(config)
        assert space.flatten(space.nest(config)) == config
    corners = space.canonical(rng.integers(0, 2, (15, space.dim)).astype(float))
    for u, allowed in zip(corners, space.allowed(corners), strict=True):
        config = space.decode(u)
        if allowed:
            judged(space, config)
        else:
            with pytest.raises(ConfigSpace.exceptions.ForbiddenValueError):
                judged(space, config)


@settings(max_examples=60, deadline=None)
@given(spaces())
def test_json_round_trip(space: SearchSpace) -> None:
    text = json.dumps(space.to_json())
    again = SearchSpace.from_json(json.loads(text))
    assert again == space
    assert json.dumps(again.to_json()) == text
    assert again.names == space.names
    assert space.difference(again) == []
    assert pickle.loads(pickle.dumps(space)) == space
    assert dict(again.config_space) == dict(space.config_space)


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_sample_is_uniform_over_values() -> None:
    """Chi-square tests: 8 of them, each at a false-alarm probability of 1e-7 (seeds are fixed besides)."""
    space = as_space(
        {
            "float": uniform(-3, 5),
            "log": loguniform(1e-6, 1),
            "int": randint(-2, 8),
            "q": quniform(0, 0.9, 0.1),
            "choice": choice(list("abcdefghij")),
            "ordinal": ordinal(list(range(10))),
            "qint": qrandint(10, 100, 10),
            "only": choice([True, False]),
        }
    )
    points = space.sample(np.random.default_rng(1), 20_000)
    configs = [space.decode(u) for u in points]
    limit = {9: 50.0, 1: 28.4}  # scipy.stats.chi2.isf(1e-7, k) is 49.5 and 28.37
    for name in ("int", "q", "choice", "ordinal", "qint", "only"):
        values = [config[name] for config in configs]
        counts = np.array([values.count(v) for v in dict.fromkeys(values)])
        assert chi_square(counts) < limit[len(counts) - 1], name
        assert len(counts) == space.columns[space.names.index(name)].n_values
    uniforms = (
        (np.array([c["float"] for c in configs]) + 3) / 8,
        np.log10([c["log"] for c in configs]) / 6 + 1,
    )
    for u in uniforms:
        assert chi_square(np.histogram(u, bins=10, range=(0, 1))[0]) < limit[9]


def test_rejection_keeps_the_distribution() -> None:
    """One chi-square test over the 6 allowed pairs, false-alarm probability 1e-7 (isf(1e-7, 5) = 41.5)."""
    space = as_space(
        Space({"a": choice([0, 1, 2]), "b": ordinal([0, 1, 2])}, ("a == 0 and b == 0", "a == 2 and b >= 1"))
    )
    pairs = [tuple(space.decode(u).values()) for u in space.sample(np.random.default_rng(3), 6_000)]
    counts = np.array([pairs.count(pair) for pair in dict.fromkeys(pairs)])
    assert len(counts) == 6
    assert chi_square(counts) < 41.5


# --- the unit cube ------------------------------------------------------------------------------------


def test_bins_and_canonical_points() -> None:
    space = as_space(
        {
            "i": randint(0, 4),
            "c": choice(["a", "b", "c"]),
            "l": lograndint(1, 9),
            "k": "fixed",
            "f": uniform(0, 1),
        }
    )
    assert space.free.tolist() == [0, 1, 2, 4]
    assert [c.n_values for c in space.columns] == [4, 3, 8, 1, 0]
    low = space.canonical(np.zeros((1, 5)))[0]
    high = space.canonical(np.ones((1, 5)))[0]
    np.testing.assert_allclose(low, [1 / 8, 1 / 6, np.log(2) / np.log(17), 0.5, 0])
    np.testing.assert_allclose(high, [7 / 8, 5 / 6, np.log(16) / np.log(17), 0.5, 1])
    assert space.decode(low) == {"i": 0, "c": "a", "l": 1, "k": "fixed", "f": 0.0}
    assert space.decode(high) == {"i": 3, "c": "c", "l": 8, "k": "fixed", "f": 1.0}
    assert space.decode(space.canonical(np.full((1, 5), 0.25))[0])["i"] == 1, "bins are closed below"


def test_values_keep_their_types() -> None:
    options: list[Any] = [True, 1, None, "1", 2.5, [1, {"a": 2}], {"b": []}]
    space = as_space({"x": choice(options), "i": randint(0, 3), "q": quniform(0, 1, 0.1), "n": choice([1, 2.5])})
    found = [space.decode(space.canonical(np.full((1, 4), (i + 0.5) / 7))[0]) for i in range(7)]
    assert [repr(config["x"]) for config in found] == [repr(option) for option in options]
    assert [repr(config["n"]) for config in found] == ["1"] * 3 + ["2.5"] * 4
    assert {type(config["i"]) for config in found} == {int}
    assert found[2]["q"] == 0.3, "not 0.30000000000000004"
    assert space.encode(found[0])[0] != space.encode(found[1])[0], "True is not 1"


def test_bounds_hold_to_the_last_bit() -> None:
    low, high = 1 / 3, 2 / 3
    space = as_space({"x": uniform(low, high)})
    ends = [space.decode(np.array([u]))["x"] for u in (0.0, 1.0)]
    assert low <= ends[0] < ends[1] <= high
    np.testing.assert_allclose(space.encode({"x": low}), [0.0], atol=1e-9)


def test_chains_of_conditions_whatever_the_order() -> None:
    space = as_space(
        {
            "c": uniform(0, 1).when("b > 0.5"),
            "b": uniform(0, 1).when(a="on"),
            "d": uniform(0, 1).when("b != 0.5"),
            "a": choice(["on", "off"]),
        }
    )
    assert space.names == ("c", "b", "d", "a")
    rows = space.canonical(np.array([[0.3, 0.9, 0.3, 0.0], [0.3, 0.1, 0.3, 0.0], [0.3, 0.9, 0.3, 1.0]]))
    np.testing.assert_array_equal(np.isnan(rows), [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    nan = np.full((1, 4), np.nan)
    np.testing.assert_array_equal(space.canonical(nan), [[np.nan, np.nan, np.nan, 0.75]])


def test_configspace_takes_and_and_or_for_one_condition_unless_kept_apart() -> None:
    space = as_space(
        {
            "a": choice(["1", "2"]),
            "b": choice(["1", "2"]),
            "x": uniform(0, 1).when("a == '1' and b == '2'"),
            "y": uniform(0, 1).when("a == '1' or b == '2'"),
        }
    )
    for u in space.sample(np.random.default_rng(0), 20):
        judged(space, space.decode(u))
    assert """when a == "1" or b == "2")""" in repr(space)


def test_decode_is_quick() -> None:
    space = as_space({f"x{i}": uniform(0, 1) if i % 2 else randint(0, 9) for i in range(10)})
    point = space.sample(np.random.default_rng(0), 1)[0]
    times = []
    for _ in range(50):
        start = time.perf_counter()
        space.decode(point)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3, "tens of microseconds are usual"


# --- nesting ------------------------------------------------------------------------------------------


def test_nested_dicts_and_siblings() -> None:
    space = as_space(
        {
            "kind": choice(["x", "y"]),
            "model": {
                "kind": choice(["mlp", "cnn"]),
                "cnn": {"width": randint(1, 9)},
                "depth": randint(1, 9).when(kind="cnn"),
                "shape": choice([{"a": 1}]),
            },
            "flat.name": uniform(0, 1).when("model.kind == mlp"),
        }
    )
    assert space.names == ("kind", "model.kind", "model.cnn.width", "model.depth", "model.shape", "flat.name")
    config = {
        "kind": "x",
        "model.kind": "cnn",
        "model.cnn.width": 3,
        "model.depth": 2,
        "model.shape": {"a": 1},
    }
    nested = {"kind": "x", "model": {"kind": "cnn", "cnn": {"width": 3}, "depth": 2, "shape": {"a": 1}}}
    for same in (space, SearchSpace.from_json(space.to_json())):
        assert same.nest(config) == nested
        assert same.flatten(nested) == config
        assert same.flatten(config) == config
        assert same.nest({"flat.name": 0.5}) == {"flat.name": 0.5}
        assert same.decode(same.encode(config)) == config


# --- ConfigSpace's own spaces -------------------------------------------------------------------------


def users_space() -> ConfigSpace.ConfigurationSpace:
    space = ConfigSpace.ConfigurationSpace()
    a, b = ConfigSpace.UniformIntegerHyperparameter("a.n", 1, 8), ConfigSpace.UniformIntegerHyperparameter("b", 1, 8)
    c = ConfigSpace.CategoricalHyperparameter("c", [True, False, None, "x"], default_value="x")
    d = ConfigSpace.UniformFloatHyperparameter("d", 1e-3, 1, log=True)
    e = ConfigSpace.OrdinalHyperparameter("e", [1, 5, 2])
    k = ConfigSpace.Constant("k", "fixed")
    space.add(a, b, c, d, e, k)
    space.add(
        ConfigSpace.OrConjunction(ConfigSpace.NotEqualsCondition(d, c, "x"), ConfigSpace.GreaterThanCondition(d, a, 6))
    )
    space.add(ConfigSpace.ForbiddenGreaterThanRelation(a, b))
    both = ConfigSpace.ForbiddenInClause(c, [None, False]), ConfigSpace.ForbiddenEqualsClause(e, 5)
    space.add(ConfigSpace.ForbiddenAndConjunction(*both))
    return space


def test_users_configuration_space() -> None:
    theirs = users_space()
    space = as_space(theirs)
    assert sorted(space.names) == ["a.n", "b", "c", "d", "e", "k"]
    for u in space.sample(np.random.default_rng(0), 200):
        config = space.decode(u)
        ConfigSpace.Configuration(theirs, values=config)
        assert space.nest(config) == config, "dots in a user's names stay"
    assert SearchSpace.from_json(space.to_json()) == space == as_space(theirs)
    for drawn in theirs.sample_configuration(100):
        point = space.encode(dict(drawn))
        assert space.allowed(point[None, :])[0]
        assert space.decode(point).keys() == dict(drawn).keys()
    seven = space.encode({"a.n": 7, "b": 3, "c": "x", "d": 0.1, "e": 1})
    assert not space.allowed(seven[None, :])[0]


@pytest.mark.parametrize(
    ("hyperparameter", "message"),
    [
        (
            ConfigSpace.NormalFloatHyperparameter("x", 0, 1, lower=-3, upper=3),
            "x: normal_float parameters are not sup",
        ),
        (
            ConfigSpace.BetaIntegerHyperparameter("x", 2, 2, 0, 9),
            "x: beta_int parameters are not supported; use a unif",
        ),
        (
            ConfigSpace.CategoricalHyperparameter("x", ["a", "b"], weights=[1, 2]),
            "x: weights are not supported; leave w",
        ),
    ],
)
def test_unsupported_hyperparameters(hyperparameter: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{message}"):
        as_space(ConfigSpace.ConfigurationSpace(space=[hyperparameter]))


# --- forbidden, differences --------------------------------------------------------------------------


def test_a_forbidden_default_is_replaced() -> None:
    space = as_space(Space({"a": choice(["x", "y"]), "b": uniform(0, 1)}, ("a == x and b >= 0.5", "b > 0.9")))
    default = dict(space.config_space.get_default_configuration())
    assert space.allowed(space.encode(default)[None, :])[0]


def test_no_point_is_left() -> None:
    with pytest.raises(InvalidInput, match=r"^forbidden: none of \d+ random points is allowed; loosen one of: a"):
        as_space(Space({"a": choice([1, 2])}, ("a in [1, 2]",)))


def test_constants_as_parents() -> None:
    space = as_space(
        Space(
            {"n": 3, "opt": "adam", "x": uniform(0, 1).when("n > 2 and opt != sgd"), "one": randint(1, 2)},
            ("opt == sgd and x > 0.5",),
        )
    )
    assert space.forbidden == ()
    assert space.decode(space.encode({"x": 0.25})) == {"n": 3, "opt": "adam", "x": 0.25, "one": 1}
    assert as_space({"k": None}).free.size == 0
    with pytest.raises(InvalidInput) as error:
        as_space({"opt": "adam", "x": uniform(0, 1).when(opt="sgd")})
    assert str(error.value) == "x: 'opt == sgd' can never hold with opt='adam'; remove x"


def test_difference() -> None:
    old = as_space(Space({"lr": loguniform(1e-5, 0.1), "a": choice([1, 2]), "b": randint(0, 4)}, ("b > 2",)))
    new = as_space({"lr": loguniform(1e-6, 0.1), "a": choice([1, 2]).when("b <= 2"), "b": randint(0, 4), "width": 3})
    assert old.difference(new) == [
        "width: added",
        "lr: loguniform(1e-05, 0.1) -> loguniform(1e-06, 0.1)",
        "a: choice([1, 2]) -> choice([1, 2]) when b <= 2",
        "forbidden 'b > 2': removed",
    ]
    one, two = as_space({"a": 1, "b": 2}), as_space({"b": 2, "a": 1})
    assert one != two
    assert one.difference(two) == ["order: a, b -> b, a"]


@given(spaces(), st.integers(0, 2**32 - 1))
def test_one_row_gives_what_many_give_to_the_last_bit(space: SearchSpace, seed: int) -> None:
    """Single rows have a way of their own, since they are asked for at every trial."""
    U = np.vstack([np.random.default_rng(seed).random((20, space.dim)), np.zeros(space.dim), np.ones(space.dim)])
    canonical = space.canonical(U)
    for u, row in zip(U, canonical, strict=True):
        np.testing.assert_array_equal(space.canonical(u[None, :])[0], row)
    for j, column in enumerate(space.columns):
        codes = column.codes(U[:, j])
        assert [column.code_at(u) for u in U[:, j].tolist()] == codes.tolist()
        assert [column.unit_at(code) for code in codes.tolist()] == column.units(codes).tolist()
