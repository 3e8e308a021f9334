"""The whole idea of proxy futures, from nothing: python docs/examples/in_one_page.py"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Connector:  # where values wait until somebody asks for them
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.changed = threading.Condition()

    def set(self, key: str, value: Any) -> None:
        with self.changed:
            self.values[key] = value
            self.changed.notify_all()

    def wait(self, key: str) -> Any:
        with self.changed:
            self.changed.wait_for(lambda: key in self.values)
            return self.values[key]


class Future(Generic[T]):  # for the producer: a key, whose value comes later
    def __init__(self, connector: Connector) -> None:
        self.connector, self.key = connector, os.urandom(16).hex()

    def set_result(self, value: T) -> None:
        self.connector.set(self.key, value)

    def proxy(self) -> T:  # to a type checker, a proxy is the value
        return cast(T, Proxy(lambda: self.connector.wait(self.key)))


class Proxy:  # for the consumer: it gets its target at the first use
    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory

    def __getattr__(self, name: str) -> Any:  # called for what Python does not find
        if name == "_target":  # not there yet: this is the first use
            self._target = self._factory()
            return self._target
        return getattr(self._target, name)

    # Python looks for these in the class, without asking __getattr__.
    def __str__(self) -> str:
        return str(self._target)

    def __len__(self) -> int:
        return len(self._target)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._target)

    def __getitem__(self, index: Any) -> Any:
        return self._target[index]

    def __add__(self, other: Any) -> Any:
        return self._target + other


def consume(primes: list[int], more: list[int]) -> None:
    print("consumer: starts, without the primes")
    print("consumer: their sum is", sum(primes))  # blocks: this is the first use
    print("consumer: the", len(primes), "are", primes, "and the first is", primes[0])
    print("consumer: with more,", primes + more, "and 5 stands at", primes.index(5))


future = Future[list[int]](Connector())
consumer = threading.Thread(target=consume, args=(future.proxy(), [11, 13]))
consumer.start()  # before there is anything to consume
time.sleep(0.5)  # this thread is the producer, and works hard
print("producer: sets the result")
future.set_result([2, 3, 5, 7])
consumer.join()
