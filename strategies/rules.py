"""Conditions and forbidden combinations, checked against the parameters they name, before ConfigSpace sees them."""

import math
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import Any

from strategies.columns import DECIMALS, Column
from strategies.conditions import Expression, Leaf, Relation, Test, names, render, rewrite
from strategies.domains import identity, shorten
from strategies.errors import InvalidInput


def resolve(rule: Expression, columns: dict[str, Column], group: tuple[str, ...], owner: str) -> Expression:
    """The rule with full names: a name is a sibling's in `group` if there is one, else a full name."""

    def leaf(test: Leaf) -> Expression:
        assert isinstance(test, Test)
        sibling = ".".join((*group, test.name))
        name = sibling if sibling in columns else test.name
        if name not in columns:
            near = get_close_matches(test.name, [*columns, *(n.rpartition(".")[2] for n in columns)], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"parameters: {shorten(list(columns))}"
            raise InvalidInput(f"{owner}: '{render(rule)}' names unknown parameter {test.name!r}; {hint}")
        return Test(name, test.op, test.value)

    resolved = rewrite(rule, leaf)
    assert resolved is not None
    return resolved


def possible(rule: Expression, columns: dict[str, Column], owner: str) -> Expression:
    """Like `checked`, for a rule that must be able to hold."""
    legal = checked(rule, columns, owner)
    if legal is None:
        fixed = ", ".join(f"{n}={columns[n].values[0]!r}" for n in names(rule) if columns[n].n_values == 1)
        raise InvalidInput(
            f"{owner}: '{render(rule)}' can never hold{f' with {fixed}' if fixed else ''}; remove {owner}"
        )
    return legal


def checked(rule: Expression, columns: dict[str, Column], owner: str) -> Expression | None:
    """The rule with legal values and operators that ConfigSpace has; None if it can never hold."""

    def leaf(test: Leaf) -> Expression | None:
        if isinstance(test, Relation):
            return test
        column = columns[test.name]
        try:
            if column.kind == "constant":
                return _checked_constant(test, column)
            if column.is_number:
                return _checked_number(test, column)
            return _checked_choice(test, column)
        except InvalidInput as error:
            raise InvalidInput(f"{owner}: '{render(test)}': {error}") from None

    return rewrite(rule, leaf)


def _checked_constant(test: Test, column: Column) -> Expression | None:
    """True of the one value: then a test that holds whenever the constant is active. Else None."""
    value = column.values[0]
    wanted = test.value if test.op == "in" else (test.value,)
    if test.op in ("==", "in", "!="):
        holds = (identity(value) in [identity(item) for item in wanted]) != (test.op == "!=")
    else:
        if not is_number(value) or not is_number(test.value):
            raise InvalidInput(f"{column.name} is always {value!r}, which has no order; use == or in")
        holds = {
            "<": value < test.value,
            "<=": value <= test.value,
            ">": value > test.value,
            ">=": value >= test.value,
        }[test.op]
    return Test(test.name, "==", value) if holds else None


def _checked_number(test: Test, column: Column) -> Expression | None:
    values = []
    for value in test.value if test.op == "in" else (test.value,):
        if test.op in ("==", "!=", "in") or not is_number(value):
            values.append(column.value(column.code(value)))  # must be a value that the parameter can have
            continue
        if column.kind == "int":  # ConfigSpace compares integers with integers only
            value = math.floor(value) if test.op in (">", "<=") else math.ceil(value)
        else:
            value = round(float(value), DECIMALS)
        if not column.lower <= value <= column.upper:
            raise InvalidInput(
                f"{column.name} lies between {column.lower:g} and {column.upper:g}, so this always "
                f"holds or never does; got {test.value!r}"
            )
        values.append(value)
    if test.op == "in":
        return _among(test.name, values)
    return Test(test.name, test.op, values[0])


def _checked_choice(test: Test, column: Column) -> Expression | None:
    values = [column.value(column.code(value)) for value in (test.value if test.op == "in" else (test.value,))]
    if test.op == "!=":  # by its complement: see conditions.to_condition
        values = [value for value in column.values if identity(value) != identity(values[0])]
        return _among(test.name, values) if values else None
    if test.op in ("==", "in"):
        return _among(test.name, values)
    if column.kind == "categorical":
        raise InvalidInput(f"{column.name} has no order; use ordinal([...]), or == and in; got {test.op}")
    return Test(test.name, test.op, values[0])


def _among(name: str, values: list[Any]) -> Test:
    return Test(name, "in", tuple(values)) if len(values) > 1 else Test(name, "==", values[0])


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_cycles(conditions: dict[str, Expression]) -> None:
    try:
        TopologicalSorter({child: names(rule) for child, rule in conditions.items()}).prepare()
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise InvalidInput(f"{error.args[1][-1]}: conditions form a circle: {circle}; break it") from None
