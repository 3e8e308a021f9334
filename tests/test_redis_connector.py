"""RedisConnector, the worked example, keeps every promise, also when its server does not."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis_server
from conformance import LIMIT, SETTLING, WaitableConformance, in_thread, is_stored, some_bytes
from redis_server import RedisServer
from support import (
    EXAMPLES,
    call_in_new_process,
    eventually,
    free_port,
    in_forked_child,
    interrupted_after,
    needs_fork,
    spawn,
)

from connectors import AlreadySetError, ConnectorError
from proxyfuture import ProxyFuture, ProxyResolveError, Store, resolve

pytest.importorskip("redis", reason="needs the packages of pip install '.[engines]'")
pytest.importorskip("trustme", reason="needs the packages of pip install '.[engines]'")

import redis
import trustme

import redis_connector
from redis_connector import RedisConnector, RedisKey

pytestmark = pytest.mark.slow

redis_url = redis_server.redis_url

PASSWORD = "a/secret:w@rd"
IN_A_URL = "a%2Fsecret%3Aw%40rd"
VARIABLE = "REDISCLI_AUTH"


class TestRedisConnector(WaitableConformance):
    @pytest.fixture
    def connector(self, redis_url: str) -> Iterator[RedisConnector]:
        with opened(redis_url) as connector:
            yield connector


def opened(url: str) -> contextlib.closing[RedisConnector]:
    return contextlib.closing(RedisConnector(url))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which forgets everything when it dies."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def connector(server: RedisServer) -> Iterator[RedisConnector]:
    with opened(server.url) as connector:
        yield connector


@pytest.fixture
def store(connector: RedisConnector) -> Iterator[Store]:
    with Store("redis", connector, cache_size=0) as store:
        yield store


def commands(server: RedisServer) -> dict[str, int]:
    """Returns how often the server has carried out each command."""
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        statistics: Any = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in statistics.items()}


def clients(server: RedisServer) -> int:
    """Returns how many connections the server has, apart from the one to ask it."""
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        listing: Any = client.client_list()
    return len(listing) - 1


def wakes(connector: RedisConnector) -> bool:
    """Tells whether a waiter gets the value that is set after it began to wait."""
    key = connector.new_key()
    waiter = in_thread(connector.wait, key)
    time.sleep(SETTLING)
    connector.set(key, b"value")
    return waiter.result(LIMIT) == b"value"


# The server wakes the waiters


def test_a_waiter_is_woken_instead_of_asking_again(
    server: RedisServer, connector: RedisConnector
) -> None:
    start = time.monotonic()
    waiters = [in_thread(connector.wait, connector.new_key(), 3) for _ in range(20)]
    assert [waiter.result(LIMIT) for waiter in waiters] == [None] * 20
    elapsed = time.monotonic() - start
    # Once a second, and at the end a little more often. Polling would take 50 times as many.
    assert commands(server)["xread"] < 20 * 4 * elapsed


def test_more_can_wait_than_a_client_of_redis_usually_has_connections(
    connector: RedisConnector,
) -> None:
    key = connector.new_key()
    waiters = [in_thread(connector.wait, key) for _ in range(150)]
    time.sleep(10 * SETTLING)
    connector.set(key, b"value")
    assert [waiter.result(LIMIT) for waiter in waiters] == [b"value"] * 150


# The server dies and comes back


def end_of_wait(future: ProxyFuture[Any], way: Callable[[ProxyFuture[Any]], None]) -> str:
    """Returns what the waiter is told."""
    with pytest.raises((ConnectorError, ProxyResolveError)) as caught:
        way(future)
    return str(caught.value.__cause__ if caught.type is ProxyResolveError else caught.value)


def wait_for_result(future: ProxyFuture[Any]) -> None:
    future.result()


def wait_in_time(future: ProxyFuture[Any]) -> None:
    future.result(1000)


def wait_for_proxy(future: ProxyFuture[Any]) -> None:
    resolve(future.proxy())


WAYS_TO_WAIT = wait_for_result, wait_in_time, wait_for_proxy


def test_waiters_in_threads_and_processes_learn_that_the_server_died(
    server: RedisServer, store: Store
) -> None:
    future: ProxyFuture[str] = store.future()
    with spawn.Pool(len(WAYS_TO_WAIT)) as processes:
        waiters = [in_thread(end_of_wait, future, way) for way in WAYS_TO_WAIT]
        waiters += [in_thread(processes.apply, end_of_wait, (future, way)) for way in WAYS_TO_WAIT]
        assert eventually(lambda: clients(server) == len(waiters))
        server.kill()
        since = time.monotonic()
        told = [waiter.result(LIMIT) for waiter in waiters]
        assert time.monotonic() - since < LIMIT / 2
    assert all("cannot be used" in message and "must run" in message for message in told)
    with pytest.raises(ConnectorError, match=r"refused.*must run"):
        future.set_result("too late")


def test_a_server_that_keeps_nothing_comes_back_with_every_key_unset(
    server: RedisServer, connector: RedisConnector
) -> None:
    key = connector.put(b"before")
    checks = [in_thread(connector.exists, key) for _ in range(5)]  # so there are connections
    assert all(check.result(LIMIT) for check in checks)
    server.kill()
    server.start()
    assert connector.get(key) is None
    assert wakes(connector)


def test_a_server_with_a_log_comes_back_with_its_values_which_stay_set_once(
    tmp_path: Path,
) -> None:
    log = "--appendonly", "yes", "--appendfsync", "always"
    with RedisServer(tmp_path, *log) as server, opened(server.url) as connector:
        key = connector.put(b"before")
        server.kill()
        server.start()
        assert connector.wait(key, LIMIT) == b"before"
        with pytest.raises(AlreadySetError):
            connector.set(key, b"after")
        assert wakes(connector)


CALLS: dict[str, Callable[[RedisConnector], object]] = {
    "put": lambda connector: connector.put(b"value"),
    "get": lambda connector: connector.get(connector.new_key()),
    "exists": lambda connector: connector.exists(connector.new_key()),
    "evict": lambda connector: connector.evict(connector.new_key()),
    "wait": lambda connector: connector.wait(connector.new_key()),
    "wait, in time": lambda connector: connector.wait(connector.new_key(), 1000),
}


def assert_all_fail(connector: RedisConnector, message: str) -> None:
    """Asserts that every kind of call is answered soon, with a sentence and its remedy."""
    since = time.monotonic()
    for call in [in_thread(call, connector) for call in CALLS.values()]:
        with pytest.raises(ConnectorError, match=rf"{message}.*It must run.*{VARIABLE}"):
            call.result(LIMIT)
    assert time.monotonic() - since < LIMIT / 2


@pytest.mark.parametrize("connected", [False, True], ids=["first-call", "later-call"])
def test_calls_to_a_stopped_server_fail_and_work_again_when_it_goes_on(
    server: RedisServer, connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connector, "PATIENCE", 2)
    with opened(server.url) as connector:
        if connected:
            checks = [in_thread(connector.exists, connector.new_key()) for _ in CALLS]
            assert not any([check.result(LIMIT) for check in checks])
        server.process.send_signal(signal.SIGSTOP)
        try:
            assert_all_fail(connector, "Timeout")
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert wakes(connector)


def test_a_set_whose_answer_is_lost_is_not_repeated(
    server: RedisServer, connector: RedisConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the second XADD would find the first one's entry, and the winner seem to have lost.
    read_response: Callable[..., Any] = redis.Connection.read_response

    def lose_response(connection: redis.Connection, **options: Any) -> None:
        read_response(connection, **options)
        raise redis.ConnectionError("lost")

    key = connector.new_key()
    assert not connector.exists(key)  # so it is connected
    with monkeypatch.context() as patch:
        patch.setattr(redis.Connection, "read_response", lose_response)
        with pytest.raises(ConnectorError, match="lost") as caught:
            connector.set(key, b"value")
    assert not isinstance(caught.value, AlreadySetError)
    assert connector.get(key) == b"value"
    assert commands(server)["xadd"] == 1


def test_a_producer_learns_that_the_server_has_no_room_and_can_try_again(tmp_path: Path) -> None:
    limit = "--maxmemory", "20mb", "--maxmemory-policy", "noeviction"
    value = some_bytes(3_000_000)
    ballast = []
    with (
        RedisServer(tmp_path, *limit) as server,
        Store("small", RedisConnector(server.url), cache_size=0) as store,
    ):
        with pytest.raises(ConnectorError, match="maxmemory"):
            while True:
                ballast.append(store.put(value))
        future: ProxyFuture[bytes] = store.future()
        with pytest.raises(ConnectorError, match=r"maxmemory.*have room"):
            future.set_result(value)
        assert not future.done()
        for key in ballast:
            store.evict(key)

        def is_set_now() -> bool:
            with contextlib.suppress(ConnectorError):
                future.set_result(value)
            return future.done()

        assert eventually(is_set_now)  # in the background, Redis makes room of what was evicted
        assert (future.result(LIMIT) == value) is True


# The server cannot be reached


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    with opened(f"redis://127.0.0.1:{free_port()}") as connector:
        assert_all_fail(connector, "redis://127.0.0.1:.*refused")


@pytest.mark.parametrize("host", ["two..dots", "x" * 70])
def test_a_host_that_cannot_be_is_told_at_once(host: str) -> None:
    with opened(f"redis://{host}") as connector:
        assert_all_fail(connector, host)


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:x"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"redis://|Port"):
        RedisConnector(url)


def test_unpickling_needs_no_server() -> None:
    with Store("away", RedisConnector(f"redis://127.0.0.1:{free_port()}")) as store:
        pickled = pickle.dumps(store.future().proxy())
    proxy = pickle.loads(pickled)
    with pytest.raises(ProxyResolveError, match=r"redis://127.0.0.1:.*It must run"):
        resolve(proxy)


# Passwords


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with a password, and a user who has it, too."""
    user = "--user", "alice", "on", "~*", "&*", "+@all", f">{PASSWORD}"
    directory = tmp_path_factory.mktemp("locked")
    with RedisServer(directory, "--requirepass", PASSWORD, *user) as server:
        yield server


