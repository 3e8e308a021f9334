"""How an exception travels: whole where that is possible, and never silently."""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conformance import LIMIT

from connectors import ConnectorError, FileConnector
from proxyfuture import (
    BrokenFutureError,
    ProxyFuture,
    ProxyResolveError,
    SerializationError,
    Store,
    resolve,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for all tests, since an exception is bytes to any connector."""
    directory = tmp_path_factory.mktemp("exceptions") / "values"
    with Store("exceptions", FileConnector(directory)) as store:
        yield store


@pytest.fixture
def future(store: Store) -> ProxyFuture[Any]:
    return store.future()


def caught_from(use: Callable[[], object]) -> BaseException:
    """Returns the exception that a use raises."""
    try:
        use()
    except BaseException as error:
        return error
    pytest.fail("No exception was raised.")


def printed(error: BaseException) -> str:
    """What a user sees who does not catch the exception."""
    return "".join(traceback.format_exception(error))


Received = Callable[[ProxyFuture[Any]], BaseException | None]

# Each way in which a consumer learns of an exception. All of them tell the same.
WAYS: dict[str, Received] = {
    "result": lambda future: caught_from(lambda: future.result(LIMIT)),
    "exception": lambda future: future.exception(LIMIT),
    "to_concurrent": lambda future: future.to_concurrent().exception(LIMIT),
    "pickled copy": lambda future: pickle.loads(pickle.dumps(future)).exception(LIMIT),
    "cause in a proxy": lambda future: caught_from(lambda: resolve(future.proxy())).__cause__,
}


@pytest.fixture(params=WAYS)
def received(request: pytest.FixtureRequest) -> Received:
    return WAYS[request.param]


# Exceptions of the kinds that there are


class DetailedError(Exception):
    """Has attributes, and an `__init__` that fits what Python pickles: its `args`."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason, code)
        self.code = code
        self.extra = ["not", "in", "args"]


class KeywordError(Exception):
    """Pickles, but cannot be rebuilt: a classic, for `args` holds the message alone."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"{reason} {code}")


class HoldsLockError(Exception):
    """Cannot be pickled."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.lock = threading.Lock()


class UnprintableError(Exception):
    """Travels well, as long as nobody prints it."""

    def __repr__(self) -> str:
        raise AttributeError("no repr")

    __str__ = __repr__


class UnprintableHoldsLockError(HoldsLockError, UnprintableError):
    """Cannot be pickled, and cannot be described either."""


class RebuiltAsTextError(Exception):
    """Its pickle can be loaded, but what comes out is no exception."""

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("text",)


@dataclass(frozen=True)
class FrozenError(Exception):
    """Nothing can be added to it. Python cannot pickle it without help."""

    reason: str

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenError, (self.reason,)


# Whole, where that is possible


@pytest.mark.parametrize(
    "error",
    [
        ValueError("reason", 1, None),
        KeyError("key"),
        FileNotFoundError(2, "No such file", "path"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        DetailedError("reason", 7),
        AttributeError("name"),
        SystemExit(3),
        GeneratorExit(),
    ],
    ids=repr,
)
def test_type_arguments_and_attributes_arrive(
    future: ProxyFuture[Any], error: BaseException
) -> None:
    future.set_exception(error)  # which was never raised
    copy = future.exception(LIMIT)
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert str(copy) == str(error)
    attributes = dict(vars(copy))
    attributes.pop("__notes__")  # the producer's traceback, of which more below
    assert attributes == vars(error)


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, ConnectorError, KeyboardInterrupt])
def test_every_consumer_gets_it_and_takes_it_for_no_failure_of_its_own(
    future: ProxyFuture[Any], received: Received, kind: type[BaseException]
) -> None:
    future.set_exception(kind("the producer's"))
    error = received(future)
    assert type(error) is kind
    assert error.args == ("the producer's",)


def test_notes_arrive(future: ProxyFuture[Any]) -> None:
    error = ValueError("reason")
    error.add_note("a first note")
    error.add_note("a second note")
    future.set_exception(error)
    copy = future.exception(LIMIT)
    assert copy is not None
    assert copy.__notes__[:2] == ["a first note", "a second note"]
    assert error.__notes__ == ["a first note", "a second note"]


