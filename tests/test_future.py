"""What a `ProxyFuture` promises: one result, set once by anybody, for any number of consumers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import logging
import multiprocessing
import operator
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conformance import LIMIT, SETTLING, in_thread
from support import eventually, opened

from connectors import ConnectorError, FileConnector, LocalConnector, LocalKey
from proxyfuture import (
    BrokenFutureError,
    Proxy,
    ProxyFuture,
    ProxyResolveError,
    SerializationError,
    Store,
    call_with_proxies,
    extract,
    is_resolved,
    resolve,
)

T = TypeVar("T")

KINDS = ["local", "file", "manager"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """A store of each kind, for all tests here: a key of its own is all that a future needs."""
    with contextlib.ExitStack() as stack:
        yield {
            kind: stack.enter_context(opened(kind, tmp_path_factory.mktemp(kind), 16)).store
            for kind in KINDS
        }


@pytest.fixture
def store(stores: dict[str, Store]) -> Store:
    """A store for what the kind of store cannot change."""
    return stores["local"]


@pytest.fixture(params=["file", "manager"])
def shared_store(request: pytest.FixtureRequest, stores: dict[str, Store]) -> Store:
    """A store that other processes can reach."""
    return stores[request.param]


@pytest.fixture
def future(store: Store) -> ProxyFuture[Any]:
    return store.future()


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes that were spawned: they have nothing of ours but what is sent to them."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=2, mp_context=spawn) as executor:
        yield executor


def copied(obj: T) -> T:
    copy: T = pickle.loads(pickle.dumps(obj))
    return copy


def assert_still_waiting(*waiters: Future[Any]) -> None:
    time.sleep(SETTLING)
    assert not any(waiter.done() for waiter in waiters)


# The guide's example


@dataclass
class MyData:
    numbers: list[int]


def foo(future: ProxyFuture[MyData]) -> None:
    future.set_result(MyData([1, 2, 3]))


def bar(data: MyData) -> int:
    assert isinstance(data, MyData)
    return sum(data.numbers)


def test_a_client_connects_two_functions_that_run_at_the_same_time(
    shared_store: Store, processes: ProcessPoolExecutor
) -> None:
    future: ProxyFuture[MyData] = shared_store.future()
    foo_result_future = processes.submit(foo, future)
    bar_result_future = processes.submit(bar, future.proxy())
    foo_result_future.result(LIMIT)
    assert bar_result_future.result(LIMIT) == 6


# As in concurrent.futures.Future: the same tests for both


AnyFuture = Future[Any] | ProxyFuture[Any]


@pytest.fixture(params=["concurrent.futures", "local"])
def any_future(request: pytest.FixtureRequest, stores: dict[str, Store]) -> AnyFuture:
    return Future() if request.param == "concurrent.futures" else stores[request.param].future()


each_kind = pytest.mark.parametrize("any_future", ["concurrent.futures", *KINDS], indirect=True)

Setter = Callable[[AnyFuture], None]
SETTERS: dict[str, Setter] = {
    "set_result": lambda future: future.set_result("value"),
    "set_exception": lambda future: future.set_exception(ValueError("reason")),
}
each_setter = pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)


@pytest.mark.parametrize("name", ["result", "exception"])
def test_waiting_methods_have_the_same_signature(name: str) -> None:
    ours, pythons = (inspect.signature(getattr(it, name)) for it in (ProxyFuture, Future))
    assert list(ours.parameters) == list(pythons.parameters)


@each_kind
def test_result_returns_what_was_set(any_future: AnyFuture) -> None:
    any_future.set_result("value")
    assert any_future.result() == any_future.result(timeout=0) == "value"
    assert any_future.exception() is any_future.exception(timeout=0) is None


@each_kind
def test_result_raises_what_was_set(any_future: AnyFuture) -> None:
    any_future.set_exception(ValueError("reason"))
    for _ in range(2):
        with pytest.raises(ValueError, match="reason"):
            any_future.result(timeout=0)
        assert repr(any_future.exception(timeout=0)) == "ValueError('reason')"


@each_kind
@each_setter
def test_a_future_is_not_done_and_blocks_until_something_is_set(
    any_future: AnyFuture, setter: Setter
) -> None:
    result = in_thread(any_future.result)
    exception = in_thread(any_future.exception, threading.TIMEOUT_MAX)
    assert_still_waiting(result, exception)
    assert any_future.done() is False
    setter(any_future)
    assert any_future.done() is True
    assert type(result.exception(LIMIT)) is type(exception.result(LIMIT))


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_a_timeout_ends_the_waiting_and_not_the_future(
    any_future: AnyFuture, timeout: float
) -> None:
    for wait in any_future.result, any_future.exception:
        with pytest.raises(TimeoutError):
            wait(timeout)
    assert not any_future.done()
    any_future.set_result("value")
    assert any_future.result(timeout) == "value"


@each_setter
def test_a_future_is_set_once(any_future: AnyFuture, setter: Setter) -> None:
    setter(any_future)
    before = repr(any_future.exception())
    for another in SETTERS.values():
        with pytest.raises(InvalidStateError):
            another(any_future)
    assert repr(any_future.exception()) == before


# What concurrent.futures leaves open


@pytest.mark.parametrize(
    "value", [None, 0, "", NotImplemented, StopIteration, StopIteration(1)], ids=repr
)
def test_any_value_is_a_result_also_an_exception(future: ProxyFuture[Any], value: object) -> None:
    future.set_result(value)
    assert future.done()
    assert future.exception() is None
    for result in (
        future.result(),
        future.to_concurrent().result(LIMIT),
        asyncio.run(awaited(future)),
        extract(future.proxy()),
    ):
        assert (type(result), repr(result)) == (type(value), repr(value))


def test_a_proxy_or_a_future_may_be_a_result(store: Store) -> None:
    first: ProxyFuture[str] = store.future()
    second: ProxyFuture[str] = store.future()
    third: ProxyFuture[ProxyFuture[str]] = store.future()
    second.set_result(first.proxy())
    third.set_result(first)
    results: list[Any] = [
        second.result(),
        second.to_concurrent().result(LIMIT),
        asyncio.run(awaited(second)),
    ]
    # Nobody waited for the first future until now.
    assert all(type(result) is Proxy and not is_resolved(result) for result in results)
    first.set_result("value")
    assert results == ["value"] * 3
    assert second.proxy().upper() == "VALUE"
    assert third.result().result() == "value"


def test_an_evicted_result_is_no_longer_there(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    future.set_result("value")
    store.evict(future.key)
    assert not future.done()
    with pytest.raises(TimeoutError):
        future.result(timeout=0)


def test_repr_tells_the_key_and_the_store_without_asking_anybody(tmp_path: Path) -> None:
    with Store("gone", FileConnector(tmp_path / "values")) as store:
        future: ProxyFuture[str] = store.future()
        expected = f"<ProxyFuture {future.key!r} in {store!r}>"
        assert repr(future) == expected
    with pytest.raises(ConnectorError):
        future.done()
    assert repr(future) == expected
    assert future.key.id in repr(future.proxy())


# From process to process


def consume(value: Any) -> str:
    """Works with a string or its proxy, and returns a string in either case."""
    return f"{value.upper()}"


def consume_result(future: ProxyFuture[str]) -> str:
    return consume(future.result(LIMIT))


def consume_after_telling(arrived: ProxyFuture[str], value: Any) -> str:
    arrived.set_result("resolved" if is_resolved(value) else "unresolved")
    return consume(value)


def test_a_consumer_starts_at_once_blocks_at_the_first_use_and_then_goes_on(
    shared_store: Store, processes: ProcessPoolExecutor
) -> None:
    arrived: ProxyFuture[str] = shared_store.future()
    future: ProxyFuture[str] = shared_store.future()
    consumer = processes.submit(consume_after_telling, arrived, future.proxy())
    assert arrived.result(LIMIT) == "unresolved"
    assert_still_waiting(consumer)
    processes.submit(future.set_result, "value")
    assert consumer.result(LIMIT) == "VALUE"


def test_a_pickled_copy_is_as_good_as_the_original(future: ProxyFuture[str]) -> None:
    copy = copied(future)
    copy.set_result("value")
    assert future.result(LIMIT) == copied(copy).result(LIMIT) == "value"
    with pytest.raises(InvalidStateError):
        future.set_result("another")


@pytest.mark.parametrize("kind", KINDS)
def test_many_consumers_may_wait(stores: dict[str, Store], kind: str) -> None:
    future: ProxyFuture[str] = stores[kind].future()
    waiters = [in_thread(consume, copied(future).proxy()) for _ in range(10)]
    waiters += [in_thread(consume_result, future) for _ in range(10)]
    assert_still_waiting(*waiters)
    future.set_result("value")
    assert [waiter.result(LIMIT) for waiter in waiters] == ["VALUE"] * 20


# Options of a proxy


def test_a_proxy_that_waited_too_long_says_so_and_works_later(future: ProxyFuture[str]) -> None:
    for timeout in 0, 0.05:
        proxy = copied(future.proxy(timeout=timeout))
        with pytest.raises(ProxyResolveError) as caught:
            proxy.upper()
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert not is_resolved(proxy)
    future.set_result("value")
    assert proxy.upper() == "VALUE"


def test_a_proxy_may_remove_the_result_once_it_has_it(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    keeping, removing = future.proxy(), copied(future.proxy(evict=True))
    future.set_result("value")
    resolve(keeping)
    assert future.done()
    assert removing.upper() == "VALUE"
    assert not future.done()
    assert store.get(future.key, "gone") == "gone"
    assert removing.upper() == "VALUE"


@pytest.mark.parametrize("error", [ConnectorError("This is read-only."), OSError("no answer")])
def test_a_proxy_has_the_result_also_if_it_cannot_be_removed(error: Exception) -> None:
    class ReadOnlyConnector(LocalConnector):
        def evict(self, key: LocalKey) -> None:
            raise error

    future: ProxyFuture[str] = Store("test", ReadOnlyConnector()).future()
    future.set_result("value")
    assert future.proxy(evict=True).upper() == "VALUE"


# The type of the result


def test_isinstance_is_answered_before_there_is_a_result(store: Store) -> None:
    future = store.future(int)
    for proxy in future.proxy(), copied(future).proxy(), copied(future.proxy()):
        assert isinstance(proxy, int)
        assert not isinstance(proxy, str)
        assert not is_resolved(proxy)


def test_a_result_of_another_type_is_refused_and_the_future_stays_pending(store: Store) -> None:
    future: ProxyFuture[Any] = store.future(int)
    for producer in future, copied(future):
        with pytest.raises(TypeError, match="as the future was told, not a str"):
            producer.set_result("1")
    assert not future.done()
    future.set_result(True)  # an instance of a subclass
    assert future.proxy() + 1 == 2


def test_of_any_type_an_exception_may_be_set(store: Store) -> None:
    future = store.future(int)
    future.set_exception(ValueError("reason"))
    assert isinstance(future.exception(), ValueError)


# With-blocks: no consumer is forgotten


def test_a_producer_sets_the_result_in_the_block(future: ProxyFuture[str]) -> None:
    with future as entered:
        assert entered is future
        entered.set_result("value")
    assert future.result(LIMIT) == "value"


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_exception_goes_to_the_consumers_and_on_in_the_producer(
    future: ProxyFuture[str], kind: type[BaseException]
) -> None:
    error = kind("reason")
    with pytest.raises(kind) as caught, future:
        raise error
    assert caught.value is error
    with pytest.raises(kind, match="reason"):
        future.result(LIMIT)


def test_leaving_the_block_without_a_result_breaks_the_future(future: ProxyFuture[str]) -> None:
    with future:
        pass
    with pytest.raises(BrokenFutureError, match="without a result"):
        future.result(LIMIT)


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("setter", [lambda future: future, copied], ids=["itself", "somebody else"])
def test_what_was_set_while_the_block_runs_stays(
    future: ProxyFuture[str], setter: Callable[[Any], ProxyFuture[str]], raises: bool
) -> None:
    with contextlib.suppress(ZeroDivisionError), future:
        setter(future).set_exception(ValueError("reason"))
        if raises:
            raise ZeroDivisionError
    assert isinstance(future.exception(LIMIT), ValueError)


def test_a_result_that_was_used_and_removed_during_the_block_stays_removed(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    with future:
        future.set_result("value")
        resolve(future.proxy(evict=True))
    assert not store.exists(future.key)


def test_a_result_that_cannot_be_pickled_is_an_error_on_both_sides(
    future: ProxyFuture[object],
) -> None:
    with pytest.raises(SerializationError, match="lock"), future:
        future.set_result(threading.Lock())
    with pytest.raises(SerializationError, match="lock"):
        future.result(LIMIT)


def test_on_a_closed_store_the_blocks_own_exception_comes_out(tmp_path: Path) -> None:
    with opened("file", tmp_path) as (store, *_):
        first, second = store.future(str), store.future(str)
    with pytest.raises(ValueError, match="reason"), first:
        raise ValueError("reason")
    with pytest.raises(ConnectorError, match="was closed"), second:
        pass


# to_concurrent: a follower


def test_wait_and_as_completed_take_followers(store: Store) -> None:
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(3)]
    followers = [future.to_concurrent() for future in futures]
    futures[1].set_result(1)
    done, pending = concurrent.futures.wait(followers, LIMIT, concurrent.futures.FIRST_COMPLETED)
    assert (done, pending) == ({followers[1]}, {followers[0], followers[2]})
    completed = concurrent.futures.as_completed(pending, LIMIT)
    for number in 2, 0:
        futures[number].set_result(number)
        assert next(completed).result() == number


def test_who_waits_for_a_cancelled_follower_is_told_soon_and_nobody_else(
    future: ProxyFuture[str],
) -> None:
    before = set(threading.enumerate())
    cancelled, follower = future.to_concurrent(), future.to_concurrent()
    threads = set(threading.enumerate()) - before
    assert_still_waiting(cancelled, follower)
    assert cancelled.cancel()
    assert concurrent.futures.wait([cancelled], timeout=5).done == {cancelled}
    with pytest.raises(CancelledError):
        cancelled.result()
    assert eventually(lambda: sum(thread.is_alive() for thread in threads) == 1)
    assert not future.done()
    future.set_result("value")
    assert follower.result(LIMIT) == "value"


# await


async def awaited(future: ProxyFuture[T]) -> T:
    """Awaits a future. Unlike the future, it has a limit."""
    return await asyncio.wait_for(as_coroutine(future), LIMIT)


async def as_coroutine(future: ProxyFuture[T]) -> T:
    return await future


def test_await_leaves_the_event_loop_free(store: Store) -> None:
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(3)]

    async def main() -> list[int | BaseException]:
        gathering = asyncio.gather(*map(awaited, futures), return_exceptions=True)
        await asyncio.sleep(SETTLING)
        assert not gathering.done()
        futures[2].set_result(2)
        futures[0].set_result(0)
        futures[1].set_exception(ValueError("reason"))
        return await gathering

    assert list(map(repr, asyncio.run(main()))) == ["0", "ValueError('reason')", "2"]


class Withdrawn(asyncio.CancelledError):
    pass


class Bank:
    class CancelledError(Exception):
        """It has no more than the name in common with asyncio's."""


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, Bank.CancelledError])
def test_await_and_followers_raise_the_exception(
    future: ProxyFuture[str], kind: type[Exception]
) -> None:
    future.set_exception(kind("reason"))
    assert type(future.to_concurrent().exception(LIMIT)) is kind
    with pytest.raises(kind, match="reason"):
        asyncio.run(awaited(future))


