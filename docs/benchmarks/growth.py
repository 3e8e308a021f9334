"""Does a future cost more among many others: stored ones, or ones that are waited for?"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import stores
from connectors import ConnectorError
from measuring import Bench, Goal, Missing, Sample, Table, per_call
from proxyfuture import ProxyFuture, Store


def opened(bench: Bench) -> dict[str, Store]:
    """Opens a store on each medium that is there."""
    found = {}
    for medium, open_store in stores.THIS.items():
        with bench.optional(medium):
            found[medium] = open_store(bench)
    return found


# Stored ones


def among_keys(live: int) -> Callable[[Bench], Sample]:
    def prepared(bench: Bench) -> Sample:
        if bench.quick and live > 1000:
            raise Missing("takes too long for a quick run")
        costs = {}
        for medium, store in opened(bench).items():
            for _ in range(live):
                store.put(42)
            costs[medium] = per_call(partial(one_future, store), bench)
        return lambda: {medium: cost() for medium, cost in costs.items()}

    return prepared


def one_future(store: Store) -> None:
    future: ProxyFuture[int] = store.future()
    future.set_result(42)
    assert future.result() == 42
    store.evict(future.key)  # so that there are no more next time


AMONG_KEYS = Table(
    name="growth_with_keys",
    title="Among many keys",
    compared=(
        "Creating a future, setting it, getting its result and evicting it, in a store that "
        "holds so many others."
    ),
    cases=dict.fromkeys(stores.THIS, "seconds"),
    contestants={f"{live:,} keys": among_keys(live) for live in (10, 1_000, 100_000)},
    baseline="10 keys",
    goals=(
        Goal("1,000 keys", 1.5, times="10 keys"),
        Goal("100,000 keys", 1.5, times="10 keys"),
    ),
    rounds=50,
)


# Ones that are waited for


def among_waiters(count: int) -> Callable[[Bench], Sample]:
    def prepared(bench: Bench) -> Sample:
        if bench.quick and count > 100:
            raise Missing("takes too long for a quick run")
        waited_for = {
            medium: (store, waiters(bench, medium, store, count))
            for medium, store in opened(bench).items()
        }

        def sample() -> dict[str, float]:
            costs = {}
            for medium, (store, awake) in waited_for.items():
                with awake():
                    costs[medium] = cost_of_set(store)
            return costs

        return sample

    return prepared


def cost_of_set(store: Store, times: int = 50) -> float:
    costs = []
    for _ in range(times):
        future: ProxyFuture[int] = store.future()
        start = time.perf_counter()
        future.set_result(42)
        costs.append(time.perf_counter() - start)
    return statistics.median(costs)


def waiters(
    bench: Bench, medium: str, store: Store, count: int
) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Starts `count` threads that wait. Returns what to enter to have them awake for a while.

    All but the local ones are in another process, which is stopped in between: it must not take
    time from the others.
    """
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(count)]
    processes: list[int] = []
    if medium == "local":
        wait_in_threads(futures)
    elif count:
        processes.append(started(bench, futures))

    @contextlib.contextmanager
    def awake() -> Iterator[None]:
        for process in processes:
            os.kill(process, signal.SIGCONT)
        time.sleep(0.02 if bench.quick else 0.2)
        yield
        for process in processes:
            os.kill(process, signal.SIGSTOP)

    return awake


def started(bench: Bench, futures: list[ProxyFuture[int]]) -> int:
    """Starts a process that waits for all of them, and stops it there. Returns its id."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=wait_in_process, args=(futures, theirs), daemon=True)
    process.start()
    bench.callback(process.join)
    bench.callback(process.kill)
    ours.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    return process.pid


def wait_in_process(futures: list[ProxyFuture[int]], ready: Any) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a waiter may be an open file
    threads = wait_in_threads(futures)
    time.sleep(0.2 + len(futures) / 1000)  # by now they all wait
    ready.send(None)
    for thread in threads:
        thread.join()


def wait_in_threads(futures: list[ProxyFuture[int]]) -> list[threading.Thread]:
    all_started = threading.Event()  # or those who poll would slow down the start of the others

    def wait(future: ProxyFuture[int]) -> None:
        all_started.wait()
        with contextlib.suppress(ConnectorError):  # the store is closed at the end
            future.result()

    threads = [threading.Thread(target=wait, args=(future,), daemon=True) for future in futures]
    for thread in threads:
        thread.start()
    all_started.set()
    return threads


AMONG_WAITERS = Table(
    name="growth_with_waiters",
    title="Among many waiters",
    compared="Setting a result that nobody waits for, while so many threads wait for others.",
    cases=AMONG_KEYS.cases,
    contestants={f"{count:,} waiters": among_waiters(count) for count in (0, 100, 1_000)},
    baseline="0 waiters",
    goals=(
        Goal("100 waiters", 1.5, times="0 waiters"),
        Goal("1,000 waiters", 1.5, times="0 waiters"),
    ),
    rounds=15,
)
