"""A client runs two functions in two processes: `foo` makes an object that `bar` needs.

Both run at the same time. `bar` blocks only where it uses the object.

    python docs/examples/client.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from math import log
from time import time
from typing import TypeVar

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store

T = TypeVar("T")

LIMIT = 200_000


@dataclass
class MyData:
    primes: list[int]


def foo(future: ProxyFuture[MyData]) -> str:
    # Should the computation fail, bar gets the error instead of waiting for ever.
    with future:
        started = now()
        data = MyData([n for n in range(2, LIMIT) if is_prime(n)])
        future.set_result(data)
        return f"foo worked from {started} to {now()}."


def bar(data: MyData) -> str:
    started = now()
    # Computation not involving data can execute freely.
    estimate = sum(0.2 / log(n / 5) for n in range(10, 5 * LIMIT))
    free = now()
    # Computation using data will block until foo sets the result of the future.
    count = len(data.primes)
    return (
        f"bar worked from {started} to {free}, and had the data at {now()}.\n"
        f"There are {count} primes below {LIMIT}. Gauss estimated {estimate:.0f}."
    )


def is_prime(n: int) -> bool:
    return all(n % divisor for divisor in range(2, int(n**0.5) + 1))


def now() -> str:
    return f"{time() % 60:.2f}"  # the seconds of the clock, which both processes share


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=2) as executor,
        Store("proxy-future-example", ManagerConnector()) as store,
    ):

        def invoke_remote(function: Callable[..., T], *arguments: object) -> Future[T]:
            return executor.submit(function, *arguments)

        future: ProxyFuture[MyData] = store.future(MyData)

        # The invoke_remote function will execute the function with
        # the provided arguments in one of the two processes.
        foo_result_future = invoke_remote(foo, future)
        bar_result_future = invoke_remote(bar, future.proxy())

        # Wait on the functions to finish executing.
        print(foo_result_future.result())
        print(bar_result_future.result())


# The processes of an executor may import this file, and shall not run the client again.
if __name__ == "__main__":
    main()
