"""Fan-out: many consumers use one result.

Each first does what needs no result. So it may start before the producer, as here.

    python docs/examples/patterns/fan_out.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import statistics
import time
from concurrent.futures import ProcessPoolExecutor

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store


def measure(future: ProxyFuture[list[int]]) -> None:
    with future:
        time.sleep(0.6)  # stands for a computation
        future.set_result([14, 11, 19, 24])


def describe(name: str, data: list[int]) -> str:
    time.sleep(0.3)  # what needs no data
    value = getattr(statistics, name)(data)
    time.sleep(0.2)  # what does
    return f"{name}: {value}"


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=4) as executor,
        Store("fan-out", ManagerConnector()) as store,
    ):
        future: ProxyFuture[list[int]] = store.future(list)
        proxy = future.proxy()
        names = "mean", "median", "mode"
        running = [executor.submit(describe, name, proxy) for name in names]
        executor.submit(measure, future)
        for description in running:
            print(description.result())


if __name__ == "__main__":
    main()
