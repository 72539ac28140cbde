"""Conditions and forbidden clauses: a small frozen AST, its parser, its printer and its JSON form.

The grammar, `and` binding tighter than `or`:

    expression := term ("or" term)*        term := atom ("and" atom)*
    atom       := "(" expression ")" | NAME OP VALUE
    OP         := == != < <= > >= in       VALUE := literal | bare word | [VALUE, ...]

A test on a parameter that is inactive is false, whatever its operator. What the names mean is not known
here: `space_builder` resolves them and checks the values. The standard library only: workers import this.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any, TypeAlias

from strategies.errors import InvalidInput


@dataclass(frozen=True)
class Test:
    """`name op value`; for `in` the value is the tuple of the values."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    name: str
    op: str
    value: Any


@dataclass(frozen=True)
class Relation:
    """`left op right` between two parameters: only a user's own `ConfigurationSpace` has these."""

    left: str
    op: str
    right: str


@dataclass(frozen=True)
class AllOf:
    """Every part holds; two parts at least, none of them an `AllOf`."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class AnyOf:
    """Some part holds; two parts at least, none of them an `AnyOf`."""

    parts: tuple["Expression", ...]


Leaf: TypeAlias = Test | Relation
Expression: TypeAlias = Test | Relation | AllOf | AnyOf


def all_of(parts: Iterable[Expression]) -> Expression:
    """The conjunction of one or more parts, flat and without repetition."""
    flat = _distinct(p for part in parts for p in (part.parts if isinstance(part, AllOf) else (part,)))
    return flat[0] if len(flat) == 1 else AllOf(flat)


def any_of(parts: Iterable[Expression]) -> Expression:
    """The disjunction of one or more parts, flat and without repetition."""
    flat = _distinct(p for part in parts for p in (part.parts if isinstance(part, AnyOf) else (part,)))
    return flat[0] if len(flat) == 1 else AnyOf(flat)


def _distinct(parts: Iterable[Expression]) -> tuple[Expression, ...]:
    # By text: as values True and 1 would be one.
    return tuple({render(part): part for part in parts}.values())


def equals(name: str, value: Any) -> Test:
    """What `.when(name=value)` means: equal to the value or, for a list or tuple, to any of its values."""
    if isinstance(value, (list, tuple)):
        if not value:
            raise InvalidInput(f"when: {name}=[] can never hold; name at least one value")
        return Test(name, "in", tuple(value)) if len(value) > 1 else Test(name, "==", value[0])
    return Test(name, "==", value)


def names(expression: Expression) -> list[str]:
    """The parameters that an expression speaks of, each once, in the order of their appearance."""
    if isinstance(expression, Test):
        return [expression.name]
    if isinstance(expression, Relation):
        return list(dict.fromkeys((expression.left, expression.right)))
    return list(dict.fromkeys(name for part in expression.parts for name in names(part)))


def evaluate(expression: Expression, leaf: Callable[[Leaf], Any]) -> Any:
    """The expression's truth from that of its leaves: bools, or boolean arrays of one shape."""
    if isinstance(expression, (Test, Relation)):
        return leaf(expression)
    return reduce(and_ if isinstance(expression, AllOf) else or_, (evaluate(part, leaf) for part in expression.parts))


def rewrite(expression: Expression, leaf: Callable[[Leaf], Expression | None]) -> Expression | None:
    """The expression with each leaf replaced; None, from a leaf or as the result, can never hold."""
    if isinstance(expression, (Test, Relation)):
        return leaf(expression)
    parts = [rewrite(part, leaf) for part in expression.parts]
    possible = [part for part in parts if part is not None]
    if isinstance(expression, AllOf):
        return all_of(possible) if len(possible) == len(parts) else None
    return any_of(possible) if possible else None


# --- text ----------------------------------------------------------------------------------------------

_KEYWORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_RESERVED = {"and", "or", "in", *_KEYWORDS}
_WORD = r"\w[\w./:\-]*"
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<op>==|!=|<=|>=|<|>)
  | (?P<mark>[()\[\],])
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w./:\-]))
  | (?P<word>{_WORD})
  | (?P<object>\{{)
  | (?P<end>$)
    )""",
    re.VERBOSE,
)


def render(expression: Expression) -> str:
    """The expression as text that `parse` reads back."""
    if isinstance(expression, Relation):
        return f"{_render_name(expression.left)} {expression.op} {_render_name(expression.right)}"
    if isinstance(expression, Test):
        value = list(expression.value) if expression.op == "in" else expression.value
        return f"{_render_name(expression.name)} {expression.op} {_render_value(value)}"
    if isinstance(expression, AnyOf):
        return " or ".join(render(part) for part in expression.parts)
    return " and ".join(f"({render(part)})" if isinstance(part, AnyOf) else render(part) for part in expression.parts)


def _render_name(name: str) -> str:
    token = _TOKEN.match(name)
    bare = token is not None and token["word"] == name and name not in _RESERVED
    return name if bare else json.dumps(name, ensure_ascii=False)


def _render_value(value: Any) -> str:
    if isinstance(value, str):
        return _render_name(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_render_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def parse(text: str) -> Expression:
    """The expression that `text` spells; InvalidInput names the text and the position of what is wrong."""
    if not isinstance(text, str):
        raise InvalidInput(f"condition: must be a string such as 'layers > 2'; got {text!r}")
    parser = _Parser(text)
    expression = parser.any()
    if parser.kind != "end":
        parser.fail("expected 'and', 'or' or the end")
    return expression


class _Parser:
    """Recursive descent with one token of look-ahead: `kind`, `token`, and where it starts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.end)
        if match is None:
            self.start = self.end
            self.token = self.text[self.end :].lstrip()[:1]
            self.fail("cannot read this; quote text that is not a plain word")
        assert match is not None
        assert match.lastgroup is not None
        self.kind, self.token = match.lastgroup, match[match.lastgroup]
        self.start, self.end = match.start(match.lastgroup), match.end()

    def fail(self, what: str) -> None:
        got = repr(self.token) if self.token else "the end"
        raise InvalidInput(f"condition {self.text!r}: {what} at position {self.start}; got {got}")

    def take(self, kind: str, token: str) -> bool:
        found = self.kind == kind and self.token == token
        if found:
            self.advance()
        return found

    def any(self) -> Expression:
        parts = [self.all()]
        while self.take("word", "or"):
            parts.append(self.all())
        return any_of(parts)

    def all(self) -> Expression:
        parts = [self.atom()]
        while self.take("word", "and"):
            parts.append(self.atom())
        return all_of(parts)

    def atom(self) -> Expression:
        if self.take("mark", "("):
            inner = self.any()
            if not self.take("mark", ")"):
                self.fail("expected ')'")
            return inner
        if self.kind not in ("word", "string") or (self.kind == "word" and self.token in _RESERVED):
            self.fail("expected a parameter's name")
        name = str(self.value())
        op = self.token
        if self.kind == "op":
            self.advance()
            return Test(name, op, self.value())
        if not self.take("word", "in"):
            self.fail("expected one of == != < <= > >= in")
        start = self.start
        values = self.value()
        if not isinstance(values, list) or not values:
            raise InvalidInput(
                f"condition {self.text!r}: 'in' takes a list, as [a, b], at position {start}; got {values!r}"
            )
        return Test(name, "in", tuple(values))

    def value(self) -> Any:
        kind, token, start = self.kind, self.token, self.start
        if kind == "object":
            try:
                found, self.end = json.JSONDecoder().raw_decode(self.text, start)
            except json.JSONDecodeError as error:
                raise InvalidInput(f"condition {self.text!r}: bad JSON at position {error.pos}: {error.msg}") from None
            self.advance()
            return found
        if self.take("mark", "["):
            items: list[Any] = []
            while not self.take("mark", "]"):
                items.append(self.value())
                if not self.take("mark", ",") and (self.kind, self.token) != ("mark", "]"):
                    self.fail("expected ',' or ']'")
            return items
        if kind not in ("string", "number", "word") or token in ("and", "or", "in"):
            self.fail("expected a value")
        self.advance()
        if kind == "word":
            return _KEYWORDS.get(token, token)
        if kind == "string":
            return ast.literal_eval(token)
        return int(token) if re.fullmatch(r"[+-]?\d+", token) else float(token)


# --- ConfigSpace's JSON form ---------------------------------------------------------------------------

