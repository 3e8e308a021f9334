"""Faults of consumers: they are killed, interrupted, forked, and come by the thousand."""

from __future__ import annotations

import contextlib
import operator
import os
import random
import resource
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faults
import pytest
from conformance import LIMIT, SETTLING, in_thread
from faults import ALL_KINDS, KINDS, Nursery, Opened, fork, opened
from processes import needs_proc, open_files_and_threads, times_scheduled
from test_manager_connector import eventually

from connectors import ConnectorError
from proxyfuture import ProxyFuture, ProxyResolveError, Store, extract, resolve

known_key, medium, store = faults.known_key, faults.medium, faults.store
nursery, reached = faults.nursery, faults.reached


# Consumers that are killed

CONSUMERS: list[Any] = []  # in the nursery: the processes that it forked


def start_consumers(future: ProxyFuture[Any], number: int) -> None:
    for _ in range(number):
        CONSUMERS.append(fork.Process(target=future.result))
        CONSUMERS[-1].start()


def kill_consumers() -> int:
    """Kills the consumers and tells how many were alive until then."""
    for consumer in CONSUMERS:
        consumer.kill()
    for consumer in CONSUMERS:
        consumer.join()
    killed = [consumer for consumer in CONSUMERS if consumer.exitcode == -signal.SIGKILL]
    CONSUMERS.clear()
    return len(killed)


def kill_consumers_at_any_moment(future: ProxyFuture[Any], number: int) -> int:
    """Kills each consumer while it connects, asks, or has just begun to wait."""
    killed = 0
    for seed in range(number):
        start_consumers(future, 1)
        time.sleep(random.Random(seed).uniform(0, 0.02))
        killed += kill_consumers()
    return killed


@needs_proc
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["manager", "network"])
@pytest.mark.parametrize("waiting", [True, False], ids=["while-they-wait", "at-any-moment"])
def test_100_killed_consumers_leave_nothing_behind_in_the_server(
    medium: Opened, nursery: Nursery, waiting: bool, reached: Callable[..., None]
) -> None:
    store, _, server = medium
    assert server is not None
    future: ProxyFuture[str] = store.future()
    survivor = in_thread(future.result)
    assert not future.done()  # so there is an idle connection from here on
    time.sleep(SETTLING)
    before = open_files_and_threads(server)

    if waiting:
        nursery(start_consumers, future, 100).result(LIMIT)
        _, threads = before
        assert eventually(lambda: open_files_and_threads(server)[1] == threads + 100)
        killed = nursery(kill_consumers).result(LIMIT)
    else:
        killed = nursery(kill_consumers_at_any_moment, future, 100).result(3 * LIMIT)

    start = time.monotonic()
    assert eventually(lambda: open_files_and_threads(server) == before, limit=10)
    reached(kills=killed, seconds_to_clean_up=round(time.monotonic() - start, 3))
    assert killed == 100
    assert not survivor.done()
    future.set_result("value")
    assert survivor.result(LIMIT) == "value"


# Consumers that give up


@contextlib.contextmanager
def interrupted_after(delay: float) -> Iterator[None]:
    """Has this process interrupted by another one, as Ctrl-C would do."""
    here, there = fork.Pipe()

    def interrupt(process: int) -> None:
        there.recv()
        time.sleep(delay)
        os.kill(process, signal.SIGINT)

    sender = fork.Process(target=interrupt, args=(os.getpid(),))
    sender.start()
    here.send("go")  # not before, or what Python does after a fork would swallow the interrupt
    try:
        yield
    finally:
        sender.kill()
        sender.join()


def give_up_and_go_on(kind: str, directory: Path, by: str, through: str) -> int:
    """Ends waits, and looks at the answers to what is asked next. Returns how many waits."""
    chance = random.Random(0)
    with opened(kind, directory) as (store, _, _):
        earlier: list[ProxyFuture[int]] = []
        for number in range(20):
            future: ProxyFuture[int] = store.future()
            other: ProxyFuture[int] = store.future()
            delay = chance.uniform(0, 0.03)
            with contextlib.ExitStack() as stack:
                if by == "interrupt":
                    limit = LIMIT
                    stack.enter_context(pytest.raises(KeyboardInterrupt))
                    stack.enter_context(interrupted_after(delay))
                else:
                    limit = delay
                    stack.enter_context(pytest.raises((TimeoutError, ProxyResolveError)))
                if through == "future":
                    future.result(limit)
                else:
                    resolve(future.proxy(timeout=limit))
            # What is asked now must not be answered with what was asked before.
            assert not future.done()
            other.set_result(number)
            assert other.result(LIMIT) == number
            assert not store.future().done()
            future.set_result(-number)
            assert extract(future.proxy()) == -number
            earlier.append(future)
            assert [future.result(LIMIT) for future in earlier] == [*range(0, -number - 1, -1)]
    return len(earlier)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("by", ["interrupt", "timeout"])
