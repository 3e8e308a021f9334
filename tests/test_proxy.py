"""What a proxy promises: it is its target in all that Python lets a class decide.

The first chapters follow the data model of the language reference: operators, comparisons,
numbers, containers, iteration, calls, and so on. Most of their tests evaluate an expression
with a target and with a proxy of it, and compare the two outcomes, errors included. Then come
the promises of the proxy's own: it has every special method, it is lazy and may be looked at,
its failures are loud, it travels as its factory, threads share it. The last chapter shows what
no proxy can imitate, and that `extract` is the way around it.
"""

from __future__ import annotations

import asyncio
import collections
import collections.abc
import concurrent.futures
import contextlib
import copy
import dataclasses
import datetime
import functools
import inspect
import io
import json  # noqa: F401  # some modules are used only in the expressions
import math  # noqa: F401
import numbers
import operator
import os
import pathlib
import pickle
import pprint  # noqa: F401
import re
import reprlib  # noqa: F401
import struct  # noqa: F401
import subprocess
import sys
import threading
import time
import traceback
import types
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import pytest

from proxyfuture import Proxy, ProxyResolveError, extract, is_resolved, resolve

ROOT = pathlib.Path(__file__).parent.parent

needs_buffer = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python classes can provide buffers from 3.12 on (PEP 688)"
)


class Factory:
    """A factory that counts its calls, and can be pickled."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        return self.target


def proxy_of(target: Any) -> Any:
    """Returns an unresolved proxy. Its type is Any, since it stands for anything."""
    return Proxy(Factory(target))


# Most tests have expressions as their parameters, since these make the best names of tests:
# `pytest --collect-only` lists what a proxy can do.


def evaluated(expression: str, **names: Any) -> Any:
    return eval(expression, {**globals(), **names})


def outcome(expression: str, **names: Any) -> tuple[object, ...]:
    """Returns what an expression gives: a result and its type, or the type of its error."""
    try:
        result = evaluated(expression, **names)
    except Exception as error:
        return "error", type(error)
    return "result", type(result), result


def after(statement: str, **names: Any) -> Any:
    """Returns what the name `x` stands for after a statement."""
    exec(statement, globals(), names)
    return names["x"]


def name_of(value: object) -> str:
    """Returns a name for a parameter of a test: one that is the same in each run."""
    if isinstance(value, str):
        return value
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return value.__name__
    return re.sub(r" at 0x\w+", "", repr(value))


# Operators


class Matrix:
    """As much of a matrix as `@` needs, with plain lists on either side."""

    def __init__(self, *rows: list[int]) -> None:
        self.rows = list(rows)

    def __repr__(self) -> str:
        return f"Matrix{self.rows}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matrix) and self.rows == other.rows

    def __matmul__(self, other: Any) -> Matrix:
        if not isinstance(other, Matrix | list):
            return NotImplemented
        columns = list(zip(*(other.rows if isinstance(other, Matrix) else other), strict=True))
        return Matrix(*([sum(map(operator.mul, row, col)) for col in columns] for row in self.rows))

    def __rmatmul__(self, other: list[list[int]]) -> Matrix:
        return Matrix(*other) @ self


# The operators that have all three forms, and divmod, which has none in place.
SIGNS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "@": "matmul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "**": "pow",
    "<<": "lshift",
    ">>": "rshift",
    "&": "and",
    "^": "xor",
    "|": "or",
}
OPERATIONS = {**{f"x {sign} y": name for sign, name in SIGNS.items()}, "divmod(x, y)": "divmod"}

# What stands on the left and on the right. The first pair of each has an immutable left.
OPERANDS: dict[str, list[tuple[Any, Any]]] = {
    "x + y": [
        *((7, 2), (7, 0.5), ("on", "to"), (b"on", b"to"), (bytearray(b"on"), b"to")),
        *(([1], [2, 3]), ((1,), (2, 3)), (Fraction(1, 3), 2), (Fraction(1, 3), Fraction(1, 6))),
        *((Decimal("1.5"), Decimal("2.5")), (collections.Counter("ab"), collections.Counter("b"))),
        *((datetime.date(2000, 1, 31), datetime.timedelta(days=1)), (1, "one")),
    ],
    "x - y": [
        *((7, 2), (Fraction(1, 3), Fraction(1, 6)), (Decimal("1.5"), 1), ({1, 2, 3}, {2})),
        *((frozenset({1, 2}), {1}), (datetime.date(2000, 3, 1), datetime.date(2000, 2, 1))),
        ([1], [1]),
    ],
    "x * y": [(7, 2), (0.5, 3), ([1, 2], 3), (3, "ab"), (Fraction(1, 3), 3), ("a", "b")],
    "x @ y": [
        (Matrix([1, 2], [3, 4]), Matrix([0, 1], [1, 0])),
        (Matrix([1, 2], [3, 4]), [[0, 1], [1, 0]]),
        ([[1, 2], [3, 4]], Matrix([0, 1], [1, 0])),
        (Matrix([1]), 1),
    ],
    "x / y": [
        *((7, 2), (Fraction(1, 3), 2), (Decimal(7), 2), (1, 0)),
        *((pathlib.PurePosixPath("a"), "b"), ("a", pathlib.PurePosixPath("b"))),
    ],
    "x // y": [(7, 2), (-7, 2.0), (Fraction(7, 3), 2), (datetime.timedelta(1), 7), (1, 0)],
    "x % y": [(7, 2), (-7, 3.0), (Fraction(7, 3), 2), ("%d", 3), ("%(a)s", {"a": 1}), (1, 0)],
    "x ** y": [(7, 2), (2, -1), (2, 0.5), (Fraction(2, 3), 2), (Decimal(2), 3), (0, -1)],
    "x << y": [(7, 2), (1, 100), (1, -1), (1.5, 1)],
    "x >> y": [(7, 2), (1 << 100, 99), (1, -1), (1.5, 1)],
    "x & y": [(6, 3), (True, False), ({1, 2}, {2, 3}), ({1: 2}.keys(), {1, 3}), (1.5, 1)],
    "x ^ y": [(6, 3), (True, True), ({1, 2}, {2, 3}), (frozenset({1, 2}), {2}), (1.5, 1)],
    "x | y": [
        *((6, 3), (True, False), ({1, 2}, {2, 3}), ({1: 1}, {2: 2}), (int, str), (1.5, 1)),
        *((collections.OrderedDict(a=1), {"b": 2}), (re.IGNORECASE, re.MULTILINE)),
    ],
    "divmod(x, y)": [(7, 2), (-7.5, 2), (Fraction(7, 3), 2), (datetime.timedelta(1), 7), (1, 0)],
}


class Expression:
    """Has every operator, and each one notes what was asked of it.

    The operators in place change the expression, as those of a list change the list.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _changed(self, text: str) -> Expression:
        self.text = text
        return self


def _noting(name: str) -> Callable[..., Expression]:
    return lambda self, *others: Expression(f"{name}{(self, *others)}")


def _changing(name: str) -> Callable[..., Expression]:
    return lambda self, *others: self._changed(f"{name}{(self, *others)}")


for _name in OPERATIONS.values():
    setattr(Expression, f"__{_name}__", _noting(_name))
    setattr(Expression, f"__r{_name}__", _noting(f"r{_name}"))
for _name in SIGNS.values():
    setattr(Expression, f"__i{_name}__", _changing(f"i{_name}"))


def test_every_operator_is_tried() -> None:
    known = {name.strip("_") for name in vars(operator) if name.startswith("__")}
    assert {name for name in known if f"i{name}" in known} - {"concat"} == set(SIGNS.values())
    assert list(OPERANDS) == list(OPERATIONS)


@pytest.mark.parametrize(
    ("expression", "x", "y"),
    [(expression, x, y) for expression, pairs in OPERANDS.items() for x, y in pairs],
    ids=name_of,
)
class TestOperatorsGiveWhatTheTargetGives:
    def test_with_the_proxy_on_the_left(self, expression: str, x: Any, y: Any) -> None:
        assert outcome(expression, x=proxy_of(x), y=y) == outcome(expression, x=x, y=y)

    def test_with_the_proxy_on_the_right(self, expression: str, x: Any, y: Any) -> None:
        assert outcome(expression, x=x, y=proxy_of(y)) == outcome(expression, x=x, y=y)

    def test_with_proxies_on_both_sides(self, expression: str, x: Any, y: Any) -> None:
        expected = outcome(expression, x=x, y=y)
        assert outcome(expression, x=proxy_of(x), y=proxy_of(y)) == expected


