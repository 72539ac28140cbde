"""What SearchSpace and its builder say of mistakes, word for word."""

from typing import Any

import ConfigSpace
import pytest

from strategies.domains import (
    Space,
    choice,
    loguniform,
    qrandint,
    randint,
    uniform,
)
from strategies.errors import InvalidInput
from strategies.space_builder import as_space

SMALL: dict[str, Any] = {
    "optimizer": choice(["sgd", "adam"]),
    "layers": randint(1, 5),
    "q": qrandint(8, 64, 8),
}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"x": [1, 2]},
            "x: a list is not a domain; use choice([...]), or choice([[...]]) for one fixed list; got [1, 2]",
        ),
        ({"x": len}, "x: <built-in function len> is not a JSON value"),
        ({3: 1}, "space: names must be non-empty strings; got 3"),
        ({"a.b": 1, "a": {"b": 2}}, "a.b: named twice, with dots and by nesting; rename one of them"),
        (
            {"x": uniform(0, 1).when(optimiser="sgd")},
            "x: 'optimiser == sgd' names unknown parameter 'optimiser'; did you mean 'optimizer'?",
        ),
        (
            {"x": uniform(0, 1).when(optimizer="sdg")},
            "x: 'optimizer == sdg': optimizer: must be one of ['sgd', 'adam']; got 'sdg'",
        ),
        (
            {"x": uniform(0, 1).when("optimizer > sgd")},
            "x: 'optimizer > sgd': optimizer has no order; use ordinal([...]), or == and in; got >",
        ),
        (
            {"x": uniform(0, 1).when("layers > 9")},
            "x: 'layers > 9': layers lies between 1 and 4, so this always holds or never does; got 9",
        ),
        (
            {"x": uniform(0, 1).when("layers == 2.5")},
            "x: 'layers == 2.5': layers: must be a whole number; got 2.5",
        ),
        ({"x": uniform(0, 1).when("q == 12")}, "x: 'q == 12': q: must be a multiple of 8; got 12"),
        ({"x": uniform(0, 1).when("layers > two")}, "x: 'layers > two': layers: must be a number; got 'two'"),
        (
            {"x": uniform(0, 1).when(y=1), "y": choice([1, 2]).when("x > 0.5")},
            "x: conditions form a circle: x needs y needs x; break it",
        ),
        ({"x": uniform(0, 1).when("x > 0.5")}, "x: conditions form a circle: x needs x; break it"),
        (
            {"x": loguniform(1e-15, 1)},
            "x: bounds are kept to 13 decimals; got low=1e-15, high=1; use a larger unit",
        ),
    ],
)
def test_errors_of_the_builder(extra: dict[Any, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        as_space(SMALL | extra)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({}, "space: must have at least one parameter; got {}"),
        (3, "space: must be a dict of domains, a Space or a ConfigurationSpace; got 3"),
        (ConfigSpace.ConfigurationSpace(), "space: must have at least one parameter; got an empty ConfigurationSpace"),
        (
            Space(SMALL, ("lr > 1",)),
            "forbidden: 'lr > 1' names unknown parameter 'lr'; parameters: ['optimizer",
        ),
    ],
)
def test_errors_of_whole_spaces(obj: object, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        as_space(obj)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lr": 1}, "lr: not a parameter of this space; its parameters: optimizer, layers, q, m"),
        ({"optimizer": "sgd", "layers": 1, "q": 8}, "m: missing; give a value of uniform(0.0, 1.0)"),
        (
            {"optimizer": "adam", "layers": 1, "q": 8, "m": 0.5},
            "m: inactive here, since it needs 'optimizer == sgd'; leave it out; got 0.5",
        ),
        ({"optimizer": "x"}, "optimizer: must be one of ['sgd', 'adam']; got 'x'"),
        ({"layers": 5}, "layers: must be between 1 and 4; got 5"),
        ({"layers": 1.5}, "layers: must be a whole number; got 1.5"),
        ({"layers": True}, "layers: must be a number; got True"),
        ({"q": 12}, "q: must be a multiple of 8; got 12"),
        ({"m": "0.5"}, "m: must be a number; got '0.5'"),
        ({"m": float("nan")}, "m: must be between 0 and 1; got nan"),
    ],
)
def test_errors_of_encode(config: dict[str, Any], message: str) -> None:
    space = as_space({**SMALL, "m": uniform(0, 1).when(optimizer="sgd")})
    with pytest.raises(InvalidInput) as error:
        space.encode(config)
    assert str(error.value) == message
