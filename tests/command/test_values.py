"""Metrics in lines of text: what counts as one, and what does not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ray_hpo.command.values import line_values, regex_reader
from ray_hpo.errors import InvalidInput


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("val_loss=0.25", {"val_loss": 0.25}),
        ("val_loss: 2.5e-3, val/acc = 98.1%", {"val_loss": 2.5e-3, "val/acc": 98.1}),
        ("Epoch 3/27, Loss: .5", {"epoch": 3, "Loss": 0.5}),
        ("[step 100] train.loss=-1", {"step": 100, "train.loss": -1}),
        ("Epoch [4/10] loss: 1.", {"epoch": 4, "loss": 1.0}),
        ("epoch: 7", {"epoch": 7}),
        ("{'loss': 0.5, 'eval_acc': np.float64(0.75)}", {"loss": 0.5, "eval_acc": 0.75}),
        ("loss: tensor(0.3125)", {"loss": 0.3125}),
        ("5/5 [====] - 2s 3ms/step - loss: 0.10 - acc: 0.9", {"loss": 0.1, "acc": 0.9}),
        ('{"loss": 0.5, "stage": "val", "inner": {"x": 1}, "all": [1]}', {"loss": 0.5, "stage": "val", "inner.x": 1}),
        ('{"loss": NaN}', {"loss": math.nan}),
        ("loss=inf best=-inf", {"loss": math.inf, "best": -math.inf}),
        ("INFO 2024-05-01 12:30:05 trainer: done", {}),
        ("time: 12:30:05 took=5s torch: 2.13.0 size: 3x3", {}),
        ("loss: None, loss2=, =3, http://host:8080/a", {}),
        ("the loss is 0.3", {}),
        ("{not json", {}),
    ],
)
def test_values_of_a_line(line: str, values: dict[str, Any]) -> None:
    found = line_values(line)
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name] == value or (math.isnan(value) and math.isnan(found[name]))


@given(st.floats(), st.sampled_from(["{}={}", "{}: {}", "xyz {} = {} - other: 1", "'{}': {},"]))
def test_every_float_that_python_prints_is_read_back(value: float, form: str) -> None:
    read = line_values(form.format("val_loss", value))["val_loss"]
    assert read == value or (math.isnan(read) and math.isnan(value))


@given(st.text())
def test_no_text_is_too_much(line: str) -> None:
    for value in line_values(line).values():
        assert isinstance(value, (int, float, str))


@given(st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False) | st.integers() | st.booleans(), min_size=1))
def test_json_lines(values: dict[str, Any]) -> None:
    assert line_values(json.dumps(values)) == values


def test_a_regex_without_names_finds_the_metric() -> None:
    read = regex_reader([r"accuracy is (\S+)", r"after (?P<epoch>\d+) epochs"], "acc")
    assert read("accuracy is 98.5% after 3 epochs") == {"acc": 98.5, "epoch": 3}
    assert read("accuracy is unknown") == {}
    assert regex_reader([r"\d\.\d+"], "acc")("it is 0.25 now") == {"acc": 0.25}


def test_a_regex_that_is_none() -> None:
    with pytest.raises(InvalidInput, match=r"metric_regex='\(' is no regular expression"):
        regex_reader(["("], "acc")