@pytest.mark.parametrize(("expression", "name"), OPERATIONS.items(), ids=OPERATIONS)
class TestOperatorsAskTheTargetsMethod:
    def test_plain(self, expression: str, name: str) -> None:
        asked = evaluated(expression, x=proxy_of(Expression("x")), y=2)
        assert asked.text == f"{name}(x, 2)"

    def test_reflected(self, expression: str, name: str) -> None:
        asked = evaluated(expression, x=2, y=proxy_of(Expression("y")))
        assert asked.text == f"r{name}(y, 2)"

    def test_plain_where_both_sides_have_it(self, expression: str, name: str) -> None:
        y = proxy_of(Expression("y"))
        resolve(y)  # since Expression asks for its repr()
        asked = evaluated(expression, x=proxy_of(Expression("x")), y=y)
        assert asked.text == f"{name}(x, y)"


@pytest.mark.parametrize("sign", SIGNS)
class TestOperatorsInPlace:
    def test_change_a_mutable_target_behind_its_proxy(self, sign: str) -> None:
        target = Expression("x")
        proxy = other_holder = proxy_of(target)
        proxy = after(f"x {sign}= y", x=proxy, y=2)
        assert proxy is other_holder
        assert extract(other_holder) is target
        assert target.text == f"i{SIGNS[sign]}(x, 2)"

    def test_rebind_the_name_where_the_target_is_immutable(self, sign: str) -> None:
        x, y = OPERANDS[f"x {sign} y"][0]
        proxy = other_holder = proxy_of(x)
        proxy = after(f"x {sign}= y", x=proxy, y=y)
        expected = evaluated(f"x {sign} y", x=x, y=y)
        assert type(proxy) is type(expected)
        assert proxy == expected
        assert extract(other_holder) is x

    def test_accept_a_proxy_as_the_other_value(self, sign: str) -> None:
        x, y = OPERANDS[f"x {sign} y"][0]
        expected = evaluated(f"x {sign} y", x=x, y=y)
        assert after(f"x {sign}= y", x=x, y=proxy_of(y)) == expected
        assert after(f"x {sign}= y", x=proxy_of(x), y=proxy_of(y)) == expected


@pytest.mark.parametrize(
    ("statement", "target", "y"),
    [
        ("x += y", [1], [2]),
        ("x += y", [1], (2, 3)),
        ("x *= y", [1], 3),
        ("x += y", bytearray(b"on"), b"to"),
        ("x += y", collections.deque([1]), [2]),
        ("x |= y", {1}, {2}),
        ("x &= y", {1, 2}, {2}),
        ("x -= y", {1, 2}, {2}),
        ("x ^= y", {1, 2}, {2, 3}),
        ("x |= y", {1: 1}, {2: 2}),
        ("x -= y", collections.Counter("aab"), collections.Counter("a")),
    ],
    ids=name_of,
)
class TestBuiltinContainersChangeBehindTheirProxy:
    def test_by_a_plain_value(self, statement: str, target: Any, y: Any) -> None:
        self.check(statement, target, y, y)

    def test_by_a_proxy(self, statement: str, target: Any, y: Any) -> None:
        self.check(statement, target, y, proxy_of(y))

    def check(self, statement: str, target: Any, y: Any, given: Any) -> None:
        expected, target = after(statement, x=copy.copy(target), y=y), copy.copy(target)
        proxy = proxy_of(target)
        assert after(statement, x=proxy, y=given) is proxy
        assert target == expected


def test_pow_takes_a_modulus() -> None:
    assert pow(proxy_of(7), 2, 5) == 4


# Comparisons


COMPARED: list[tuple[Any, Any]] = [
    *((1, 2), (2, 2), (2, 1.5), (float("nan"), 1), ("a", "b"), ([1, 2], [1, 3]), ((), (1,))),
    *(({1}, {1, 2}), ({1}, {2}), ({1: 2}, {1: 2}), (Fraction(1, 2), 0.5), (None, None)),
    *((Decimal("0.5"), Fraction(1, 2)), (int, int), (1, "one")),
    (datetime.date(2000, 1, 1), datetime.date(2001, 1, 1)),
]
COMPARISONS = ["x < y", "x <= y", "x == y", "x != y", "x > y", "x >= y"]


@pytest.mark.parametrize("expression", COMPARISONS)
@pytest.mark.parametrize(("x", "y"), COMPARED, ids=name_of)
class TestComparisonsGiveWhatTheTargetGives:
    def test_with_the_proxy_on_the_left(self, expression: str, x: Any, y: Any) -> None:
        assert outcome(expression, x=proxy_of(x), y=y) == outcome(expression, x=x, y=y)

    def test_with_the_proxy_on_the_right(self, expression: str, x: Any, y: Any) -> None:
        assert outcome(expression, x=x, y=proxy_of(y)) == outcome(expression, x=x, y=y)

    def test_with_proxies_on_both_sides(self, expression: str, x: Any, y: Any) -> None:
        expected = outcome(expression, x=x, y=y)
        assert outcome(expression, x=proxy_of(x), y=proxy_of(y)) == expected


@pytest.mark.parametrize("expression", COMPARISONS)
def test_comparisons_may_give_something_else_than_a_truth_value(expression: str) -> None:
    class Column:
        def _compared(self, other: object) -> Any:
            return ["compared with", other]

        __lt__ = __le__ = __eq__ = __ne__ = __gt__ = __ge__ = _compared

    assert evaluated(expression, x=proxy_of(Column()), y=1) == ["compared with", 1]
    assert evaluated(expression, x=1, y=proxy_of(Column())) == ["compared with", 1]


@dataclasses.dataclass
class Point:
    """An object with a bit of everything that an attribute can be."""

    x: Any
    y: Any

    dimensions = 2

    @property
    def total(self) -> Any:
        return self.x + self.y

    @classmethod
    def origin(cls) -> Point:
        return cls(0, 0)

    def moved(self, dx: int, *, dy: int = 0) -> Point:
        return Point(self.x + dx, self.y + dy)


def test_a_dataclass_equals_a_proxy_of_its_like() -> None:
    assert Point(1, 2) == proxy_of(Point(1, 2))
    assert Point(1, 2) != proxy_of(Point(1, 3))


# Numbers, conversions, formatting, hash and truth


@pytest.mark.parametrize(
    "number",
    [7, -7, 0, True, 2.5, -2.5, 1j, Fraction(-7, 2), Decimal("-2.5"), "12", [1]],
    ids=name_of,
)
@pytest.mark.parametrize(
    "expression",
    [
        *("-x", "+x", "abs(x)", "~x", "str(x)", "bin(x)", "range(x)"),
        *("int(x)", "float(x)", "complex(x)", "operator.index(x)"),
        *("round(x)", "round(x, 1)", "math.trunc(x)", "math.floor(x)", "math.ceil(x)"),
    ],
)
def test_numbers_convert_as_the_target_does(expression: str, number: Any) -> None:
    assert outcome(expression, x=proxy_of(number)) == outcome(expression, x=number)


@pytest.mark.parametrize(
    "expression",
    [
        *("[1, 2, 3, 4][x]", "[1, 2, 3, 4][x:]", "[0] * x", "list(range(x))", "'a' * x"),
        *("{3: 'three'}[x]", "{x: 'three'}[3]", "3 in {x}", "x in {3}", "[1, x].index(3)"),
        *("sum([x, x, 1])", "max(x, 2) + 0", "sorted([4, x])[0] + 0", "1 if x else 0"),
        *("math.sqrt(x)", "hex(x)", "chr(x)", "Fraction(x, 6)", "struct.pack('i', x)"),
    ],
)
def test_a_proxy_of_a_number_serves_where_numbers_serve(expression: str) -> None:
    assert outcome(expression, x=proxy_of(3)) == outcome(expression, x=3)


