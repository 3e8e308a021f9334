"""The consumer starts first, and blocks until there is a value.

python docs/examples/starts_first.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from threading import Thread
from time import sleep

from connectors import LocalConnector
from proxyfuture import ProxyFuture, Store


def foo(future: ProxyFuture[str]) -> None:
    sleep(1)
    print("foo sets the value")
    future.set_result("hello")


def bar(text: str) -> None:
    print("bar has a text, and starts")
    # The next line blocks until foo has set the value.
    print("bar uses it:", text.upper())


with Store("starts-first", LocalConnector()) as store:
    future: ProxyFuture[str] = store.future(str)
    consumer = Thread(target=bar, args=[future.proxy()])
    consumer.start()
    foo(future)
    consumer.join()