@pytest.mark.parametrize("kind", [StopIteration, Withdrawn])
def test_await_and_followers_raise_another_error_for_one_that_asyncio_would_take_for_its_own(
    future: ProxyFuture[str], kind: type[BaseException]
) -> None:
    future.set_exception(kind("reason"))
    with pytest.raises(kind):
        future.result(LIMIT)
    error = future.to_concurrent().exception(LIMIT)
    assert type(error) is RuntimeError
    assert type(error.__cause__) is kind
    with pytest.raises(RuntimeError, match=rf"The producer raised {kind.__name__}\('reason'\)"):
        asyncio.run(awaited(future))


def test_await_can_be_limited_or_cancelled_and_repeated(future: ProxyFuture[str]) -> None:
    async def main() -> str:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(as_coroutine(future), 0.05)
        task = asyncio.create_task(as_coroutine(future))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not future.done()
        future.set_result("value")
        return await awaited(future)

    assert asyncio.run(main()) == "value"


# A wait is visible

Way = Callable[[ProxyFuture[Any]], object]
WAYS: dict[str, Way] = {
    "result": lambda future: future.result(),
    "a proxy": lambda future: resolve(future.proxy()),
    "await": lambda future: asyncio.run(as_coroutine(future)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_wait_says_once_after_thirty_seconds_what_it_waits_for(
    stores: dict[str, Store],
    way: Way,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, real_time, speed = time.monotonic(), time.monotonic, 200
    monkeypatch.setattr(time, "monotonic", lambda: start + (real_time() - start) * speed)
    future: ProxyFuture[str] = stores["file"].future()
    waiter = in_thread(way, future)
    assert eventually(lambda: bool(caplog.records), LIMIT * speed)
    time.sleep(40 / speed)
    future.set_result("value")
    waiter.result(LIMIT)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("proxyfuture", logging.WARNING)
    for part in f"{future.key}", f"{stores['file']!r}", " seconds":
        assert part in record.getMessage()


def test_nobody_hears_of_a_short_wait(
    future: ProxyFuture[Any], caplog: pytest.LogCaptureFixture
) -> None:
    waiters = [in_thread(way, future) for way in WAYS.values()]
    assert_still_waiting(*waiters)
    future.set_result("value")
    for waiter in waiters:
        waiter.result(LIMIT)
    assert not caplog.records


# call_with_proxies


def arguments_of(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def test_a_future_becomes_a_proxy_as_any_argument(store: Store) -> None:
    first: ProxyFuture[str] = store.future()
    second: ProxyFuture[str] = store.future()
    args, kwargs = call_with_proxies(arguments_of, first, fn=second)
    for proxy in *args, *kwargs.values():
        assert type(proxy) is Proxy
        assert not is_resolved(proxy)
    first.set_result("first")
    second.set_result("second")
    assert (args, kwargs) == (("first",), {"fn": "second"})


def test_other_arguments_stay_as_they_are(future: ProxyFuture[str]) -> None:
    arguments = [[future], 1, Future[str]()]
    args, kwargs = call_with_proxies(arguments_of, *arguments, other=future.proxy())
    assert all(map(operator.is_, args, arguments))
    assert arguments[0] == [future]
    assert not is_resolved(kwargs["other"])


def test_the_result_of_the_function_is_returned_and_its_exception_raised(
    future: ProxyFuture[str],
) -> None:
    future.set_result("value")
    assert call_with_proxies(consume, future) == "VALUE"
    with pytest.raises(ZeroDivisionError):
        call_with_proxies(lambda value: 1 / 0, future)


def test_it_can_be_submitted_to_an_executor(
    stores: dict[str, Store], processes: ProcessPoolExecutor
) -> None:
    future = stores["file"].future(MyData)
    results = [
        processes.submit(call_with_proxies, bar, future),
        processes.submit(call_with_proxies, bar, data=future),
    ]
    foo(future)
    assert [result.result(LIMIT) for result in results] == [6, 6]