@pytest.mark.parametrize(
    "expression",
    [
        *("str(x)", "repr(x)", "ascii(x)", "format(x)", "'{:>12}'.format(x)", "'{!r}'.format(x)"),
        *("f'{x}, {x!r}, {x!s}, {x!a}'", "f'{x:>{12}}'", "'%s' % x", "'%r' % x", "reprlib.repr(x)"),
    ],
)
@pytest.mark.parametrize(
    "value", [3, 2.5, "ä", b"\xe4", Decimal("1.50"), datetime.date(2000, 1, 1), None], ids=repr
)
def test_a_resolved_proxy_is_written_as_its_target(expression: str, value: Any) -> None:
    proxy = proxy_of(value)
    resolve(proxy)
    assert outcome(expression, x=proxy) == outcome(expression, x=value)


@pytest.mark.parametrize("spec", [".1f", "08.3f", "%Y", "d", "no such"])
@pytest.mark.parametrize("value", [2.55, 3, datetime.date(2000, 1, 1), "text"], ids=name_of)
def test_format_specifications_reach_the_target(spec: str, value: Any) -> None:
    expected = outcome("format(x, spec)", x=value, spec=spec)
    assert outcome("format(x, spec)", x=proxy_of(value), spec=spec) == expected


@pytest.mark.parametrize(
    "value",
    [0, 1, 0.0, "", "a", (), (1, 2), [], [0], {}, None, int, frozenset({1}), Fraction(0)],
    ids=repr,
)
@pytest.mark.parametrize("expression", ["hash(x)", "bool(x)", "not x", "x and 1", "bool(x or 0)"])
def test_hash_and_truth_are_the_targets(expression: str, value: Any) -> None:
    given = outcome(expression, x=proxy_of(value))
    assert extracted(given) == outcome(expression, x=value)


def extracted(found: tuple[object, ...]) -> tuple[object, ...]:
    """`x and 1` gives x itself, and so the proxy."""
    if found[1] is Proxy:
        return "result", type(extract(found[2])), extract(found[2])
    return found


# Bytes, buffers, paths


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        *(("bytes(x)", value) for value in (b"on", bytearray(b"on"), memoryview(b"on"), "text")),
        *(("bytes(x)", value) for value in ([1, 2], 3)),
        # Not of a list: from 3.12 on, a proxy has a buffer for bytearray(), and must then fill it.
        *(("bytearray(x)", value) for value in (b"on", bytearray(b"on"), memoryview(b"on"), 3)),
    ],
    ids=name_of,
)
def test_bytes_are_made_as_of_the_target(expression: str, value: Any) -> None:
    assert outcome(expression, x=proxy_of(value)) == outcome(expression, x=value)


@needs_buffer
class TestBuffer:
    def test_a_memoryview_shows_the_targets_memory(self) -> None:
        target = bytearray(b"on")
        with memoryview(proxy_of(target)) as view:
            view[0] = ord("i")
        assert target == b"in"

    def test_the_memory_is_released_with_the_view(self) -> None:
        target = bytearray(b"on")
        with memoryview(proxy_of(target)), pytest.raises(BufferError):
            target.append(0)
        target.append(0)

    def test_a_read_only_target_stays_read_only(self) -> None:
        with memoryview(proxy_of(b"on")) as view:
            assert view.readonly
        with pytest.raises((BufferError, TypeError)):
            io.BytesIO(b"in").readinto(proxy_of(b"on"))

    @pytest.mark.parametrize(
        "expression",
        ["io.BytesIO(x).read()", "io.BytesIO().write(x)", "b''.join([x])", "str(x, 'ascii')"],
    )
    def test_functions_in_c_take_it_for_bytes(self, expression: str) -> None:
        assert outcome(expression, x=proxy_of(b"on")) == outcome(expression, x=b"on")

    def test_a_target_without_a_buffer_is_refused(self) -> None:
        with pytest.raises(TypeError, match="bytes-like"):
            memoryview(proxy_of(3))


@pytest.mark.parametrize("path", ["a/b", b"a/b", pathlib.Path("a/b"), 3], ids=name_of)
@pytest.mark.parametrize("expression", ["os.fspath(x)", "os.path.basename(x)", "pathlib.Path(x)"])
def test_file_system_paths(expression: str, path: Any) -> None:
    assert outcome(expression, x=proxy_of(path)) == outcome(expression, x=path)


def test_a_file_opens_by_the_proxy_of_its_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("text")
    with open(proxy_of(str(tmp_path / "file"))) as file:
        assert file.read() == "text"


# Containers


