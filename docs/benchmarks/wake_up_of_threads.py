"""How long does it take from `set_result` to the thread that waits?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import stores
from measuring import Bench, Goal, Sample, Table


def wake_up(new_future: Callable[[], Any]) -> Sample:
    woken: list[float] = []

    def consume(future: Any) -> None:
        future.result()
        woken.append(time.perf_counter())

    def sample() -> dict[str, float]:
        future = new_future()
        consumer = threading.Thread(target=consume, args=(future,))
        consumer.start()
        time.sleep(0.001)  # by now it waits
        sum(range(20_000))  # a producer computes until it has a result
        start = time.perf_counter()
        future.set_result(1)
        consumer.join()
        return {"wake-up": woken.pop() - start}

    return sample


def standard_library(bench: Bench) -> Sample:
    return wake_up(Future)


def this(bench: Bench) -> Sample:
    return wake_up(stores.local(bench).future)


def proxystore(bench: Bench) -> Sample:
    store = stores.proxystore_local(bench)
    return wake_up(lambda: store.future(polling_interval=0.001))


TABLE = Table(
    name="wake_up_of_threads",
    title="Waking a thread",
    compared=(
        "From the call of set_result in one thread to the return of result() in another, which "
        "has waited for a millisecond. ProxyStore polls once per millisecond here; by default, "
        "it polls once per second."
    ),
    cases={"wake-up": "seconds"},
    contestants={
        "concurrent.futures": standard_library,
        "proxyfuture, local": this,
        "ProxyStore, local": proxystore,
    },
    baseline="concurrent.futures",
    goals=(Goal("proxyfuture, local", at_most=1.3, times="concurrent.futures"),),
    rounds=1500,
)
