"""Domains check themselves when they are made, in one line that says what to do."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from strategies.conditions import AllOf, Test
from strategies.domains import (
    Float,
    Int,
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


def test_constructors() -> None:
    assert uniform(0, 1) == Float(0.0, 1.0)
    assert qloguniform(1, 8, 0.5) == Float(1.0, 8.0, log=True, q=0.5)
    assert randint(1, 9) == Int(1, 8), "the upper bound is excluded"
    assert lograndint(1, 9) == Int(1, 8, log=True)
    assert qrandint(8, 64, 8) == Int(8, 64, q=8), "the upper bound is included"
    assert qlograndint(8, 64, 8) == Int(8, 64, log=True, q=8)
    assert randint(1, 2) == Int(1, 1)
    assert choice(("a", (1, 2))).choices == ("a", [1, 2])
    assert choice(np.arange(3)).choices == (0, 1, 2)
    assert choice(x for x in "ab").choices == ("a", "b")
    assert choice([True, 1]).choices == (True, 1), "True is not 1"
    assert ordinal([1, 2]).sequence == (1, 2)
    assert isinstance(uniform(np.float64(0), np.float64(1)).low, float)


def test_when_makes_a_copy_and_joins() -> None:
    plain = uniform(0, 1)
    once = plain.when(optimizer="sgd")
    assert plain.condition is None
    assert once.condition == Test("optimizer", "==", "sgd")
    assert once.when("layers > 2").condition == AllOf((Test("optimizer", "==", "sgd"), Test("layers", ">", 2)))
    assert plain.when(expression="x", self=1).condition == AllOf((Test("expression", "==", "x"), Test("self", "==", 1)))


WRONG: Any = {"text": "0", "fraction": 1.5, "list": [1]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform(3, 1), "uniform: low must be below high; got low=3, high=1"),
        (lambda: uniform(1, 1), "uniform: low must be below high; got low=1, high=1"),
        (lambda: loguniform(0, 1), "loguniform: low must be above 0; got low=0"),
        (lambda: uniform(0, float("inf")), "uniform: high must be a finite number; got high=inf"),
        (lambda: uniform(WRONG["text"], 1), "uniform: low must be a finite number; got low='0'"),
        (lambda: uniform(True, 2), "uniform: low must be a finite number; got low=True"),
        (lambda: quniform(0, 1, 0), "quniform: q must be above 0; got q=0"),
        (lambda: quniform(0, 1, 2), "quniform: q must be at most high - low = 1; got q=2"),
        (lambda: randint(1, 1), "randint: low must be below high; got low=1, high=1"),
        (lambda: randint(WRONG["fraction"], 3), "randint: low must be a whole number; got low=1.5"),
        (lambda: lograndint(0, 3), "lograndint: low must be above 0; got low=0"),
        (lambda: qrandint(0, 8, WRONG["fraction"]), "qrandint: q must be a whole number; got q=1.5"),
        (lambda: choice([]), "choice: options must not be empty; got []"),
        (lambda: choice("abc"), "choice: options must be a list; got 'abc'"),
        (lambda: choice([1, 2, 1.0]), "choice: options must differ; got 1.0 twice"),
        (lambda: ordinal(["a", "a"]), "ordinal: options must differ; got 'a' twice"),
        (lambda: uniform(0, 1).when(), 'when: say under which condition, as in .when(optimizer="sgd")'),
        (lambda: Space(WRONG["list"]), "Space: parameters must be a dict; got [1]"),
    ],
)
def test_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize("option", [len, dict, float("nan"), {1: 2}, object()])
def test_choices_that_are_not_json(option: object) -> None:
    with pytest.raises(InvalidInput, match="use a name and look it up in the trainable") as error:
        choice(["a", option])
    assert "\n" not in str(error.value)


def test_domains_stay_light_for_workers() -> None:
    code = "import strategies.domains, sys; print({'numpy', 'ConfigSpace', 'ray'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
