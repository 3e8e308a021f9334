"""Tests of exercise 13. Read the failure first: it says what is wrong."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

redis = pytest.importorskip(
    "redis", reason="this exercise needs the redis package: python -m pip install redis"
)
if shutil.which("redis-server") is None:
    pytest.skip("this exercise needs redis-server, which is not here", allow_module_level=True)

from exercise import AlreadySetError, RedisConnector  # noqa: E402  # it imports redis
from stepping import Running, asleep, fast_time, moments  # noqa: E402


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Starts a server that listens on a socket in a private directory, and returns its URL."""
    with tempfile.TemporaryDirectory() as directory:
        socket = Path(directory) / "redis"
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", directory]
        with subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "ready to accept connections" in line.lower():
                    break
            else:
                pytest.fail("redis-server did not start:\n" + "".join(lines))
            yield f"unix://{socket}"
            process.kill()


@pytest.fixture(scope="module", autouse=True)
def patient(server: str) -> tuple[Running[bytes | None], float]:
    """Begins to wait before all tests, for what the last one sets."""
    return Running(lambda: RedisConnector(server).wait("patient")), time.monotonic()


def new(server: str) -> tuple[RedisConnector, str]:
    connector = RedisConnector(server)
    return connector, connector.new_key()


# Keys and values


@pytest.mark.parametrize("value", [b"value", b"", b"\xff\0\r\n"])
def test_what_one_connector_sets_another_one_finds(server: str, value: bytes) -> None:
    connector, key = new(server)
    before = connector.get(key)
    assert before is None, f"nobody has set the key, and get() found {before!r}; it must be None"
    connector.set(key, value)
    problem = ""
    try:
        found = RedisConnector(server).get(key)
    except UnicodeDecodeError:
        problem = "a UnicodeDecodeError"
    assert not problem, f"{value!r} was set, and get() raised {problem}; values are bytes, not text"
    assert found == value, f"{value!r} was set, and another connector found {found!r}"


def test_a_key_is_set_once(server: str) -> None:
    connector, key = new(server)
    connector.set(key, b"first")
    happened = "nobody was told"
    try:
        RedisConnector(server).set(key, b"second")
    except AlreadySetError:
        happened = ""
    except Exception as error:
        happened = f"that raised {error!r}"
    assert not happened, f"the key was set twice, and {happened}; it must be AlreadySetError"
    found = connector.get(key)
    assert found == b"first", f"the first value was replaced by {found!r}; it must stay"


def test_a_value_stays(server: str) -> None:
    connector, key = new(server)
    connector.set(key, b"value")
    assert [connector.get(key), connector.wait(key), connector.get(key)] == [b"value"] * 3, (
        "a value was there, and who came later did not get it; to read is not to take away"
    )
    observer = redis.Redis.from_url(server)
    limits = [limit for name in observer.scan_iter() if (limit := observer.ttl(name)) >= 0]
    assert not limits, (
        f"the server will throw the value away after {limits[0]} seconds; nobody asked it to"
    )


# The server is not well


@pytest.mark.parametrize("call", ["set", "get", "wait"])
def test_a_server_that_is_away_is_an_error(call: str) -> None:
    connector = RedisConnector("unix:///nowhere/redis")
    calls = {
        "set": lambda: connector.set("key", b"value"),
        "get": lambda: connector.get("key"),
        "wait": lambda: connector.wait("key", timeout=1),
    }
    broken: Running[bytes | None] = Running(calls[call])
    happened = broken.happened(f"there is no server, and {call}() never ended")
    assert isinstance(broken.error(""), redis.ConnectionError), (
        f"there is no server, and {call}() {happened}; "
        "whether the key is set, nobody knows: let the error through"
    )


def test_a_server_that_refuses_a_value_has_not_set_the_key(server: str) -> None:
    connector, key = new(server)
    observer = redis.Redis.from_url(server)
    observer.config_set("maxmemory", 1)
    try:
        refused = Running(lambda: connector.set(key, b"value"))
        happened = refused.happened("the server has no memory left, and set() never ended")
    finally:
        observer.config_set("maxmemory", 0)
    error = refused.error("")
    assert isinstance(error, redis.ResponseError) and not isinstance(error, AlreadySetError), (
        f"the server had no memory left, and set() {happened}; an AlreadySetError says that a "
        "value is there, so look which error it is, and let others through"
    )


# One waits, one sets


@pytest.mark.parametrize("value", [b"value", b""])
def test_all_who_wait_for_a_key_get_its_value(server: str, value: bytes) -> None:
    connector, key = new(server)
    early = [Running(lambda: RedisConnector(server).wait(key)) for _ in range(2)]
    assert not early[0].ended(0.3), "nothing was set, no time was given, and wait() returned"
    connector.set(key, value)
    late = Running(lambda: connector.wait(key))
    for name, waiter in ("early", early[0]), ("early", early[1]), ("late", late):
        found = waiter.result(f"the value was set, and one who came {name} still waits for it")
        assert found == value, f"the value {value!r} was set, and wait() returned {found!r}"


def test_a_value_for_another_key_ends_no_wait(server: str) -> None:
    connector, key = new(server)
    waiter = Running(lambda: connector.wait(key))
    time.sleep(0.3)
    RedisConnector(server).set(connector.new_key(), b"other")
    assert not waiter.ended(0.3), "a value for another key came, and wait() returned"
    RedisConnector(server).set(key, b"value")
    found = waiter.result("another key was set, and then this one, and nobody woke the one here")
    assert found == b"value", f"two keys were set, and wait() returned {found!r}, not its own value"


