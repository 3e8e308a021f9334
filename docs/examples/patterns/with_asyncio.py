"""With asyncio: a future can be awaited, and the event loop goes on meanwhile.

Producers may be processes or coroutines. `asyncio.timeout` ends a wait.

    python docs/examples/patterns/with_asyncio.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store


def produce(future: ProxyFuture[int]) -> None:
    with future:
        time.sleep(0.5)
        future.set_result(20)


async def produce_here(future: ProxyFuture[int]) -> None:
    with future:
        await asyncio.sleep(0.3)
        future.set_result(22)


async def consume(future: ProxyFuture[int], other: ProxyFuture[int]) -> int:
    return await future + await other


async def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=1) as executor,
        Store("with-asyncio", ManagerConnector()) as store,
    ):
        future: ProxyFuture[int] = store.future(int)
        other: ProxyFuture[int] = store.future(int)
        executor.submit(produce, future)
        total, _ = await asyncio.gather(consume(future, other), produce_here(other))
        print(total)

        nobody_sets: ProxyFuture[int] = store.future(int)
        try:
            async with asyncio.timeout(0.2):
                await nobody_sets
        except TimeoutError:
            print("timed out")


if __name__ == "__main__":
    asyncio.run(main())