class Defaulting(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"no {key}"


class OldStyle:
    """Can be iterated only by its items' numbers."""

    def __getitem__(self, index: int) -> int:
        return [1, 2, 3][index]


@pytest.mark.parametrize(
    "container",
    [
        *([1, 2, 3], (1, 2, 3), "123", b"123", range(1, 4), {1: "one", 2: "two"}, {1, 2}),
        *({1: "one"}.items(), collections.deque([1, 2, 3]), memoryview(b"123")),
        *(Defaulting(a="b"), OldStyle(), 3),
    ],
    ids=name_of,
)
@pytest.mark.parametrize(
    "expression",
    [
        *("len(x)", "operator.length_hint(x)", "list(x)", "list(reversed(x))", "sorted(x)"),
        *("[*x]", "{**x}", "dict(x)", "list(zip(x, x))", "[item for item in x]", "next(x)"),
        *("(lambda *items: items)(*x)", "(lambda first, *rest: rest)(*x)", "list(iter(x)) * 2"),
        *("x[0]", "x[-1]", "x[1]", "x[100]", "x[1:]", "x[::-1]", "x['a']", "x['missing']"),
        *("1 in x", "100 in x", "'1' in x", "x.index(2)", "x.count(2)", "x.missing()"),
    ],
)
def test_containers_answer_as_the_target_does(expression: str, container: Any) -> None:
    assert outcome(expression, x=proxy_of(container)) == outcome(expression, x=container)


@pytest.mark.parametrize("key", [0, -1, slice(1, None), slice(None, None, 2), 100, "a"], ids=repr)
@pytest.mark.parametrize(
    "container",
    [[1, 2, 3], {0: 1}, bytearray(b"123"), collections.deque([1, 2]), (1, 2)],
    ids=name_of,
)
@pytest.mark.parametrize("statement", ["x[y] = 7", "x[y] = [7]", "x[y] = b'7'", "del x[y]"])
def test_items_are_set_in_and_deleted_from_the_target(
    statement: str, container: Any, key: Any
) -> None:
    target, expected = copy.copy(container), copy.copy(container)
    given = outcome("after(statement, x=x, y=y)", x=proxy_of(target), y=key, statement=statement)
    wanted = outcome("after(statement, x=x, y=y)", x=expected, y=key, statement=statement)
    assert given[0] == wanted[0] == "result" or given == wanted
    assert target == expected


# Iteration


def counting(last: int) -> Generator[int, Any, str]:
    for number in range(last):
        received = yield number
        if received is not None:
            yield received
    return "the end"


class TestIteration:
    def test_next_takes_one_item_of_the_target_after_the_other(self) -> None:
        proxy = proxy_of(iter([1, 2]))
        assert (next(proxy), next(proxy), next(proxy, "none left")) == (1, 2, "none left")

    def test_an_exhausted_target_raises_its_own_stop_iteration(self) -> None:
        with pytest.raises(StopIteration):
            next(proxy_of(iter([])))

    def test_a_loop_over_an_iterator_goes_on_where_the_last_one_stopped(self) -> None:
        proxy = proxy_of(iter([1, 2, 3]))
        for item in proxy:
            assert item == 1
            break
        assert list(proxy) == [2, 3]
        assert list(proxy) == []

    def test_a_container_can_be_iterated_again_and_again(self) -> None:
        proxy = proxy_of([1, 2])
        assert list(proxy) == list(proxy) == [1, 2]

    def test_yield_from_delegates_to_the_target(self) -> None:
        def outer() -> Iterator[Any]:
            yield (yield from proxy_of(counting(2)))

        assert list(outer()) == [0, 1, "the end"]

    def test_generators_can_be_sent_values_and_closed(self) -> None:
        proxy = proxy_of(counting(3))
        assert (next(proxy), proxy.send("sent"), next(proxy)) == (0, "sent", 1)
        proxy.close()
        assert list(proxy) == []

    def test_reversed_asks_the_targets_own_method(self) -> None:
        class Countdown:
            def __reversed__(self) -> Iterator[int]:
                return iter([3, 2, 1])

        assert list(reversed(proxy_of(Countdown()))) == [3, 2, 1]

    def test_unpacking(self) -> None:
        first, *rest = proxy_of("abc")
        assert (first, rest) == ("a", ["b", "c"])
        assert dict(**proxy_of({"a": 1})) == {"a": 1}

    def test_length_hints_are_the_targets(self) -> None:
        assert operator.length_hint(proxy_of(iter([1, 2]))) == 2
        assert operator.length_hint(proxy_of(counting(3))) == 0


# Calls


class Callee:
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


@pytest.mark.parametrize(
    "function",
    [
        lambda *args, **kwargs: (args, kwargs),
        Callee(),
        Callee().__call__,
        functools.partial(Callee(), 0),
        dict,
        3,
    ],
    ids=["function", "callable object", "method", "partial", "class", "not callable"],
)
@pytest.mark.parametrize(
    "expression", ["x()", "x([('a', 1)], b=2)", "x(self=1, factory=2)", "x(*[], **{'args': 1})"]
)
def test_calls_pass_all_arguments(expression: str, function: Any) -> None:
    assert outcome(expression, x=proxy_of(function)) == outcome(expression, x=function)


def test_a_proxy_of_a_function_serves_as_key_callback_and_decorator() -> None:
    negated = proxy_of(operator.neg)
    assert sorted([1, 3, 2], key=negated) == [3, 2, 1]
    assert list(map(negated, [1, 2])) == [-1, -2]
    assert functools.partial(negated, 1)() == -1
    cached = proxy_of(functools.cache)(lambda: [])
    assert cached() is cached()


# Context managers


class Manager:
    def __init__(self, suppresses: bool = False) -> None:
        self.suppresses = suppresses
        self.seen: list[object] = []

    def __enter__(self) -> str:
        self.seen.append("entered")
        return "entered"

    def __exit__(self, *exc: object) -> bool:
        self.seen.append(exc[1])
        return self.suppresses

    async def __aenter__(self) -> str:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> bool:
        return self.__exit__(*exc)


class TestContextManagers:
    def test_the_target_is_entered_and_left(self) -> None:
        manager = Manager()
        with proxy_of(manager) as entered:
            assert entered == "entered"
            assert manager.seen == ["entered"]
        assert manager.seen == ["entered", None]

    def test_the_target_sees_the_exception(self) -> None:
        manager, error = Manager(), KeyError()
        with pytest.raises(KeyError), proxy_of(manager):
            raise error
        assert manager.seen == ["entered", error]

    def test_the_target_decides_whether_to_suppress_it(self) -> None:
        with proxy_of(Manager(suppresses=True)):
            raise KeyError

    def test_exit_stacks_take_it(self) -> None:
        manager = Manager()
        with contextlib.ExitStack() as stack:
            assert stack.enter_context(proxy_of(manager)) == "entered"
        assert manager.seen == ["entered", None]

    def test_a_lock_can_be_used_through_its_proxy(self) -> None:
        lock = threading.Lock()
        with proxy_of(lock):
            assert lock.locked()
        assert not lock.locked()


# Asynchronous protocols


async def answering(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def counting_asynchronously(last: int) -> AsyncIterator[int]:
    for number in range(last):
        await asyncio.sleep(0)
        yield number


class TestAsynchronousProtocols:
    def test_await_a_coroutine(self) -> None:
        async def main() -> Any:
            return await proxy_of(answering(3))

        assert asyncio.run(main()) == 3

    def test_await_a_future(self) -> None:
        async def main() -> Any:
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, 3)
            return await proxy_of(future)

        assert asyncio.run(main()) == 3

    def test_await_passes_the_targets_error(self) -> None:
        async def failing() -> NoReturn:
            raise KeyError("its own")

        async def main() -> Any:
            return await proxy_of(failing())

        with pytest.raises(KeyError, match="its own"):
            asyncio.run(main())

    def test_gather_and_wait_for_take_a_proxy_of_a_future(self) -> None:
        async def main() -> Any:
            tasks = [asyncio.ensure_future(answering(number)) for number in range(2)]
            both = await asyncio.gather(*map(proxy_of, tasks))
            return both, await asyncio.wait_for(proxy_of(tasks[0]), 60)

        assert asyncio.run(main()) == ([0, 1], 0)

    def test_async_for(self) -> None:
        async def main() -> list[int]:
            return [number async for number in proxy_of(counting_asynchronously(3))]

        assert asyncio.run(main()) == [0, 1, 2]

    def test_anext(self) -> None:
        async def main() -> Any:
            proxy = proxy_of(counting_asynchronously(1))
            return await anext(proxy), await anext(proxy, "none left")

        assert asyncio.run(main()) == (0, "none left")

    def test_async_with(self) -> None:
        manager, error = Manager(suppresses=True), KeyError()

        async def main() -> None:
            async with proxy_of(manager) as entered:
                assert entered == "entered"
                raise error

        asyncio.run(main())
        assert manager.seen == ["entered", error]

    def test_a_proxy_of_a_coroutine_function_is_known_as_one(self) -> None:
        assert inspect.iscoroutinefunction(proxy_of(answering))


# Attributes


class TestAttributes:
    @pytest.mark.parametrize(
        "name", ["x", "total", "dimensions", "missing", "__dict__", "__class__", "__match_args__"]
    )
    def test_are_got_from_the_target(self, name: str) -> None:
        target = Point(1, 2)
        assert outcome(f"x.{name}", x=proxy_of(target)) == outcome(f"x.{name}", x=target)
        assert hasattr(proxy_of(target), name) is hasattr(target, name)
        assert getattr(proxy_of(target), name, "default") == getattr(target, name, "default")

    def test_are_set_on_the_target(self) -> None:
        target = Point(1, 2)
        proxy = proxy_of(target)
        proxy.x, proxy.new = 7, 8
        assert vars(target) == {"x": 7, "y": 2, "new": 8}

    def test_are_deleted_from_the_target(self) -> None:
        target = Point(1, 2)
        proxy = proxy_of(target)
        del proxy.x
        assert vars(target) == {"y": 2}
        with pytest.raises(AttributeError):
            del proxy.x

    @pytest.mark.parametrize("name", ["total", "real", "__dict__"])
    @pytest.mark.parametrize("target", [Point(1, 2), 3, object()], ids=name_of)
    def test_are_refused_where_the_target_refuses_them(self, target: Any, name: str) -> None:
        expression = f"setattr(x, {name!r}, 5)"
        expected = outcome(expression, x=copy.copy(target))
        assert outcome(expression, x=proxy_of(copy.copy(target))) == expected

    def test_change_by_augmented_assignments(self) -> None:
        target = Point(1, [2])
        proxy = proxy_of(target)
        proxy.x += 1
        proxy.y += [3]
        assert target == Point(2, [2, 3])

    def test_methods_are_the_targets(self) -> None:
        target = Point(1, 2)
        method = proxy_of(target).moved
        assert method.__self__ is target
        assert method(1, dy=1) == Point(2, 3)
        assert proxy_of(target).origin() == Point(0, 0)

    def test_the_class_can_be_changed(self) -> None:
        class Other(Point):
            pass

        target = Point(1, 2)
        proxy_of(target).__class__ = Other
        assert type(target) is Other

    @pytest.mark.parametrize("expression", ["dir(x)", "vars(x)"])
    def test_are_listed_once_the_proxy_is_resolved(self, expression: str) -> None:
        target = Point(1, 2)
        proxy = proxy_of(target)
        resolve(proxy)
        assert outcome(expression, x=proxy) == outcome(expression, x=target)

    @pytest.mark.parametrize("name", ["target", "factory", "key", "store", "timeout", "_lock"])
    def test_may_have_any_ordinary_name(self, name: str) -> None:
        target = types.SimpleNamespace(**{name: "its own"})
        assert getattr(proxy_of(target), name) == "its own"


# Classes


class Animal:
    options: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        cls.options = options


class Dog(Animal):
    pass


class TestIsinstance:
    @pytest.mark.parametrize("target", [3, True, "text", [1], Dog(), None, len, Dog], ids=name_of)
    @pytest.mark.parametrize(
        "kind",
        [
            *("int", "str", "Animal", "Dog", "type", "object", "(str, Dog)", "int | str"),
            *("numbers.Integral", "collections.abc.Sequence", "types.BuiltinFunctionType"),
        ],
    )
    def test_answers_as_for_the_target(self, target: Any, kind: str) -> None:
        expression = f"isinstance(x, {kind})"
        assert outcome(expression, x=proxy_of(target)) == outcome(expression, x=target)

    def test_a_proxy_is_a_proxy_too(self) -> None:
        assert isinstance(proxy_of(3), Proxy)

    def test_single_dispatch_goes_by_the_targets_class(self) -> None:
        @functools.singledispatch
        def kind(value: object) -> str:
            return "object"

        kind.register(int, lambda value: "int")
        assert kind(proxy_of(3)) == "int"
        assert kind(proxy_of("three")) == "object"

    def test_class_patterns_and_literal_patterns_match(self) -> None:
        def kind(value: Any) -> Any:
            match value:
                case 3:
                    return "three"
                case str():
                    return "text"
                case Point(x, y=2):
                    return x
            return None

        kinds = [kind(proxy_of(value)) for value in (3, "", Point(1, 2), 4)]
        assert kinds == ["three", "text", 1, None]


class TestProxiesOfClasses:
    @pytest.mark.parametrize("instance", ["Animal()", "Dog()", "3"])
    @pytest.mark.parametrize("expression", ["isinstance({}, x)", "isinstance({}, (str, x))"])
    def test_instance_checks(self, expression: str, instance: str) -> None:
        expression = expression.format(instance)
        assert outcome(expression, x=proxy_of(Animal)) == outcome(expression, x=Animal)

    @pytest.mark.parametrize("subclass", ["Animal", "Dog", "int"])
    @pytest.mark.parametrize("expression", ["issubclass({}, x)", "issubclass({}, (str, x))"])
    def test_subclass_checks(self, expression: str, subclass: str) -> None:
        expression = expression.format(subclass)
        assert outcome(expression, x=proxy_of(Animal)) == outcome(expression, x=Animal)

    @pytest.mark.parametrize("expression", ["isinstance([], x)", "isinstance(3, x)"])
    def test_checks_of_abstract_classes_ask_their_own_methods(self, expression: str) -> None:
        target = collections.abc.Sized
        assert outcome(expression, x=proxy_of(target)) == outcome(expression, x=target)

    def test_instances_are_made(self) -> None:
        assert type(proxy_of(Dog)()) is Dog
        assert proxy_of(int)("12") == 12

    def test_subclasses_inherit_from_the_target(self) -> None:
        base = proxy_of(Dog)

        class Puppy(base, size="small"):  # type: ignore[call-arg, misc, valid-type]
            pass

        assert Puppy.__mro__ == (Puppy, Dog, Animal, object)
        assert Puppy.options == {"size": "small"}

    def test_generic_classes_take_their_parameters(self) -> None:
        assert proxy_of(list)[int] == list[int]

    def test_class_attributes_and_names(self) -> None:
        proxy = proxy_of(Point)
        assert (proxy.dimensions, proxy.__name__, proxy.__bases__) == (2, "Point", (object,))


# Copying and weak references


class TestCopying:
    @pytest.mark.parametrize("expression", ["copy.copy(x)", "copy.deepcopy(x)"])
    @pytest.mark.parametrize("target", [[[1]], {1: [2]}, Point(1, [2]), 3], ids=name_of)
    def test_gives_a_copy_of_the_target(self, expression: str, target: Any) -> None:
        proxy = proxy_of(target)
        assert outcome(expression, x=proxy) == outcome(expression, x=target)
        assert evaluated(expression, x=proxy) is not target or target == 3

    def test_a_shallow_copy_shares_the_parts_and_a_deep_one_does_not(self) -> None:
        target: list[Any] = [[]]
        assert copy.copy(proxy_of(target))[0] is target[0]
        assert copy.deepcopy(proxy_of(target))[0] is not target[0]

    def test_a_deep_copy_keeps_what_is_shared_shared(self) -> None:
        target: list[Any] = []
        proxy = proxy_of(target)
        first, second, third = copy.deepcopy([proxy, proxy, target])
        assert first is second is third

    @pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with Python 3.13")
    def test_replace(self) -> None:
        assert evaluated("copy.replace(x, y=3)", x=proxy_of(Point(1, 2))) == Point(1, 3)


class TestWeakReferences:
    def test_lead_to_the_proxy_and_die_with_it(self) -> None:
        proxy = proxy_of([1])
        reference = weakref.ref(proxy)
        assert reference() is proxy
        del proxy
        assert reference() is None

    def test_a_proxy_can_be_had_of_what_has_no_weak_references(self) -> None:
        by_name: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        by_name["three"] = proxy = proxy_of(3)
        assert by_name["three"] is proxy

    def test_the_target_dies_with_its_proxy(self) -> None:
        proxy = Proxy(lambda: Point(1, 2))
        reference = weakref.ref(extract(proxy))
        del proxy
        assert reference() is None


# Errors of the target


@pytest.mark.parametrize(
    ("expression", "target"),
    [
        ("x.missing", 3),
        ("x.total", Point(1, "2")),
        ("x[9]", [1]),
        ("x['key']", {}),
        ("x['key']", [1]),
        ("x / 0", 1),
        ("x + 'a'", 1),
        ("len(x)", 3),
        ("iter(x)", 3),
        ("next(x)", iter(())),
        ("x()", 3),
        ("x.index(2)", [1]),
        ("float(x)", "text"),
        ("hash(x)", []),
        ("isinstance(1, x)", 3),
    ],
    ids=name_of,
)
@pytest.mark.parametrize("before", [id, resolve], ids=["unresolved", "resolved"])
def test_errors_of_the_target_pass_unchanged(
    before: Callable[..., Any], expression: str, target: Any
) -> None:
    proxy = proxy_of(target)
    before(proxy)
    with pytest.raises(Exception) as expected:
        evaluated(expression, x=target)
    with pytest.raises(Exception) as raised:
        evaluated(expression, x=proxy)
    assert raised.type is expected.type
    assert str(raised.value) == str(expected.value)


# The table of special methods is complete, and each one asks for its like


# These are the proxy's own, or nobody's.
NOT_HANDED_ON = {
    # About the proxy itself: how it is made, how it ends, how it is pickled.
    *("__new__", "__init_subclass__", "__subclasshook__", "__class_getitem__"),
    *("__del__", "__sizeof__"),
    *("__reduce__", "__getnewargs__", "__getstate__", "__setstate__"),
    # Would make every access slow.
    "__getattribute__",
    # Would resolve a proxy that is merely stored in a class.
    *("__get__", "__set__", "__delete__", "__set_name__"),
    # The memoryview of the target sees to that.
    "__release_buffer__",
    # Asked of the class, which is the target's (`__class__`), or as ordinary attributes.
    *("__missing__", "__prepare__", "__replace__", "__subclasses__"),
    # Not of the language: details of single types.
    *("__alloc__", "__getformat__"),
}

# What every special method of Python is gathered from.
TYPES: list[Any] = [
    *(value for value in vars(types).values() if isinstance(value, type)),
    *(vars(collections.abc)[name] for name in collections.abc.__all__),
    *(vars(numbers)[name] for name in numbers.__all__),
    *(object, type, super, property, staticmethod, classmethod, BaseException),
    *(int, float, complex, bool, str, bytes, bytearray, memoryview, Decimal, Fraction),
    *(list, tuple, dict, set, frozenset, range, slice, type(iter([])), type(reversed([]))),
    *(collections.deque, collections.OrderedDict, collections.Counter, collections.defaultdict),
    *(io.TextIOWrapper, io.BytesIO, pathlib.Path, os.PathLike, datetime.datetime),
    *(contextlib.AbstractContextManager, contextlib.AbstractAsyncContextManager),
    *(weakref.ref, asyncio.Future, asyncio.Lock, functools.partial),
]


def is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def test_every_special_method_is_there() -> None:
    methods = {
        name
        for kind in TYPES
        for name in dir(kind)
        if is_special(name) and inspect.isroutine(inspect.getattr_static(kind, name))
    }
    # No type of the standard library has `@`, nor every operator in place.
    methods |= {f"__{form}{name}__" for form in ("", "r", "i") for name in SIGNS.values()}
    methods |= {"__rdivmod__", "__buffer__"}
    assert methods - set(vars(Proxy)) - NOT_HANDED_ON == set()


def test_what_is_missing_on_purpose_is_missing() -> None:
    assert NOT_HANDED_ON & set(vars(Proxy)) == set()


OTHER = object()
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **{f"__{form}{name}__": (OTHER,) for form in ("", "r", "i") for name in OPERATIONS.values()},
    **{f"__{name}__": (OTHER,) for name in ("lt", "le", "eq", "ne", "gt", "ge")},
    **{f"__{name}__": (OTHER,) for name in ("getitem", "delitem", "contains")},
    **{f"__{name}__": (OTHER,) for name in ("instancecheck", "subclasscheck")},
    **{f"__{name}__": (None, None, None) for name in ("exit", "aexit")},
    "__setitem__": (OTHER, OTHER),
    "__setattr__": ("name", OTHER),
    "__delattr__": ("name",),
    "__format__": ("spec",),
    "__deepcopy__": ({},),
    "__buffer__": (0,),
}
# What Python insists on. Where it does not, any result will do.
RESULTS: dict[str, Any] = {
    **dict.fromkeys(["__str__", "__repr__", "__format__", "__fspath__"], "text"),
    **dict.fromkeys(["__hash__", "__int__", "__index__", "__len__", "__length_hint__"], 7),
    **dict.fromkeys(["__bool__", "__contains__", "__instancecheck__", "__subclasscheck__"], True),
    **dict.fromkeys(["__setattr__", "__delattr__", "__setitem__", "__delitem__"], None),
    "__bytes__": b"bytes",
    "__float__": 7.0,
    "__complex__": 7j,
    "__dir__": [],
    "__iter__": iter([]),
    "__aiter__": counting_asynchronously(0),
    "__buffer__": memoryview(b"bytes"),
}


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, method in vars(Proxy).items()
        if is_special(name) and inspect.isroutine(method)
        # Without these, which do more than ask for their like. They have tests of their own.
        if name not in {"__init__", "__getattr__", "__reduce_ex__", "__mro_entries__"}
    ),
)
def test_each_special_method_asks_for_its_like(name: str) -> None:
    if name == "__buffer__" and sys.version_info < (3, 12):
        pytest.skip("Python classes can provide buffers from 3.12 on (PEP 688)")
    asked: list[tuple[Any, ...]] = []

    def method(self: object, *arguments: Any) -> Any:
        asked.append(arguments)
        return RESULTS.get(name, "result")

    arguments = ARGUMENTS.get(name, ())
    proxy = proxy_of(type("Target", (), {name: method})())
    resolve(proxy)
    result = getattr(Proxy, name)(proxy, *arguments)
    if name == "__buffer__":
        arguments = asked[0]  # for Python chooses the flags
    assert asked == [arguments]
    assert result == RESULTS.get(name, "result") or result is proxy


