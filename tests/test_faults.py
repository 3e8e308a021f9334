"""Nobody waits for ever by accident: a list of faults, and what happens then.

Each fault meets each kind of store once. The second tier repeats what depends on the moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import multiprocessing
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conformance import LIMIT, SETTLING, in_thread
from support import (
    ALL_KINDS,
    AUTHKEY,
    AUTHKEY_VARIABLE,
    PROMPT,
    SHARED_KINDS,
    Opened,
    eventually,
    interrupted_after,
    is_running,
    needs_fork,
    needs_proc,
    open_files_and_threads,
    opened,
    spawn,
)

from connectors import ConnectorError, ManagerConnector
from proxyfuture import BrokenFutureError, ProxyFuture, ProxyResolveError, Store, extract, resolve

pytestmark = needs_fork

SERVER_KINDS = ["manager", "network"]
UNUSABLE = "Connector .* cannot be used: "


@pytest.fixture(scope="module", autouse=True)
def known_key() -> Iterator[None]:
    """One authentication key for all servers and processes here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
        yield


@pytest.fixture(scope="module")
def store_of(known_key: None) -> Iterator[Callable[[str], Store]]:
    """Returns the store of a kind, which stays open for all tests that break nothing of it."""
    with contextlib.ExitStack() as stack:
        parent = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield functools.cache(lambda kind: stack.enter_context(opened(kind, parent)).store)


@pytest.fixture
def store(kind: str, store_of: Callable[[str], Store]) -> Store:
    return store_of(kind)


@pytest.fixture
def medium(kind: str, tmp_path: Path) -> Iterator[Opened]:
    """A store of the test's own, to be broken."""
    with opened(kind, tmp_path) as medium:
        yield medium


