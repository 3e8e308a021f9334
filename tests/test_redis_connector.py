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
)

from connectors import AlreadySetError, ConnectorError
from proxyfuture import ProxyFuture, Store

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


def opened(url: str) -> contextlib.closing[RedisConnector]:
    return contextlib.closing(RedisConnector(url))


class TestRedisConnector(WaitableConformance):
    @pytest.fixture
    def connector(self, redis_url: str) -> Iterator[RedisConnector]:
        with opened(redis_url) as connector:
            yield connector


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which forgets everything when it dies."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    """Asks the server without a connector."""
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        yield client


@pytest.fixture
def connector(server: RedisServer) -> Iterator[RedisConnector]:
    with opened(server.url) as connector:
        yield connector


def wakes(connector: RedisConnector) -> bool:
    """Tells whether a waiter gets the value that is set after it began to wait."""
    key = connector.new_key()
    waiter = in_thread(connector.wait, key)
    time.sleep(SETTLING)
    connector.set(key, b"value")
    return waiter.result(LIMIT) == b"value"


def test_waiters_are_woken_instead_of_asking_again_however_many_there_are(
    client: Any, connector: RedisConnector
) -> None:
    key, start = connector.new_key(), time.monotonic()
    waiters = [in_thread(connector.wait, key) for _ in range(150)]
    time.sleep(2)
    connector.set(key, b"value")
    assert [waiter.result(LIMIT) for waiter in waiters] == [b"value"] * 150
    elapsed = time.monotonic() - start
    # Each asks once a second, and once at the start. Polling would take 50 times as many.
    assert client.info("commandstats")["cmdstat_xread"]["calls"] < 150 * 4 * elapsed


# The server dies and comes back


def end_of_wait(future: ProxyFuture[Any]) -> str:
    with pytest.raises(ConnectorError) as caught:
        future.result()
    return str(caught.value)


def test_waiters_in_threads_and_processes_learn_that_the_server_died(
    server: RedisServer, client: Any, connector: RedisConnector
) -> None:
    with Store("redis", connector) as store:
        future: ProxyFuture[str] = store.future()
        waiters = [in_thread(end_of_wait, future) for _ in range(2)]
        waiters += [in_thread(call_in_new_process, end_of_wait, future) for _ in range(2)]
        assert eventually(lambda: len(client.client_list()) == 1 + len(waiters))
        server.process.kill()
        for waiter in waiters:
            assert re.search("cannot be used.*must run", waiter.result(LIMIT))
        with pytest.raises(ConnectorError, match=r"refused.*must run"):
            future.set_result("too late")


def test_a_server_that_keeps_nothing_comes_back_with_every_key_unset(
    server: RedisServer, connector: RedisConnector
) -> None:
    key = connector.put(b"before")
    checks = [in_thread(connector.exists, key) for _ in range(5)]  # so there are connections
    assert all(check.result(LIMIT) for check in checks)
    server.restart()
    assert connector.get(key) is None
    assert wakes(connector)


def test_a_server_with_a_log_comes_back_with_its_values_which_stay_set_once(
    tmp_path: Path,
) -> None:
    log = "--appendonly", "yes", "--appendfsync", "always"
    with RedisServer(tmp_path, *log) as server, opened(server.url) as connector:
        key = connector.put(b"before")
        server.restart()
        assert connector.wait(key, LIMIT) == b"before"
        with pytest.raises(AlreadySetError):
            connector.set(key, b"after")
        assert wakes(connector)


CALLS: list[Callable[[RedisConnector], object]] = [
    lambda connector: connector.put(b"value"),
    lambda connector: connector.get(connector.new_key()),
    lambda connector: connector.exists(connector.new_key()),
    lambda connector: connector.evict(connector.new_key()),
    lambda connector: connector.wait(connector.new_key()),
    lambda connector: connector.wait(connector.new_key(), 1000),
]


def assert_all_fail(connector: RedisConnector, message: str) -> None:
    """Asserts that every kind of call is answered soon, with a sentence and its remedy."""
    for call in [in_thread(call, connector) for call in CALLS]:
        with pytest.raises(ConnectorError, match=rf"{message}.*It must run.*{VARIABLE}"):
            call.result(LIMIT / 2)


def test_calls_to_a_stopped_server_fail_and_work_again_when_it_goes_on(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connector, "PATIENCE", 2)
    with opened(server.url) as connector:
        assert wakes(connector)
        server.process.send_signal(signal.SIGSTOP)
        assert_all_fail(connector, "Timeout")
        server.process.send_signal(signal.SIGCONT)
        assert wakes(connector)


def test_a_set_whose_answer_is_lost_is_not_repeated(
    client: Any, connector: RedisConnector, monkeypatch: pytest.MonkeyPatch
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
    assert client.info("commandstats")["cmdstat_xadd"]["calls"] == 1


def test_a_producer_learns_that_the_server_has_no_room_and_can_try_again(tmp_path: Path) -> None:
    limit = "--maxmemory", "20mb", "--maxmemory-policy", "noeviction"
    ballast, value = [], some_bytes(3_000_000)
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


# The server cannot be reached


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    with opened(f"redis://127.0.0.1:{free_port()}") as connector:
        copy = pickle.loads(pickle.dumps(connector))  # which needs no server
        assert_all_fail(copy, "redis://127.0.0.1:.*refused")


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:x"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"redis://|Port"):
        RedisConnector(url)


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
    for url in (
        with_login(locked, f"alice:{IN_A_URL}"),
        with_login(locked, ":a:secret:with:colons"),
        f"{locked.url}?password={IN_A_URL}&client_name=alice",
        f"unix://:{IN_A_URL}@/nowhere?db=0",
    ):
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
            assert "secret" not in text


def value_or_error(connector: RedisConnector, key: RedisKey) -> Any:
    try:
        return connector.get(key)
    except ConnectorError as error:
        return str(error)


def test_the_process_of_a_copy_has_the_password_from_its_environment(
    locked: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(with_login(locked, f":{IN_A_URL}")) as connector:
        key = connector.put(b"value")
        assert VARIABLE in call_in_new_process(value_or_error, connector, key)
        monkeypatch.setenv(VARIABLE, PASSWORD)
        assert call_in_new_process(value_or_error, connector, key) == b"value"


# Other ways to the server


def test_tls_keeps_values_from_those_who_listen_and_the_server_has_to_prove_itself(
    tmp_path: Path,
) -> None:
    authority, port = trustme.CA(), free_port()
    own = authority.issue_cert("127.0.0.1")
    trusted, chain, key = (tmp_path / name for name in ("trusted.pem", "chain.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(trusted))
    own.cert_chain_pems[0].write_to_path(str(chain))
    own.private_key_pem.write_to_path(str(key))
    options = "--tls-port", port, "--tls-auth-clients", "no"
    with RedisServer(tmp_path, *options, "--tls-cert-file", chain, "--tls-key-file", key):
        url = f"rediss://127.0.0.1:{port}"
        with opened(f"{url}?ssl_ca_certs={trusted}") as connector:
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


def test_close_leaves_the_values_and_ends_every_connection(
    server: RedisServer, client: Any
) -> None:
    connector = RedisConnector(server.url)
    key = connector.put(b"value")
    waiters = [in_thread(connector.wait, connector.new_key()) for _ in range(5)]
    assert eventually(lambda: len(client.client_list()) == 1 + len(waiters))
    connector.close()
    for waiter in waiters:
        with pytest.raises(ConnectorError, match="closed"):
            waiter.result(LIMIT)
    assert eventually(lambda: len(client.client_list()) == 1)
    with opened(server.url) as other:
        assert other.get(key) == b"value"


def test_a_key_cannot_name_what_others_keep_in_the_server(
    client: Any, connector: RedisConnector
) -> None:
    client.set("theirs", "kept")
    assert connector.get(RedisKey("theirs")) is None
    connector.evict(RedisKey("theirs"))
    assert client.get("theirs") == b"kept"


# Calls that are interrupted, and processes that are forked


def test_after_ctrl_c_in_a_wait_the_next_call_gets_its_own_answer(
    connector: RedisConnector,
) -> None:
    for number in range(10):
        key, value = connector.new_key(), str(number).encode()
        with pytest.raises(KeyboardInterrupt), interrupted_after(number / 250):
            connector.wait(key, LIMIT)
        assert not connector.exists(key)
        connector.set(key, value)
        assert connector.wait(key, LIMIT) == value


@needs_fork
def test_a_child_forked_while_threads_wait_and_work_can_use_the_store(
    connector: RedisConnector,
) -> None:
    def uses_and_closes_its_own() -> bool:
        with contextlib.closing(connector):
            return wakes(connector)

    for _ in range(10):
        key = connector.new_key()
        waiters = [in_thread(connector.wait, key) for _ in range(2)]
        worker = in_thread(lambda: [wakes(connector) for _ in range(3)])
        assert in_forked_child(uses_and_closes_its_own)
        connector.set(key, b"value")
        assert [waiter.result(LIMIT) for waiter in waiters] == [b"value", b"value"]
        assert all(worker.result(LIMIT))


def test_the_page_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (EXAMPLES.parent / "write_your_own.md").read_text())
    assert named and set(named) <= set(globals())
