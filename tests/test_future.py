"""What a `ProxyFuture` promises: one result, set once by anybody, for any number of consumers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import multiprocessing
import pickle
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    CancelledError,
    Future,
    InvalidStateError,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from connectors import (
    ConnectorError,
    FileConnector,
    LocalConnector,
    LocalKey,
    ManagerConnector,
    WaitableConnector,
)
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

# How long to wait for what should happen at once: so long only if it does not happen at all.
SOON = 30.0


def open_store(kind: str, directory: Path) -> Store:
    connectors: dict[str, Callable[[], WaitableConnector[Any]]] = {
        "local": LocalConnector,
        "file": lambda: FileConnector(directory / "values"),
        "manager": ManagerConnector,
    }
    return Store(f"store-{kind}", connectors[kind]())


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """A store of each kind, for all tests here: a key of its own is all that a future needs."""
    with contextlib.ExitStack() as stack:
        yield {
            kind: stack.enter_context(open_store(kind, tmp_path_factory.mktemp(kind)))
            for kind in KINDS
        }


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, stores: dict[str, Store]) -> Store:
    return stores[request.param]


@pytest.fixture(params=KINDS)
def store_to_close(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, tmp_path) as store:
        yield store


@pytest.fixture(params=["file", "manager"])
def shared_store(request: pytest.FixtureRequest, stores: dict[str, Store]) -> Store:
    """A store that other processes can reach."""
    return stores[request.param]


@pytest.fixture
def future(store: Store) -> ProxyFuture[Any]:
    return store.future()


@pytest.fixture
def shared_future(shared_store: Store) -> ProxyFuture[Any]:
    return shared_store.future()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


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
    time.sleep(0.1)
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
    foo_result_future.result(SOON)
    assert bar_result_future.result(SOON) == 6


def test_bar_may_be_started_first(shared_store: Store, processes: ProcessPoolExecutor) -> None:
    future: ProxyFuture[MyData] = shared_store.future()
    bar_result_future = processes.submit(bar, future.proxy())
    assert_still_waiting(bar_result_future)
    foo_result_future = processes.submit(foo, future)
    assert bar_result_future.result(SOON) == 6
    foo_result_future.result(SOON)


# As in concurrent.futures.Future: the same tests for both


class AnyFuture(Protocol):
    def result(self, timeout: float | None = None) -> Any: ...
    def exception(self, timeout: float | None = None) -> BaseException | None: ...
    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


@pytest.fixture(params=["concurrent.futures", *KINDS])
def any_future(request: pytest.FixtureRequest, stores: dict[str, Store]) -> AnyFuture:
    if request.param == "concurrent.futures":
        return Future()
    future: ProxyFuture[Any] = stores[request.param].future()
    return future


SETTERS: dict[str, Callable[[AnyFuture], None]] = {
    "set_result": lambda future: future.set_result("value"),
    "set_exception": lambda future: future.set_exception(ValueError("reason")),
}


@pytest.mark.parametrize("name", ["result", "exception"])
def test_waiting_methods_have_the_same_signature(name: str) -> None:
    names = [
        list(inspect.signature(getattr(kind, name)).parameters) for kind in (Future, ProxyFuture)
    ]
    assert names[0] == names[1]


def test_result_returns_what_was_set(any_future: AnyFuture) -> None:
    any_future.set_result("value")
    assert any_future.result() == "value"
    assert any_future.result(timeout=0) == "value"
    assert any_future.exception() is None
    assert any_future.exception(timeout=0) is None


def test_result_raises_what_was_set(any_future: AnyFuture) -> None:
    any_future.set_exception(ValueError("reason"))
    for _ in range(2):
        with pytest.raises(ValueError, match="reason"):
            any_future.result(timeout=0)
        error = any_future.exception(timeout=0)
        assert isinstance(error, ValueError)
        assert error.args == ("reason",)


@pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)
def test_a_future_is_done_when_something_is_set(
    any_future: AnyFuture, setter: Callable[[AnyFuture], None]
) -> None:
    assert any_future.done() is False
    setter(any_future)
    assert any_future.done() is True


@pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)
def test_result_and_exception_block_until_something_is_set(
    any_future: AnyFuture, setter: Callable[[AnyFuture], None], threads: ThreadPoolExecutor
) -> None:
    result = threads.submit(any_future.result)
    exception = threads.submit(any_future.exception, SOON)
    assert_still_waiting(result, exception)
    setter(any_future)
    assert type(result.exception(SOON)) is type(exception.result(SOON))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("timeout", [0, 0.0, 0.05])
def test_a_timeout_ends_the_waiting_and_not_the_future(
    any_future: AnyFuture, timeout: float
) -> None:
    with pytest.raises(TimeoutError):
        any_future.result(timeout)
    with pytest.raises(TimeoutError):
        any_future.exception(timeout)
    assert not any_future.done()
    any_future.set_result("value")
    assert any_future.result(timeout) == "value"


def test_a_timeout_may_be_longer_than_any_wait(any_future: AnyFuture) -> None:
    any_future.set_result("value")
    assert any_future.result(threading.TIMEOUT_MAX) == "value"


@pytest.mark.parametrize("first", SETTERS.values(), ids=SETTERS)
@pytest.mark.parametrize("second", SETTERS.values(), ids=SETTERS)
def test_a_future_is_set_once(
    any_future: AnyFuture,
    first: Callable[[AnyFuture], None],
    second: Callable[[AnyFuture], None],
) -> None:
    first(any_future)
    before = repr(any_future.exception())
    with pytest.raises(InvalidStateError):
        second(any_future)
    assert repr(any_future.exception()) == before


# What concurrent.futures leaves open


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError), ([], TypeError)],
    ids=repr,
)
def test_a_timeout_that_makes_no_sense_is_refused(
    future: ProxyFuture[str], timeout: Any, error: type[Exception]
) -> None:
    future.set_result("value")  # so it is not the waiting that raises
    for use in (
        lambda: future.result(timeout),
        lambda: future.exception(timeout),
        lambda: future.proxy(timeout=timeout),
    ):
        with pytest.raises(error, match="timeout must be"):
            use()


def test_an_infinite_timeout_is_no_limit(future: ProxyFuture[str]) -> None:
    proxy = future.proxy(timeout=float("inf"))
    future.set_result("value")
    assert future.result(float("inf")) == "value"
    assert copied(proxy) == "value"


@pytest.mark.parametrize(
    "value",
    [None, False, 0, 0.0, "", b"", [], {}, ..., NotImplemented, ValueError, StopIteration],
    ids=repr,
)
def test_any_value_is_a_result(future: ProxyFuture[Any], value: object) -> None:
    future.set_result(value)
    assert future.done()
    assert future.result() == value
    assert future.exception() is None
    assert future.to_concurrent().result(SOON) == value
    assert extract(future.proxy()) == value


@pytest.mark.parametrize("error", [ValueError("a result"), StopIteration(1), KeyboardInterrupt()])
def test_an_exception_that_is_a_result_is_returned(
    future: ProxyFuture[BaseException], error: BaseException
) -> None:
    future.set_result(error)
    for result in (
        future.result(),
        future.to_concurrent().result(SOON),
        asyncio.run(awaited(future)),
        extract(future.proxy()),
    ):
        assert type(result) is type(error)
        assert result.args == error.args
    assert future.exception() is None


def test_a_proxy_may_be_a_result(store: Store) -> None:
    first: ProxyFuture[str] = store.future()
    second: ProxyFuture[str] = store.future()
    second.set_result(first.proxy())
    results: tuple[Any, ...] = (
        second.result(),
        second.to_concurrent().result(SOON),
        asyncio.run(awaited(second)),
    )
    # Nobody waited for the first future until now.
    assert all(type(result) is Proxy and not is_resolved(result) for result in results)
    first.set_result("value")
    assert [result.upper() for result in results] == ["VALUE"] * 3
    assert second.proxy().upper() == "VALUE"


def test_a_future_may_be_a_result(store: Store) -> None:
    first: ProxyFuture[str] = store.future()
    second: ProxyFuture[ProxyFuture[str]] = store.future()
    second.set_result(first)
    first.set_result("value")
    assert second.result().result() == "value"


def test_an_evicted_result_is_no_longer_there(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    future.set_result("value")
    assert future.result() == "value"
    store.evict(future.key)
    assert not future.done()
    with pytest.raises(TimeoutError):
        future.result(timeout=0)


def test_repr_tells_the_key_and_the_store_without_asking_anybody(
    future: ProxyFuture[str], store: Store
) -> None:
    expected = f"<ProxyFuture {future.key!r} in {store!r}>"
    assert repr(future) == expected
    future.set_result("value")
    assert repr(future) == expected


def test_repr_works_where_the_store_is_out_of_reach(tmp_path: Path) -> None:
    with Store("gone", FileConnector(tmp_path / "values")) as store:
        future: ProxyFuture[str] = store.future()
        shutil.rmtree(tmp_path / "values")
        assert future.key.id in repr(future)
        assert future.key.id in repr(future.proxy())
        with pytest.raises(ConnectorError):
            future.done()
    with Store("gone", ManagerConnector()) as store:
        future = store.future()
    assert future.key.id in repr(future)
    assert future.key.id in repr(future.proxy())
    with pytest.raises(ConnectorError):
        future.done()


# One winner


def wins(future: AnyFuture, number: int) -> bool:
    """Tries to set the future, with an exception if the number is odd."""
    try:
        if number % 2:
            future.set_exception(ValueError(number))
        else:
            future.set_result(number)
    except InvalidStateError:
        return False
    return True


def winner(future: AnyFuture) -> Any:
    error = future.exception(SOON)
    return future.result() if error is None else error.args[0]


def test_of_racing_threads_exactly_one_wins(store: Store, threads: ThreadPoolExecutor) -> None:
    barrier = threading.Barrier(8)

    def race(future: ProxyFuture[int], number: int) -> bool:
        barrier.wait(SOON)
        return wins(copied(future), number)

    for _ in range(50):
        future: ProxyFuture[int] = store.future()
        reader = future.to_concurrent()
        winners = list(threads.map(race, [future] * 8, range(8)))
        assert sum(winners) == 1
        assert winner(future) == winner(reader) == winners.index(True)


def wins_of(futures: list[ProxyFuture[int]], start: ProxyFuture[None], number: int) -> list[bool]:
    start.result(SOON)
    return [wins(future, number) for future in futures]


def test_of_racing_processes_exactly_one_wins(
    shared_store: Store, processes: ProcessPoolExecutor
) -> None:
    futures: list[ProxyFuture[int]] = [shared_store.future() for _ in range(100)]
    start: ProxyFuture[None] = shared_store.future()
    racers = [processes.submit(wins_of, futures, start, number) for number in range(2)]
    start.set_result(None)
    results = zip(*(racer.result(SOON) for racer in racers), strict=True)
    for future, won in zip(futures, results, strict=True):
        assert sum(won) == 1
        assert winner(future) == won.index(True)


# From process to process


def produce(future: ProxyFuture[Any], value: object) -> None:
    with future:
        future.set_result(value)


def consume(value: Any) -> str:
    """Works with a string or its proxy, and returns a string in either case."""
    return f"{value.upper()}"


def consume_result(future: ProxyFuture[str]) -> str:
    return consume(future.result(SOON))


def test_the_producer_may_be_another_process(
    shared_future: ProxyFuture[str], processes: ProcessPoolExecutor
) -> None:
    proxy = shared_future.proxy()
    processes.submit(produce, shared_future, "value")
    assert proxy.upper() == "VALUE"
    assert shared_future.result(SOON) == "value"
    assert shared_future.done()


@pytest.mark.parametrize("size", [5, 2**20])
def test_the_consumer_may_be_another_process(
    shared_future: ProxyFuture[str], processes: ProcessPoolExecutor, size: int
) -> None:
    consumers = [
        processes.submit(consume, shared_future.proxy()),
        processes.submit(consume_result, shared_future),
    ]
    shared_future.set_result("v" * size)
    assert [consumer.result(SOON) for consumer in consumers] == ["V" * size] * 2


def test_producer_and_consumer_may_be_other_processes(
    shared_future: ProxyFuture[str], processes: ProcessPoolExecutor
) -> None:
    consumer = processes.submit(consume, shared_future.proxy())
    processes.submit(produce, shared_future, "value")
    assert consumer.result(SOON) == "VALUE"


def consume_after_telling(arrived: ProxyFuture[str], value: Any) -> str:
    unresolved = "resolved" if is_resolved(value) else "unresolved"
    arrived.set_result(unresolved)
    return consume(value)


def test_a_consumer_starts_at_once_blocks_at_the_first_use_and_then_goes_on(
    shared_store: Store, processes: ProcessPoolExecutor
) -> None:
    arrived: ProxyFuture[str] = shared_store.future()
    future: ProxyFuture[str] = shared_store.future()
    consumer = processes.submit(consume_after_telling, arrived, future.proxy())
    assert arrived.result(SOON) == "unresolved"
    assert_still_waiting(consumer)
    future.set_result("value")
    assert consumer.result(SOON) == "VALUE"


def test_a_pickled_copy_is_as_good_as_the_original(future: ProxyFuture[str]) -> None:
    copy = copied(future)
    assert copy.key == future.key
    copy.set_result("value")
    assert future.result(SOON) == copied(copy).result(SOON) == "value"
    with pytest.raises(InvalidStateError):
        future.set_result("another")


def test_many_threads_may_wait(future: ProxyFuture[str]) -> None:
    with ThreadPoolExecutor(20) as threads:
        waiters = [
            threads.submit(consume, copied(future).proxy())
            if number % 2
            else threads.submit(consume_result, future)
            for number in range(20)
        ]
        assert_still_waiting(*waiters)
        future.set_result("value")
        assert [waiter.result(SOON) for waiter in waiters] == ["VALUE"] * 20


def test_many_proxies_in_several_processes_may_wait(
    shared_future: ProxyFuture[str], processes: ProcessPoolExecutor
) -> None:
    consumers = [processes.submit(consume, shared_future.proxy()) for _ in range(10)]
    shared_future.set_result("value")
    assert [consumer.result(SOON) for consumer in consumers] == ["VALUE"] * 10


# Options of a proxy


@pytest.mark.timeout(30)
@pytest.mark.parametrize("timeout", [0, 0.05])
def test_a_proxy_that_waited_too_long_says_so_and_works_later(
    future: ProxyFuture[str], timeout: float
) -> None:
    proxy = copied(future.proxy(timeout=timeout))
    for _ in range(2):
        with pytest.raises(ProxyResolveError) as caught:
            proxy.upper()
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert not is_resolved(proxy)
    future.set_result("value")
    assert proxy.upper() == "VALUE"


def test_a_proxy_may_remove_the_result_once_it_has_it(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    proxy = copied(future.proxy(evict=True))
    future.set_result("value")
    assert future.done()
    assert proxy.upper() == "VALUE"
    assert not future.done()
    assert not store.exists(future.key)
    assert store.get(future.key, "gone") == "gone"
    assert proxy.upper() == "VALUE"


@pytest.mark.parametrize("error", [ConnectorError("This is read-only."), OSError("no answer")])
def test_a_proxy_has_the_result_also_if_it_cannot_be_removed(error: Exception) -> None:
    class ReadOnlyConnector(LocalConnector):
        def evict(self, key: LocalKey) -> None:
            raise error

    with Store("test", ReadOnlyConnector()) as store:
        future: ProxyFuture[str] = store.future()
        future.set_result("value")
        assert future.proxy(evict=True).upper() == "VALUE"


def test_a_proxy_keeps_the_result_unless_told_otherwise(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    future.set_result("value")
    resolve(future.proxy())
    assert store.exists(future.key)


def test_options_of_a_proxy_are_passed_by_name(future: ProxyFuture[str]) -> None:
    make_proxy: Callable[..., str] = future.proxy
    with pytest.raises(TypeError):
        make_proxy(1.0)


# The type of the result


def test_isinstance_is_answered_before_there_is_a_result(store: Store) -> None:
    future = store.future(int)
    for proxy in future.proxy(), copied(future).proxy(), copied(future.proxy()):
        assert isinstance(proxy, int)
        assert not isinstance(proxy, str)
        assert not is_resolved(proxy)


@pytest.mark.parametrize("target_type", [int, object])
def test_an_instance_of_a_subclass_is_of_the_type(store: Store, target_type: type) -> None:
    future: ProxyFuture[object] = store.future(target_type)
    future.set_result(True)
    assert future.result() is True


def test_a_result_of_another_type_is_refused_and_the_future_stays_pending(store: Store) -> None:
    future: ProxyFuture[Any] = store.future(int)
    for producer in future, copied(future):
        with pytest.raises(TypeError, match="as the future was told, not a str"):
            producer.set_result("1")
    assert not future.done()
    future.set_result(1)
    assert future.proxy() + 1 == 2


def test_an_exception_can_be_set_whatever_the_type(store: Store) -> None:
    future = store.future(int)
    future.set_exception(ValueError("reason"))
    assert isinstance(future.exception(), ValueError)


# With-blocks: no consumer is forgotten


@pytest.mark.parametrize("in_another_process", [False, True])
def test_a_producer_that_sets_the_result_in_the_block(
    shared_future: ProxyFuture[str], processes: ProcessPoolExecutor, in_another_process: bool
) -> None:
    if in_another_process:
        processes.submit(produce, shared_future, "value").result(SOON)
    else:
        produce(shared_future, "value")
    assert shared_future.result(SOON) == "value"


def test_a_block_gives_its_future(future: ProxyFuture[str]) -> None:
    with future as entered:
        assert entered is future
        entered.set_result("value")


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("reason"), KeyboardInterrupt("reason"), SystemExit("reason")],
    ids=repr,
)
def test_an_exception_goes_to_the_consumers_and_on_in_the_producer(
    future: ProxyFuture[str], error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught, future:
        raise error
    assert caught.value is error
    with pytest.raises(type(error), match="reason"):
        future.result(SOON)


def test_an_exception_after_the_result_leaves_the_result(future: ProxyFuture[str]) -> None:
    with pytest.raises(ZeroDivisionError), future:
        future.set_result("value")
        raise ZeroDivisionError
    assert future.result() == "value"


def test_leaving_the_block_without_a_result_breaks_the_future(future: ProxyFuture[str]) -> None:
    with future:
        pass
    assert future.done()
    with pytest.raises(BrokenFutureError, match="without setting a result"):
        future.result(SOON)
    with pytest.raises(InvalidStateError):
        future.set_result("too late")


def test_an_exception_that_was_set_in_the_block_is_the_one(future: ProxyFuture[str]) -> None:
    with future:
        future.set_exception(ValueError("reason"))
    with pytest.raises(ValueError, match="reason"):
        future.result(SOON)


@pytest.mark.parametrize("raises", [False, True])
def test_somebody_else_may_set_the_result_while_the_block_runs(
    future: ProxyFuture[str], raises: bool
) -> None:
    with contextlib.suppress(ZeroDivisionError), future:
        copied(future).set_result("value")
        if raises:
            raise ZeroDivisionError
    assert future.result() == "value"


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
        future.result(SOON)


def test_a_result_of_another_type_is_an_error_on_both_sides(store: Store) -> None:
    future: ProxyFuture[Any] = store.future(int)
    with pytest.raises(TypeError, match="as the future was told"), future:
        future.set_result("1")
    with pytest.raises(TypeError, match="as the future was told"):
        future.result(SOON)


def exit_in_block(future: ProxyFuture[str]) -> None:
    with future:
        raise SystemExit("the producer exits")


def test_a_process_that_exits_in_the_block_tells_the_consumers(
    shared_future: ProxyFuture[str],
) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=exit_in_block, args=(shared_future,)
    )
    process.start()
    try:
        assert isinstance(shared_future.exception(SOON), SystemExit)
    finally:
        process.join(SOON)
    assert process.exitcode == 1


# to_concurrent


def test_wait_takes_followers(store: Store) -> None:
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(3)]
    followers = [future.to_concurrent() for future in futures]
    futures[1].set_result(1)
    done, pending = concurrent.futures.wait(followers, SOON, concurrent.futures.FIRST_COMPLETED)
    assert (done, pending) == ({followers[1]}, {followers[0], followers[2]})
    futures[0].set_result(0)
    futures[2].set_exception(ValueError())
    done, pending = concurrent.futures.wait(followers, SOON)
    assert (done, pending) == (set(followers), set())


def test_as_completed_takes_followers(store: Store) -> None:
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(3)]
    completed = concurrent.futures.as_completed(
        [future.to_concurrent() for future in futures], timeout=SOON
    )
    for number in 2, 0, 1:
        futures[number].set_result(number)
        assert next(completed).result() == number
    assert next(completed, None) is None


def test_a_follower_of_a_done_future_is_done_soon(future: ProxyFuture[str]) -> None:
    future.set_result("value")
    assert future.to_concurrent().result(SOON) == "value"


def test_a_follower_calls_back(future: ProxyFuture[str]) -> None:
    called: Future[str] = Future()
    future.to_concurrent().add_done_callback(lambda follower: called.set_result(follower.result()))
    assert_still_waiting(called)
    future.set_result("value")
    assert called.result(SOON) == "value"


def test_a_follower_raises_what_the_future_raises(future: ProxyFuture[str]) -> None:
    follower = future.to_concurrent()
    future.set_exception(ValueError("reason"))
    with pytest.raises(ValueError, match="reason"):
        follower.result(SOON)


def test_each_follower_is_independent(future: ProxyFuture[str]) -> None:
    cancelled, follower = future.to_concurrent(), future.to_concurrent()
    assert cancelled.cancel()
    future.set_result("value")
    assert follower.result(SOON) == "value"
    assert cancelled.cancelled()


def test_the_thread_of_a_cancelled_follower_ends(future: ProxyFuture[str]) -> None:
    before = set(threading.enumerate())
    followers = [future.to_concurrent() for _ in range(3)]
    followers_threads = set(threading.enumerate()) - before
    assert len(followers_threads) == 3
    for follower in followers:
        assert follower.cancel()
    for thread in followers_threads:
        thread.join(SOON)
        assert not thread.is_alive()
    assert not future.done()  # nobody cancels the future itself


def test_a_follower_asks_less_and_less_often_whether_it_was_cancelled() -> None:
    steps: list[float | None] = []

    class ImpatientConnector(LocalConnector):
        def wait(self, key: LocalKey, timeout: float | None = None) -> bytes | None:
            steps.append(timeout)
            return super().wait(key, 0.01)

    with Store("test", ImpatientConnector()) as store:
        future: ProxyFuture[str] = store.future()
        follower = future.to_concurrent()
        end = time.monotonic() + SOON
        while len(steps) < 8 and time.monotonic() < end:
            time.sleep(0.01)
        future.set_result("value")
        assert follower.result(SOON) == "value"
    assert steps[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("set_afterwards", [False, True])
def test_who_waits_for_a_cancelled_follower_is_told(
    future: ProxyFuture[str], set_afterwards: bool
) -> None:
    follower = future.to_concurrent()
    assert_still_waiting(follower)
    assert follower.cancel()
    if set_afterwards:
        future.set_result("value")
    done, _ = concurrent.futures.wait([follower], timeout=5)
    assert done == {follower}
    with pytest.raises(CancelledError):
        follower.result()


@pytest.mark.timeout(60)
def test_closing_the_store_ends_its_followers(store_to_close: Store) -> None:
    followers = [store_to_close.future(str).to_concurrent() for _ in range(3)]
    assert_still_waiting(*followers)
    store_to_close.close()
    for follower in followers:
        assert isinstance(follower.exception(SOON), ConnectorError)


def test_a_follower_reports_a_result_that_cannot_be_deserialized(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    follower = future.to_concurrent()
    connector: Any = store.connector
    connector.set(future.key, b"damaged")
    assert isinstance(follower.exception(SOON), SerializationError)


# await


async def awaited(future: ProxyFuture[T]) -> T:
    """Awaits a future. Unlike the future, it has a limit."""
    return await asyncio.wait_for(as_coroutine(future), SOON)


async def as_coroutine(future: ProxyFuture[T]) -> T:
    return await future


def test_await_returns_the_result(future: ProxyFuture[str]) -> None:
    async def main() -> str:
        asyncio.get_running_loop().call_later(0.05, future.set_result, "value")
        return await awaited(future)

    assert asyncio.run(main()) == "value"


def test_await_leaves_the_event_loop_free(future: ProxyFuture[str]) -> None:
    async def main() -> int:
        task = asyncio.create_task(as_coroutine(future))
        turns = 0
        while turns < 20:
            await asyncio.sleep(0)
            turns += 1
        assert not task.done()
        future.set_result("value")
        await asyncio.wait_for(task, SOON)
        return turns

    assert asyncio.run(main()) == 20


@pytest.mark.parametrize(
    "error", [ValueError("reason"), TimeoutError("reason"), ConnectorError("reason")], ids=repr
)
def test_await_raises_the_exception(future: ProxyFuture[str], error: Exception) -> None:
    future.set_exception(error)
    with pytest.raises(type(error), match="reason"):
        asyncio.run(awaited(future))


class EndOfStream(StopIteration):
    pass


class Withdrawn(asyncio.CancelledError):
    pass


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "error", [StopIteration("reason"), EndOfStream("reason"), Withdrawn("reason")], ids=repr
)
def test_await_raises_another_error_for_one_that_asyncio_would_take_for_its_own(
    future: ProxyFuture[str], error: BaseException
) -> None:
    future.set_exception(error)
    with pytest.raises(RuntimeError, match=r"The producer raised \w+\('reason'\)") as raised:
        asyncio.run(awaited(future))
    causes: list[BaseException] = [raised.value]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    assert type(error) in map(type, causes)


def test_await_can_be_limited_and_repeated(future: ProxyFuture[str]) -> None:
    async def main() -> str:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(as_coroutine(future), 0.05)
        future.set_result("value")
        return await awaited(future)

    assert asyncio.run(main()) == "value"


def test_a_cancelled_await_leaves_the_future_alone(future: ProxyFuture[str]) -> None:
    async def main() -> str:
        task = asyncio.create_task(as_coroutine(future))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not future.done()
        future.set_result("value")
        return await awaited(future)

    assert asyncio.run(main()) == "value"


def test_gather_awaits_several(store: Store) -> None:
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(4)]

    async def main() -> list[int | BaseException]:
        gathering = asyncio.gather(*futures, return_exceptions=True)
        for number in 3, 1, 0:
            futures[number].set_result(number)
        futures[2].set_exception(ValueError("reason"))
        return await asyncio.wait_for(gathering, SOON)

    results = asyncio.run(main())
    assert isinstance(results.pop(2), ValueError)
    assert results == [0, 1, 3]


def test_wrap_future_takes_a_follower(future: ProxyFuture[str]) -> None:
    async def main() -> str:
        waiting = asyncio.wrap_future(future.to_concurrent())
        await asyncio.sleep(0)
        future.set_result("value")
        return await asyncio.wait_for(waiting, SOON)

    assert asyncio.run(main()) == "value"


@pytest.mark.timeout(60)
def test_closing_the_store_ends_an_await(store_to_close: Store) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(0.05, store_to_close.close)
        with pytest.raises(ConnectorError):
            await awaited(store_to_close.future())

    asyncio.run(main())


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
    inside_a_list, concurrent_future = [future], Future[str]()
    args, kwargs = call_with_proxies(arguments_of, inside_a_list, 1, other=concurrent_future)
    assert args[0] is inside_a_list
    assert inside_a_list == [future]
    assert args[1] == 1
    assert kwargs == {"other": concurrent_future}


@pytest.mark.timeout(30)
def test_a_proxy_among_the_arguments_is_not_touched(future: ProxyFuture[str]) -> None:
    proxy = future.proxy()
    (first,), kwargs = call_with_proxies(arguments_of, proxy, other=proxy)
    assert type(first) is type(kwargs["other"]) is Proxy
    assert not is_resolved(first)
    assert not is_resolved(kwargs["other"])


def test_the_result_of_the_function_is_returned_and_its_exception_raised(
    future: ProxyFuture[str],
) -> None:
    future.set_result("value")
    assert call_with_proxies(consume, future) == "VALUE"
    with pytest.raises(ZeroDivisionError):
        call_with_proxies(lambda value: 1 / 0, future)


def test_it_can_be_submitted_to_an_executor(
    shared_store: Store, processes: ProcessPoolExecutor
) -> None:
    future: ProxyFuture[MyData] = shared_store.future(MyData)
    bar_result_future = processes.submit(call_with_proxies, bar, future)
    keyword = processes.submit(call_with_proxies, bar, data=future)
    foo(future)
    assert bar_result_future.result(SOON) == keyword.result(SOON) == 6
