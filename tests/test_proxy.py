"""What a proxy promises: it is its target in all that Python lets a class decide.

The first chapters follow the data model of the language reference: operators, comparisons,
numbers, containers, iteration, calls, and so on. Most of their tests evaluate an expression
with targets and with proxies of them, and compare the outcomes, errors included. Then come
the promises of the proxy's own: it has every special method, it is lazy and may be looked at,
its failures are loud, it travels as its factory, threads share it. What no proxy can imitate is
in `test_limits.py`.
"""

from __future__ import annotations

import asyncio
import collections
import collections.abc
import contextlib
import copy
import dataclasses
import datetime
import functools
import inspect
import io
import math  # noqa: F401  # some modules are used only in the expressions
import numbers
import operator
import os
import pathlib
import pickle
import pprint  # noqa: F401
import re
import reprlib  # noqa: F401
import struct  # noqa: F401
import sys
import threading
import time
import traceback
import types
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface  # noqa: F401
from typing import Any, NoReturn

import pytest
from conformance import LIMIT, in_thread

from proxyfuture import Proxy, ProxyResolveError, extract, is_resolved, resolve

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


def expressions(text: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("expression", re.split(r";\s+", text.strip()))


def evaluated(expression: str, **names: Any) -> Any:
    return eval(expression, {**globals(), **names})


def outcome(expression: str, **names: Any) -> tuple[object, ...]:
    """Returns what an expression gives: a result and its type, or the type of its error."""
    try:
        result = evaluated(expression, **names)
    except Exception as error:
        return "error", type(error)
    if type(result) is Proxy:  # `x and 1` gives x itself
        result = extract(result)
    return "result", type(result), result


def check(expression: str, *targets: Any) -> None:
    """Checks that an expression gives for a proxy `x` of each target what it gives for that."""
    for target in targets:
        # Two copies, since some expressions change them or use them up.
        plain, hidden = copy.copy(target), copy.copy(target)
        assert outcome(expression, x=proxy_of(hidden)) == outcome(expression, x=plain), repr(target)
        assert name_of(hidden) == name_of(plain)


def check_either_side(expression: str, *operands: tuple[Any, Any]) -> None:
    """Checks that an expression gives the same if `x`, or `y`, or both are proxies."""
    for x, y in operands:
        expected = outcome(expression, x=x, y=y)
        assert outcome(expression, x=proxy_of(x), y=y) == expected, (x, y)
        assert outcome(expression, x=x, y=proxy_of(y)) == expected, (x, y)
        assert outcome(expression, x=proxy_of(x), y=proxy_of(y)) == expected, (x, y)


def after(statement: str, **names: Any) -> Any:
    """Returns what the name `x` stands for after a statement."""
    exec(statement, globals(), names)
    return names["x"]


def name_of(value: object) -> str:
    """Returns a name for a parameter of a test: one that is the same in each run."""
    return value if isinstance(value, str) else re.sub(r" at 0x\w+", "", repr(value))


# Operators


class Matrix(tuple[int, ...]):
    """As much of a matrix as `@` needs."""

    def __matmul__(self, other: Any) -> Matrix:
        return Matrix(map(operator.mul, self, other))

    __rmatmul__ = __matmul__


# The operators that have all three forms, and divmod, which has none in place.
SIGNS = {
    **{"+": "add", "-": "sub", "*": "mul", "@": "matmul", "/": "truediv", "//": "floordiv"},
    **{"%": "mod", "**": "pow", "<<": "lshift", ">>": "rshift", "&": "and", "^": "xor", "|": "or"},
}
OPERATIONS = {**{f"x {sign} y": name for sign, name in SIGNS.items()}, "divmod(x, y)": "divmod"}

# What stands on the left and on the right. The first pair of each has an immutable left.
OPERANDS: dict[str, list[tuple[Any, Any]]] = {
    "x + y": [(7, 0.5), ("on", "to"), ([1], [2]), ([1], (2,)), (1, "one")],
    "x - y": [(Fraction(1, 3), 2), ({1, 2}, {2}), ([1], [1])],
    "x * y": [(7, 0.5), ([1, 2], 3), (3, "ab"), ("a", "b")],
    "x @ y": [(Matrix([1, 2]), Matrix([3, 4])), (Matrix([1, 2]), [3]), ([1], Matrix([3, 4]))],
    "x / y": [(7, 2), (pathlib.PurePath("a"), "b"), ("a", pathlib.PurePath("b")), (1, 0)],
    "x // y": [(-7, 2.0), (datetime.timedelta(1), 7), (1, 0)],
    "x % y": [(-7, 3.0), ("%d", 3), ("%(a)s", {"a": 1})],
    "x ** y": [(7, 2), (Decimal(2), 3), (0, -1)],
    "x << y": [(7, 2), (1.5, 1)],
    "x >> y": [(7, 2), (1, -1)],
    "x & y": [(6, 3), ({1, 2}, {2, 3}), ({1: 2}.keys(), {1, 3})],
    "x ^ y": [(6, 3), ({1, 2}, {2, 3})],
    "x | y": [(6, 3), ({1: 1}, {2: 2}), (int, str)],
    "divmod(x, y)": [(7, 2), (Fraction(7, 3), 2), (1, 0)],
}


def test_every_operator_is_tried() -> None:
    known = {name.strip("_") for name in vars(operator) if name.startswith("__")}
    assert {name for name in known if f"i{name}" in known} - {"concat"} == set(SIGNS.values())
    assert list(OPERANDS) == list(OPERATIONS)


class TestOperators:
    @pytest.mark.parametrize("expression", OPERATIONS)
    def test_give_what_the_target_gives_on_either_side(self, expression: str) -> None:
        check_either_side(expression, *OPERANDS[expression])

    @pytest.mark.parametrize(
        ("statement", "target", "y"),
        [("x += y", [1], [2]), ("x *= y", [1], 2), ("x -= y", {1, 2}, {1}), ("x |= y", {1}, {2})],
    )
    def test_in_place_change_a_mutable_target_behind_its_proxy(
        self, statement: str, target: Any, y: Any
    ) -> None:
        changed, target = after(statement, x=copy.copy(target), y=y), copy.copy(target)
        proxy = proxy_of(target)
        assert after(statement, x=proxy, y=proxy_of(y)) is proxy
        assert extract(proxy) is target
        assert target == changed

    @pytest.mark.parametrize("sign", SIGNS)
    def test_in_place_rebind_the_name_where_the_target_is_immutable(self, sign: str) -> None:
        x, y = OPERANDS[f"x {sign} y"][0]
        expected = evaluated(f"x {sign} y", x=x, y=y)
        proxy = proxy_of(x)
        for left, right in (proxy, y), (proxy, proxy_of(y)), (x, proxy_of(y)):
            result = after(f"x {sign}= y", x=left, y=right)
            assert (type(result), result) == (type(expected), expected)
        assert extract(proxy) is x


class TestTheRightOperandIsUnwrapped:
    """Where a proxy stands at the left, the target gets to see the other one's target."""

    @expressions("""
        P(ip_address('1.2.3.4')) == P(ip_interface('1.2.3.4/24')); P('b') in P('abc');
        P('%s-%s') % P((1, 2)); P([1, 2, 3])[P(slice(0, 2))]; [1, 2][P(1)]; pow(P(3), P(2), P(5));
        issubclass(P(bool), P(int)); isinstance(P(3), P(int))
    """)
    def test_and_gives_what_it_gives_without_proxies(self, expression: str) -> None:
        expected = outcome(expression, P=lambda target: target)
        assert outcome(expression, P=proxy_of) == expected

    def test_as_a_key_but_a_proxy_stays_one_as_a_value(self) -> None:
        target: dict[Any, Any] = {}
        proxy, value = proxy_of(target), proxy_of(3)
        proxy[proxy_of("key")] = value
        [key] = target
        assert type(key) is str
        assert target["key"] is value
        assert not is_resolved(value)
        del proxy[proxy_of("key")]
        assert target == {}


# Comparisons


@pytest.mark.parametrize("expression", ["x < y", "x <= y", "x == y", "x != y", "x > y", "x >= y"])
def test_comparisons_give_what_the_target_gives_on_either_side(expression: str) -> None:
    check_either_side(expression, (1, 2), (2, 2), (2, 1.5), (float("nan"), 1), ("a", "b"))
    check_either_side(expression, ({1}, {2}), (1, "one"), ({1: 2}, {1: 2}), (None, None))


# Numbers, conversions, formatting, hash and truth


@expressions("""
    -x; +x; abs(x); ~x; int(x); float(x); complex(x); operator.index(x); round(x); round(x, 1);
    math.trunc(x); math.floor(x); math.ceil(x)
""")
def test_numbers_convert_as_the_target_does(expression: str) -> None:
    check(expression, -7, True, 2.5, 1j, Fraction(-7, 2), Decimal("-2.5"), "12", [1])


@expressions("""
    [1, 2, 3, 4][x:]; 'a' * x; {3: 'three'}[x]; {x: 'three'}[3]; range(x); sum([x, x, 1]);
    sorted([4, x])[0]; math.sqrt(x); hex(x); Fraction(x, 6); struct.pack('i', x)
""")
def test_a_proxy_of_a_number_serves_where_numbers_serve(expression: str) -> None:
    check(expression, 3)


@expressions("""
    str(x); repr(resolved(x)); ascii(resolved(x)); '%s' % x; f'{x}, {x!s:>12}'; format(x, '.1f');
    format(x, '%Y')
""")
def test_it_is_written_as_its_target(expression: str) -> None:
    check(expression, 3, 2.55, "ä", b"\xe4", Decimal("1.50"), datetime.date(2000, 1, 1), None)


def resolved(value: Any) -> Any:
    if type(value) is Proxy:
        resolve(value)
    return value


@pytest.mark.parametrize("expression", ["hash(x)", "bool(x)", "x and 1"])
def test_hash_and_truth_are_the_targets(expression: str) -> None:
    check(expression, 0, 1, "", "a", (), (1, 2), [], [0], None, int, Fraction(0))


# Bytes, buffers, paths


def test_bytes_are_made_as_of_the_target() -> None:
    check("bytes(x)", b"on", bytearray(b"on"), "text", [1, 2], 3)
    check("bytearray(x)", b"on", bytearray(b"on"), 3)


@needs_buffer
class TestBuffer:
    def test_a_memoryview_shows_the_targets_memory_until_it_is_released(self) -> None:
        target = bytearray(b"on")
        with memoryview(proxy_of(target)) as view:
            view[0] = ord("i")
            with pytest.raises(BufferError):
                target.append(0)
        target.append(0)
        assert target == b"in\0"

    def test_a_read_only_target_stays_read_only(self) -> None:
        with memoryview(proxy_of(b"on")) as view:
            assert view.readonly
        with pytest.raises((BufferError, TypeError)):
            io.BytesIO(b"in").readinto(proxy_of(b"on"))


def test_a_proxy_of_a_path_serves_as_a_path() -> None:
    check("(os.fspath(x), os.path.basename(x))", "a/b", b"a/b", pathlib.Path("a/b"), 3)


# Containers


class Defaulting(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"no {key}"


@expressions("""
    len(x); list(x); list(reversed(x)); [*x]; {**x}; dict(x); list(zip(x, x)); next(x);
    (lambda first, *rest: rest)(*x); x[0]; x[-1]; x[100]; x[1:]; x['a']; x['missing']; 1 in x;
    x.index(2)
""")
def test_containers_answer_as_the_target_does(expression: str) -> None:
    check(expression, [1, 2, 3], "123", b"123", range(1, 4), {1: "one", 2: "two"}, {1, 2}, 3)
    check(expression, collections.deque([1, 2, 3]), Defaulting(a="b"))


@pytest.mark.parametrize("statement", ["x[{}] = 7", "x[{}] = b'7'", "del x[{}]"])
def test_items_are_set_in_and_deleted_from_the_target(statement: str) -> None:
    for key in "0", "-1", "1:", "100", "'a'":
        changed = f"after({statement.format(key)!r}, x=x) and None"
        check(changed, [1, 2, 3], {0: 1}, bytearray(b"123"), collections.deque([1, 2]), (1, 2))


# Iteration


def counting(last: int) -> Generator[int, None, str]:
    yield from range(last)
    return "the end"


class TestIteration:
    def test_next_takes_one_item_of_the_target_after_the_other(self) -> None:
        proxy = proxy_of(iter([1, 2, 3]))
        assert (next(proxy), next(iter(proxy))) == (1, 2)
        assert list(proxy) == [3]
        with pytest.raises(StopIteration):
            next(proxy)

    def test_yield_from_delegates_to_the_target(self) -> None:
        def outer() -> Iterator[Any]:
            yield (yield from proxy_of(counting(2)))

        assert list(outer()) == [0, 1, "the end"]


# Calls


def test_calls_pass_all_arguments() -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    for expression in "x()", "x([('a', 1)], b=2)", "x(self=1, factory=2)":
        check(expression, function, functools.partial(function, 0), dict, 3)


# Context managers


def test_context_managers_are_entered_and_left_and_may_suppress_the_exception() -> None:
    with proxy_of(contextlib.nullcontext("its own")) as entered:
        assert entered == "its own"
    with proxy_of(contextlib.suppress(KeyError)):
        raise KeyError
    with pytest.raises(ValueError), proxy_of(contextlib.suppress(KeyError)):
        raise ValueError
    with pytest.raises(TypeError, match="context manager"), proxy_of(5):
        raise AssertionError


# Asynchronous protocols


async def answering(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def counting_asynchronously(last: int) -> AsyncIterator[int]:
    for number in range(last):
        await asyncio.sleep(0)
        yield number


async def await_it(value: Any) -> Any:
    return await value


async def enter_asynchronously(value: Any) -> None:
    async with value:
        raise AssertionError("nobody can enter it")


async def loop_asynchronously(value: Any) -> list[Any]:
    return [item async for item in value]


class TestAsynchronousProtocols:
    def test_await_a_coroutine(self) -> None:
        assert asyncio.run(await_it(proxy_of(answering(3)))) == 3

    def test_await_a_coroutine_that_is_a_generator(self) -> None:
        @types.coroutine
        def generator() -> Generator[Any, None, int]:
            yield from asyncio.sleep(0).__await__()
            return 3

        assert asyncio.run(await_it(proxy_of(generator()))) == 3

    def test_a_coroutine_that_is_awaited_twice_is_noticed(self) -> None:
        async def main() -> None:
            proxy = proxy_of(answering(3))
            first = asyncio.create_task(await_it(proxy))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="already"):
                await proxy
            await first

        asyncio.run(main())

    def test_async_for_and_anext(self) -> None:
        async def main() -> Any:
            proxy = proxy_of(counting_asynchronously(3))
            return await anext(proxy), await loop_asynchronously(proxy), await anext(proxy, "end")

        assert asyncio.run(main()) == (0, [1, 2], "end")

    def test_async_with(self) -> None:
        @contextlib.asynccontextmanager
        async def suppressing() -> AsyncIterator[str]:
            with contextlib.suppress(KeyError):
                yield "its own"

        async def main() -> None:
            async with proxy_of(suppressing()) as entered:
                assert entered == "its own"
                raise KeyError

        asyncio.run(main())

    def test_a_target_without_them_is_refused_as_without_a_proxy(self) -> None:
        for use in await_it, enter_asynchronously, loop_asynchronously:
            with pytest.raises(TypeError, match="int"):
                asyncio.run(use(proxy_of(5)))

    def test_a_proxy_of_a_coroutine_function_is_known_as_one(self) -> None:
        assert inspect.iscoroutinefunction(proxy_of(answering))


# Attributes


@dataclasses.dataclass
class Point:
    """An object with a bit of everything that an attribute can be."""

    x: Any
    y: Any

    dimensions = 2

    @property
    def total(self) -> Any:
        return self.x + self.y


class TestAttributes:
    @pytest.mark.parametrize("name", ["x", "total", "dimensions", "missing", "__dict__"])
    def test_are_got_from_the_target(self, name: str) -> None:
        target = Point(1, 2)
        check(f"x.{name}", target)
        check(f"hasattr(x, {name!r})", target)
        check(f"getattr(x, {name!r}, 'default')", target)
        check(f"setattr(x, {name!r}, 5)", target, 3, len)

    def test_are_set_on_and_deleted_from_the_target(self) -> None:
        target = Point(1, [2])
        proxy = proxy_of(target)
        proxy.x, proxy.new = 7, 8
        proxy.x += 1
        proxy.y += [3]
        assert vars(target) == {"x": 8, "y": [2, 3], "new": 8}
        del proxy.x
        assert vars(target) == {"y": [2, 3], "new": 8}
        with pytest.raises(AttributeError):
            del proxy.x

    def test_may_have_any_ordinary_name(self) -> None:
        for name in "target", "factory", "key", "store", "timeout", "_lock":
            target = types.SimpleNamespace(**{name: "its own"})
            assert getattr(proxy_of(target), name) == "its own"


# Classes


class Animal:
    """A class to inherit from."""


class Dog(Animal):
    """A class that does."""


def match_int(value: Any) -> bool:
    match value:
        case int():
            return True
    return False


class TestIsinstance:
    @expressions("""
        isinstance(x, int); isinstance(x, Animal); isinstance(x, (str, Dog));
        isinstance(x, int | str); isinstance(x, collections.abc.Sequence)
    """)
    def test_answers_as_for_the_target(self, expression: str) -> None:
        check(expression, True, "text", [1], Dog(), None, len, Dog)

    def test_single_dispatch_and_class_patterns_go_by_the_targets_class(self) -> None:
        kind = functools.singledispatch(lambda value: "object")
        kind.register(int, lambda value: "int")
        assert [kind(proxy_of(3)), kind(proxy_of("three"))] == ["int", "object"]
        check("match_int(x)", 3, "three")


class TestProxiesOfClasses:
    @expressions("""
        isinstance(Dog(), x); isinstance(3, (str, x)); issubclass(Dog, x);
        issubclass(int, (str, x)); isinstance([], x)
    """)
    def test_instance_and_subclass_checks(self, expression: str) -> None:
        check(expression, Animal, collections.abc.Sized, int)

    def test_instances_parameters_and_attributes(self) -> None:
        for expression in "type(x())", "x[int]", "x.__name__", "x.__bases__":
            check(expression, list, Dog)

    def test_subclasses_inherit_from_the_target(self) -> None:
        base = proxy_of(Dog)

        class Puppy(base):  # type: ignore[misc, valid-type]
            pass

        assert Puppy.__mro__ == (Puppy, Dog, Animal, object)


# Copying and weak references


class TestCopying:
    @pytest.mark.parametrize("expression", ["copy.copy(x)", "copy.deepcopy(x)"])
    def test_gives_a_copy_of_the_target(self, expression: str) -> None:
        target = Point(1, [2])
        check(expression, target, [[1]], {1: [2]}, 3)
        copied = evaluated(expression, x=proxy_of(target))
        assert copied is not target
        assert (copied.y is target.y) is (expression == "copy.copy(x)")

    def test_a_deep_copy_keeps_what_is_shared_shared(self) -> None:
        target: list[Any] = []
        proxy = proxy_of(target)
        first, second, third = copy.deepcopy([proxy, proxy, target])
        assert first is second is third


def test_a_weak_reference_leads_to_the_proxy_which_dies_with_its_target() -> None:
    proxy = Proxy(lambda: Point(1, 2))
    reference, target = weakref.ref(proxy), weakref.ref(extract(proxy))
    assert reference() is proxy
    del proxy
    assert [reference(), target()] == [None, None]


@expressions("x.missing; x[9]; x['key']; x / 0; x + 'a'; len(x); x(); hash(x)")
def test_errors_of_the_target_pass_unchanged(expression: str) -> None:
    def error_of(x: Any) -> tuple[type, str] | None:
        try:
            evaluated(expression, x=x)
        except Exception as error:
            return type(error), str(error)
        return None

    for target in 3, [1], {"a": 1}:
        assert error_of(proxy_of(target)) == error_of(target)
        assert error_of(resolved(proxy_of(target))) == error_of(target)


# The table of special methods is complete, and each one asks for its like


# These are the proxy's own, or nobody's.
NOT_HANDED_ON = {
    # About the proxy itself: how it is made, how it ends, how it is pickled.
    *("__init__", "__subclasshook__", "__class_getitem__", "__del__", "__sizeof__", "__reduce__"),
    *("__getnewargs__", "__getstate__", "__setstate__"),
    # Would make every access slow.
    "__getattribute__",
    # Would resolve a proxy that is merely stored in a class.
    *("__get__", "__set__", "__delete__", "__set_name__"),
    # The memoryview of the target sees to that.
    "__release_buffer__",
    # Asked of the class, which is the target's (`__class__`), or as ordinary attributes.
    *("__missing__", "__prepare__", "__replace__", "__subclasses__"),
    # Not of the language: details of single types.
    *("__alloc__", "__getformat__", "__vfspath__"),
}

# What every special method of Python is gathered from.
TYPES: list[Any] = [
    *(value for value in vars(types).values() if isinstance(value, type)),
    *(vars(collections.abc)[name] for name in collections.abc.__all__),
    *(vars(numbers)[name] for name in numbers.__all__),
    *(object, type, super, property, staticmethod, classmethod, BaseException, int, float, complex),
    *(bool, str, bytes, bytearray, memoryview, Decimal, Fraction, list, tuple, dict, set),
    *(frozenset, range, slice, type(iter([])), type(reversed([])), collections.deque),
    *(collections.OrderedDict, collections.Counter, collections.defaultdict, io.TextIOWrapper),
    *(io.BytesIO, pathlib.Path, os.PathLike, datetime.datetime, contextlib.AbstractContextManager),
    *(contextlib.AbstractAsyncContextManager, weakref.ref, asyncio.Future, asyncio.Lock),
    functools.partial,
]


def special_methods(kind: type) -> set[str]:
    return {
        name
        for name in dir(kind)
        if name.startswith("__") and name.endswith("__")
        if inspect.isroutine(inspect.getattr_static(kind, name))
    }


def test_every_special_method_is_there_and_what_is_missing_on_purpose_is_missing() -> None:
    methods = set().union(*map(special_methods, TYPES))
    # No type of the standard library has `@`, nor every operator in place.
    methods |= {f"__{form}{name}__" for form in ("", "r", "i") for name in SIGNS.values()}
    methods |= {"__rdivmod__", "__buffer__"}
    assert methods - set(vars(Proxy)) == NOT_HANDED_ON & methods
    assert NOT_HANDED_ON & set(vars(Proxy)) == set()


OTHER = object()
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **{f"__{form}{name}__": (OTHER,) for form in ("", "r", "i") for name in OPERATIONS.values()},
    **{f"__{name}__": (OTHER,) for name in ("lt", "le", "eq", "ne", "gt", "ge")},
    **{f"__{name}__": (OTHER,) for name in ("getitem", "delitem", "contains")},
    **{f"__{name}__": (OTHER,) for name in ("instancecheck", "subclasscheck")},
    **{f"__{name}__": (None, None, None) for name in ("exit", "aexit")},
    **{"__setitem__": (OTHER, OTHER), "__setattr__": ("name", OTHER), "__delattr__": ("name",)},
    **{"__format__": ("spec",), "__deepcopy__": ({},), "__buffer__": (0,)},
}
# What Python insists on. Where it does not, any result will do.
RESULTS: dict[str, Any] = {
    **dict.fromkeys(["__str__", "__repr__", "__format__", "__fspath__"], "text"),
    **dict.fromkeys(["__hash__", "__int__", "__index__", "__len__", "__length_hint__"], 7),
    **dict.fromkeys(["__bool__", "__contains__", "__instancecheck__", "__subclasscheck__"], True),
    **dict.fromkeys(["__setattr__", "__delattr__", "__setitem__", "__delitem__"], None),
    **{"__bytes__": b"bytes", "__float__": 7.0, "__complex__": 7j, "__dir__": []},
    **{"__iter__": iter([]), "__aiter__": counting_asynchronously(0)},
    "__buffer__": memoryview(b"bytes"),
}

# What these return is the target itself where that is mutable. Then, their result is the proxy.
IN_PLACE = {f"__i{name}__" for name in SIGNS.values()}

# Without these, which do more than ask for their like. They have tests of their own.
HANDED_ON = sorted(
    (special_methods(Proxy) & set(vars(Proxy)))
    - {"__new__", "__init_subclass__", "__getattr__", "__reduce_ex__", "__mro_entries__"}
    - {"__await__", "__aenter__"}
)


@pytest.mark.parametrize("name", HANDED_ON)
def test_each_special_method_asks_for_its_like(name: str) -> None:
    if name == "__buffer__" and sys.version_info < (3, 12):
        pytest.skip("Python classes can provide buffers from 3.12 on (PEP 688)")
    asked: list[tuple[Any, ...]] = []

    def method(self: object, *arguments: Any) -> Any:
        asked.append(arguments)
        return self if name in IN_PLACE else RESULTS.get(name, "result")

    arguments = ARGUMENTS.get(name, ())
    # The `__exit__` is for `__enter__`: a context manager has both.
    proxy = resolved(proxy_of(type("Target", (), {"__exit__": list, name: method})()))
    result = getattr(Proxy, name)(proxy, *arguments)
    if name == "__buffer__":
        arguments = asked[0]  # for Python chooses the flags
    assert asked == [arguments]
    assert result is proxy if name in IN_PLACE else result == RESULTS.get(name, "result")


# Laziness: looking is not touching


def make_value() -> bytes:
    return b"the value " * 3


def divide_by_zero() -> float:
    return 1 / 0


def traceback_with_locals(value: object) -> str:
    stack = traceback.walk_stack(inspect.currentframe())
    return "".join(traceback.StackSummary.extract(stack, limit=1, capture_locals=True).format())


LOOKS = [
    *("repr(x)", "f'{x!r}'", "'%r' % (x,)", "dir(x)", "repr([x, {1: x}])"),
    *("traceback_with_locals(x)", "type(x)", "callable(x)", "sys.getsizeof(x)", "weakref.ref(x)"),
    *("pickle.loads(pickle.dumps(x))", "x in [x]", "[x] == [x]", "type('Class', (), {'x': x})().x"),
    *("functools.partial(id, x)()", "asyncio.run(answering(x))"),
]

called, told = threading.Event(), threading.Event()


def wait_until_told() -> bool:
    called.set()
    return told.wait(LIMIT)


class TestLooking:
    @pytest.mark.parametrize("expression", LOOKS)
    def test_does_not_call_the_factory(self, expression: str) -> None:
        factory = Factory(3)
        proxy = Proxy(factory)
        evaluated(expression, x=proxy)
        assert not is_resolved(proxy)
        assert factory.calls == 0

    def test_does_not_wait_for_a_thread_that_resolves(self) -> None:
        proxy = Proxy(wait_until_told)
        resolving = in_thread(resolve, proxy)
        assert called.wait(LIMIT)
        for expression in LOOKS:
            evaluated(expression, x=proxy)
        assert not is_resolved(proxy)
        told.set()
        resolving.result(LIMIT)
        assert is_resolved(proxy)

    def test_is_possible_after_a_failure(self) -> None:
        proxy = Proxy(divide_by_zero)
        with pytest.raises(ProxyResolveError):
            resolve(proxy)
        for expression in LOOKS:
            evaluated(expression, x=proxy)

    def test_shows_that_the_proxy_is_unresolved_and_the_factory(self) -> None:
        assert re.fullmatch(r"<Proxy of <.*Factory object.*>, unresolved>", repr(proxy_of(3)))


def test_a_target_that_looks_like_nothing_counts() -> None:
    for target in None, False, 0, "", (), NotImplemented:
        factory = Factory(target)
        proxy: Any = Proxy(factory)
        assert extract(proxy) is extract(proxy) is target
        assert factory.calls == 1


class TestObservers:
    """IPython and Dask ask everything they see for methods of their own."""

    @pytest.mark.parametrize("name", ["_repr_html_", "_ipython_display_", "__dask_graph__"])
    def test_find_nothing_on_an_unresolved_proxy_and_do_not_wait(self, name: str) -> None:
        target = types.SimpleNamespace(**{name: "its own"})
        for target_type in None, types.SimpleNamespace:
            proxy: Any = Proxy(Factory(target), target_type)
            with pytest.raises(AttributeError, match=name):
                getattr(proxy, name)
            assert not is_resolved(proxy)
            assert getattr(resolved(proxy), name) == "its own"

    @pytest.mark.parametrize("name", ["__html__", "__array__", "_private", "name"])
    def test_any_other_name_waits_also_where_the_target_type_lacks_it(self, name: str) -> None:
        derived = type("Derived", (Animal,), {name: "its own"})
        assert hasattr(Proxy(derived, Animal), name)
        assert getattr(Proxy(derived, Animal), name) == "its own"


class TestTargetType:
    """`Proxy(factory, target_type)` answers questions about the class without the factory."""

    @expressions("""
        isinstance(x, list); not isinstance(x, int); isinstance(x, collections.abc.Sequence);
        x.__class__ is list; not match_int(x); dir(x) == dir(list); pprint.pformat(x, width=9);
        isinstance(pickle.loads(pickle.dumps(x)), list); functools.singledispatch(callable)(x)
    """)
    def test_answers_without_the_factory(self, expression: str) -> None:
        factory = Factory([])
        assert evaluated(expression, x=Proxy(factory, list))
        assert factory.calls == 0

    def test_the_proxys_uses_are_not_limited_to_it(self) -> None:
        proxy: Any = Proxy(Factory("text"), int)
        assert proxy.upper() == "TEXT"
        assert not isinstance(proxy, int)


# A failed resolution is loud


def enter(value: Any) -> None:
    with value:
        raise AssertionError("a failed proxy cannot be entered")


def inherit_from(value: Any) -> None:
    class _(value):  # type: ignore[misc]
        pass


# What Python's protocols swallow, or take for an answer, and some that they do not.
FAILURES: list[type[Exception]] = [
    *(AttributeError, StopIteration, StopAsyncIteration, IndexError, KeyError, TypeError),
    *(ValueError, NotImplementedError, OverflowError, TimeoutError),
]


def failing_with(error: BaseException) -> Any:
    def factory() -> NoReturn:
        raise error

    return Proxy(factory)


class TestAFailedResolutionIsLoud:
    # Many of these swallow one error or another: that is what they are here for.
    @expressions("""
        resolve(x); extract(x); hasattr(x, 'name'); getattr(x, 'a', None); list(x); next(x, None);
        {**x}; print(*x); operator.length_hint(x); 1 in x; x in {1}; [1][x]; 1 == x; [] + x; 1 < x;
        operator.iadd([1], x); range(x); bool(x); math.floor(x); f'{x:>3}'; bytes(x); open(x);
        isinstance(x, int); match_int(x); isinstance(1, x); issubclass(int, x); copy.copy(x);
        inherit_from(x); enter(x); asyncio.run(await_it(x)); asyncio.run(loop_asynchronously(x));
        asyncio.run(enter_asynchronously(x))
    """)
    def test_whatever_failed_and_whatever_asked(self, expression: str) -> None:
        for failure in FAILURES:
            error = failure("its own")
            proxy = failing_with(error)
            with pytest.raises(ProxyResolveError, match="its own") as raised:
                evaluated(expression, x=proxy)
            assert raised.value.__cause__ is error
            assert not is_resolved(proxy)

    def test_in_each_special_method(self) -> None:
        for name in {*HANDED_ON} - {"__repr__", "__dir__"}:
            with pytest.raises(ProxyResolveError):
                getattr(Proxy, name)(Proxy(divide_by_zero), *ARGUMENTS.get(name, ()))

    def test_a_later_touch_tries_again(self) -> None:
        attempts = iter([KeyError("first"), IndexError("second"), None])

        def factory() -> int:
            error = next(attempts)
            if error is not None:
                raise error
            return 3

        proxy: Any = Proxy(factory)
        for name in "first", "second":
            with pytest.raises(ProxyResolveError, match=name):
                str(proxy)
        assert str(proxy) == "3"

    def test_but_what_is_to_end_the_program_or_the_task_is_not_wrapped(self) -> None:
        for error in KeyboardInterrupt, SystemExit, asyncio.CancelledError:
            proxy = failing_with(error())
            with pytest.raises(error):
                str(proxy)
            assert not is_resolved(proxy)

    def test_a_factory_that_uses_its_own_proxy_fails_instead_of_waiting_for_itself(self) -> None:
        proxy: Any = Proxy(lambda: proxy + 1)
        with pytest.raises(ProxyResolveError) as raised:
            str(proxy)
        assert isinstance(raised.value.__cause__, RecursionError)


# Nested proxies


class TestNestedProxies:
    def test_behave_as_the_innermost_target(self) -> None:
        for expression in "x + 1", "1 + x", "x == 3", "str(x)", "x.real":
            assert outcome(expression, x=proxy_of(proxy_of(3))) == outcome(expression, x=3)

    def test_are_extracted_layer_by_layer_and_looking_resolves_none(self) -> None:
        inner = proxy_of(3)
        outer = proxy_of(inner)
        assert extract(outer) is inner
        assert repr(outer) == repr(inner)
        assert not is_resolved(inner)

    def test_a_failure_of_the_inner_proxy_keeps_its_cause(self) -> None:
        error = KeyError("its own")
        failing = failing_with(error)
        for outer in proxy_of(failing), Proxy(lambda: failing + 1):
            with pytest.raises(ProxyResolveError) as raised:
                str(outer)
            assert raised.value.__cause__ is error


# Pickling: a proxy travels as its factory


class TestPickling:
    @pytest.mark.parametrize("dumps", [pickle.dumps, vars(pickle)["_dumps"]], ids=["C", "Python"])
    def test_a_resolved_proxy_travels_unresolved_and_without_its_value(self, dumps: Any) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            proxy = Proxy(make_value)
            unresolved = dumps(proxy, protocol)
            assert dumps(resolved(proxy), protocol) == unresolved
            assert make_value() not in unresolved
            arrived = pickle.loads(unresolved)
            assert type(arrived) is Proxy
            assert not is_resolved(arrived)
            assert arrived == make_value()

    def test_the_type_of_its_target_travels_with_it(self) -> None:
        arrived = pickle.loads(pickle.dumps(resolved(Proxy(make_value, bytes))))
        assert isinstance(arrived, bytes)
        assert not is_resolved(arrived)

    def test_is_impossible_without_the_factory(self) -> None:
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(resolved(Proxy(lambda: 3)))

    def test_the_same_proxy_twice_in_a_pickle_arrives_as_one(self) -> None:
        proxy = Proxy(make_value)
        first, second = pickle.loads(pickle.dumps([proxy, proxy]))
        assert first is second


# Threads


class TestThreads:
    def test_the_factory_is_called_once_for_all(self) -> None:
        calls = []

        def factory() -> object:
            calls.append(threading.get_ident())
            time.sleep(0.01)  # so that the others come while it runs
            return object()

        proxy: Any = Proxy(factory)
        found = [in_thread(extract, proxy) for _ in range(32)]
        assert all(target.result(LIMIT) is extract(proxy) for target in found)
        assert len(calls) == 1

    def test_a_failure_goes_to_the_thread_that_met_it_and_the_next_tries_again(self) -> None:
        errors = [KeyError("once")]

        def factory() -> int:
            time.sleep(0.01)
            if errors:
                raise errors.pop()
            return 3

        proxy: Any = Proxy(factory)
        found = [in_thread(extract, proxy) for _ in range(8)]
        failures = [type(target.exception(LIMIT)) for target in found]
        assert failures.count(ProxyResolveError) == 1
        assert [target.result() for target in found if not target.exception()] == [3] * 7

    def test_proxies_do_not_wait_for_each_other(self) -> None:
        # The first gets its target only after the second, which was asked later.
        second_is_done = threading.Event()
        first = in_thread(extract, Proxy(lambda: second_is_done.wait(LIMIT)))
        assert proxy_of("second") == "second"
        second_is_done.set()
        assert first.result(LIMIT) is True


# The class itself, and the three functions


class TestTheClass:
    def test_is_a_class_with_a_name_and_a_module(self) -> None:
        assert (Proxy.__name__, Proxy.__module__) == ("Proxy", "proxyfuture")
        assert pickle.loads(pickle.dumps(Proxy)) is copy.deepcopy(Proxy) is Proxy

    def test_cannot_be_subclassed(self) -> None:
        for base in Proxy, Proxy[int]:
            with pytest.raises(TypeError, match="Proxy cannot be subclassed"):
                types.new_class("Mine", (base,))

    def test_takes_a_parameter_for_type_checkers(self) -> None:
        proxy = Proxy[int](Factory(3))
        assert type(proxy) is Proxy
        assert proxy == 3

    @pytest.mark.parametrize("make", ["Proxy()", "Proxy.__new__(Proxy)", "Proxy(3)", "Proxy(None)"])
    def test_makes_no_proxy_without_a_factory(self, make: str) -> None:
        with pytest.raises(TypeError, match="factory"):
            evaluated(make)

    @pytest.mark.parametrize("target_type", [3, "int", list[int], (int, str)], ids=name_of)
    def test_refuses_a_target_type_that_is_not_a_class(self, target_type: Any) -> None:
        with pytest.raises(TypeError, match="target_type must be a class or None"):
            Proxy(make_value, target_type)


class TestResolveIsResolvedExtract:
    def test_resolve_gets_the_target_once_and_extract_returns_it(self) -> None:
        target = [1]
        factory = Factory(target)
        proxy = Proxy(factory)
        for _ in range(2):
            resolve(proxy)
            assert is_resolved(proxy)
        assert extract(proxy) is target
        assert factory.calls == 1

    def test_they_refuse_what_is_not_a_proxy(self) -> None:
        for function in resolve, is_resolved, extract:
            for value in 3, None, "text", make_value, Proxy:
                with pytest.raises(TypeError, match="must be a Proxy"):
                    function(value)
