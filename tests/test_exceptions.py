"""How an exception travels: whole where that is possible, and never silently."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
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


@pytest.fixture(scope="module")
def another_process() -> Iterator[ProcessPoolExecutor]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as executor:
        yield executor


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


class HasTextNotesError(Exception):
    """Its notes are no list, so that none can be added."""

    __notes__ = "text"  # type: ignore[assignment]


# Whole, where that is possible


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        ValueError("reason", 1, None),
        KeyError("key"),
        FileNotFoundError(2, "No such file", "path"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        DetailedError("reason", 7),
        TimeoutError("not the consumer's"),
        ConnectorError("not the consumer's"),
        AttributeError("name"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
    ],
    ids=repr,
)
def test_type_arguments_and_attributes_arrive(
    future: ProxyFuture[Any], received: Received, error: BaseException
) -> None:
    future.set_exception(error)  # which was never raised
    copy = received(future)
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert str(copy) == str(error)
    attributes = dict(vars(copy))
    attributes.pop("__notes__")  # the producer's traceback, of which more below
    assert attributes == vars(error)


def test_a_stop_iteration_arrives_also_where_asyncio_would_refuse_it(
    future: ProxyFuture[Any],
) -> None:
    future.set_exception(StopIteration("value"))
    assert type(caught_from(lambda: future.result(LIMIT))) is StopIteration
    # A generator that ends with StopIteration ends with RuntimeError instead (PEP 479).
    followers_error = future.to_concurrent().exception(LIMIT)
    assert type(followers_error) is RuntimeError
    assert type(followers_error.__cause__) is StopIteration


def test_notes_arrive(future: ProxyFuture[Any], received: Received) -> None:
    error = ValueError("reason")
    error.add_note("a first note")
    error.add_note("a second note")
    future.set_exception(error)
    copy = received(future)
    assert copy is not None
    assert copy.__notes__[:2] == ["a first note", "a second note"]
    assert error.__notes__ == ["a first note", "a second note"]


@pytest.mark.parametrize("kind", [FrozenError, HasTextNotesError, UnprintableError])
def test_an_exception_that_takes_no_notes_or_cannot_be_printed_arrives_as_itself(
    future: ProxyFuture[Any], received: Received, kind: type[Exception]
) -> None:
    future.set_exception(kind("reason"))
    error = received(future)
    assert type(error) is kind
    assert error.args == ("reason",)


def test_each_consumer_gets_its_own_exception(future: ProxyFuture[Any]) -> None:
    # One that is raised twice would collect the tracebacks of both.
    future.set_exception(ValueError("reason"))
    first, second = (caught_from(future.result) for _ in range(2))
    assert first is not second
    assert len(traceback.extract_tb(first.__traceback__)) == len(
        traceback.extract_tb(second.__traceback__)
    )
    assert printed(first).count("In the producer") == 1
    assert printed(second).count("In the producer") == 1


def test_an_exception_arrives_from_another_process(
    future: ProxyFuture[Any], received: Received, another_process: ProcessPoolExecutor
) -> None:
    failing = another_process.submit(failing_producer, future)
    error = received(future) if failing.exception(LIMIT) else None
    assert type(error) is DetailedError
    assert error.args == ("reason", 7)
    assert error.extra == ["not", "in", "args"]
    producer = another_process.submit(os.getpid).result(LIMIT)
    assert f"In the producer (process {producer}):" in printed(error)
    assert "in failing_function" in printed(error)


def type_and_text(future: ProxyFuture[Any]) -> tuple[type[BaseException], str]:
    error = caught_from(lambda: future.result(LIMIT))
    return type(error), printed(error)


def test_an_exception_arrives_in_another_process(
    future: ProxyFuture[Any], another_process: ProcessPoolExecutor
) -> None:
    consumer = another_process.submit(type_and_text, future)
    with pytest.raises(DetailedError):
        failing_producer(future)
    kind, text = consumer.result(LIMIT)
    assert kind is DetailedError
    assert "failing_function" in text


def test_get_raises_the_exception_that_is_stored(store: Store) -> None:
    future: ProxyFuture[Any] = store.future()
    future.set_exception(DetailedError("reason", 7))
    with pytest.raises(DetailedError):
        store.get(future.key)
    with pytest.raises(DetailedError):
        store.get(future.key, default="default")
    assert store.exists(future.key)
    assert future.done()
    store.evict(future.key)
    assert store.get(future.key, "gone") == "gone"


# Where it came from


def failing_function() -> NoReturn:
    raise DetailedError("reason", 7)


def failing_producer(future: ProxyFuture[Any]) -> None:
    with future:
        failing_function()


def chaining_producer(future: ProxyFuture[Any]) -> None:
    with future:
        try:
            failing_function()
        except DetailedError as cause:
            raise ValueError("the effect") from cause


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
    assert "in failing_function" in text
    assert f'File "{__file__}"' in text
    assert 'raise DetailedError("reason", 7)' in text


def test_a_chained_cause_is_printed(future: ProxyFuture[Any], received: Received) -> None:
    with pytest.raises(ValueError, match="the effect"):
        chaining_producer(future)
    error = received(future)
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


def test_an_exception_group_arrives_with_its_members(
    future: ProxyFuture[Any], received: Received
) -> None:
    members = [caught_from(failing_function), caught_from(lambda: [][0])]
    with pytest.raises(ExceptionGroup), future:
        raise BaseExceptionGroup("several", members)  # which becomes an ExceptionGroup
    group = received(future)
    assert isinstance(group, ExceptionGroup)
    assert group.message == "several"
    assert [type(member) for member in group.exceptions] == [DetailedError, IndexError]
    assert "in failing_function" in printed(group)


# Described, where it cannot travel


@pytest.mark.parametrize(
    "error", [HoldsLockError("reason"), KeywordError("reason", 7), RebuiltAsTextError("reason")]
)
def test_an_exception_that_cannot_travel_is_described(
    future: ProxyFuture[Any], received: Received, error: Exception
) -> None:
    with pytest.raises(type(error)), future:
        raise error
    description = received(future)
    assert type(description) is BrokenFutureError
    assert repr(error) in str(description)
    assert "    raise error" in printed(description)


def test_an_exception_that_can_be_neither_pickled_nor_printed_is_named(
    future: ProxyFuture[Any], received: Received
) -> None:
    future.set_exception(UnprintableHoldsLockError("reason"))
    description = received(future)
    assert type(description) is BrokenFutureError
    assert "UnprintableHoldsLockError" in str(description)


SCRIPT = """
import pickle, sys
from pathlib import Path

class OnlyHereError(Exception):
    pass

def failing_in_script():
    raise OnlyHereError("a class of __main__")

with pickle.loads(Path(sys.argv[1]).read_bytes()):
    failing_in_script()
"""


def test_an_exception_of_a_class_that_is_missing_here_is_described(
    tmp_path: Path, future: ProxyFuture[Any]
) -> None:
    (tmp_path / "future").write_bytes(pickle.dumps(future))
    (tmp_path / "script.py").write_text(SCRIPT)
    producer = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path / "future"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT,
    )
    assert "OnlyHereError" in producer.stderr
    for received in WAYS.values():
        error = received(future)
        assert type(error) is BrokenFutureError
        assert "OnlyHereError('a class of __main__')" in str(error)
        assert "in failing_in_script" in printed(error)


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
    proxy: Any = future.proxy()
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


def test_a_proxy_that_removes_its_result_leaves_an_exception(store: Store) -> None:
    future: ProxyFuture[Any] = store.future()
    future.set_exception(DetailedError("reason", 7))
    proxy = future.proxy(evict=True)
    for _ in range(2):
        with pytest.raises(ProxyResolveError) as caught:
            resolve(proxy)
        assert type(caught.value.__cause__) is DetailedError


# What is refused


def as_is(data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
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