# Laziness: looking is not touching


class Holder:
    """Somewhere to keep a proxy."""

    x: Any = None


def make_value() -> bytes:
    return b"the value " * 3


def divide_by_zero() -> float:
    return 1 / 0


async def returning(value: Any) -> Any:
    return value


def traceback_with_locals(value: object) -> str:
    stack = traceback.walk_stack(inspect.currentframe())
    return "".join(traceback.StackSummary.extract(stack, limit=1, capture_locals=True).format())


LOOKS = [
    *("x", "repr(x)", "ascii(x)", "f'{x!r}'", "'%r' % (x,)", "reprlib.repr(x)", "dir(x)"),
    *("repr([x, {1: x}, (x,)])", "traceback_with_locals(x)", "is_resolved(x)", "type(x)"),
    *("x is None", "id(x)", "callable(x)", "isinstance(x, Proxy)", "sys.getsizeof(x)"),
    *("pickle.dumps(x)", "pickle.loads(pickle.dumps(x))", "weakref.ref(x)"),
    *("[x].count(x)", "x in [x]", "[x] == [x]", "{'key': x}['key']", "setattr(Holder(), 'x', x)"),
    *("type('Class', (), {'x': x})().x", "Proxy[int](make_value)", "functools.partial(id, x)()"),
    *("asyncio.run(returning(x))", "[*in_threads(1, lambda: [x])]"),
]


