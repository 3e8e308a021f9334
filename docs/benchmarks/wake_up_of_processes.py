"""How long does it take from `set_result` to a process that waits, and what does waiting cost?"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import stores
from measuring import Bench, Goal, Sample, Table


class PipeFuture:
    """The limit: a result that goes through a pipe from the producer to the consumer."""

    def __init__(self) -> None:
        self.reader, self.writer = multiprocessing.Pipe(duplex=False)

    def result(self) -> object:
        return self.reader.recv()

    def set_result(self, obj: object) -> None:
        self.writer.send(obj)


def consume(inbox: Connection[Any, Any]) -> None:
    """The consumer's process: waits for one future after the other."""
    while (future := inbox.recv()) is not None:
        inbox.send("ready")
        began, cpu = time.perf_counter(), time.process_time()
        future.result()
        woken = time.perf_counter()
        inbox.send((woken, (time.process_time() - cpu) / (woken - began)))


def wake_up(bench: Bench, new_future: Callable[[], Any], wait: float) -> Sample:
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    consumer = context.Process(target=consume, args=(theirs,), daemon=True)
    consumer.start()
    bench.callback(consumer.join)
    bench.callback(ours.send, None)

    def sample() -> dict[str, float]:
        future = new_future()
        ours.send(future)
        ours.recv()
        time.sleep(wait)
        start = time.perf_counter()  # the same clock in all processes
        future.set_result(1)
        woken, share = ours.recv()
        return {"wake-up": woken - start, "core while it waits": share}

    return sample


def this(open_store: Callable[[Bench], Any], wait: float) -> Callable[[Bench], Sample]:
    return lambda bench: wake_up(bench, open_store(bench).future, wait)


def proxystore(bench: Bench, wait: float) -> Sample:
    store = stores.proxystore_redis(bench)
    return wake_up(bench, lambda: store.future(polling_interval=0.001), wait)


def contestants(wait: float, apart: float = 0) -> dict[str, Callable[[Bench], Sample]]:
    """Returns those who wait so many seconds, each so much longer than the one before."""

    def pipe(bench: Bench) -> Sample:
        return wake_up(bench, PipeFuture, wait + apart)

    return {
        # First the one that polls most, which would disturb the others if they came earlier.
        "ProxyStore, Redis": lambda bench: proxystore(bench, wait),
        "multiprocessing.Pipe": pipe,
        "proxyfuture, manager": this(stores.manager, wait + 2 * apart),
        "proxyfuture, Redis example": this(stores.redis, wait + 3 * apart),
        "proxyfuture, file": this(stores.file, wait + 4 * apart),
    }


AFTER_A_SHORT_WAIT = Table(
    name="wake_up_of_processes",
    title="Waking a process",
    compared=(
        "From the call of set_result in one process to the return of result() in another, which "
        "has waited for 0.1 s. ProxyStore polls once per millisecond."
    ),
    cases={"wake-up": "seconds", "core while it waits": "share"},
    contestants=contestants(0.1),
    baseline="multiprocessing.Pipe",
    goals=(
        Goal("proxyfuture, manager", 3, times="multiprocessing.Pipe", cases=("wake-up",)),
        Goal("proxyfuture, manager", 1, times="ProxyStore, Redis", cases=("wake-up",)),
        Goal("proxyfuture, file", 0.002, cases=("wake-up",)),
    ),
    rounds=100,
)

AFTER_A_LONG_WAIT = Table(
    name="wake_up_after_a_long_wait",
    title="Waking a process after ten seconds",
    compared="The same after a wait of 10 s, with all consumers waiting at the same time.",
    cases=AFTER_A_SHORT_WAIT.cases,
    contestants=contestants(10, apart=0.05),
    baseline="multiprocessing.Pipe",
    goals=(
        Goal("proxyfuture, file", 0.010, cases=("wake-up",)),
        Goal("proxyfuture, file", 0.01, cases=("core while it waits",)),
    ),
    rounds=10,
    at_once=True,
)
