"""Two tasks for an engine's workers: `foo` makes what `bar` needs, a second each.

They stand in a module of their own, which the workers import. An engine that finds a function or
a class in the program itself may send it as a copy, and a copy of a class is another class.
"""

import pickle
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from proxyfuture import ProxyFuture


@dataclass
class MyData:
    values: list[int]


class Span(NamedTuple):
    """When a task ran, on the clock of its machine, in seconds."""

    started: float
    finished: float
    total: int


def foo(future: ProxyFuture[MyData]) -> Span:
    with future:
        started = time.time()
        time.sleep(1)
        data = MyData([1, 2, 3])
        future.set_result(data)
        return Span(started, time.time(), sum(data.values))


def bar(data: MyData) -> Span:
    started = time.time()
    time.sleep(1)  # what does not need the data
    total = sum(data.values)  # blocks until foo sets the result
    return Span(started, time.time(), total)


# --8<-- [start:unseal]
def unseal(call: bytes) -> Any:
    """Runs a call that was pickled, so that no engine could look into it."""
    function, arguments = pickle.loads(call)
    return function(*arguments)


# --8<-- [end:unseal]