@pytest.mark.parametrize("through", ["future", "proxy"])
def test_after_a_wait_that_was_given_up_the_next_call_gets_its_own_answer(
    kind: str,
    tmp_path: Path,
    nursery: Nursery,
    by: str,
    through: str,
    reached: Callable[..., None],
) -> None:
    waits = nursery(give_up_and_go_on, kind, tmp_path, by, through).result(2 * LIMIT)
    reached(waits_given_up=waits)
    assert waits == 20


# Consumers that are forked, while threads of their parent wait

FORKS = 20


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


def fail_to_use(future: ProxyFuture[Any]) -> None:
    """Tries to use a store whose values stayed in the memory of the parent process."""
    for attempt in (
        future.done,
        future.result,
        future.exception,
        lambda: future.result(LIMIT),
        lambda: future.set_result(1),
        future.to_concurrent().result,
    ):
        with pytest.raises(ConnectorError, match=r"another process.*FileConnector.*Manager"):
            attempt()
    fail_to_resolve(future.proxy())


def fail_to_resolve(proxy: Any) -> None:
    with pytest.raises(ProxyResolveError, match=r"another process.*FileConnector.*Manager"):
        resolve(proxy)


def equals(proxy: Any, value: object) -> None:
    assert proxy == value


def succeeds(child: Any) -> bool:
    """Tells whether a forked child finds nothing wrong. What it finds, it prints."""
    child.join(LIMIT)
    child.kill()  # or who joins it at last would hang as well
    child.join()
    return bool(child.exitcode == 0)


def fork_while_threads_wait(kind: str, directory: Path) -> int:
    succeeded = 0
    with opened(kind, directory) as (store, _, _):
        for number in range(FORKS):
            future: ProxyFuture[int] = store.future()
            waiters = [in_thread(future.result), in_thread(extract, future.proxy())]
            time.sleep(random.Random(number).uniform(0, 0.02))
            if kind == "local":
                child = fork.Process(target=fail_to_use, args=(future,))
            else:
                child = fork.Process(target=use, args=(store,))
            child.start()
            if not succeeds(child):
                break
            succeeded += 1
            future.set_result(number)
            assert [waiter.result(LIMIT) for waiter in waiters] == [number, number]
    return succeeded


def fork_while_a_thread_resolves(kind: str, directory: Path) -> int:
    succeeded = 0
    with opened(kind, directory) as (store, _, _):
        for number in range(FORKS):
            future: ProxyFuture[int] = store.future()
            proxy = future.proxy()
            resolving = in_thread(resolve, proxy)
            time.sleep(random.Random(number).uniform(0, 0.02))
            if kind == "local":
                child = fork.Process(target=fail_to_resolve, args=(proxy,))
            else:
                child = fork.Process(target=equals, args=(proxy, number))
            child.start()
            time.sleep(0.01)  # for the child to wait, too
            future.set_result(number)
            if not succeeds(child):
                break
            succeeded += 1
            resolving.result(LIMIT)
            equals(proxy, number)
    return succeeded


def fork_while_threads_are_busy(kind: str, directory: Path, forks: int) -> int:
    """Forks at any moment of the work of threads, which may hold any lock that there is."""
    succeeded = 0
    stop = threading.Event()
    with opened(kind, directory) as (store, _, _):

        def keep_using() -> None:
            while not stop.is_set():
                use(store)

        def keep_opening() -> None:
            while not stop.is_set():
                Store("a fresh one", store.connector).future()

        workers = [in_thread(keep_using), in_thread(keep_opening)]
        try:
            for number in range(forks):
                time.sleep(random.Random(number).uniform(0, 0.002))
                if kind == "local":
                    child = fork.Process(target=fail_to_use, args=(store.future(),))
                else:
                    child = fork.Process(target=use, args=(Store("another", store.connector),))
                child.start()
                if not succeeds(child):
                    break
                succeeded += 1
        finally:
            stop.set()
        for worker in workers:
            worker.result(LIMIT)
    return succeeded


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fork_and_count", [fork_while_threads_wait, fork_while_a_thread_resolves])
def test_a_child_forked_while_threads_wait_can_use_the_store_or_learns_why_not(
    kind: str,
    tmp_path: Path,
    nursery: Nursery,
    fork_and_count: Callable[[str, Path], int],
    reached: Callable[..., None],
) -> None:
    succeeded = nursery(fork_and_count, kind, tmp_path).result(3 * LIMIT)
    reached(forks=succeeded)
    assert succeeded == FORKS


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", KINDS)
def test_a_child_forked_while_threads_are_busy_can_use_the_store_or_learns_why_not(
    kind: str, tmp_path: Path, nursery: Nursery, reached: Callable[..., None]
) -> None:
    succeeded = nursery(fork_while_threads_are_busy, kind, tmp_path, 50).result(3 * LIMIT)
    reached(forks=succeeded)
    assert succeeded == 50