def with_login(server: RedisServer, login: str) -> str:
    return server.url.replace("//", f"//{login}@")


@pytest.mark.parametrize("login", [f":{IN_A_URL}", f"alice:{IN_A_URL}"], ids=["password", "user"])
def test_a_password_in_the_url_opens_the_server(
    locked: RedisServer, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "that in the URL comes first")
    with opened(with_login(locked, login)) as connector:
        assert is_stored(connector, connector.put(b"value"), b"value")


@pytest.mark.parametrize(
    ("login", "message"), [(":wrong", "WRONGPASS|invalid"), ("", "Authentication required")]
)
def test_a_wrong_or_missing_password_is_told_with_the_remedy(
    locked: RedisServer, login: str, message: str
) -> None:
    with opened(with_login(locked, login)) as connector:
        assert_all_fail(connector, message)


def test_a_password_is_in_no_pickle_configuration_text_or_message(
    locked: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    urls = [
        with_login(locked, f":{IN_A_URL}"),
        with_login(locked, f"alice:{IN_A_URL}"),
        with_login(locked, ":a:secret:with:colons"),
        f"{locked.url}?password={IN_A_URL}&client_name=alice",
        f"redis://:{IN_A_URL}@127.0.0.1:{free_port()}",
        f"unix://:{IN_A_URL}@/nowhere?db=0",
    ]
    for url in urls:
        connector = RedisConnector(url)
        with Store("private", connector) as store:
            future: ProxyFuture[str] = store.future()
            seen = [store, future, future.proxy(), connector.config(), connector]
            shown = [*map(repr, seen), str(pickle.dumps(seen))]
            try:
                future.set_result("value")
            except ConnectorError as error:
                shown += traceback.format_exception(error)
        for text in [*shown, caplog.text]:
            assert not any(secret in text for secret in (PASSWORD, IN_A_URL, "secret"))


def value_and_error(connector: RedisConnector, key: RedisKey) -> Any:
    try:
        return connector.get(key)
    except ConnectorError as error:
        return str(error)


def test_the_process_of_a_copy_has_the_password_from_its_environment(
    locked: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(with_login(locked, f":{IN_A_URL}")) as connector:
        key = connector.put(b"value")
        assert VARIABLE in call_in_new_process(value_and_error, connector, key)
        monkeypatch.setenv(VARIABLE, PASSWORD)
        assert call_in_new_process(value_and_error, connector, key) == b"value"


# Other ways to the server


def test_tls_keeps_values_from_those_who_listen_and_the_server_has_to_prove_itself(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    for name, blob in {
        "authority.pem": authority.cert_pem,
        "certificate.pem": certificate.cert_chain_pems[0],
        "key.pem": certificate.private_key_pem,
    }.items():
        blob.write_to_path(str(tmp_path / name))
    port = free_port()
    options = "--tls-port", port, "--tls-auth-clients", "no"
    files = "--tls-cert-file", tmp_path / "certificate.pem", "--tls-key-file", tmp_path / "key.pem"
    with RedisServer(tmp_path, *options, *files):
        url = f"rediss://127.0.0.1:{port}"
        with opened(f"{url}?ssl_ca_certs={tmp_path / 'authority.pem'}") as connector:
            assert wakes(pickle.loads(pickle.dumps(connector)))
        with opened(url) as connector:
            assert_all_fail(connector, "certificate")
        with opened(f"redis://127.0.0.1:{port}") as connector:
            assert_all_fail(connector, "redis://")


def test_a_unix_socket_leads_to_the_server(tmp_path: Path) -> None:
    path = os.path.join(os.environ["TMPDIR"], "r.sock")  # tmp_path can be too long for a socket
    with RedisServer(tmp_path, "--unixsocket", path), opened(f"unix://{path}") as connector:
        assert is_stored(connector, connector.put(b"value"), b"value")


# What is in the server, and whose


def test_close_leaves_the_values_and_ends_every_connection(server: RedisServer) -> None:
    connector = RedisConnector(server.url)
    key = connector.put(b"value")
    waiters = [in_thread(connector.wait, connector.new_key()) for _ in range(5)]
    assert eventually(lambda: clients(server) == 5)
    # One more, which is idle then. A waiter lends its own for a moment, once a second.
    assert eventually(lambda: connector.exists(key) and clients(server) == 6)
    connector.close()
    for waiter in waiters:
        with pytest.raises(ConnectorError, match="closed"):
            waiter.result(LIMIT)
    assert eventually(lambda: clients(server) == 0)
    with opened(server.url) as other:
        assert other.get(key) == b"value"


def test_a_key_cannot_name_what_others_keep_in_the_server(
    server: RedisServer, connector: RedisConnector
) -> None:
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        client.set("theirs", "kept")
        assert connector.get(RedisKey("theirs")) is None
        connector.evict(RedisKey("theirs"))
        assert client.get("theirs") == b"kept"


# Calls that are interrupted, and processes that are forked


def test_after_ctrl_c_in_a_wait_the_next_call_gets_its_own_answer(store: Store) -> None:
    for number in range(20):
        future: ProxyFuture[int] = store.future()
        with pytest.raises(KeyboardInterrupt), interrupted_after(number / 500):
            future.result(LIMIT)
        assert not future.done()
        future.set_result(number)
        assert future.result(LIMIT) == number
        assert not store.future().done()


def test_a_connection_whose_answer_is_under_way_is_not_used_again(
    connector: RedisConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # Between the question and the answer: the moment that Ctrl-C seldom hits.
    key = connector.put(b"value")
    with monkeypatch.context() as patch:
        patch.setattr(redis.Connection, "read_response", interrupt)
        with pytest.raises(KeyboardInterrupt):
            connector.wait(connector.new_key(), LIMIT)
    assert connector.get(key) == b"value"
    assert connector.exists(connector.new_key()) is False


@needs_fork
def test_a_child_forked_while_threads_wait_and_work_can_use_the_store(
    connector: RedisConnector,
) -> None:
    for _ in range(30):
        key = connector.new_key()
        waiters = [in_thread(connector.wait, key) for _ in range(2)]
        worker = in_thread(lambda: [wakes(connector) for _ in range(3)])
        assert in_forked_child(wakes, connector)
        connector.set(key, b"value")
        assert [waiter.result(LIMIT) for waiter in waiters] == [b"value", b"value"]
        assert all(worker.result(LIMIT))


@needs_fork
def test_a_child_that_closes_its_copy_leaves_the_connections_of_its_parent(
    connector: RedisConnector,
) -> None:
    key = connector.new_key()
    waiter = in_thread(connector.wait, key)
    assert not connector.exists(key)  # so there is an idle connection to inherit, too
    in_forked_child(connector.close)
    connector.set(key, b"value")
    assert waiter.result(LIMIT) == b"value"


def test_the_page_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (EXAMPLES.parent / "redis.md").read_text())
    assert named
    assert set(named) <= set(globals())
