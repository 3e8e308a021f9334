"""foo and bar on process pools that pickle with cloudpickle or dill: joblib's, and multiprocess.

python docs/examples/real/other_pools.py

`bar` comes first, and gets the proxy of a future that knows its type. An untyped one would make
cloudpickle ask it for its class, and so wait for a value that nobody makes yet.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project
sys.path.insert(0, str(Path(__file__).parents[1]))  # the tasks

from connectors import FileConnector
from one_second import MyData, bar, foo
from proxyfuture import Store


def with_joblib(store: Store) -> int:
    from joblib import Parallel, delayed

    future = store.future(MyData)
    tasks = [delayed(bar)(future.proxy()), delayed(foo)(future)]
    result: int = Parallel(n_jobs=2)(tasks)[0]
    return result


def with_multiprocess(store: Store) -> int:
    from multiprocess import get_context

    future = store.future(MyData)
    with get_context("spawn").Pool(2) as pool:
        running: Any = pool.apply_async(bar, [future.proxy()])
        pool.apply(foo, [future])
        result: int = running.get()
    return result


def timed(run: Callable[[Store], int], store: Store) -> None:
    run(store)  # starts the workers
    started = time.monotonic()
    print(f"{run.__name__}: {run(store)} after {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as directory,
        Store("other-pools", FileConnector(f"{directory}/values")) as store,
    ):
        timed(with_joblib, store)
        timed(with_multiprocess, store)
