"""Tests of exercise 9. Read the failure first: it says what is wrong."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import InvalidStateError
from functools import partial
from pathlib import Path
from typing import Any

import exercise
import pytest
from exercise import Proxy, ProxyFuture, SqliteConnector
from stepping import Running, fast_time, moments

Future = ProxyFuture[Any]


@pytest.fixture
def connector(tmp_path: Path) -> SqliteConnector:
    return SqliteConnector(str(tmp_path / "values.db"))


def copy(future: Future) -> Future:
    """Returns what another process would get."""
    unpickled: Future = pickle.loads(pickle.dumps(future))
    return unpickled


# In one process


@pytest.mark.parametrize(
    "value", ["value", None, 0, b"", [], ..., (None, None), pickle.dumps("a pickle", 0)], ids=repr
)
def test_the_result_comes_back(connector: SqliteConnector, value: object) -> None:
    future: Future = ProxyFuture(connector)
    future.set_result(value)
    assert future.done() is True, f"the result {value!r} was set, and done() says no"
    for timeout in None, 1, 0:
        result = Running(partial(future.result, timeout)).result(
            f"the result {value!r} was set, and result({timeout=}) still waits"
        )
        assert result == value, f"the result {value!r} was set, and result() returned {result!r}"


def test_a_proxy_can_be_made_before_the_result(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    proxy = Running(future.proxy).result(
        "proxy() waited for the result; only the first use of the proxy may wait"
    )
    assert type(proxy) is Proxy, f"proxy() returned a {type(proxy).__name__}; it must be a Proxy"
    future.set_result("value")
    upper = Running(lambda: proxy.upper()).result(
        "the result was set, and its proxy still waits; both need the one key of the future"
    )
    assert upper == "VALUE", f"the result was 'value', and the proxy's upper() returned {upper!r}"


@pytest.mark.parametrize(
    "use", [ProxyFuture.result, lambda future: str(future.proxy())], ids=["result", "proxy"]
)
def test_the_first_use_waits_for_the_result_however_late(
    connector: SqliteConnector, use: Any
) -> None:
    with fast_time(20_000):  # a second is more than five hours
        future: Future = ProxyFuture(connector)
        consumer = Running(partial(use, future))
        gave_up = consumer.ended(0.2)
    assert not gave_up, (
        "nobody has set a result yet, and a consumer did not wait for it, or gave up within an "
        f"hour: it {consumer.happened('')}"
    )
    future.set_result("value")
    text = consumer.result("a consumer waited, then the result was set, and it still waits")
    assert text == "value", f"the result was 'value', and the consumer got {text!r}"


def test_all_proxies_of_a_future_have_its_result(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    early = future.proxy()
    future.set_result("value")
    for name, proxy in ("before", early), ("after", future.proxy()):
        assert type(proxy) is Proxy, f"{name} set_result(), proxy() returned no Proxy: {proxy!r}"
        text = Running(partial(str, proxy)).result(
            f"a proxy that was made {name} set_result() does not find the result; "
            "a future has one key, which it reserves when it is made"
        )
        assert text == "value", f"a proxy made {name} set_result() has another result: {text!r}"


def test_the_key_is_one_of_the_connector(connector: SqliteConnector) -> None:
    keys = ["a key of the connector", "another key of the connector"]
    connector.new_key = keys.pop  # type: ignore[method-assign]  # to see who asks
    one: ProxyFuture[str] = ProxyFuture(connector)
    other: ProxyFuture[str] = ProxyFuture(connector)
    assert keys == [], "two futures were made, and did not reserve a key each with new_key()"
    one.set_result("one")
    data = connector.get("another key of the connector")
    assert data is not None and pickle.loads(data) == "one", (
        f"the result was set, and the future's key in the connector holds {data!r}"
    )
    assert not other.done(), "one future got its result, and another one is done"


@pytest.mark.parametrize("second", ["first", "second"])
def test_a_result_is_set_once(connector: SqliteConnector, second: str) -> None:
    future: Future = ProxyFuture(connector)
    future.set_result("first")
    try:
        future.set_result(second)
        happened = "nobody was told"
    except InvalidStateError:
        happened = ""
    except Exception as error:
        happened = f"that raised {type(error).__name__}"
    assert not happened, (
        f"a result was set twice, the second one was {second!r}, and {happened}; "
        "it must be InvalidStateError"
    )
    assert future.result(timeout=1) == "first", "the first result must stay"


def test_done_tells_at_once_whether_there_is_a_result(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    with fast_time(0.001):  # a moment would take minutes
        asked = Running(future.done)
        assert asked.ended(3), "done() waits for the result; it must answer at once"
    answer = asked.result("")
    assert answer is False, f"there is no result, and done() returned {answer!r}"
    future.set_result("value")
    answer = future.done()
    assert answer is True, f"there is a result, and done() returned {answer!r}"


@pytest.mark.parametrize(("timeout", "jumps"), [(0, 0), (0.2, 0), (0.2, -3600), (0.2, 3600)])
def test_result_gives_up_after_its_timeout(
    connector: SqliteConnector, timeout: float, jumps: float
) -> None:
    with fast_time(1, wall_clock_jumps=jumps):
        future: Future = ProxyFuture(connector)
        start = time.monotonic()
        waits = Running(partial(future.result, timeout=timeout))
        happened = waits.happened(
            f"result({timeout=}) did not end; measure with a clock that nobody sets"
        )
    took = time.monotonic() - start
    assert isinstance(waits.error(""), TimeoutError), (
        f"nobody set a result, and result({timeout=}) {happened}; TimeoutError"
    )
    assert took > timeout - 0.01, (
        f"result() gave up after {took:.2f} of {timeout} seconds, in which the clock of the "
        f"computer was set by {jumps} seconds; measure with one that nobody sets"
    )


# Copies


def test_a_future_can_be_pickled_and_so_can_its_proxy(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    for name, thing in ("future", future), ("proxy", future.proxy()):
        happened = Running(partial(pickle.dumps, thing)).happened(f"to pickle a {name} waits")
        assert happened.startswith("returned"), (
            f"a {name} must travel to another process, and pickle {happened}"
        )


def test_the_copies_of_a_future_are_one_future(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    assert not future.done()  # what it knows now may soon be old
    producers, consumers = copy(future), copy(future)
    producers.set_result("value")
    assert future.done() and consumers.done(), (
        "a copy of the future set the result, and another copy is not done; "
        "ask the connector, since it is all that copies share"
    )
    result = Running(consumers.result).result("a copy of the future set the result; another waits")
    assert result == "value", f"a copy set the result 'value', and another one has {result!r}"
    with pytest.raises(InvalidStateError):
        future.set_result("second")


def test_the_value_does_not_travel_with_the_future(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    future.set_result("v" * 10_000)
    future.result(timeout=1)
    for name, thing in ("future", future), ("proxy", future.proxy()):
        size = len(pickle.dumps(thing))
        assert size < 1000, (
            f"the pickled {name} has {size} bytes, since it holds the value; "
            "only the key and the connector travel"
        )


CONSUMER = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
proxy = pickle.load(sys.stdin.buffer)
print("started", flush=True)
print(proxy.upper(), flush=True)
"""


