"""How long does it take from `set_result` to a process that waits, and what does waiting cost?"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
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
    if bench.quick:
        wait = min(wait, 0.3)
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


def through(
    open_store: Callable[[Bench], Any], wait: float, **options: float
) -> Callable[[Bench], Sample]:
    return lambda bench: wake_up(bench, partial(open_store(bench).future, **options), wait)


def contestants(wait: float, apart: float = 0) -> dict[str, Callable[[Bench], Sample]]:
    """Returns those who wait so many seconds, each so much longer than the one before.

    The one that polls most is the first, since it would disturb the others at their turn.
    """

    def pipe(bench: Bench) -> Sample:
        return wake_up(bench, PipeFuture, wait + apart)

    return {
        "multiprocessing.Pipe": pipe,
        "proxyfuture, manager": through(stores.manager, wait + 2 * apart),
        "proxyfuture, file": through(stores.file, wait + 3 * apart),
        "proxyfuture, Redis example": through(stores.redis, wait + 4 * apart),
        "ProxyStore, Redis": through(stores.proxystore_redis, wait, polling_interval=0.001),
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
        Goal("proxyfuture, manager", 5, times="multiprocessing.Pipe", cases=("wake-up",)),
        Goal("proxyfuture, manager", 1, times="ProxyStore, Redis", cases=("wake-up",)),
        Goal("proxyfuture, file", 0.002, cases=("wake-up",)),
    ),
    rounds=60,
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
