"""The walkthrough on engines: real worker processes of the standard library's pool and of Dask."""

from __future__ import annotations

import os
import pickle
import re
import signal
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from conformance import LIMIT
from support import EXAMPLES, opened, run

sys.path.insert(0, str(EXAMPLES))

import engines
from engines import InvokeRemote
from foo_bar import report_failure
from one_second import MyData
from proxyfuture import ProxyFuture, ProxyResolveError, Store, call_with_proxies, is_resolved

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["process_pool", "dask"])
def invoke_remote(request: pytest.FixtureRequest) -> Iterator[InvokeRemote]:
    if request.param == "dask":
        pytest.importorskip("distributed", reason="needs Dask: pip install '.[engines]'")
    with getattr(engines, request.param)() as invoke_remote:
        yield invoke_remote


only_dask = pytest.mark.parametrize("invoke_remote", ["dask"], indirect=True)


@pytest.fixture(params=["file", "manager"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as medium:
        yield medium.store


# Two tasks that can only end if both run at the same time. No test has to look at a clock.


def meeting_foo(future: ProxyFuture[MyData], bar_is_here: list[ProxyFuture[bool]]) -> None:
    with future:
        bar_is_here[0].result(timeout=LIMIT)
        future.set_result(MyData([1, 2, 3]))


def meeting_bar(data: MyData, bar_is_here: list[ProxyFuture[bool]]) -> int:
    bar_is_here[0].set_result(True)
    return sum(data.values)


@pytest.mark.parametrize("given", ["future", "proxy"])
@pytest.mark.parametrize("first", ["foo", "bar"])
def test_foo_and_bar_run_at_the_same_time(
    invoke_remote: InvokeRemote, store: Store, first: str, given: str
) -> None:
    future = store.future(MyData)
    bar_is_here: list[ProxyFuture[bool]] = [store.future()]  # a list stays as it is
    calls: dict[str, tuple[Any, ...]] = {
        "foo": (meeting_foo, future, bar_is_here),
        "bar": (meeting_bar, future.proxy(timeout=LIMIT), bar_is_here),
    }
    if given == "future":
        calls["bar"] = (call_with_proxies, meeting_bar, future, bar_is_here)
    second = "bar" if first == "foo" else "foo"
    running = {name: invoke_remote(*calls[name]) for name in (first, second)}
    running["foo"].result()
    assert running["bar"].result() == 6


@pytest.mark.parametrize("engine", ["process-pool", "dask", "ray", "parsl"])
def test_the_program_prints_the_time_for_each_order_and_each_way(engine: str) -> None:
    package = {"dask": "distributed", "process-pool": "concurrent"}.get(engine, engine)
    if find_spec(package) is None:
        pytest.skip(f"needs {package}: pip install '.[engines,real]'")
    # Parsl looks for its programs on the path, as where an environment is activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # And its workers leave directories behind.
    with TemporaryDirectory() as directory:
        program = run(EXAMPLES / "engines.py", engine, PATH=path, TMPDIR=directory)
    assert program.returncode == 0, program.stderr  # where Dask complains of a slow machine
    rows = re.findall(r"^(\w+) +(\w+) +[\d.]+ s +[\d.]+ s$", program.stdout, re.MULTILINE)
    assert rows == [("foo", "future"), ("foo", "proxy"), ("bar", "future"), ("bar", "proxy")]


# What Dask does with arguments, and when a worker dies


@only_dask
def test_dask_takes_a_proxy_that_knows_its_type_as_it_is(
    invoke_remote: InvokeRemote, store: Store
) -> None:
    # Should Dask ask the proxy anything, then it fails at once.
    proxy = store.future(MyData).proxy(timeout=0)
    assert invoke_remote(is_resolved, proxy).result() is False


@only_dask
def test_dask_asks_the_proxy_of_a_dict_for_its_items(
    invoke_remote: InvokeRemote, store: Store
) -> None:
    with pytest.raises(ProxyResolveError):
        invoke_remote(is_resolved, store.future(dict).proxy(timeout=0))
    future: ProxyFuture[dict[str, int]] = store.future(dict)
    future.set_result({"a": 1})
    assert invoke_remote(call_with_proxies, sorted, future).result() == ["a"]


def wait_aside(future: ProxyFuture[MyData]) -> MyData:
    from distributed import secede

    secede()
    return future.result(timeout=LIMIT)


@only_dask
def test_a_dask_task_that_secedes_before_it_waits_leaves_its_worker_to_the_producer(
    invoke_remote: InvokeRemote, store: Store
) -> None:
    future = store.future(MyData)
    waiting = [invoke_remote(wait_aside, future) for _ in range(4)]  # on two workers
    invoke_remote(set_data, future).result()
    assert [each.result() for each in waiting] == [MyData([1, 2, 3])] * 4


def set_data(future: ProxyFuture[MyData]) -> None:
    future.set_result(MyData([1, 2, 3]))


def fail(future: ProxyFuture[MyData]) -> None:
    with future:
        raise ValueError("no data")


@only_dask
def test_an_exception_of_a_dask_worker_arrives_whole(
    invoke_remote: InvokeRemote, store: Store
) -> None:
    future = store.future(MyData)
    running_foo = invoke_remote(fail, future)
    assert repr(future.exception(timeout=LIMIT)) == "ValueError('no data')"
    with pytest.raises(ValueError, match="no data"):
        running_foo.result()


@only_dask
def test_a_consumer_without_tblib_gets_a_description_of_it(
    invoke_remote: InvokeRemote, tmp_path: Path
) -> None:
    with opened("file", tmp_path) as medium:
        future = medium.store.future(MyData)
        with pytest.raises(ValueError):
            invoke_remote(fail, future).result()
        pickled = tmp_path / "future.pickle"
        pickled.write_bytes(pickle.dumps(future))
        program = (
            "import pathlib, pickle, sys; sys.modules['tblib'] = None\n"
            "future = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
            "print(repr(future.exception(timeout=60)))"
        )
        shown = run("-c", program, pickled, PYTHONPATH=str(EXAMPLES))
    assert shown.stdout.startswith("BrokenFutureError"), shown.stderr
    assert "ValueError('no data')" in shown.stdout


def die_at_first(future: ProxyFuture[MyData], marker: Path) -> None:
    with future:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        future.set_result(MyData([1, 2, 3]))


@only_dask
def test_dask_runs_a_producer_again_whose_worker_was_killed(
    invoke_remote: InvokeRemote, store: Store, tmp_path: Path
) -> None:
    future = store.future(MyData)
    invoke_remote(die_at_first, future, tmp_path / "marker").result()
    assert future.result(timeout=LIMIT) == MyData([1, 2, 3])


def die(future: ProxyFuture[MyData]) -> None:
    with future:
        os.kill(os.getpid(), signal.SIGKILL)


@only_dask
def test_bar_gets_an_error_when_dask_gives_up_foo(
    invoke_remote: InvokeRemote, store: Store
) -> None:
    future = store.future(MyData)
    running_foo = invoke_remote(die, future)  # again and again, as often as Dask allows
    running_foo.add_done_callback(partial(report_failure, future))
    with pytest.raises(Exception, match="KilledWorker"):
        future.result(timeout=LIMIT)
