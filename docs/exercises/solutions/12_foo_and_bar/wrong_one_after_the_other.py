# Wrong: it waits for foo before it starts bar.
# Fails: never were at work at the same time
"""Exercise 12: `foo` and `bar`: predict the overlapped time, then measure it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, cast


def predicted(foo: float, bar_independent: float, bar_dependent: float) -> float:
    """Returns how long `foo` and `bar` take together if they start at the same time.

    Args:
        foo: How many seconds `foo` needs to produce the data.
        bar_independent: How many seconds `bar` works without the data.
        bar_dependent: How many seconds `bar` then works with the data.
    """
    return max(foo, bar_independent) + bar_dependent


def predicted_chain(tasks: Sequence[tuple[float, float]]) -> float:
    """Returns how long a chain of tasks takes if all of them start at the same time.

    Args:
        tasks: For each task, in their order: how many seconds it works independently, and how
            many seconds it then works with the result of the task before it. The result for
            the next task is there when it ends. The first task waits for nobody.
    """
    end = 0.0
    for independent, dependent in tasks:
        end = predicted(end, independent, dependent)
    return end


def work(seconds: float) -> None:
    """Stands for real work of that many seconds."""
    time.sleep(seconds)


def foo(future: Future[list[int]], seconds: float) -> None:
    """Produces the data."""
    work(seconds)
    future.set_result([1, 2, 3])


def bar(data: list[int], independent: float, dependent: float) -> int:
    """Consumes the data. What it gets is a proxy, of which it needs to know nothing.

    Args:
        data: The numbers that `foo` produces. The first use waits for them.
        independent: How many seconds to `work` without the data.
        dependent: How many seconds to `work` after the data is there.

    Returns:
        The sum of the data.
    """
    work(independent)
    result = sum(data)
    work(dependent)
    return result


def measured(foo_seconds: float, bar_independent: float, bar_dependent: float) -> float:
    """Runs `foo` and `bar` at the same time, each in a thread, with a future between them.

    Make a `Future[list[int]]`, give it to `foo`, and give `proxy_of(future)` to `bar`.

    Returns:
        How many seconds it took until both had ended.
    """
    future: Future[list[int]] = Future()
    start = time.monotonic()
    producer = threading.Thread(target=foo, args=(future, foo_seconds))
    producer.start()
    producer.join()
    arguments = (proxy_of(future), bar_independent, bar_dependent)
    consumer = threading.Thread(target=bar, args=arguments)
    consumer.start()
    consumer.join()
    return time.monotonic() - start


# The pieces


def proxy_of(future: Future[list[int]]) -> list[int]:
    """Returns a proxy of the result, which the consumer takes for the result itself."""
    return cast(list[int], Proxy(future.result))


class Proxy:
    """Gets its target from the factory at the first use, and behaves as the target."""

    def __init__(self, factory: Callable[[], object]) -> None:
        self._factory = factory
        self._target: list[Any] = []  # empty, until there is one

    def _resolved(self) -> Any:
        if not self._target:
            self._target.append(self._factory())
        return self._target[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolved(), name)

    def __bool__(self) -> bool:
        return bool(self._resolved())

    def __str__(self) -> str:
        return str(self._resolved())

    def __len__(self) -> int:
        return len(self._resolved())

    def __iter__(self) -> Any:
        return iter(self._resolved())

    def __getitem__(self, index: Any) -> Any:
        return self._resolved()[index]


def main() -> None:
    """Prints your predictions next to your measurements."""
    print("  foo   bar: independent   dependent    predicted    measured    one after the other")
    for seconds in (0.5, 0.5, 0.5), (1.0, 0.25, 0.25), (0.25, 1.0, 0.25), (0.5, 0.0, 0.5):
        expected, took = predicted(*seconds), measured(*seconds)
        print("{:5.2f} {:18.2f} {:11.2f}".format(*seconds), end="")
        print(f"{expected:10.2f} s {took:9.3f} s {sum(seconds):13.2f} s")
    f = 0.5
    chain = [(f, 1 - f)] * 8
    print(
        f"\nA chain of 8 tasks of 1 s, each independent for {f} s: {predicted_chain(chain):.2f} s"
    )


if __name__ == "__main__":
    main()
