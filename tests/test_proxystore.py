"""ProxyStore, both ways: its connectors in this `Store`, and these connectors in its `Store`."""

from __future__ import annotations

import contextlib
import difflib
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import redis_server
from conformance import LIMIT as SHORT_LIMIT
from conformance import SETTLING, in_thread
from support import EXAMPLES, ROOT, eventually, free_port, run

from connectors import (
    AlreadySetError,
    DeferrableConnector,
    FileConnector,
    LocalConnector,
    ManagerConnector,
    WaitableConnector,
)
from proxyfuture import ProxyFuture, Store

pytest.importorskip("redis", reason="needs the packages of pip install '.[engines]'")
pytest.importorskip("proxystore", reason="needs the packages of pip install '.[engines]'")
pytest.importorskip("aiortc", reason="needs the packages of pip install '.[engines]'")

import proxystore.connectors.file
import proxystore.connectors.local
import proxystore.connectors.redis
import proxystore.store
from proxystore.connectors.endpoint import EndpointConnector
from proxystore.endpoint.config import EndpointConfig, EndpointRelayConfig, write_config

from redis_connector import RedisConnector

pytestmark = pytest.mark.slow

redis_url = redis_server.redis_url

# Processes with large packages have to start, maybe on a busy machine.
LIMIT = 3 * SHORT_LIMIT

CallElsewhere = Callable[..., Any]

# The directory of ProxyStore's settings.
HOME = "PROXYSTORE_HOME"


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Two of ProxyStore's endpoints, by their ids, each with a home directory, as on two machines.

    They find each other through ProxyStore's relay server, and then talk to each other directly.
    """
    relay, homes = free_port(), {}
    programs = [start("proxystore-relay", "--host", "127.0.0.1", "--port", str(relay))]
    assert eventually(partial(is_serving, relay), LIMIT)
    for name in "one", "two":
        home = tmp_path_factory.mktemp(name)
        endpoint = EndpointConfig(
            name=name,
            uuid=str(uuid.uuid4()),
            host="127.0.0.1",
            host_type="static",
            port=free_port(),
            # No servers to find out its public address: both are on this machine.
            relay=EndpointRelayConfig(address=f"ws://127.0.0.1:{relay}", ice_servers=[]),
        )
        write_config(endpoint, str(home / name))
        programs.append(start("proxystore-endpoint", "start", name, "--no-detach", home=home))
        assert eventually(partial(is_serving, endpoint.port), LIMIT)
        homes[endpoint.uuid] = home
    yield homes
    for program in programs:
        with program:
            program.kill()


def start(program: str, *arguments: str, home: Path | None = None) -> subprocess.Popen[bytes]:
    """Starts a program of ProxyStore's in the environment that the tests run in."""
    return subprocess.Popen(
        [Path(sys.executable).with_name(program), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, HOME: str(home)},
    )