# Consumers by the thousand

CROWD = 1000


@pytest.fixture(scope="module")
def many_open_files() -> Iterator[None]:
    """Lets this process have a connection for each of a thousand threads."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CROWD + 500
    if most != resource.RLIM_INFINITY and most < needed:
        pytest.skip(f"this process may open {most} files at most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, needed), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


class Crowd:
    """A thousand threads, each of which waits for the result of a future of its own."""

    def __init__(self, store: Store) -> None:
        self.futures: list[ProxyFuture[int]] = [store.future() for _ in range(CROWD)]
        self.served: list[int] = []
        self.thread_ids: list[int] = []
        start = threading.Event()  # or those that poll would slow down the others' start
        self.waiters = [in_thread(self._wait, number, start) for number in range(CROWD)]
        start.set()

    def _wait(self, number: int, start: threading.Event) -> None:
        self.thread_ids.append(threading.get_native_id())
        start.wait(LIMIT)
        assert self.futures[number].result(3 * LIMIT) == number
        self.served.append(number)

    def turns_taken(self, seconds: float) -> float:
        """Returns how often a usual one of the threads is woken to do something."""
        before = self._times_scheduled()
        time.sleep(seconds)
        return float(statistics.median(map(operator.sub, self._times_scheduled(), before)))

    def _times_scheduled(self) -> list[int]:
        return [times_scheduled(Path(f"/proc/self/task/{id}")) for id in self.thread_ids]

    def join(self) -> None:
        for waiter in self.waiters:
            waiter.result(3 * LIMIT)


@needs_proc
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["local", "manager", "network"])
@pytest.mark.usefixtures("many_open_files")
def test_each_of_1000_waiters_is_woken_once_by_its_own_result(
    store: Store, reached: Callable[..., None]
) -> None:
    crowd = Crowd(store)
    # Who waits for a server looks once a second whether the connector was closed, and may have
    # to wait for the interpreter's lock. Polling would take 100 turns in two seconds. At first,
    # they are busy with connecting.
    assert eventually(lambda: crowd.turns_taken(seconds=2) < 20)
    order = random.Random(0).sample(range(CROWD), CROWD)
    for number in order:
        crowd.futures[number].set_result(number)
        crowd.waiters[number].result(3 * LIMIT)
    reached(served=len(crowd.served))
    assert crowd.served == order  # each of them once, and nobody out of turn
    assert len(crowd.served) == CROWD


def set_results(futures: list[ProxyFuture[int]]) -> None:
    for number, future in enumerate(futures):
        future.set_result(number)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["file"])
def test_1000_waiters_that_have_to_poll_are_served_by_another_process(
    store: Store, nursery: Nursery, reached: Callable[..., None]
) -> None:
    crowd = Crowd(store)
    nursery(set_results, crowd.futures).result(3 * LIMIT)
    crowd.join()
    reached(served=len(crowd.served))
    assert sorted(crowd.served) == list(range(CROWD))


def seconds_to_set(store: Store) -> float:
    future: ProxyFuture[int] = store.future()
    start = time.perf_counter()
    future.set_result(0)
    return time.perf_counter() - start


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["local", "manager", "network"])
@pytest.mark.usefixtures("many_open_files")
def test_setting_a_result_costs_the_same_while_1000_others_wait(
    kind: str, store: Store, tmp_path: Path, reached: Callable[..., None]
) -> None:
    (tmp_path / "crowded").mkdir()
    with opened(kind, tmp_path / "crowded") as (crowded, _, _):
        crowd = Crowd(crowded)
        time.sleep(1)
        # More than once, since the machine may have something else to do for a while.
        ratio = min(ratio_of_costs(store, crowded) for _ in range(3))
        set_results(crowd.futures)
        crowd.join()
    reached(served=len(crowd.served), ratio=round(ratio, 2))
    assert len(crowd.served) == CROWD
    assert ratio < 2


def ratio_of_costs(store: Store, crowded: Store) -> float:
    times = [(seconds_to_set(store), seconds_to_set(crowded)) for _ in range(500)]
    alone, in_the_crowd = map(statistics.median, zip(*times, strict=True))
    return float(in_the_crowd / alone)
