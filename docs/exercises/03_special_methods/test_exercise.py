"""Whatever one can do with a target, one can do with its proxy, with the same result."""

import copy
from collections import Counter, defaultdict, deque
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from exercise import Proxy
from stepping import Particular

USED = Counter, Fraction, Particular, count, defaultdict, deque  # in the expressions below


class Adder:
    def __call__(self, *numbers: int, start: int = 0) -> int:
        return sum(numbers, start)


class Everything:
    """Contains all, and cannot be gone through."""

    def __contains__(self, item: object) -> bool:
        return True


class Growing:
    """Changes in place, and can be hashed."""

    def __init__(self) -> None:
        self.items = [1]

    def __iadd__(self, other: list[int]) -> "Growing":
        self.items += other
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Growing) and self.items == other.items

    def __hash__(self) -> int:
        return 7


class Telling:
    """Says which operator it was asked for."""

    def __sub__(self, other: object) -> str:
        return "self - other"

    def __rsub__(self, other: object) -> str:
        return "other - self"

    def __radd__(self, other: object) -> str:
        return "other + self"

    def __neg__(self) -> str:
        return "-self"

    def __iadd__(self, other: object) -> Any:  # not in place, though its name says so
        return Fraction(1)

    def __bool__(self) -> bool:
        return False


def behaviour(expression: str, x: Any) -> Any:
    """Returns what an expression gives, or the error in its place."""
    try:
        return eval(expression, {**globals(), "x": x})
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def call_gap(expression: str, x: Any) -> None:
    """Lets a gap that is still open show itself."""
    try:
        eval(expression, {**globals(), "x": x})
    except NotImplementedError:
        raise
    except Exception:
        pass


BEHAVIOUR = [
    # Text, comparison
    ("str(x)", "[1, 2]"),
    ("str(x)", '"text"'),
    ("str(x)", "Particular()"),
    ("x == [1, 2]", "[1, 2]"),
    ("x == 1.0", "1"),
    ("x != [1, 2]", "[1, 2]"),
    ("x < 2", "1"),
    ("x <= 1", "1"),
    ("x > 2", "1"),
    ("x >= 1", "1"),
    ("2 > x", "1"),
    ("x < 0.5", "1"),
    ("x >= 0.5", "1"),
    ("x < 'b'", "1"),
    ("x > 'b'", "1"),
    ("x <= 'b'", "1"),
    ("x >= 'b'", "1"),
    ("x <= {2, 3}", "{1, 2}"),
    ("x == 1", "Particular()"),
    ("x != 1", "Particular()"),
    ("x < 1", "Particular()"),
    ("x <= 1", "Particular()"),
    ("x > 1", "Particular()"),
    ("x >= 1", "Particular()"),
    ("x == x", "[1, 2]"),
    ("x <= x", "1.5"),
    ("hash(x)", '"text"'),
    ("{'text': 5}[x]", '"text"'),
    ("hash(x)", "1.5"),
    ("hash(x)", "Particular()"),
    ("hash(x)", "[1, 2]"),
    ("bool(x)", "0"),
    ("not x", "None"),
    ("bool(x)", '""'),
    ("bool(x)", "[]"),
    ("bool(x)", '"0"'),
    ("bool(x)", "Telling()"),
    ("bool(x)", "..."),
    # Calls, containers
    ("x(1, 2, start=3)", "Adder()"),
    ("x()", "Adder()"),
    ("x()", "5"),
    ("x[0]", '["a", "b"]'),
    ("x[1:]", '"text"'),
    ("x['a']", '{"a": 1}'),
    ("x['b']", '{"a": 1}'),
    ("x['b']", "defaultdict(int)"),
    ("x[None]", "{None: 1}"),
    ("list(x)", '{"a": 1}'),
    ("[each for each in x]", '"text"'),
    ("list(x)", "Particular()"),
    ("type(iter(x)).__name__", "[1, 2]"),
    ("type(iter(x)).__name__", "{1: 2}"),
    ("next(iter(x))", "count(5)"),
    ("iter(x)", "5"),
    ("next(iter(x))", "[]"),
    ("'ex' in x", '"text"'),
    ("5 in x", "[1, 2]"),
    ("5 in x", "Everything()"),
    ("5 in x", "5"),
    # Numbers
    ("x + 1", "1"),
    ("x + 0.5", "1"),
    ("x + 'b'", '"a"'),
    ("x + 'b'", "1"),
    ("1 + x", "1"),
    ("'b' + x", '"a"'),
    ("sum([x, x])", "1"),
    ("x + x", "'a'"),
    ("x + 1", "Particular()"),
    ("1 + x", "Telling()"),
    ("[1] + x", "[2]"),
    ("1 + x", "'a'"),
    ("x - 1", "5"),
    ("x - 0.5", "1"),
    ("1 - x", "5"),
    ("x - x", "{1, 2}"),
    ("x - {1}", "{1, 2}"),
    ("{1, 2} - x", "{1}"),
    ("x - 1", "Telling()"),
    ("1 - x", "Telling()"),
    ("1 - x", "'a'"),
    ("-x", "5"),
    ("str(-x)", "0.0"),
    ("-x", "Counter(a=-2, b=1)"),
    ("-x", "Telling()"),
    ("-x", "'a'"),
    ("int(x)", '"12"'),
    ("int(x)", "2.5"),
    ("int(x)", "Fraction(-7, 2)"),
    ("int(x)", "'a'"),
]


