"""What happens to `bar` if `foo` raises, or forgets to set a result.

python docs/examples/failing.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from concurrent.futures import ThreadPoolExecutor

from connectors import LocalConnector
from proxyfuture import ProxyFuture, ProxyResolveError, Store


def foo(future: ProxyFuture[str]) -> None:
    with future:
        raise OSError("The disk is full")


def forgetful_foo(future: ProxyFuture[str]) -> None:
    with future:
        pass


def bar(data: str) -> None:
    try:
        print(data.upper())
    except ProxyResolveError as error:
        print(f"{type(error).__name__}: {error}")
        print(f"  caused by {type(error.__cause__).__name__}: {error.__cause__}")


with ThreadPoolExecutor() as executor, Store("failing", LocalConnector()) as store:
    for producer in foo, forgetful_foo:
        future: ProxyFuture[str] = store.future(str)
        running_bar = executor.submit(bar, future.proxy())
        executor.submit(producer, future)
        running_bar.result()
