"""The grammar of conditions, its printer, and the way through ConfigSpace's JSON."""

import pytest
from hypothesis import given, strategies as st

from strategies.conditions import (
    AllOf,
    AnyOf,
    Expression,
    Test,
    all_of,
    any_of,
    equals,
    evaluate,
    from_document,
    names,
    parse,
    render,
    to_condition,
    to_forbidden,
)
from strategies.errors import InvalidInput

values = st.one_of(st.booleans(), st.none(), st.integers(-99, 99), st.text(max_size=4), st.floats(-1e9, 1e9).map(float))
leaves = st.one_of(
    st.builds(Test, st.text(min_size=1, max_size=4), st.sampled_from(["==", "<", "<=", ">", ">="]), values),
    st.builds(
        Test,
        st.sampled_from(["a", "model.width", "x/y", "in", "3", "x-1"]),
        st.just("in"),
        st.lists(values | st.lists(values, max_size=2), min_size=1, max_size=3).map(tuple),
    ),
)


def combined(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(parts, min_size=1, max_size=3)
    return several.map(all_of) | several.map(any_of)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimizer == sgd", Test("optimizer", "==", "sgd")),
        ("layers>=2", Test("layers", ">=", 2)),
        ("lr < 1e-3", Test("lr", "<", 1e-3)),
        ("a.b/c:d-e != 'x y'", Test("a.b/c:d-e", "!=", "x y")),
        ("net in [resnet-18, 'vgg', 3]", Test("net", "in", ("resnet-18", "vgg", 3))),
        ("flag == true", Test("flag", "==", True)),
        ("flag == None", Test("flag", "==", None)),
        ("flag == none", Test("flag", "==", "none")),
        ('"odd name" == "true"', Test("odd name", "==", "true")),
        ('kernel == {"size": [1, 2]}', Test("kernel", "==", {"size": [1, 2]})),
        ("kernel == 3x3", Test("kernel", "==", "3x3")),
    ],
)
def test_parses_a_clause(text: str, expected: Test) -> None:
    assert parse(text) == expected


def test_and_binds_tighter_than_or_and_parentheses_win() -> None:
    a, b, c = Test("a", "==", 1), Test("b", "==", 2), Test("c", "==", 3)
    assert parse("a == 1 or b == 2 and c == 3") == AnyOf((a, AllOf((b, c))))
    assert parse("(a == 1 or b == 2) and c == 3") == AllOf((AnyOf((a, b)), c))
    assert names(parse("a == 1 or b == 2 and a == 3")) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "condition '': expected a parameter's name at position 0; got the end"),
        (
            "a = 1",
            "condition 'a = 1': cannot read this; quote text that is not a plain word at position 1; got '='",
        ),
        ("a 1", "condition 'a 1': expected one of == != < <= > >= in at position 2; got '1'"),
        ("a == ", "condition 'a == ': expected a value at position 5; got the end"),
        ("a == 1 b", "condition 'a == 1 b': expected 'and', 'or' or the end at position 7; got 'b'"),
        ("a in 3", "condition 'a in 3': 'in' takes a list, as [a, b], at position 5; got 3"),
        ("a in [1", "condition 'a in [1': expected ',' or ']' at position 7; got the end"),
        ("(a == 1", "condition '(a == 1': expected ')' at position 7; got the end"),
    ],
)
def test_errors_show_text_and_position(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse(text)
    assert str(error.value) == message


@given(st.recursive(leaves, combined, max_leaves=6))
def test_parse_reads_what_render_writes(expression: Expression) -> None:
    assert render(parse(render(expression))) == render(expression)


@given(st.recursive(leaves, combined, max_leaves=6), st.integers(0, 2**20))
def test_configspace_json_keeps_the_meaning(expression: Expression, bits: int) -> None:
    texts = [render(leaf) for leaf in _leaves(expression)]
    truth = {text: bool(bits >> i & 1) for i, text in enumerate(dict.fromkeys(texts))}
    for back in (from_document(to_condition(expression, "child")), from_document(to_forbidden(expression))):
        leaves_back = {render(leaf) for leaf in _leaves(back)}
        assert leaves_back <= set(texts) or any("<" in text or ">" in text for text in texts)
        if leaves_back <= set(texts):
            assert evaluate(back, lambda leaf: truth[render(leaf)]) == evaluate(
                expression, lambda leaf: truth[render(leaf)]
            )


def _leaves(expression: Expression) -> list[Expression]:
    if isinstance(expression, (AllOf, AnyOf)):
        return [leaf for part in expression.parts for leaf in _leaves(part)]
    return [expression]


def test_keyword_arguments_need_no_quoting_and_lists_mean_any_of() -> None:
    assert equals("a", "x or y == 1") == Test("a", "==", "x or y == 1")
    assert equals("a", ["x", "y"]) == Test("a", "in", ("x", "y"))
    assert equals("a", ["x"]) == Test("a", "==", "x")
    with pytest.raises(InvalidInput, match="when: a=\\[\\] can never hold"):
        equals("a", [])
