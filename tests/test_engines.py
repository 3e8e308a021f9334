"""The walkthrough on engines: real worker processes of the standard library's pool and of Dask."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conformance import LIMIT
from support import EXAMPLES, opened

sys.path.insert(0, str(EXAMPLES))

import engines
from engines import InvokeRemote, walk_through
from foo_bar import report_failure
from one_second import MyData
from proxyfuture import ProxyFuture, Store, call_with_proxies, is_resolved

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dask() -> Iterator[InvokeRemote]:
    pytest.importorskip("distributed", reason="needs Dask: pip install '.[engines]'")
    with engines.dask() as invoke_remote:
        yield invoke_remote


@pytest.fixture(scope="module")
def process_pool() -> Iterator[InvokeRemote]:
    with engines.process_pool() as invoke_remote:
        yield invoke_remote


@pytest.fixture(params=["process_pool", "dask"])
def invoke_remote(request: pytest.FixtureRequest) -> InvokeRemote:
    fixture: InvokeRemote = request.getfixturevalue(request.param)
    return fixture


@pytest.fixture(params=["file", "manager"])
def each_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as medium:
        yield medium.store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened("file", tmp_path) as medium:
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
    invoke_remote: InvokeRemote, each_store: Store, first: str, given: str
) -> None:
    future = each_store.future(MyData)
    bar_is_here: list[ProxyFuture[bool]] = [each_store.future()]  # a list stays as it is
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


@pytest.mark.parametrize("engine", ["process-pool", "dask"])
def test_the_program_prints_the_time_for_each_order_and_each_way(engine: str) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="needs Dask: pip install '.[engines]'")
    program = subprocess.run(
        [sys.executable, EXAMPLES / "engines.py", engine],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert program.returncode == 0, program.stderr  # where Dask complains of a slow machine
    rows = re.findall(r"^(\w+) +(\w+) +[\d.]+ s +([\d.]+) s$", program.stdout, re.MULTILINE)
    assert [row[:2] for row in rows] == [
        ("foo", "future"),
        ("foo", "proxy"),
        ("bar", "future"),
        ("bar", "proxy"),
    ]
    assert all(float(total) >= 1 for *_, total in rows)


def test_bar_uses_what_foo_made(process_pool: InvokeRemote, store: Store) -> None:
    assert walk_through(process_pool, store).result == 6


# What Dask does with arguments, and when a worker dies


def test_dask_takes_a_proxy_that_knows_its_type_as_it_is(dask: InvokeRemote, store: Store) -> None:
    # Should Dask ask the proxy anything, then it fails at once.
    proxy = store.future(MyData).proxy(timeout=0)
    assert dask(is_resolved, proxy).result() is False


def seceding_bar(data: MyData) -> int:
    from distributed import secede

    secede()
    return sum(data.values)


def test_consumers_that_secede_leave_the_workers_to_their_producer(
    dask: InvokeRemote, store: Store
) -> None:
    future = store.future(MyData)
    # More than there are workers, each of which runs one task at a time.
    running = [dask(seceding_bar, future.proxy(timeout=LIMIT)) for _ in range(4)]
    dask(produce, future).result()
    assert [bar.result() for bar in running] == [6] * 4


def produce(future: ProxyFuture[MyData]) -> None:
    with future:
        future.set_result(MyData([1, 2, 3]))


def fail(future: ProxyFuture[MyData]) -> None:
    with future:
        raise ValueError("no data")


CONSUMER = """
import pickle, sys
from pathlib import Path

sys.modules["tblib"] = None  # as if it were not installed
print(repr(pickle.loads(Path(sys.argv[1]).read_bytes()).exception()))
"""


def test_an_exception_of_a_dask_worker_arrives_whole_if_tblib_is_here_and_else_described(
    dask: InvokeRemote, store: Store, tmp_path: Path
) -> None:
    future = store.future(MyData)
    running_foo = dask(fail, future)
    assert repr(future.exception(timeout=LIMIT)) == "ValueError('no data')"
    (tmp_path / "future").write_bytes(pickle.dumps(future))
    told = subprocess.check_output(
        [sys.executable, "-c", CONSUMER, tmp_path / "future"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        timeout=LIMIT,
    )
    assert re.match(r"BrokenFutureError\(.*ValueError\('no data'\)", told)
    with pytest.raises(ValueError, match="no data"):
        running_foo.result()


def die_at_first(future: ProxyFuture[MyData], marker: Path) -> None:
    with future:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        future.set_result(MyData([1, 2, 3]))


def test_dask_runs_a_producer_again_whose_worker_was_killed(
    dask: InvokeRemote, store: Store, tmp_path: Path
) -> None:
    future = store.future(MyData)
    dask(die_at_first, future, tmp_path / "marker").result()
    assert future.result(timeout=LIMIT) == MyData([1, 2, 3])


def die(future: ProxyFuture[MyData]) -> None:
    with future:
        os.kill(os.getpid(), signal.SIGKILL)


def test_bar_gets_an_error_when_dask_gives_up_foo(dask: InvokeRemote, store: Store) -> None:
    from dask import config

    with config.set({"distributed.scheduler.allowed-failures": 0}):
        future = store.future(MyData)
        running_foo = dask(die, future)
        running_foo.add_done_callback(partial(report_failure, future))
        with pytest.raises(Exception, match="KilledWorker"):
            future.result(timeout=LIMIT)
