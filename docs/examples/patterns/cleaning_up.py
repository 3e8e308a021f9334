"""Cleaning up: what a value leaves behind, and who removes it.

A value stays until it is evicted, or until the client closes the store.

    python docs/examples/patterns/cleaning_up.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import os
import time
from concurrent.futures import ProcessPoolExecutor
from tempfile import TemporaryDirectory

from connectors import FileConnector
from proxyfuture import ProxyFuture, Store


def produce(future: ProxyFuture[bytes]) -> None:
    with future:
        time.sleep(0.3)
        future.set_result(bytes(1_000_000))


def consume(data: bytes) -> int:
    size = len(data)
    time.sleep(0.2)
    return size


def main() -> None:
    with TemporaryDirectory() as parent, ProcessPoolExecutor(max_workers=2) as executor:
        directory = f"{parent}/store"
        with Store("cleaning-up", FileConnector(directory)) as store:

            def stored() -> str:
                return f"{len(os.listdir(directory))} stored"

            kept: ProxyFuture[bytes] = store.future(bytes)
            once: ProxyFuture[bytes] = store.future(bytes)
            for future in kept, once:
                executor.submit(produce, future).result()
            print("both set:", stored())

            # For one consumer: the value goes when the proxy has it.
            size = executor.submit(consume, once.proxy(evict=True)).result()
            print(f"one used, of {size} bytes:", stored())

            # For many: the client knows when all are done.
            size = executor.submit(consume, kept.proxy()).result()
            store.evict(kept.key)
            print(f"the other used, of {size} bytes, and evicted:", stored())
        print("store closed, directory left:", os.path.exists(directory))


if __name__ == "__main__":
    main()
