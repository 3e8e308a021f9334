"""Tests of exercise 13. Read the failure first: it says what is wrong."""

from __future__ import annotations

import linecache
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

import pytest

redis = pytest.importorskip(
    "redis", reason="this exercise needs the redis package: python -m pip install redis"
)
if shutil.which("redis-server") is None:
    pytest.skip("this exercise needs redis-server, which is not here", allow_module_level=True)

import exercise  # noqa: E402  # it imports redis
from exercise import AlreadySetError, RedisConnector  # noqa: E402

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy


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


# Keys and values


@pytest.mark.parametrize("value", [b"value", b"", b"\xff\0\r\n"])
def test_what_one_connector_sets_another_one_finds(server: str, value: bytes) -> None:
    connector = RedisConnector(server)
    key = connector.new_key()
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
    connector = RedisConnector(server)
    key = connector.new_key()
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


# One waits, one sets


@pytest.mark.parametrize("value", [b"value", b""])
def test_all_who_wait_for_a_key_get_its_value(server: str, value: bytes) -> None:
    connector = RedisConnector(server)
    key = connector.new_key()
    early = [Running(lambda: RedisConnector(server).wait(key)) for _ in range(2)]
    assert not early[0].ended(0.3), "nothing was set, no time was given, and wait() returned"
    connector.set(key, value)
    late = Running(lambda: connector.wait(key))
    for name, waiter in ("early", early[0]), ("early", early[1]), ("late", late):
        found = waiter.result(f"the value was set, and one who came {name} still waits for it")
        assert found == value, f"the value {value!r} was set, and wait() returned {found!r}"


def test_a_value_for_another_key_ends_no_wait(server: str) -> None:
    connector = RedisConnector(server)
    key = connector.new_key()
    waiter = Running(lambda: connector.wait(key))
    time.sleep(0.3)
    RedisConnector(server).set(connector.new_key(), b"other")
    assert not waiter.ended(0.3), "a value for another key came, and wait() returned"
    RedisConnector(server).set(key, b"value")
    found = waiter.result("another key was set, and then this one, and nobody woke the one here")
    assert found == b"value", f"two keys were set, and wait() returned {found!r}, not its own value"


@pytest.mark.parametrize("timeout", [0, 0.0001, 0.2])
def test_a_wait_ends_with_its_timeout(server: str, timeout: float) -> None:
    connector = RedisConnector(server)
    key = connector.new_key()
    start = time.monotonic()
    found = Running(lambda: connector.wait(key, timeout)).result(f"wait({timeout=}) did not end")
    took = time.monotonic() - start
    assert found is None, f"nothing was set, and wait() returned {found!r}; it must return None"
    assert took > timeout - 0.01, f"wait() gave up after {took:.2f} of {timeout} seconds"
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


# Every moment at which two clients can meet


def test_of_two_clients_that_set_a_key_one_wins(server: str) -> None:
    def moment_of_the_other(number: int) -> str:
        connector, other_connector = RedisConnector(server), RedisConnector(server)
        key = connector.new_key()

        def try_to_set(connector: RedisConnector, data: bytes) -> str:
            try:
                connector.set(key, data)
            except Exception as error:
                return type(error).__name__
            return "won"

        one, other, moment = meet(
            number,
            lambda: try_to_set(connector, b"first"),
            lambda: try_to_set(other_connector, b"second"),
        )
        outcomes = [each.result(f"two clients set a key, one {moment}") for each in (one, other)]
        assert sorted(outcomes) == ["AlreadySetError", "won"], (
            f"a second client set the key {moment} in set(), and the two got "
            f"{' and '.join(outcomes)}; one must win, and the other one gets AlreadySetError"
        )
        found, winner = connector.get(key), b"first" if outcomes[0] == "won" else b"second"
        assert found == winner, f"the setter of {winner!r} won, and get() found {found!r}"
        return moment

    for number in range(1, 100):
        if moment_of_the_other(number) == AFTERWARDS:
            break


def test_no_value_comes_at_a_moment_that_wait_misses(server: str) -> None:
    def moment_of_the_value(number: int) -> str:
        connector, producers = RedisConnector(server), RedisConnector(server)
        key = connector.new_key()

        def produce() -> bytes | None:
            producers.set(key, b"value")
            return None

        waiter, producer, moment = meet(number, lambda: connector.wait(key), produce)
        producer.result(f"set() came {moment} in wait(), and never returned")
        found = waiter.result(
            f"the value was set {moment} in wait(), which missed it and waits on; "
            "who looks before the bell is there can miss it"
        )
        assert found == b"value", f"the value was set {moment}, and wait() returned {found!r}"
        return moment

    for number in range(1, 100):
        if moment_of_the_value(number) == AFTERWARDS:
            break


# How the tests do it


class Running(Generic[T]):
    """A call in a thread of its own, so that what blocks does not block the tests."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: Future[T] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        __tracebackhide__ = True
        try:
            self._outcome.set_result(self._call())
        except BaseException as error:
            self._outcome.set_exception(error)

    def ended(self, seconds: float = LIMIT) -> bool:
        return bool(wait([self._outcome], seconds).done)

    def result(self, deadlock: str) -> T:
        __tracebackhide__ = True
        if not self.ended():
            pytest.fail(f"deadlock: {deadlock}", pytrace=False)
        if error := self._outcome.exception():
            raise error
        return self._outcome.result()


AFTERWARDS = "after its last line"


def meet(
    number: int, first: Callable[[], T], second: Callable[[], T]
) -> tuple[Running[T], Running[T], str]:
    """Runs `first` and, just before the line of that number in it, `second` in another thread.

    So each moment at which two threads can meet comes up, on fast machines and on slow ones.
    `first` goes on when `second` has ended, or waits for something that `first` holds. If
    `first` ends or sleeps before it gets to that line, `second` comes then.

    Returns:
        Both, and the moment of their meeting as words.
    """
    go, begun = threading.Event(), threading.Event()
    lines = 0
    moment = AFTERWARDS

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines, moment
        if frame.f_code.co_filename != exercise.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == number and not go.is_set():
                moment = f"just before {line_of(frame)}"
                go.set()
                begun.wait(LIMIT)
                other.ended(0.3)
        return trace

    def traced() -> T:
        sys.settrace(trace)
        try:
            return first()
        finally:
            sys.settrace(None)
            go.set()

    def on_its_turn() -> T:
        go.wait(1)
        go.set()
        begun.set()
        return second()

    other = Running(on_its_turn)
    one = Running(traced)
    begun.wait(LIMIT)
    return one, other, moment


def line_of(frame: FrameType) -> str:
    code = linecache.getline(exercise.__file__, frame.f_lineno).strip()
    return f"line {frame.f_lineno} (`{code}`)"