@contextlib.contextmanager
def all_opened(kinds: list[str], parent: Path) -> Iterator[list[Opened]]:
    """Stores of these kinds, for a fault that takes its time: so it takes it once."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(opened(kind, parent)) for kind in kinds]


Elsewhere = Callable[..., Future[Any]]


@pytest.fixture(scope="module")
def elsewhere(known_key: None) -> Iterator[Elsewhere]:
    """Calls functions, one after the other, in a process that has a single thread.

    There, children can be forked, which is quick, and left in any state.
    """
    with ProcessPoolExecutor(1, spawn) as executor:
        process = executor.submit(os.getpid).result(LIMIT)
        yield executor.submit
        os.kill(process, signal.SIGKILL)  # after a failed test it may be blocked for ever


def few_or_many(few: int, many: int) -> pytest.MarkDecorator:
    """Has a test run with a small number, and in the second tier with a large one."""
    return pytest.mark.parametrize("number", [few, pytest.param(many, marks=pytest.mark.slow)])


def each_kind(kinds: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds)


def start_fork(function: Callable[..., object], *arguments: Any) -> Any:
    """Calls a function in a forked child, also if threads run, of which Python warns."""
    child = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    return child


def succeeds(child: Any) -> bool:
    """Tells whether a child ends, and finds nothing wrong. What it finds, it prints."""
    child.join(LIMIT)
    child.kill()
    child.join()
    return bool(child.exitcode == 0)


# A consumer waits in one of these ways, and this is how it ends.

WAYS_TO_WAIT: dict[str, Callable[[ProxyFuture[Any]], object]] = {
    "result": lambda future: future.result(),
    "result in time": lambda future: future.result(1000),
    "exception": lambda future: future.exception(),
    "proxy": lambda future: resolve(future.proxy()),
    "proxy in time": lambda future: resolve(future.proxy(timeout=1000)),
    "follower": lambda future: future.to_concurrent().result(),
    "await": lambda future: asyncio.run(await_result(future)),
}


async def await_result(future: ProxyFuture[Any]) -> Any:
    return await future


class End(NamedTuple):
    """The error that ended a wait, and when: on a clock that all processes share."""

    way: str
    error: BaseException | None
    at: float


def end_of_wait(future: ProxyFuture[Any], way: str = "result") -> End:
    error: BaseException | None = None
    try:
        WAYS_TO_WAIT[way](future)
    except ProxyResolveError as failure:
        error = failure.__cause__
    except BaseException as failure:
        error = failure
    return End(way, error, time.monotonic())


def ends_of_waits(*futures: ProxyFuture[Any]) -> list[End]:
    """Waits in all ways at the same time."""
    waits = [in_thread(end_of_wait, future, way) for future in futures for way in WAYS_TO_WAIT]
    return [wait.result(2 * LIMIT) for wait in waits]


def assert_told(ends: list[End], since: float, message: str, limit: float = PROMPT) -> None:
    """Asserts that all waits have failed soon, and for that reason."""
    for end in ends:
        assert isinstance(end.error, ConnectorError), end
        with pytest.raises(ConnectorError, match=message):
            raise end.error
        assert end.at - since < limit, end


# The producer fails

Producer = Callable[[ProxyFuture[Any]], None]


def raises(future: ProxyFuture[Any]) -> None:
    with future:
        raise ValueError("reason")


def exits(future: ProxyFuture[Any]) -> None:
    with future:
        sys.exit("reason")


def is_interrupted(future: ProxyFuture[Any]) -> None:
    with future, interrupted_after(0):
        time.sleep(LIMIT)


def forgets(future: ProxyFuture[Any]) -> None:
    with future:
        pass


def failure_of(producer: Producer, future: ProxyFuture[Any]) -> float:
    """Returns when the producer was over."""
    with contextlib.suppress(BaseException):
        producer(future)
    return time.monotonic()


@each_kind(SHARED_KINDS)
@pytest.mark.parametrize(
    ("producer", "error"),
    [
        (raises, ValueError),
        (exits, SystemExit),
        (is_interrupted, KeyboardInterrupt),
        (forgets, BrokenFutureError),
    ],
)
def test_consumers_learn_promptly_why_their_producer_fails(
    store: Store, elsewhere: Elsewhere, producer: Producer, error: type[BaseException]
) -> None:
    future: ProxyFuture[Any] = store.future()
    consumer = in_thread(end_of_wait, future, "result")
    consumer_of_a_proxy = in_thread(end_of_wait, future, "proxy")
    time.sleep(SETTLING)
    assert not consumer.done()
    over = elsewhere(failure_of, producer, future).result(LIMIT)
    for end in consumer.result(LIMIT), consumer_of_a_proxy.result(LIMIT):
        assert type(end.error) is error
        assert end.at - over < PROMPT


# The producer is killed


def is_killed(future: ProxyFuture[str]) -> None:
    with future:
        os.kill(os.getpid(), signal.SIGKILL)


def run_until_killed(future: ProxyFuture[str]) -> None:
    child = start_fork(is_killed, future)
    child.join(LIMIT)
    assert child.exitcode == -signal.SIGKILL


@each_kind(SHARED_KINDS)
def test_of_a_producer_that_was_killed_first_only_a_timeout_tells_and_another_can_set(
    store: Store, elsewhere: Elsewhere
) -> None:
    future: ProxyFuture[str] = store.future()
    consumer = in_thread(future.result)
    elsewhere(run_until_killed, future).result(LIMIT)
    with pytest.raises(TimeoutError):
        future.result(SETTLING)
    assert not consumer.done()
    future.set_result("of another")
    assert consumer.result(LIMIT) == "of another"


def kill_producers(connector: Any, number: int) -> int:
    """Kills producers of 5 MB at any moment. Returns how many had not set their result."""
    chance = random.Random(number)
    value = chance.randbytes(5_000_000)
    store = Store("of bytes as they are", connector, bytes, bytes, cache_size=0)
    early = killed = 0
    while killed < number:
        future: ProxyFuture[bytes] = store.future()
        producer = start_fork(future.set_result, value)
        time.sleep(chance.uniform(0, 0.03))
        producer.kill()
        producer.join()
        killed += producer.exitcode == -signal.SIGKILL  # and not 0: it was over already
        with contextlib.suppress(InvalidStateError):
            future.set_result(b"of another")
        seen = future.result(LIMIT)
        assert (seen in (value, b"of another")) is True  # no part, and in no error message
        early += seen != value
        store.evict(future.key)
    return early


@few_or_many(2, 50)
@each_kind(SHARED_KINDS)
def test_of_a_producer_that_was_killed_meanwhile_consumers_see_the_whole_result_or_none(
    store: Store, elsewhere: Elsewhere, number: int
) -> None:
    early = elsewhere(kill_producers, store.connector, number).result(5 * LIMIT)
    assert number < 50 or early > 0


# The consumer gives up, is interrupted, or is killed


@each_kind(ALL_KINDS)
def test_a_timeout_ends_a_wait_and_not_the_future(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    patient = in_thread(future.result)
    for wait in future.result, future.exception:
        with pytest.raises(TimeoutError):
            wait(0.05)
    with pytest.raises(ProxyResolveError) as failure:
        resolve(future.proxy(timeout=0.05))
    assert isinstance(failure.value.__cause__, TimeoutError)
    assert not future.done()
    assert not patient.done()
    future.set_result("value")
    assert patient.result(LIMIT) == "value"


@few_or_many(2, 50)
@each_kind(ALL_KINDS)
def test_after_ctrl_c_in_a_wait_every_call_gets_its_own_answer(store: Store, number: int) -> None:
    chance = random.Random(0)
    for value in range(number):
        future: ProxyFuture[int] = store.future()
        other: ProxyFuture[int] = store.future()
        with pytest.raises(KeyboardInterrupt), interrupted_after(chance.uniform(0, 0.03)):
            WAYS_TO_WAIT["result" if value % 2 else "proxy"](future)
        # What is asked now must not be answered with what was asked before.
        assert not future.done()
        other.set_result(value)
        assert other.result(LIMIT) == value
        future.set_result(-value)
        assert extract(future.proxy()) == -value


@needs_proc
@few_or_many(5, 100)
@each_kind(SHARED_KINDS)
def test_consumers_that_were_killed_leave_nothing_behind(
    medium: Opened, elsewhere: Elsewhere, number: int
) -> None:
    future: ProxyFuture[str] = medium.store.future()
    survivor = in_thread(future.result)
    time.sleep(SETTLING)

    def used() -> object:
        if medium.server is None:
            return list(medium.directory.iterdir())
        return open_files_and_threads(medium.server)

    before = used()
    elsewhere(kill_consumers, future, number).result(3 * LIMIT)
    assert eventually(lambda: used() == before)
    assert not survivor.done()
    future.set_result("value")
    assert survivor.result(LIMIT) == "value"


def kill_consumers(future: ProxyFuture[Any], number: int) -> None:
    consumers = [start_fork(future.result) for _ in range(number)]
    time.sleep(2 * SETTLING)
    for consumer in consumers:
        consumer.kill()
        consumer.join()
        assert consumer.exitcode == -signal.SIGKILL


# A process forks, while its threads wait, resolve or are busy


def use(store: Store) -> None:
    """Uses the store in each way, as if nothing had happened."""
    future: ProxyFuture[list[int]] = store.future()
    proxy = future.proxy()
    waiter = in_thread(future.result)
    assert not future.done()
    future.set_result([1, 2])
    assert proxy == [1, 2]
    assert waiter.result(LIMIT) == [1, 2]
    store.evict(future.key)


def equals(proxy: Any, value: object) -> None:
    assert proxy == value


def fork_while_threads_wait(store: Store, number: int) -> None:
    for value in range(number):
        future: ProxyFuture[int] = store.future()
        proxy = future.proxy()
        waiters = [in_thread(future.result), in_thread(extract, proxy)]
        time.sleep(random.Random(value).uniform(0, 0.02))
        forked = [start_fork(use, store), start_fork(equals, proxy, value)]
        time.sleep(0.01)  # for the children to wait, too
        future.set_result(value)
        assert all([succeeds(child) for child in forked])
        assert [waiter.result(LIMIT) for waiter in waiters] == [value, value]


def fork_while_threads_are_busy(store: Store, number: int) -> None:
    """Forks at any moment of the work of threads, which may hold any lock that there is."""
    stop = threading.Event()

    def keep_using() -> None:
        while not stop.is_set():
            use(store)

    def keep_opening() -> None:
        while not stop.is_set():
            Store("a fresh one", store.connector).future()

    workers = [in_thread(keep_using), in_thread(keep_opening)]
    try:
        for seed in range(number):
            time.sleep(random.Random(seed).uniform(0, 0.002))
            assert succeeds(start_fork(use, Store("another", store.connector)))
    finally:
        stop.set()
    for worker in workers:
        worker.result(LIMIT)


@few_or_many(2, 50)
@each_kind(SHARED_KINDS)
@pytest.mark.parametrize("fork", [fork_while_threads_wait, fork_while_threads_are_busy])
def test_a_forked_child_can_use_the_store(
    kind: str, tmp_path: Path, elsewhere: Elsewhere, fork: Callable[..., None], number: int
) -> None:
    elsewhere(fork_with_a_store, fork, kind, tmp_path, number).result(5 * LIMIT)


def fork_with_a_store(fork: Any, kind: str, directory: Path, number: int) -> None:
    with opened(kind, directory) as (store, _, _):
        fork(store, number)


# The store is closed, its medium destroyed, or its creator killed


def test_waiters_learn_that_their_store_was_closed(tmp_path: Path) -> None:
    with all_opened(ALL_KINDS, tmp_path) as media:
        waits = [in_thread(ends_of_waits, medium.store.future()) for medium in media]
        time.sleep(3 * SETTLING)
        assert not any(wait.done() for wait in waits)
        since = time.monotonic()
        for medium in media:
            medium.store.close()
        for wait in waits:
            assert_told(wait.result(LIMIT), since, "closed")


@needs_proc
def test_waiters_here_and_elsewhere_learn_that_the_medium_was_destroyed(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    with all_opened(SHARED_KINDS, tmp_path) as media:
        futures: list[ProxyFuture[Any]] = [medium.store.future() for medium in media]
        here = [in_thread(ends_of_waits, future) for future in futures]
        there = elsewhere(ends_of_waits, *futures)
        time.sleep(3 * SETTLING)
        assert not any(wait.done() for wait in [*here, there])
        since = time.monotonic()
        for medium in media:
            medium.destroy()
        assert_told([end for wait in [*here, there] for end in wait.result(LIMIT)], since, UNUSABLE)
        for future in futures:
            with pytest.raises(ConnectorError, match=UNUSABLE):
                future.set_result("too late")


def create_fork_and_sleep(parent: Any) -> None:
    with opened("manager", Path()) as (store, _, server):
        future: ProxyFuture[Any] = store.future()
        assert not future.done()  # so there is a connection for a forked child to inherit
        if forked := os.fork():
            parent.send((os.getpid(), server, forked, pickle.dumps(future)))
        time.sleep(10 * LIMIT)


def start_creator() -> tuple[int, int, int, bytes]:
    """Returns the ids of the creator, its server and its forked child, and a pickled future."""
    here, there = multiprocessing.Pipe()
    start_fork(create_fork_and_sleep, there)
    assert here.poll(LIMIT)
    creator, server, forked, pickled = here.recv()
    return creator, server, forked, pickled


@needs_proc
def test_waiters_learn_that_the_creator_was_killed_also_if_its_forked_child_lives_on(
    elsewhere: Elsewhere,
) -> None:
    creator, server, forked, pickled = elsewhere(start_creator).result(LIMIT)
    future: ProxyFuture[Any] = pickle.loads(pickled)
    waiter = in_thread(end_of_wait, future)
    time.sleep(SETTLING)
    assert not waiter.done()
    try:
        since = time.monotonic()
        os.kill(creator, signal.SIGKILL)
        assert_told([waiter.result(LIMIT)], since, UNUSABLE)
        assert eventually(lambda: not is_running(server), limit=PROMPT)
        assert is_running(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


# The server pauses, is frozen, or refuses


@contextlib.contextmanager
def stopped(medium: Opened) -> Iterator[None]:
    assert medium.server is not None
    os.kill(medium.server, signal.SIGSTOP)
    try:
        time.sleep(SETTLING)
        yield
    finally:
        os.kill(medium.server, signal.SIGCONT)


@needs_proc
def test_a_wait_outlasts_a_pause_of_the_server(tmp_path: Path) -> None:
    with all_opened(SERVER_KINDS, tmp_path) as media:
        futures: list[ProxyFuture[str]] = [medium.store.future() for medium in media]
        waits = [in_thread(future.result, limit) for future in futures for limit in (None, LIMIT)]
        time.sleep(SETTLING)
        with stopped(media[0]), stopped(media[1]):
            setters = [in_thread(future.set_result, "value") for future in futures]
            time.sleep(2 * SETTLING)
            assert not any(setter.done() for setter in setters)
            assert not any(wait.done() for wait in waits)
        assert [wait.result(LIMIT) for wait in waits] == ["value"] * 4


PATIENCE = 31.0 + PROMPT  # seconds until a server is given up that says nothing


@needs_proc
@pytest.mark.slow
@each_kind(SERVER_KINDS)
def test_a_frozen_server_keeps_nobody_waiting_and_works_again_when_it_goes_on(
    medium: Opened,
) -> None:
    connector = ManagerConnector.from_config(medium.store.connector.config())
    with Store("not connected yet", connector) as fresh:
        futures: list[ProxyFuture[Any]] = [medium.store.future(), fresh.future()]
        wait = in_thread(end_of_wait, futures[0])
        time.sleep(SETTLING)
        with stopped(medium):
            since = time.monotonic()
            setter = in_thread(futures[0].set_result, bytes(5_000))
            ends = [*ends_of_waits(*futures), wait.result(LIMIT)]
            assert_told(ends, since, UNUSABLE, PATIENCE)
            with pytest.raises(ConnectorError, match=UNUSABLE):
                setter.result(LIMIT)
        use(medium.store)
        use(fresh)


# There is no room


def produce_without_room(first: ProxyFuture[bytes], second: ProxyFuture[bytes]) -> None:
    """Sets results in spite of a limit on the size of files, then one in keeping with it."""
    few, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    try:
        with pytest.raises(ConnectorError, match=r"too large.*have room"), first:
            first.set_result(bytes(200_000))
        with pytest.raises(ConnectorError, match=r"too large.*have room"):
            second.set_result(bytes(200_000))
        assert not second.done()
        second.set_result(b"in the second attempt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (few, most))


@each_kind(["file"])
def test_without_room_in_the_directory_a_producer_can_try_again_or_have_its_consumers_told(
    store: Store, elsewhere: Elsewhere
) -> None:
    first: ProxyFuture[bytes] = store.future()
    second: ProxyFuture[bytes] = store.future()
    consumer = in_thread(first.result)
    elsewhere(produce_without_room, first, second).result(LIMIT)
    with pytest.raises(ConnectorError, match="too large"):
        consumer.result(LIMIT)
    assert second.result(LIMIT) == b"in the second attempt"


# There is a crowd


@pytest.mark.slow
@each_kind(["local", "manager"])
def test_each_of_a_thousand_waiters_gets_its_own_result(store: Store) -> None:
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(1000)]
    waiters = [in_thread(future.result, 3 * LIMIT) for future in futures]
    time.sleep(2)
    for number, future in enumerate(futures):
        future.set_result(number)
    assert [waiter.result(3 * LIMIT) for waiter in waiters] == list(range(1000))