@pytest.mark.parametrize("jumps", [-3600, 3600])
@pytest.mark.parametrize("timeout", [-1, 0, 0.0001, 1.3])
def test_a_wait_ends_with_its_timeout(server: str, timeout: float, jumps: float) -> None:
    connector, key = new(server)
    start = time.monotonic()
    with fast_time(factor=1, wall_clock_jumps=jumps):  # somebody sets the clock of the computer
        found = Running(lambda: connector.wait(key, timeout)).result(
            f"wait({timeout=}) did not end, and somebody had set the clock; "
            "time.monotonic() never jumps"
        )
    took = time.monotonic() - start
    assert found is None, f"nothing was set, and wait() returned {found!r}; it must return None"
    assert took > timeout - 0.01, (
        f"wait() gave up after {took:.2f} of {timeout} seconds, and somebody had set the clock; "
        "time.monotonic() never jumps"
    )
    connector.set(key, b"value")
    found = Running(lambda: connector.wait(key, timeout)).result(f"wait({timeout=}) did not end")
    assert found == b"value", f"the value was there, and wait({timeout=}) returned {found!r}"


def test_while_nothing_happens_no_commands_are_sent(server: str) -> None:
    connector, observer = RedisConnector(server), redis.Redis.from_url(server)
    key = connector.new_key()
    waiter = Running(lambda: connector.wait(key))
    time.sleep(0.5)

    def commands_in_a_while() -> int:
        before = observer.info("stats")["total_commands_processed"]
        time.sleep(1.2)
        after = observer.info("stats")["total_commands_processed"]
        return int(after - before - 1)  # one is the observer's own

    rounds = [commands_in_a_while() for _ in range(2)]
    connector.set(key, b"value")
    waiter.result("the value was set, and one who came early still waits for it")
    assert not all(rounds), (
        f"polling: while nothing happened for two seconds, wait() sent {sum(rounds)} commands; "
        "let the server wake it"
    )


def test_values_for_other_keys_cost_a_waiter_nothing(server: str) -> None:
    setter, observer = RedisConnector(server), redis.Redis.from_url(server)

    def commands_for_20_values() -> int:
        before = observer.info("stats")["total_commands_processed"]
        for _ in range(20):
            setter.set(setter.new_key(), b"other")
        time.sleep(0.3)
        return int(observer.info("stats")["total_commands_processed"] - before)

    alone = commands_for_20_values()
    connector, key = new(server)
    waiter = asleep(partial(connector.wait, key))
    more = commands_for_20_values() - alone
    setter.set(key, b"value")
    waiter.result("the value was set, and one who came early still waits for it")
    assert more < 10, (
        f"values for 20 other keys came, and the one who waits for this key sent {more} commands, "
        "to find nothing; wake nobody else"
    )


# Every moment at which two clients can meet


def test_of_two_clients_that_set_a_key_one_wins(server: str) -> None:
    for moment in moments():
        (one, key), (other, _) = new(server), new(server)
        setters = moment.meet(partial(one.set, key, b"first"), partial(other.set, key, b"second"))
        errors = [each.error(f"two clients set a key, one {moment}") for each in setters]
        assert sorted(type(error) for error in errors if error) == [AlreadySetError], (
            f"a second client set the key {moment} in set(), and the two got {errors}; "
            "one must win, and the other one gets AlreadySetError"
        )
        found, winner = one.get(key), b"second" if errors[0] else b"first"
        assert found == winner, f"the setter of {winner!r} won, and get() found {found!r}"


def test_no_value_comes_at_a_moment_that_wait_misses(server: str) -> None:
    for moment in moments():
        (connector, key), producers = new(server), RedisConnector(server)
        waiter, setter = moment.meet(
            partial(connector.wait, key), partial(producers.set, key, b"value")
        )
        setter.result(f"set() came {moment} in wait(), and never returned")
        found = waiter.result(
            f"the value was set {moment} in wait(), which missed it and waits on; "
            "who looks before the bell is there can miss it"
        )
        assert found == b"value", f"the value was set {moment}, and wait() returned {found!r}"


def test_no_consumer_comes_at_a_moment_that_set_misses(server: str) -> None:
    for moment in moments():
        (connector, key), consumers = new(server), RedisConnector(server)
        setter, waiter = moment.meet(
            partial(connector.set, key, b"value"), partial(consumers.wait, key)
        )
        setter.result(f"wait() came {moment} in set(), which never returned")
        found = waiter.result(f"a consumer came {moment} in set(), which did not wake it")
        assert found == b"value", f"wait() came {moment} in set(), and returned {found!r}"


def test_who_waits_without_a_limit_never_gives_up(
    server: str, patient: tuple[Running[bytes | None], float]
) -> None:
    waiter, begin = patient
    gave_up = waiter.ended(max(0, begin + 12 - time.monotonic()))
    happened = waiter.happened("") if gave_up else ""
    assert not gave_up, f"no time was given, and wait() {happened} after some seconds"
    RedisConnector(server).set("patient", b"value")
    found = waiter.result("the value was set, and one who came early still waits for it")
    assert found == b"value", f"the value was set, and wait() returned {found!r}"