_CONDITION = {"==": "EQ", "<": "LT", ">": "GT"}
_FORBIDDEN = {"==": "EQUALS", "<": "CLAUSE_LT", ">": "CLAUSE_GT"}
_RELATION = {"==": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
_OPERATOR = {
    **{kind: op for op, kind in [*_CONDITION.items(), *_FORBIDDEN.items()]},
    "NEQ": "!=",
    "CLAUSE_LE": "<=",
    "CLAUSE_GE": ">=",
    **{f"RELATION_{kind}": op for op, kind in _RELATION.items()},
}
_SPLIT = {"<=": ("<", "=="), ">=": (">", "=="), "!=": ("<", ">")}


def to_condition(expression: Expression, child: str) -> dict[str, Any]:
    """The expression as ConfigSpace's JSON for a condition on `child`. `!=` only with ordered parents:
    ConfigSpace 1.2.2 takes its own `!=` for true when the parent is inactive."""
    if isinstance(expression, Test):
        common = {"child": child, "parent": expression.name}
        if expression.op == "in":
            return {"type": "IN", **common, "values": list(expression.value)}
        split = _SPLIT.get(expression.op)
        if split is None:
            return {"type": _CONDITION[expression.op], **common, "value": expression.value}
        pair = [to_condition(Test(expression.name, op, expression.value), child) for op in split]
        return {"type": "OR", "child": child, "conditions": pair}
    assert not isinstance(expression, Relation), "relations appear in forbidden clauses only"
    parts = [to_condition(part, child) for part in expression.parts]
    if isinstance(expression, AllOf):
        return {"type": "AND", "child": child, "conditions": parts}
    # ConfigSpace 1.2.2 takes And(a, b) and Or(a, b) on two children for one condition. Or(Or(a, a), b)
    # is never mistaken for an And.
    twice = {"type": "OR", "child": child, "conditions": [parts[0], parts[0]]}
    return {"type": "OR", "child": child, "conditions": [twice, *parts[1:]]}


def to_forbidden(expression: Expression) -> dict[str, Any]:
    """The expression as ConfigSpace's JSON for a forbidden clause; `!=` only on ordered parameters.

    `<=` and `>=` are split although ConfigSpace has them: in 1.2.2 its own check of the first on arrays
    is that of `>=`, and that of the second prints to stdout.
    """
    if isinstance(expression, Relation):
        return {
            "type": f"RELATION_{_RELATION[expression.op]}",
            "left": expression.left,
            "right": expression.right,
        }
    if isinstance(expression, Test):
        if expression.op == "in":
            return {"type": "IN", "name": expression.name, "values": list(expression.value)}
        if expression.op in _SPLIT:
            pair = [to_forbidden(Test(expression.name, op, expression.value)) for op in _SPLIT[expression.op]]
            return {"type": "OR", "clauses": pair}
        return {"type": _FORBIDDEN[expression.op], "name": expression.name, "value": expression.value}
    kind = "AND" if isinstance(expression, AllOf) else "OR"
    return {"type": kind, "clauses": [to_forbidden(part) for part in expression.parts]}


def from_document(document: dict[str, Any]) -> Expression:
    """The expression that ConfigSpace's JSON for a condition or a forbidden clause says."""
    kind = document["type"]
    if kind in ("AND", "OR"):
        parts = [from_document(part) for part in document.get("conditions", document.get("clauses", []))]
        return all_of(parts) if kind == "AND" else _joined(any_of(parts))
    if kind.startswith("RELATION_"):
        return Relation(document["left"], _OPERATOR[kind], document["right"])
    name = document["parent"] if "parent" in document else document["name"]
    if kind == "IN":
        return Test(name, "in", tuple(document["values"]))
    return Test(name, _OPERATOR[kind], document["value"])


def _joined(expression: Expression) -> Expression:
    """`a < 3 or a == 3` as `a <= 3`: undoes the split, so that users read what they wrote."""
    if isinstance(expression, AnyOf) and len(expression.parts) == 2:
        one, two = expression.parts
        if isinstance(one, Test) and isinstance(two, Test) and (one.name, one.value) == (two.name, two.value):
            for op, pair in _SPLIT.items():
                if {one.op, two.op} == set(pair):
                    return Test(one.name, op, one.value)
    return expression