@pytest.mark.parametrize(
    ("expression", "x"), BEHAVIOUR, ids=[f"{expression} for x = {x}" for expression, x in BEHAVIOUR]
)
def test_it_is_the_same_with_the_proxy(expression: str, x: str) -> None:
    call_gap(expression, Proxy(lambda: eval(x)))
    with_proxy = behaviour(expression, Proxy(lambda: eval(x)))
    with_target = behaviour(expression, eval(x))
    assert (with_proxy, type(with_proxy)) == (with_target, type(with_target)), (
        f"for a proxy of x = {x}, {expression} gives {with_proxy!r}; "
        f"for x itself it gives {with_target!r}"
    )


ITEMS = [
    ("proxy['b'] = 2", {"a": 1}),
    ("proxy[0] = 'c'", ["a", "b"]),
    ("proxy[0:1] = [7, 8]", [1, 2]),
    ("proxy[5] = 1", [1, 2]),
    ("del proxy['b']", {"a": 1, "b": 2}),
    ("del proxy['c']", {"a": 1}),
    ("del proxy[0]", ["a", "b"]),
    ("del proxy[0:2]", [1, 2, 3]),
]


@pytest.mark.parametrize(("statement", "target"), ITEMS, ids=lambda part: str(part))
def test_items_are_set_and_deleted_in_the_target(statement: str, target: Any) -> None:
    alone = copy.copy(target)
    behind = copy.copy(target)
    with_target = carried_out(statement, alone)
    with_proxy = carried_out(statement, Proxy(lambda: behind))
    assert (with_proxy, behind) == (with_target, alone), (
        f"for a target {target}, {statement} through the proxy leaves {behind}{with_proxy}; "
        f"without a proxy it leaves {alone}{with_target}"
    )


def carried_out(statement: str, proxy: Any) -> str:
    """Carries out a statement. Returns the error in words, if there is one."""
    try:
        exec(statement, {"proxy": proxy})
    except NotImplementedError:
        raise
    except Exception as error:
        return f", and {type(error).__name__}: {error}"
    return ""


def test_a_list_that_grows_in_place_stays_behind_its_proxy() -> None:
    target = [1, 2]
    proxy = Proxy(lambda: target)
    another_name = proxy
    proxy += [3]
    assert target == [1, 2, 3], f"after proxy += [3], the target is {target}, not [1, 2, 3]"
    assert type(proxy) is Proxy, (
        f"after proxy += [3], the name `proxy` stands for a {type(proxy).__name__}; "
        "the target changed in place, so it must still be the proxy"
    )
    assert proxy is another_name, "after proxy += [3], it is another proxy than before"


def test_a_number_that_grows_is_a_new_object() -> None:
    proxy = Proxy(lambda: 5)
    another_name = proxy
    proxy += 1
    assert proxy == 6, f"after proxy += 1, a proxy of 5 is {proxy!s}, not 6"
    assert another_name == 5, (
        f"after proxy += 1, another name of the old proxy stands for {another_name!s}; "
        "a number does not change, so those who have the old one keep it"
    )


GROWING = [
    ("bytearray(b'a')", "b'b'"),
    ("deque([1])", "[2]"),
    ("Counter('ab')", "Counter('b')"),
    ("Growing()", "[2]"),
    ("0.5", "0"),
    ("(1, 2)", "(3,)"),
    ("'a'", "'b'"),
    ("1", "0.5"),
    ("Particular()", "1"),
    ("Telling()", "1"),
    ("[1]", "5"),
    ("5", "[1]"),
]


@pytest.mark.parametrize(("x", "other"), GROWING, ids=lambda part: str(part))
def test_whatever_grows_is_the_same_with_its_proxy(x: str, other: str) -> None:
    target, alone = eval(x), eval(x)
    proxy = Proxy(lambda: target)
    results: list[Any] = []
    for it in proxy, alone:
        before = it
        try:
            it += eval(other)
        except Exception as error:
            results.append((f"{type(error).__name__}: {error}", False))
        else:
            results.append((it, it is before))
    (with_proxy, is_the_proxy), (with_target, in_place) = results
    if in_place:
        assert is_the_proxy, (
            f"{x} changes in place; after proxy += {other} the name must still stand for the "
            f"proxy, and it stands for a {type(with_proxy).__name__}"
        )
        assert target == alone, f"for a proxy of x = {x}, after += {other} the target is {target}"
    else:
        assert (type(with_proxy), with_proxy) == (type(with_target), with_target), (
            f"{x} += {other} gives {with_target!r}, which is another object; with a proxy of {x} "
            f"it gives {with_proxy!s}, a {type(with_proxy).__name__}"
        )
