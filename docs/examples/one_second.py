"""Two tasks for an engine's workers: `foo` makes what `bar` needs, a second each.

They stand in a module of their own, which the workers import. An engine that finds a function or
a class in the program itself may send it as a copy, and a copy of a class is another class.
"""

import pickle
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from proxyfuture import ProxyFuture


# --8<-- [start:tasks]
@dataclass
class MyData:
    values: list[int]


def foo(future: ProxyFuture[MyData]) -> None:
    with future:
        time.sleep(1)
        future.set_result(MyData([1, 2, 3]))


def bar(data: MyData) -> int:
    time.sleep(1)  # what does not need the data
    return sum(data.values)  # blocks until foo sets the result


# --8<-- [end:tasks]


# --8<-- [start:unseal]
def unseal(call: bytes) -> Any:
    """Runs a call that was pickled, so that no engine could look into it."""
    function, arguments = pickle.loads(call)
    return function(*arguments)


# --8<-- [end:unseal]