class WaitingFactory:
    """A factory that waits until it is told to go on."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> int:
        self.called.set()
        assert self.go_on.wait(60)
        return 3

    def __reduce__(self) -> Any:
        return WaitingFactory, ()


class TestLaziness:
    @pytest.mark.parametrize("expression", LOOKS)
    def test_looking_does_not_call_the_factory(self, expression: str) -> None:
        factory = Factory(3)
        proxy = Proxy(factory)
        evaluated(expression, x=proxy)
        assert not is_resolved(proxy)
        assert factory.calls == 0

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize(
        "expression", ["repr(x)", "dir(x)", "is_resolved(x)", "weakref.ref(x)", "pickle.dumps(x)"]
    )
    def test_looking_does_not_wait_for_a_thread_that_resolves(self, expression: str) -> None:
        waiting = WaitingFactory()
        proxy = Proxy(waiting)
        thread = threading.Thread(target=resolve, args=(proxy,), daemon=True)
        thread.start()
        assert waiting.called.wait(20)
        evaluated(expression, x=proxy)
        assert not is_resolved(proxy)
        waiting.go_on.set()
        thread.join(20)
        assert is_resolved(proxy)

    def test_the_first_use_calls_the_factory_and_later_ones_do_not(self) -> None:
        factory = Factory(3)
        proxy: Any = Proxy(factory)
        assert proxy + 1 == 4
        assert is_resolved(proxy)
        assert proxy + 1 == 4
        assert factory.calls == 1

    @pytest.mark.parametrize("target", [None, False, 0, "", [], NotImplemented], ids=repr)
    def test_a_target_that_looks_like_nothing_counts(self, target: Any) -> None:
        factory = Factory(target)
        proxy: Any = Proxy(factory)
        assert extract(proxy) is target
        assert extract(proxy) is target
        assert factory.calls == 1

    def test_the_repr_says_that_the_proxy_is_unresolved_and_names_the_factory(self) -> None:
        assert re.fullmatch(r"<Proxy of <.*Factory object.*>, unresolved>", repr(proxy_of(3)))


class TestTargetType:
    """`Proxy(factory, target_type)` answers questions about the class without the factory."""

    @pytest.mark.parametrize(
        "expression",
        [
            *("isinstance(x, list)", "not isinstance(x, int)", "isinstance(x, (int, list))"),
            *("isinstance(x, int | list)", "isinstance(x, collections.abc.Sequence)"),
            *("x.__class__ is list", "not isinstance(x, type)", "not inspect.isclass(x)"),
            *("dir(x) == dir(list)", "isinstance(pickle.loads(pickle.dumps(x)), list)"),
            *("not match_int(x)", "pprint.pformat(x, width=9)"),
            *("not hasattr(x, '__dask_future__')", "getattr(x, '__array__', 7) == 7"),
            "functools.singledispatch(lambda value: True)(x)",
        ],
    )
    def test_answers_without_the_factory(self, expression: str) -> None:
        factory = Factory([])
        assert evaluated(expression, x=Proxy(factory, list))
        assert factory.calls == 0

    def test_subclasses_are_known_too(self) -> None:
        assert isinstance(Proxy(Factory(True), bool), int)
        assert not isinstance(Proxy(Factory(True), int), bool)

    def test_once_resolved_the_targets_own_class_answers(self) -> None:
        proxy = Proxy(Factory(True), int)
        resolve(proxy)
        assert isinstance(proxy, bool)

    def test_once_resolved_the_targets_own_special_attributes_are_found(self) -> None:
        proxy: Any = Proxy(Factory(functools.wraps(len)(lambda x: 7)), types.FunctionType)
        resolve(proxy)
        assert proxy.__wrapped__ is len

    def test_the_proxys_uses_are_not_limited_to_it(self) -> None:
        proxy: Any = Proxy(Factory("text"), int)
        assert proxy.upper() == "TEXT"
        assert not isinstance(proxy, int)


# A failed resolution is loud


def loop_over(value: Any) -> None:
    for _ in value:
        raise AssertionError("a failed proxy has no items")


def enter(value: Any) -> None:
    with value:
        raise AssertionError("a failed proxy cannot be entered")


def inherit_from(value: Any) -> None:
    class _(value):  # type: ignore[misc]
        pass


def match_int(value: Any) -> bool:
    match value:
        case int():
            return True
    return False


async def await_it(value: Any) -> None:
    await value


async def loop_asynchronously(value: Any) -> None:
    async for _ in value:
        raise AssertionError("a failed proxy has no items")


async def enter_asynchronously(value: Any) -> None:
    async with value:
        raise AssertionError("a failed proxy cannot be entered")


# Many of these swallow one error or another: that is what they are here for.
TOUCHES = [
    *("resolve(x)", "extract(x)", "x.name", "hasattr(x, 'name')", "getattr(x, 'name', None)"),
    *("setattr(x, 'name', 1)", "delattr(x, 'name')", "vars(x)", "x.__class__"),
    *("loop_over(x)", "iter(x)", "next(x)", "next(x, None)", "reversed(x)", "list(x)", "dict(x)"),
    *("[*x]", "{**x}", "(lambda *items: items)(*x)", "list(zip([1], x))", "max(x, default=None)"),
    *("operator.length_hint(x)", "tuple(x)", "set(x)", "sorted(x)", "sum(x)", "any(x)"),
    *("len(x)", "1 in x", "x in [1]", "x in {1}", "x[0]", "[1][x]", "x()", "[1].extend(x)"),
    *("operator.setitem(x, 0, 0)", "operator.delitem(x, 0)", "next(map(x, [1]))"),
    *("bool(x)", "not x", "hash(x)", "x == 1", "x != 1", "1 == x", "x < 1", "1 < x", "x <= 1"),
    *(f"{left} {sign} {right}" for sign in SIGNS for left, right in ("x1", "1x", ("[]", "x"))),
    *(f"after('x {sign}= 1', x=x)" for sign in SIGNS),
    *("operator.iadd([1], x)", "operator.ior({1}, x)", "'%s' % x", "pow(x, 2, 3)", "divmod(1, x)"),
    *("-x", "+x", "~x", "abs(x)", "round(x)", "math.trunc(x)", "math.floor(x)", "math.ceil(x)"),
    *("int(x)", "float(x)", "complex(x)", "operator.index(x)", "range(x)", "math.sqrt(x)"),
    *("str(x)", "f'{x}'", "f'{x:>3}'", "format(x)", "print(x, file=io.StringIO())"),
    *("bytes(x)", "bytearray(x)", "os.fspath(x)", "open(x)", "copy.copy(x)", "copy.deepcopy(x)"),
    *("isinstance(x, int)", "isinstance(x, collections.abc.Sized)", "match_int(x)"),
    *("isinstance(1, x)", "issubclass(int, x)", "inherit_from(x)", "enter(x)", "anext(x)"),
    *("asyncio.run(await_it(x))", "asyncio.run(loop_asynchronously(x))"),
    "asyncio.run(enter_asynchronously(x))",
    *(["memoryview(x)", "io.BytesIO(x)"] if sys.version_info >= (3, 12) else []),
]

# What Python's protocols swallow, or take for an answer, and some that they do not.
FAILURES: list[type[Exception]] = [
    *(AttributeError, StopIteration, StopAsyncIteration, IndexError, KeyError, TypeError),
    *(ValueError, NotImplementedError, OverflowError, RuntimeError, TimeoutError, ImportError),
]


def failing_with(error: BaseException) -> Any:
    def factory() -> NoReturn:
        raise error

    return Proxy(factory)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("expression", TOUCHES)
def test_a_failed_resolution_is_loud(expression: str, failure: type[Exception]) -> None:
    error = failure("its own")
    proxy = failing_with(error)
    with pytest.raises(ProxyResolveError, match="its own") as raised:
        evaluated(expression, x=proxy)
    assert raised.value.__cause__ is error
    assert not is_resolved(proxy)


class TestAfterAFailure:
    def test_a_later_touch_tries_again(self) -> None:
        attempts = iter([KeyError("first"), IndexError("second"), None, KeyError("fourth")])

        def factory() -> int:
            error = next(attempts)
            if error is not None:
                raise error
            return 3

        proxy: Any = Proxy(factory)
        for name in "first", "second":
            with pytest.raises(ProxyResolveError, match=name):
                str(proxy)
        assert [str(proxy), str(proxy)] == ["3", "3"]

    @pytest.mark.parametrize("expression", LOOKS)
    def test_it_can_still_be_looked_at(self, expression: str) -> None:
        proxy = Proxy(divide_by_zero)
        with pytest.raises(ProxyResolveError):
            resolve(proxy)
        evaluated(expression, x=proxy)

    def test_the_target_type_still_answers(self) -> None:
        proxy = Proxy(divide_by_zero, float)
        with pytest.raises(ProxyResolveError):
            resolve(proxy)
        assert isinstance(proxy, float)

    def test_a_factory_may_raise_the_error_itself(self) -> None:
        error = ProxyResolveError("its own")
        with pytest.raises(ProxyResolveError) as raised:
            resolve(failing_with(error))
        assert raised.value is error

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
    def test_what_is_to_end_the_program_or_the_task_is_not_wrapped(
        self, error: type[BaseException]
    ) -> None:
        proxy = failing_with(error())
        with pytest.raises(error):
            str(proxy)
        assert not is_resolved(proxy)

    @pytest.mark.timeout(60)
    def test_a_factory_that_uses_its_own_proxy_fails_instead_of_waiting_for_itself(self) -> None:
        proxy: Any = Proxy(lambda: proxy + 1)
        with pytest.raises(ProxyResolveError) as raised:
            str(proxy)
        assert isinstance(raised.value.__cause__, RecursionError)


# Nested proxies


class TestNestedProxies:
    @pytest.mark.parametrize(
        "expression",
        ["x + 1", "1 + x", "x == 3", "str(x)", "int(x)", "isinstance(x, int)", "x.bit_length()"],
    )
    def test_behave_as_the_innermost_target(self, expression: str) -> None:
        proxy = proxy_of(proxy_of(proxy_of(3)))
        assert outcome(expression, x=proxy) == outcome(expression, x=3)

    def test_are_extracted_layer_by_layer(self) -> None:
        inner = proxy_of(3)
        assert extract(proxy_of(inner)) is inner

    def test_the_repr_does_not_resolve_the_inner_proxy(self) -> None:
        inner = proxy_of(3)
        outer = proxy_of(inner)
        resolve(outer)
        assert repr(outer) == repr(inner)
        assert not is_resolved(inner)

    def test_change_in_place(self) -> None:
        target = [1]
        proxy = other_holder = proxy_of(proxy_of(target))
        proxy += [2]
        assert proxy is other_holder
        assert target == [1, 2]

    def test_a_failure_of_the_inner_proxy_keeps_its_cause(self) -> None:
        error = KeyError("its own")
        with pytest.raises(ProxyResolveError) as raised:
            str(proxy_of(failing_with(error)))
        assert raised.value.__cause__ is error

    def test_a_factory_may_use_another_proxy_and_passes_its_failure_on(self) -> None:
        inner = proxy_of(3)
        assert Proxy(lambda: inner + 1) == 4

        error = KeyError("its own")
        failing = failing_with(error)
        with pytest.raises(ProxyResolveError) as raised:
            resolve(Proxy(lambda: failing + 1))
        assert raised.value.__cause__ is error


# Pickling: a proxy travels as its factory


PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("target_type", [None, bytes])
@pytest.mark.parametrize("dumps", [pickle.dumps, vars(pickle)["_dumps"]], ids=["C", "Python"])
class TestPickling:
    def test_a_resolved_proxy_pickles_as_an_unresolved_one_without_its_value(
        self, dumps: Callable[..., bytes], target_type: type | None, protocol: int
    ) -> None:
        proxy = Proxy(make_value, target_type)
        unresolved = dumps(proxy, protocol)
        resolve(proxy)
        assert dumps(proxy, protocol) == unresolved
        assert make_value() not in unresolved

    def test_the_copy_resolves_by_itself(
        self, dumps: Callable[..., bytes], target_type: type | None, protocol: int
    ) -> None:
        proxy = Proxy(make_value, target_type)
        resolve(proxy)
        arrived = pickle.loads(dumps(proxy, protocol))
        assert type(arrived) is Proxy
        assert not is_resolved(arrived)
        assert isinstance(arrived, bytes)
        assert is_resolved(arrived) is (target_type is None)  # else, it answered by itself
        assert arrived == make_value()


def test_a_proxy_cannot_be_pickled_without_its_factory() -> None:
    proxy = Proxy(lambda: 3)
    resolve(proxy)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(proxy)


def test_the_same_proxy_twice_in_a_pickle_arrives_as_one() -> None:
    proxy = Proxy(make_value)
    first, second = pickle.loads(pickle.dumps([proxy, proxy]))
    assert first is second


# Threads and forks


def in_threads(count: int, work: Callable[[], object]) -> list[object]:
    """Returns the results of `work`, or its errors, in threads that begin at the same time."""
    barrier = threading.Barrier(count)

    def begin() -> object:
        barrier.wait(20)
        try:
            return work()
        except Exception as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(count) as executor:
        return [future.result() for future in [executor.submit(begin) for _ in range(count)]]


@pytest.mark.timeout(60)
class TestThreads:
    @pytest.mark.parametrize("attempt", range(5))
    def test_the_factory_is_called_once_for_all(self, attempt: int) -> None:
        calls = []

        def factory() -> object:
            calls.append(threading.get_ident())
            time.sleep(0.01)  # so that the others come while it runs
            return object()

        proxy: Any = Proxy(factory)
        found = in_threads(32, lambda: extract(proxy))
        assert len(calls) == 1
        assert all(target is extract(proxy) for target in found)

    def test_a_failure_goes_to_the_thread_that_met_it_and_the_next_tries_again(self) -> None:
        errors = [KeyError("once")]

        def factory() -> int:
            time.sleep(0.01)
            if errors:
                raise errors.pop()
            return 3

        proxy: Any = Proxy(factory)
        found = in_threads(8, lambda: proxy + 1)
        assert found.count(4) == 7
        assert sum(isinstance(error, ProxyResolveError) for error in found) == 1

    def test_proxies_do_not_wait_for_each_other(self) -> None:
        # The first gets its target only after the second, which was asked later.
        second_is_done = threading.Event()
        first = Proxy(lambda: second_is_done.wait(30))
        with concurrent.futures.ThreadPoolExecutor() as executor:
            waiting = executor.submit(extract, first)
            assert proxy_of("second") == "second"
            second_is_done.set()
            assert waiting.result() is True


FORKING_WHILE_A_THREAD_RESOLVES = """
import os, signal, sys, threading
from proxyfuture import Proxy

