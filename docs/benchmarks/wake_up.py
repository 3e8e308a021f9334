"""How long does it take from `set_result` to the woken thread?

Measures a `ProxyFuture` in a `LocalConnector` beside a `concurrent.futures.Future`, in turns,
in one process:

    python docs/benchmarks/wake_up.py [--rounds 2000]

In each turn a thread waits, a result is set, and the time is taken until the thread goes on. What
counts is the ratio of the two medians. The times themselves are the machine's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from connectors import LocalConnector
from proxyfuture import ProxyFuture, Store

AnyFuture = Future[int] | ProxyFuture[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000, help="how often to measure each")
    rounds = parser.parse_args().rounds
    with Store("wake-up", LocalConnector()) as store:
        makers: dict[str, Callable[[], AnyFuture]] = {
            "concurrent.futures.Future": Future,
            "ProxyFuture": store.future,
        }
        futures = {name: [make() for _ in range(rounds)] for name, make in makers.items()}
        woken: dict[str, list[float]] = {name: [] for name in makers}
        times: dict[str, list[float]] = {name: [] for name in makers}
        for name in makers:
            threading.Thread(target=consume, args=(futures[name], woken[name])).start()
        for turn in range(rounds):
            for name in makers:
                time.sleep(0.001)  # by now the consumer waits for this turn's future
                sum(range(20_000))  # a producer computes until it has a result
                start = time.perf_counter()
                futures[name][turn].set_result(turn)
                while len(woken[name]) == turn:
                    time.sleep(0.0001)
                times[name].append(woken[name][turn] - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:28} {median * 1e6:7.1f} microseconds (median of {rounds})")
    ratio = medians["ProxyFuture"] / medians["concurrent.futures.Future"]
    print(f"{'ratio':28} {ratio:7.2f}")


def consume(futures: Iterable[AnyFuture], woken: list[float]) -> None:
    """Waits for one future after the other, and notes when it went on."""
    for future in futures:
        future.result()
        woken.append(time.perf_counter())


if __name__ == "__main__":
    main()