def is_serving(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


# What a store of either side does with a connector of the other


def keeps_values(store: Any) -> None:
    key = store.put([1, 2])
    assert store.exists(key)
    assert store.get(key) == [1, 2]
    assert store.proxy_from_key(key) == [1, 2]
    store.evict(key)
    assert not store.exists(key)


def carries_futures(future: Any) -> None:
    waiters = [in_thread(future.result), in_thread(consume, future.proxy())]
    time.sleep(SETTLING)
    assert not future.done()
    assert not any(waiter.done() for waiter in waiters)
    future.set_result("value")
    assert [waiter.result(LIMIT) for waiter in waiters] == ["value", "VALUE"]
    assert future.done()


def carries_futures_between_processes(
    from_here: Any, from_there: Any, elsewhere: CallElsewhere
) -> None:
    consumer = in_thread(elsewhere, consume, from_here.proxy())
    time.sleep(SETTLING)
    from_here.set_result("from here")
    assert consumer.result(LIMIT) == "FROM HERE"

    waiter = in_thread(from_there.result)
    elsewhere(produce, from_there, "from there")
    assert waiter.result(LIMIT) == "from there"


def produce(future: Any, value: object) -> None:
    future.set_result(value)


def consume(text: str) -> str:
    return text.upper()


@pytest.fixture
def elsewhere(kind: str, request: pytest.FixtureRequest) -> Iterator[CallElsewhere]:
    """Calls functions in a process with nothing but its environment and what is pickled to it."""
    with pytest.MonkeyPatch.context() as patch:
        if kind == "endpoint":
            _, home = request.getfixturevalue("endpoints").values()
            patch.setenv(HOME, str(home))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            yield lambda function, *arguments: process.submit(function, *arguments).result(LIMIT)


# Their connectors in this store

each_of_theirs = pytest.mark.parametrize("kind", ["local", "file", "redis", "endpoint"])


@pytest.fixture
def store(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    theirs: Any
    match kind:
        case "local":
            theirs = proxystore.connectors.local.LocalConnector()
        case "file":
            theirs = proxystore.connectors.file.FileConnector(str(tmp_path / "values"))
        case "redis":
            url = urlsplit(request.getfixturevalue("redis_url"))
            theirs = proxystore.connectors.redis.RedisConnector(url.hostname, url.port)
        case "endpoint":
            endpoints = request.getfixturevalue("endpoints")
            home, _ = endpoints.values()
            monkeypatch.setenv(HOME, str(home))
            theirs = EndpointConnector(list(endpoints))
    with Store(f"{kind} {uuid.uuid4()}", theirs, cache_size=0) as store:
        yield store


@each_of_theirs
def test_its_connectors_keep_the_values_of_this_store(store: Store) -> None:
    keeps_values(store)


@each_of_theirs
def test_its_connectors_carry_the_futures_of_this_store(store: Store) -> None:
    carries_futures(store.future())


@pytest.mark.parametrize("kind", ["file", "redis", "endpoint"])
def test_its_connectors_carry_the_futures_of_this_store_between_processes(
    store: Store, elsewhere: CallElsewhere
) -> None:
    carries_futures_between_processes(store.future(), store.future(), elsewhere)


@each_of_theirs
def test_with_its_connectors_consumers_get_the_exception_of_the_producer(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    waiter = in_thread(future.result)
    with pytest.raises(RuntimeError), future:
        raise RuntimeError("No value today")
    with pytest.raises(RuntimeError, match="No value today"):
        waiter.result(LIMIT)


@each_of_theirs
def test_with_its_connectors_a_wait_ends_with_its_timeout_or_with_the_store(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    with pytest.raises(TimeoutError):
        future.result(0.05)
    waiter = in_thread(future.result)
    time.sleep(SETTLING)
    store.close()
    # A ConnectorError, or what its connector raises when it is closed in the middle of a call.
    assert waiter.exception(LIMIT) is not None


@each_of_theirs
def test_its_connectors_cannot_wake_a_consumer_so_they_are_polled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(store.connector, DeferrableConnector)
    assert not isinstance(store.connector, WaitableConnector)
    get = mock.Mock(wraps=store.connector.get)
    monkeypatch.setattr(store.connector, "get", get)
    with pytest.raises(TimeoutError):
        store.future().result(0.5)
    assert get.call_count > 3


@each_of_theirs
def test_with_its_connectors_a_second_result_replaces_the_first(store: Store) -> None:
    # What is lost: neither its protocol nor its connectors refuse a key that is set.
    future: ProxyFuture[str] = store.future()
    future.set_result("first")
    future.set_result("second")
    assert future.result() == "second"


# These connectors in its store

each_of_ours = pytest.mark.parametrize("kind", ["local", "file", "manager", "redis"])


@pytest.fixture
def their_store(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[proxystore.store.Store[Any]]:
    ours: Any
    match kind:
        case "local":
            ours = LocalConnector()
        case "file":
            ours = FileConnector(tmp_path / "values")
        case "manager":
            ours = ManagerConnector()
        case "redis":
            ours = RedisConnector(request.getfixturevalue("redis_url"))
    name = f"{kind} {uuid.uuid4()}"
    with proxystore.store.Store(name, ours, cache_size=0, register=True) as store:
        yield store


def future_of(store: proxystore.store.Store[Any]) -> Any:
    return store.future(polling_interval=0.01)


@each_of_ours
def test_these_connectors_keep_the_values_of_its_store(
    their_store: proxystore.store.Store[Any],
) -> None:
    keeps_values(their_store)


@each_of_ours
def test_these_connectors_carry_the_futures_of_its_store(
    their_store: proxystore.store.Store[Any],
) -> None:
    carries_futures(future_of(their_store))


@pytest.mark.parametrize("kind", ["file", "manager", "redis"])
def test_these_connectors_carry_the_futures_of_its_store_between_processes(
    their_store: proxystore.store.Store[Any], elsewhere: CallElsewhere
) -> None:
    carries_futures_between_processes(future_of(their_store), future_of(their_store), elsewhere)


@each_of_ours
def test_these_connectors_refuse_a_second_result_in_its_store_too(
    their_store: proxystore.store.Store[Any],
) -> None:
    future = future_of(their_store)
    future.set_result("first")
    with pytest.raises(AlreadySetError):
        future.set_result("second")
    assert future.result() == "first"


# Moving from here to there

GROWING_UP = EXAMPLES / "growing_up"


@pytest.mark.parametrize("program", ["before.py", "after.py"])
def test_the_program_prints_the_same_before_and_after(program: str, tmp_path: Path) -> None:
    done = run(GROWING_UP / program, cwd=tmp_path, PYTHONPATH=str(ROOT))
    expected = f"{sum(n * n for n in range(100))}\n"
    assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


def test_the_page_shows_each_line_that_changes() -> None:
    page = (EXAMPLES.parent / "outgrowing_it.md").read_text()
    shown = "".join(re.findall(r"```diff\n(.*?)```", page, re.DOTALL)).splitlines()
    before, after = (
        (GROWING_UP / program).read_text().splitlines()[1:]  # without the docstrings
        for program in ("before.py", "after.py")
    )
    difference = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    assert shown == [line for line in difference if not line.startswith("@@")]


def test_the_page_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (EXAMPLES.parent / "outgrowing_it.md").read_text())
    assert named and set(named) <= set(globals())