def test_a_consumer_in_another_process_starts_before_the_result(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    command = [sys.executable, "-c", CONSUMER, str(Path(exercise.__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump(future.proxy(), process.stdin)
            process.stdin.close()
            reading = Running(process.stdout.readline)
            reading.ended()  # a process needs time to start
            started = reading.result("a consumer in another process did not start")
            assert started.strip() == b"started", "a consumer could not unpickle the proxy"
            future.set_result("value")
            used = Running(process.stdout.readline).result(
                "the result was set, and another process still waits"
            )
            assert used.strip() == b"VALUE", f"another process used the proxy, and got {used!r}"
        finally:
            process.kill()


# What goes wrong


def test_an_error_of_the_connector_is_not_hidden(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    connector.path += "/is no folder"
    calls = {"set_result": partial(future.set_result, 1), "result": future.result}
    for name, call in {**calls, "done": future.done}.items():
        used = Running(call)
        happened = used.happened("the database is broken, and something still waits")
        assert isinstance(used.error(""), sqlite3.Error), (
            f"the database cannot be opened, and {name}() {happened}; that does not mean that "
            "there is a result, or none: let the connector's error go on"
        )


def test_a_value_that_cannot_be_pickled_is_the_producers_error(
    connector: SqliteConnector,
) -> None:
    future: Future = ProxyFuture(connector)
    happened = Running(lambda: future.set_result(lambda: 1)).happened("set_result() waits")
    assert happened.startswith("raised") and "InvalidStateError" not in happened, (
        f"the value was a lambda, which cannot be pickled, and set_result() {happened}; "
        "it must raise what pickle raised, and the consumers must not get something else"
    )
    assert not future.done(), "the value could not be pickled, so there is no result"
    future.set_result("value")


class FailsToUnpickle:
    def __reduce__(self) -> Any:
        return {}.__getitem__, ("nothing",)


def test_done_needs_no_look_at_the_value(connector: SqliteConnector) -> None:
    future: Future = ProxyFuture(connector)
    future.set_result(FailsToUnpickle())
    happened = Running(future.done).happened("done() waits")
    assert happened == "returned True", (
        f"a result was set that cannot be unpickled here, and done() {happened}; "
        "whether there is a result does not depend on what it is"
    )
    happened = Running(partial(future.result, 1)).happened("result() waits")
    assert happened == "raised KeyError('nothing')", (
        f"unpickling the result raised KeyError('nothing'), and result() {happened}"
    )


# Every moment at which two producers can meet


def test_of_two_producers_one_wins(connector: SqliteConnector) -> None:
    for moment in moments():
        future: Future = ProxyFuture(connector)
        setters = moment.meet(
            partial(future.set_result, "first"), partial(copy(future).set_result, "second")
        )
        errors = [
            setter.error(f"two producers set a result, one of them {moment}, and one never ended")
            for setter in setters
        ]
        told = [type(error).__name__ for error in errors if error is not None]
        assert told == ["InvalidStateError"], (
            f"a second producer came {moment} in set_result(), and the two got {errors}; "
            "one must win, and the other gets InvalidStateError"
        )
        winner, found = "second" if errors[0] else "first", future.result(timeout=1)
        assert found == winner, f"{winner!r} won, and the result is {found!r}; they met {moment}"
