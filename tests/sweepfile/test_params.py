"""Parameters as they are written on the command line."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, strategies as st

from strategies.domains import Categorical, Float, Int, Ordinal

from ray_hpo import InvalidInput
from ray_hpo.sweepfile.params import parse_assignment


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("lr=1e-5:1e-1:log", Float(1e-5, 1e-1, log=True)),
        ("x=-1:1", Float(-1, 1)),
        ("layers=1:4:int", Int(1, 4)),
        ("batch=8:256:int:log", Int(8, 256, log=True)),
        ("batch=16:64:int:step=16", Int(16, 64, q=16)),
        ("x=0:1:step=0.25", Float(0, 1, q=0.25)),
        ("k=1:10:int:step=3", Ordinal((1, 4, 7, 10))),
        ("opt=sgd,adam", Categorical(("sgd", "adam"))),
        ("conv=32,64,128", Ordinal((32, 64, 128))),
        ("k=3,5", Categorical((3, 5))),
        ("d=0.5, 0.1,0.2", Categorical((0.5, 0.1, 0.2))),
        ("dropout=0.25", 0.25),
        ("epochs=12", 12),
        ("data=train:val", "train:val"),
        ("url=http://a=b", "http://a=b"),
        ("model.lr=0:1", Float(0, 1)),
    ],
)
def test_forms(text: str, domain: Any) -> None:
    name, parsed = parse_assignment(text)
    assert name == text.partition("=")[0]
    assert parsed == domain and type(parsed) is type(domain)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "param 'lr': write name=value"),
        ("lr=", "param lr=: an option is empty"),
        ("a=x,,y", "an option is empty"),
        ("lr=1e-5:1e-l", "'1e-l' is none"),
        ("lr=1:2:lgo", "'lgo' is unknown; did you mean log?"),
        ("lr=2:1", "low must be below high; got low=2, high=1"),
        ("lr=0:1:log", "low must be above 0"),
        ("n=0.5:3:int", "the bounds, and the step, must be whole numbers"),
        ("n=1:3:step=x", "step must be a number; got step=x"),
        ("n=1:3:step=0", "step must be above 0"),
        ("n=1:9:log:step=2", "low must be a multiple of step=2 here"),
        ("o=a,a", "options must differ; got 'a' twice"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_assignment(text)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 9))
def test_steps_begin_at_the_lower_bound(low: int, width: int, step: int) -> None:
    try:
        _, domain = parse_assignment(f"n={low}:{low + width}:int:step={step}")
    except InvalidInput:
        assert step > width and low % step == 0
        return
    expected = list(range(low, low + width + 1, step))
    if isinstance(domain, Int):
        assert [value for value in range(domain.low, domain.high + 1) if value % domain.q == 0] == expected
    else:
        assert list(domain.sequence) == expected


@given(st.text())
def test_any_text_is_a_parameter_or_a_mistake(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        parse_assignment(f"x={text}")