parent = os.getpid()
resolving, forked = threading.Event(), threading.Event()

def factory():
    if os.getpid() == parent:
        resolving.set()
        forked.wait()
    return 6

proxy = Proxy(factory)
thread = threading.Thread(target=lambda: proxy * 7)
thread.start()
resolving.wait()
child = os.fork()
if child == 0:
    signal.alarm(30)  # which ends a child that waits for the thread it does not have
    os._exit(proxy * 7)
_, status = os.waitpid(child, 0)
forked.set()
thread.join()
sys.exit(0 if (os.waitstatus_to_exitcode(status), proxy * 7) == (42, 42) else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_a_thread_resolves_can_resolve_its_copy() -> None:
    program = [sys.executable, "-c", FORKING_WHILE_A_THREAD_RESOLVES]
    subprocess.run(program, cwd=ROOT, check=True, timeout=90)


# The class itself, and the three functions


class TestTheClass:
    def test_is_a_class_with_a_name_a_module_and_a_docstring(self) -> None:
        assert isinstance(Proxy, type)
        assert (Proxy.__name__, Proxy.__module__) == ("Proxy", "proxyfuture")
        assert (Proxy.__doc__ or "").startswith("An object that behaves as another one")

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_pickles_by_reference(self, protocol: int) -> None:
        assert pickle.loads(pickle.dumps(Proxy, protocol)) is Proxy

    def test_copies_as_itself(self) -> None:
        assert copy.copy(Proxy) is copy.deepcopy(Proxy) is Proxy

    def test_takes_a_parameter_for_type_checkers(self) -> None:
        factory = Factory(3)
        proxy = Proxy[int](factory)
        assert type(proxy) is Proxy
        assert factory.calls == 0
        assert proxy == 3

    @pytest.mark.parametrize("factory", [3, None, "make_value", b""])
    def test_refuses_a_factory_that_cannot_be_called(self, factory: Any) -> None:
        with pytest.raises(TypeError, match=f"factory must be callable.*{factory!r}"):
            Proxy(factory)

    @pytest.mark.parametrize("target_type", [3, "int", list[int], int | str, (int, str)])
    def test_refuses_a_target_type_that_is_not_a_class(self, target_type: Any) -> None:
        with pytest.raises(TypeError, match="target_type must be a class or None"):
            Proxy(make_value, target_type)

    def test_needs_a_factory(self) -> None:
        with pytest.raises(TypeError, match="factory"):
            Proxy()  # type: ignore[call-arg]


class TestResolveIsResolvedExtract:
    def test_resolve_gets_the_target_now(self) -> None:
        factory = Factory(3)
        proxy = Proxy(factory)
        resolve(proxy)
        assert is_resolved(proxy)
        resolve(proxy)
        assert factory.calls == 1

    def test_extract_returns_the_target_itself(self) -> None:
        target = [1]
        assert extract(proxy_of(target)) is target

    @pytest.mark.parametrize("function", [resolve, extract])
    def test_they_raise_what_any_use_raises(self, function: Callable[..., Any]) -> None:
        with pytest.raises(ProxyResolveError) as raised:
            function(Proxy(divide_by_zero))
        assert isinstance(raised.value.__cause__, ZeroDivisionError)

    @pytest.mark.parametrize("function", [resolve, is_resolved, extract])
    @pytest.mark.parametrize("value", [3, None, "text", make_value, Proxy, OTHER], ids=name_of)
    def test_they_refuse_what_is_not_a_proxy(
        self, function: Callable[..., Any], value: Any
    ) -> None:
        with pytest.raises(TypeError, match="must be a Proxy"):
            function(value)

    def test_they_take_instances_of_subclasses(self) -> None:
        class Special(Proxy[int]):
            __slots__ = ()

        proxy = Special(lambda: 3)
        resolve(proxy)
        assert is_resolved(proxy)
        assert extract(proxy) == 3


# What a proxy cannot imitate


def match_sequence(value: Any) -> bool:
    match value:
        case [_, _]:
            return True
    return False


def match_mapping(value: Any) -> bool:
    match value:
        case {"a": _}:
            return True
    return False


def catch(error: Any) -> bool:
    try:
        raise KeyError
    except error:
        return True


def raise_and_catch(error: Any) -> bool:
    try:
        raise error
    except KeyError:
        return True


def extended(mine: list[int], value: Any) -> list[int]:
    other_holder = mine
    mine += value
    return other_holder


# Here Python asks for the type itself, or for any attribute of it, and not for a method that a
# class could define to its purpose.
LIMITS: dict[str, Any] = {
    "x is None": None,
    "type(x)": 3,
    "callable(x)": 3,
    "hasattr(x, '__len__')": 3,
    "isinstance(x, collections.abc.Sized)": 3,
    "issubclass(x, Point)": Point,
    "issubclass(x, collections.abc.Sized)": list,
    "match_sequence(x)": [1, 2],
    "match_mapping(x)": {"a": 1},
    "catch(x)": KeyError,
    "raise_and_catch(x)": KeyError("raised"),
    "extended([1], x)": [2],
    "'%s %s' % x": (1, 2),
    "''.join([x])": "text",
    "x in 'text'": "t",
    "int(x, 16)": "ff",
    "getattr(Point(1, 2), x)": "x",
    "type('Class', (), {'method': x})().method()": lambda self: "called",
    "list.copy(x)": [1],
    "dataclasses.asdict(x)": Point(1, 2),
    "json.dumps(x)": {"a": 1},
}


@pytest.mark.parametrize(("expression", "target"), LIMITS.items(), ids=LIMITS)
def test_extract_is_the_way_around_what_a_proxy_cannot_imitate(
    expression: str, target: Any
) -> None:
    assert outcome(expression, x=proxy_of(target)) != outcome(expression, x=target)
    assert outcome(expression, x=extract(proxy_of(target))) == outcome(expression, x=target)
