"""The walkthrough on one engine or another. All that changes is `invoke_remote`.

    python docs/examples/engines.py process-pool
    python docs/examples/engines.py dask       # after: pip install distributed
    python docs/examples/engines.py ray        # after: pip install ray
    python docs/examples/engines.py parsl      # after: pip install parsl

`foo` and `bar` take a second each, and overlap. It prints how long both took together, with either
of them submitted first, and `bar` given the future or its proxy.
"""

import argparse
import contextlib
import functools
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the modules, in a clone
sys.path.insert(0, str(Path(__file__).resolve().parent))  # the tasks

from connectors import FileConnector
from one_second import MyData, bar, foo, unseal
from proxyfuture import ProxyFuture, Store, call_with_proxies


class Running(Protocol):
    """What the engines' own futures have in common."""

    def result(self) -> Any: ...
    def add_done_callback(self, function: Callable[[Any], object], /) -> object: ...


InvokeRemote = Callable[..., Running]


# The walkthrough, which is the same for all


class Timing(NamedTuple):
    submitting: float  # seconds
    total: float
    result: int  # of bar


def walk_through(
    invoke_remote: InvokeRemote, store: Store, first: str = "bar", given: str = "future"
) -> Timing:
    """Runs `foo` and `bar` at once, in either order, with `bar` given the future or a proxy."""
    future: ProxyFuture[MyData] = store.future(MyData)

    def start_foo() -> Running:
        return invoke_remote(foo, future)

    def start_bar() -> Running:
        if given == "future":
            return invoke_remote(call_with_proxies, bar, future)
        return invoke_remote(bar, future.proxy())

    started = time.perf_counter()
    if first == "foo":
        running_foo, running_bar = start_foo(), start_bar()
    else:
        running_bar, running_foo = start_bar(), start_foo()
    submitted = time.perf_counter()
    running_foo.result()
    result = running_bar.result()
    finished = time.perf_counter()
    return Timing(submitted - started, finished - started, result)


# The engines, each with two workers


# --8<-- [start:process-pool]
@contextlib.contextmanager
def process_pool(workers: int = 2) -> Iterator[InvokeRemote]:
    with ProcessPoolExecutor(workers, get_context("spawn")) as executor:
        yield executor.submit


# --8<-- [end:process-pool]


# --8<-- [start:dask]
@contextlib.contextmanager
def dask(workers: int = 2) -> Iterator[InvokeRemote]:
    from distributed import Client, LocalCluster

    with (
        # The dashboard on any free port, for this machine only.
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        # pure=False: run it again, even if the arguments are the same.
        yield functools.partial(client.submit, pure=False)


# --8<-- [end:dask]


# --8<-- [start:ray]
@contextlib.contextmanager
def ray() -> Iterator[InvokeRemote]:
    import ray

    def invoke_remote(function: Callable[..., Any], *arguments: object) -> Running:
        running: Running = ray.remote(function).remote(*arguments).future()
        return running

    with ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False):
        yield invoke_remote


# --8<-- [end:ray]


# --8<-- [start:parsl]
@contextlib.contextmanager
def parsl() -> Iterator[InvokeRemote]:
    import parsl
    from parsl.executors import HighThroughputExecutor

    run_sealed = parsl.python_app(unseal)

    def invoke_remote(function: Callable[..., Any], *arguments: object) -> Running:
        # Parsl, too, asks each argument whether it is one of its futures.
        running: Running = run_sealed(pickle.dumps((function, arguments)))
        return running

    executor = HighThroughputExecutor(max_workers_per_node=2, address="127.0.0.1")
    with (
        tempfile.TemporaryDirectory() as logs,
        parsl.load(parsl.Config(executors=[executor], run_dir=logs)),
    ):
        yield invoke_remote


# --8<-- [end:parsl]


ENGINES: dict[str, Callable[..., contextlib.AbstractContextManager[InvokeRemote]]] = {
    "process-pool": process_pool,
    "dask": dask,
    "ray": ray,
    "parsl": parsl,
}


# The program around them


def main() -> None:
    parser = argparse.ArgumentParser(description="Run foo and bar at once on an engine.")
    parser.add_argument("engine", choices=ENGINES)
    arguments = parser.parse_args()
    # Workers that are no children of this process by multiprocessing look here for modules.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
    with (
        ENGINES[arguments.engine]() as invoke_remote,
        tempfile.TemporaryDirectory() as directory,
        Store("engines", FileConnector(f"{directory}/store")) as store,
    ):
        walk_through(invoke_remote, store)  # starts the workers, which import and connect
        print("first  bar is given  submitted after  both done after")
        for first in "foo", "bar":
            for given in "future", "proxy":
                timing = walk_through(invoke_remote, store, first, given)
                print(f"{first:5}  {given:12}  {timing.submitting:13.3f} s  {timing.total:13.2f} s")


# The processes of an engine may import this file, and shall not run the program again.
if __name__ == "__main__":
    main()
