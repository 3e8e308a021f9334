"""Timeouts and retries: a consumer gives up for now, a producer tries again.

The client waits a moment. Then it has the result made, in up to three attempts.

    python docs/examples/patterns/timeouts.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, ProxyResolveError, Store


def download(attempt: int) -> str:
    time.sleep(0.2)
    if attempt < 3:
        raise OSError("no answer")
    return f"the page, at attempt {attempt}"


def download_patiently() -> str:
    for attempt in 1, 2:
        with suppress(OSError):
            return download(attempt)
    return download(3)


def fetch(future: ProxyFuture[str]) -> None:
    with future:  # around all attempts: a consumer hears of the last failure only
        future.set_result(download_patiently())


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=1) as executor,
        Store("timeouts", ManagerConnector()) as store,
    ):
        future: ProxyFuture[str] = store.future(str)
        page = future.proxy(timeout=0.3)  # seconds
        try:
            print(page.upper())
        except ProxyResolveError as error:
            print(f"Not yet: {type(error.__cause__).__name__}")

        executor.submit(fetch, future)
        print(future.result(timeout=60))
        print(page.upper())  # each use tries again, until one succeeds


if __name__ == "__main__":
    main()
