"""A diamond: two tasks use one result, a third uses both of theirs.

Nobody says who has to wait for whom: each waits where it uses what is not there yet.

    python docs/examples/patterns/diamond.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import time
from concurrent.futures import ProcessPoolExecutor

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store


def load(numbers: ProxyFuture[list[int]]) -> None:
    with numbers:
        time.sleep(0.4)
        numbers.set_result([2, 4, 4, 4, 5, 5, 7, 9])


def average(numbers: list[int], centre: ProxyFuture[float]) -> None:
    with centre:
        time.sleep(0.2)
        centre.set_result(sum(numbers) / len(numbers))


def extent(numbers: list[int], width: ProxyFuture[int]) -> None:
    with width:
        time.sleep(0.7)
        width.set_result(max(numbers) - min(numbers))


def report(centre: float, width: int) -> str:
    time.sleep(0.3)
    text = f"{centre} in a range of {width}"
    time.sleep(0.2)
    return text


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=4) as executor,
        Store("diamond", ManagerConnector()) as store,
    ):
        numbers: ProxyFuture[list[int]] = store.future(list)
        centre: ProxyFuture[float] = store.future(float)
        width: ProxyFuture[int] = store.future(int)
        executor.submit(load, numbers)
        executor.submit(average, numbers.proxy(), centre)
        executor.submit(extent, numbers.proxy(), width)
        print(executor.submit(report, centre.proxy(), width.proxy()).result())


if __name__ == "__main__":
    main()
