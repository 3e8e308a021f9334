"""Failing producers: there are three ways to fail, and a consumer hears of each.

Two of them can tell it themselves. For the third, the client does.

    python docs/examples/patterns/failures.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import os
import time
from concurrent.futures import Future, InvalidStateError, ProcessPoolExecutor
from contextlib import suppress
from functools import partial

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, ProxyResolveError, Store


def fails(future: ProxyFuture[str]) -> None:
    with future:
        time.sleep(0.3)
        raise OSError("no answer")


def forgets(future: ProxyFuture[str]) -> None:
    with future:
        time.sleep(0.3)


def dies(future: ProxyFuture[str]) -> None:
    with future:
        time.sleep(0.3)
        os._exit(1)  # as if this process were killed: it can tell nobody any more


def report_failure(future: ProxyFuture[str], running: Future[None]) -> None:
    """Tells the consumers of a producer what only the executor knows."""
    if error := running.exception():
        with suppress(InvalidStateError):  # it could
            future.set_exception(error)


def consume(page: str) -> str:
    try:
        return page.upper()
    except ProxyResolveError as error:
        return type(error.__cause__).__name__


def main() -> None:
    with Store("failures", ManagerConnector()) as store:
        for producer in fails, forgets, dies:
            with ProcessPoolExecutor(max_workers=1) as executor:
                future: ProxyFuture[str] = store.future(str)
                running = executor.submit(producer, future)
                running.add_done_callback(partial(report_failure, future))
                print(f"{producer.__name__}: {consume(future.proxy())}")


if __name__ == "__main__":
    main()