@pytest.mark.parametrize("kind", [FrozenError, UnprintableError])
def test_an_exception_that_takes_no_notes_or_cannot_be_printed_arrives_as_itself(
    future: ProxyFuture[Any], kind: type[Exception]
) -> None:
    future.set_exception(kind("reason"))
    error = future.exception(LIMIT)
    assert type(error) is kind
    assert error.args == ("reason",)


def test_each_consumer_gets_its_own_exception(future: ProxyFuture[Any]) -> None:
    # One that is raised twice would collect the tracebacks of both.
    future.set_exception(ValueError("reason"))
    first, second = (caught_from(future.result) for _ in range(2))
    assert first is not second
    assert len(printed(first).splitlines()) == len(printed(second).splitlines())
    assert printed(second).count("In the producer") == 1


def test_an_exception_arrives_from_another_process(
    future: ProxyFuture[Any], elsewhere: Callable[..., Any]
) -> None:
    with pytest.raises(DetailedError):
        elsewhere(failing_producer, future)
    error = future.exception(LIMIT)
    assert type(error) is DetailedError
    assert error.args == ("reason", 7)
    assert error.extra == ["not", "in", "args"]
    assert f"In the producer (process {elsewhere(os.getpid)}):" in printed(error)
    assert "in failing_function" in printed(error)


def test_get_raises_the_exception_that_is_stored(store: Store) -> None:
    future: ProxyFuture[Any] = store.future()
    future.set_exception(DetailedError("reason", 7))
    for _ in range(2):
        with pytest.raises(DetailedError):
            store.get(future.key, default="default")
    assert future.done()
    store.evict(future.key)
    assert store.get(future.key, "gone") == "gone"


# Where it came from


def failing_function() -> NoReturn:
    raise DetailedError("reason", 7)


def failing_producer(future: ProxyFuture[Any]) -> None:
    with future:
        failing_function()


def test_the_producers_traceback_is_printed_with_the_exception(
    future: ProxyFuture[Any], received: Received
) -> None:
    with pytest.raises(DetailedError):
        failing_producer(future)
    error = received(future)
    assert error is not None
    text = printed(error)
    assert f"In the producer (process {os.getpid()}):" in text
    assert "in failing_producer" in text
    assert f'File "{__file__}"' in text
    assert 'raise DetailedError("reason", 7)' in text


def test_a_chained_cause_is_printed(future: ProxyFuture[Any]) -> None:
    with pytest.raises(ValueError, match="the effect"), future:
        raise ValueError("the effect") from caught_from(failing_function)
    error = future.exception(LIMIT)
    assert type(error) is ValueError
    text = printed(error)
    assert "DetailedError: ('reason', 7)" in text
    assert "in failing_function" in text
    assert "direct cause" in text


def test_a_traceback_grows_along_a_chain_of_futures(store: Store) -> None:
    """A consumer that produces something itself passes on what stopped it."""
    first: ProxyFuture[Any] = store.future()
    second: ProxyFuture[Any] = store.future()
    with pytest.raises(DetailedError):
        failing_producer(first)
    with pytest.raises(ProxyResolveError), second:
        second.set_result(first.proxy() + 1)
    error = second.exception(LIMIT)
    assert type(error) is ProxyResolveError
    assert "in failing_function" in printed(error)
    assert "in test_a_traceback_grows_along_a_chain_of_futures" in printed(error)


# Described, where it cannot travel


@pytest.mark.parametrize(
    "error", [HoldsLockError("reason"), KeywordError("reason", 7), RebuiltAsTextError("reason")]
)
def test_an_exception_that_cannot_travel_is_described(
    future: ProxyFuture[Any], error: Exception
) -> None:
    with pytest.raises(type(error)), future:
        raise error
    description = future.exception(LIMIT)
    assert type(description) is BrokenFutureError
    assert repr(error) in str(description)
    assert "    raise error" in printed(description)


