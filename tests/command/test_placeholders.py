"""Words with placeholders: values stay in their word, and never become code."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ray_hpo import Command, InvalidInput
from ray_hpo.command.placeholders import as_text, budget_text, fill, flat, in_single_quotes, names_in, shell_line

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)))


def test_fill() -> None:
    words = ["train", "--lr", ":lr:", "model.width=:net.width:", ":a::b:", "::lr::", "std::vector", "10:30:15"]
    values = {"lr": "0.1", "net.width": "8", "a": "1", "b": "2"}
    assert names_in(words) == ["lr", "net.width", "a", "b"]
    assert fill(words, values) == ["train", "--lr", "0.1", "model.width=8", "12", ":lr:", "std::vector", "10:30:15"]


def test_what_is_inactive_is_left_out_with_its_option() -> None:
    assert fill(["x", "--momentum", ":momentum:", "--lr=:lr:", "a", ":gone:"], {"lr": "1"}) == ["x", "--lr=1", "a"]
    assert fill(["x", "--momentum=:momentum:", "-1", ":gone:"], {}) == ["x", "-1"]


@given(TEXT)
def test_a_value_stays_in_its_word(value: str) -> None:
    assert fill(["run", ":x:", "y=:x:"], {"x": value}) == ["run", value, f"y={value}"]


@settings(max_examples=30, deadline=None)
@given(TEXT)
def test_a_value_is_never_code_for_a_shell(value: str) -> None:
    line, variables = shell_line('printf "%s|%s" ":x:" "a=:x:b"')
    done = subprocess.run(["/bin/sh", "-c", line], env=dict.fromkeys(variables, value), capture_output=True, check=True)
    assert done.stdout == f"{value}|a={value}b".encode()


@pytest.mark.parametrize(
    ("line", "quoted"),
    [("a ':x:' :y:", ["x"]), ('"it\'s" :x:', []), (r"\' :x:", []), ('":x:"', []), ("'a' ':b:'", ["b"])],
)
def test_placeholders_that_a_shell_would_not_see(line: str, quoted: list[str]) -> None:
    assert in_single_quotes(line) == quoted


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (0.1, "0.1"), (1e-7, "1e-07"), (3, "3"), ("a b", "a b"), (None, "null"), ([1, "a"], '[1, "a"]')],
)
def test_values_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text


@given(st.floats(allow_nan=False))
def test_no_digit_is_lost(value: float) -> None:
    assert float(as_text(value)) == value


def test_budgets_and_nested_configs() -> None:
    assert [budget_text(b) for b in (3.0, 27, 0.5)] == ["3", "27", "0.5"]
    assert flat({"lr": 1, "net": {"width": 2, "act": {"name": "relu"}}}) == {
        "lr": 1,
        "net.width": 2,
        "net.act.name": "relu",
    }


# ---- what a user may get wrong ----


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Command([]), "a command is a list of words"),
        (lambda: Command("python train.py"), "or one line with shell=True"),
        (lambda: Command(["a", "b"], shell=True), "a command is one line, in quotes; got 2 words"),
        (lambda: Command("x ':lr:'", shell=True), ":lr: stands in single quotes"),
        (lambda: Command(["x"], grace=60), "grace must be seconds above 0, at most 25; got grace=60"),
        (lambda: Command(["x"], metrics_from="csv"), "metrics_from must be one of stdout, stderr, csv:PATH"),
        (lambda: Command(["x"], metrics_from="csv:m.csv"), "as in csv::output:/m.csv"),
        (lambda: Command(["x", ":lrr:"]).check(["lr"]), ":lrr: is no parameter; did you mean lr"),
        (lambda: Command(["x", ":lr:"]).check(["lr", "width"]), "parameter 'width' is not in the command: put :width:"),
        (lambda: Command(["x"]).check(["budget"]), "parameter 'budget': the placeholder :budget: is the budget"),
        (lambda: Command(["pythn-of-mine"]).check_program(), "the program 'pythn-of-mine' cannot be run: it is not on"),
        (lambda: Command(["./no.sh"]).check_program(), "'./no.sh' cannot be run"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        make()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_command_in_json() -> None:
    command = Command(["x", ":lr:"], metric_regex=["a(.)"], metrics_from="jsonl::output:/m.jsonl", folder="/tmp")
    assert Command.from_json(command.to_json()) == command


@pytest.mark.parametrize(
    ("words", "name"),
    [(["python", "train.py", "--lr"], "train"), (["./bin/sim"], "sim"), (["python", "-c", "print(1.5)"], "python")],
)
def test_names(words: list[str], name: str) -> None:
    assert Command(words).name == name