def test_an_exception_that_can_be_neither_pickled_nor_printed_is_named(
    future: ProxyFuture[Any],
) -> None:
    future.set_exception(UnprintableHoldsLockError("reason"))
    description = future.exception(LIMIT)
    assert type(description) is BrokenFutureError
    assert "UnprintableHoldsLockError" in str(description)


def test_an_exception_of_a_class_that_is_missing_here_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, future: ProxyFuture[Any]
) -> None:
    (tmp_path / "only_there.py").write_text("class OnlyThereError(Exception): pass")
    with monkeypatch.context() as there:
        there.syspath_prepend(tmp_path)
        module = importlib.import_module("only_there")
        future.set_exception(module.OnlyThereError("reason"))
        del sys.modules["only_there"]
    error = future.exception(LIMIT)
    assert type(error) is BrokenFutureError
    assert "OnlyThereError('reason')" in str(error)


def test_a_damaged_exception_is_an_error_of_its_own(store: Store, future: ProxyFuture[Any]) -> None:
    future.set_exception(ValueError("reason"))
    connector: Any = store.connector
    damaged: ProxyFuture[Any] = store.future()
    connector.set(damaged.key, connector.get(future.key)[:-10])
    with pytest.raises(SerializationError):
        damaged.result(LIMIT)


# Nothing is kept alive by an exception that was dealt with


class Held:
    """Something large that a consumer holds when the exception comes."""


RAISING: dict[str, Callable[[Store, ProxyFuture[Any]], object]] = {
    "result": lambda store, future: future.result(LIMIT),
    "Store.get": lambda store, future: store.get(future.key),
    "to_concurrent": lambda store, future: future.to_concurrent().result(LIMIT),
    "a proxy": lambda store, future: resolve(future.proxy()),
    "a timeout": lambda store, future: store.future().result(0),
}


@pytest.mark.parametrize("use", RAISING.values(), ids=RAISING)
def test_an_exception_and_what_it_holds_are_gone_after_the_except_block(
    store: Store, future: ProxyFuture[Any], use: Callable[[Store, ProxyFuture[Any]], object]
) -> None:
    def consume() -> weakref.ref[Held]:
        held = Held()  # is in this frame, which the exception's traceback holds
        try:
            use(store, future)
        except Exception:
            return weakref.ref(held)
        pytest.fail("No exception was raised.")

    future.set_exception(DetailedError("reason", 7))
    gc.disable()
    try:
        assert consume()() is None
    finally:
        gc.enable()


# Proxies never let an exception pass for an answer


@pytest.mark.parametrize("kind", [AttributeError, StopIteration, IndexError, TypeError])
def test_a_proxy_raises_its_own_error_from_the_producers(
    future: ProxyFuture[Any], kind: type[Exception]
) -> None:
    future.set_exception(kind("reason"))
    proxy: Any = future.proxy(evict=True)  # which leaves the exception in the store
    uses: list[Callable[[], object]] = [
        lambda: hasattr(proxy, "name"),
        lambda: list(proxy),
        lambda: 1 in proxy,
        lambda: 1 + proxy,
        lambda: isinstance(proxy, int),
        lambda: resolve(proxy),
    ]
    for use in uses * 2:
        with pytest.raises(ProxyResolveError, match="reason") as caught:
            use()
        assert type(caught.value.__cause__) is kind


# What is refused


def as_is(data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("buffer", [bytes, memoryview])
def test_a_result_that_looks_like_an_exception_is_refused(
    store: Store, future: ProxyFuture[Any], buffer: Callable[[bytes], Any]
) -> None:
    future.set_exception(ValueError("reason"))
    stored = bytes(store.connector.get(future.key) or b"")
    store_of_bytes = Store("bytes", store.connector, serializer=as_is, deserializer=bytes)
    another: ProxyFuture[bytes] = store_of_bytes.future()
    for refusing in another.set_result, store_of_bytes.put, store_of_bytes.proxy:
        with pytest.raises(SerializationError, match="exception"):
            refusing(buffer(stored))
    assert not another.done()
    another.set_result(stored[1:])
    assert another.result() == stored[1:]
