"""Tests of exercise 9. Read the failure first: it says what is wrong."""

from __future__ import annotations

import linecache
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

import exercise
import pytest
from exercise import Proxy, ProxyFuture, SqliteConnector

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy


@pytest.fixture
def connector(tmp_path: Path) -> SqliteConnector:
    return SqliteConnector(str(tmp_path / "values.db"))


# In one process


def test_the_result_comes_back(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    future.set_result(["value"])
    result = Running(future.result).result("the result was set, and result() still waits")
    assert result == ["value"], f"the result ['value'] was set, and result() returned {result!r}"


def test_a_proxy_can_be_made_before_the_result(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    proxy = Running(future.proxy).result(
        "proxy() waited for the result; only the first use of the proxy may wait"
    )
    assert type(proxy) is Proxy, f"proxy() returned a {type(proxy).__name__}; it must be a Proxy"
    future.set_result("value")
    upper = Running(lambda: proxy.upper()).result(
        "the result was set, and its proxy still waits; both need the one key of the future"
    )
    assert upper == "VALUE", f"the result was 'value', and the proxy's upper() returned {upper!r}"


def test_the_first_use_of_a_proxy_waits_for_the_result(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    consumer = Running(lambda: str(future.proxy()))
    assert not consumer.ended(0.3), "nobody has set a result, and a proxy could be used"
    future.set_result("value")
    text = consumer.result("a consumer used the proxy, then the result was set, and it still waits")
    assert text == "value", f"the result was 'value', and the consumer got {text!r}"


def test_all_proxies_of_a_future_have_its_result(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    early = future.proxy()
    future.set_result("value")
    for name, proxy in ("before", early), ("after", future.proxy()):
        text = Running(lambda proxy=proxy: str(proxy)).result(  # type: ignore[misc]
            f"a proxy that was made {name} set_result() does not find the result; "
            "a future has one key, which it reserves when it is made"
        )
        assert text == "value", f"a proxy made {name} set_result() has another result: {text!r}"


def test_futures_have_results_of_their_own(connector: SqliteConnector) -> None:
    one: ProxyFuture[str] = ProxyFuture(connector)
    other: ProxyFuture[str] = ProxyFuture(connector)
    one.set_result("one")
    assert not other.done(), "one future got its result, and another one is done"


@pytest.mark.parametrize("value", [None, 0, b"", []])
def test_what_counts_as_false_is_a_result_too(connector: SqliteConnector, value: object) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    future.set_result(value)
    assert future.done(), f"the result {value!r} was set, and done() says no"
    result = Running(lambda: future.result(timeout=1)).result(f"result() waits though {value!r} is")
    assert result == value, f"the result {value!r} was set, and result() returned {result!r}"


def test_a_result_is_set_once(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    future.set_result("first")
    happened = "nobody was told"
    try:
        future.set_result("second")
    except InvalidStateError:
        happened = ""
    except Exception as error:
        happened = f"that raised {type(error).__name__}"
    assert not happened, f"a result was set twice, and {happened}; it must be InvalidStateError"
    assert future.result(timeout=1) == "first", "the first result must stay"


def test_done_tells_whether_there_is_a_result(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    answer = Running(future.done).result("done() waits; it must answer at once")
    assert answer is False, f"there is no result, and done() returned {answer!r}"
    future.set_result("value")
    answer = future.done()
    assert answer is True, f"there is a result, and done() returned {answer!r}"


@pytest.mark.parametrize("timeout", [0, 0.2])
def test_result_gives_up_after_its_timeout(connector: SqliteConnector, timeout: float) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    start = time.monotonic()
    happened = "returned"
    try:
        Running(lambda: future.result(timeout=timeout)).result(f"result({timeout=}) did not end")
    except TimeoutError:
        happened = ""
    except Exception as error:
        happened = f"raised {error!r}"
    assert not happened, f"nobody set a result, and result({timeout=}) {happened}; TimeoutError"
    took = time.monotonic() - start
    assert took > timeout - 0.01, f"result() gave up after {took:.2f} of {timeout} seconds"


# Copies


def test_a_future_can_be_pickled_and_so_can_its_proxy(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    for name, thing in ("future", future), ("proxy", future.proxy()):
        problem = ""
        try:
            pickle.dumps(thing)
        except Exception as error:
            problem = f"{error!r}"
        assert not problem, f"a {name} must travel to another process, and pickle says: {problem}"


def test_the_copies_of_a_future_are_one_future(connector: SqliteConnector) -> None:
    future: ProxyFuture[Any] = ProxyFuture(connector)
    producers: ProxyFuture[Any] = copy(future)
    consumers: ProxyFuture[Any] = copy(future)
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
    future: ProxyFuture[Any] = ProxyFuture(connector)
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
    future: ProxyFuture[Any] = ProxyFuture(connector)
    folder = str(Path(exercise.__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", CONSUMER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump(future.proxy(), process.stdin)
            process.stdin.close()
            read_line = process.stdout.readline
            started = Running(read_line).result("a consumer in another process did not start", 20)
            assert started == b"started\n", "a consumer could not unpickle the proxy; see above"
            future.set_result("value")
            used = Running(read_line).result("the result was set, and another process still waits")
            assert used == b"VALUE\n", f"another process used the proxy, and got {used!r}"
        finally:
            process.kill()


# Every moment at which two producers can meet


def test_of_two_producers_one_wins(connector: SqliteConnector) -> None:
    def moment_of_the_other(number: int) -> str:
        future: ProxyFuture[str] = ProxyFuture(connector)

        def try_to_set(value: str) -> str:
            try:
                future.set_result(value)
            except Exception as error:
                return type(error).__name__
            return "won"

        one, other, moment = meet(number, lambda: try_to_set("first"), lambda: try_to_set("second"))
        outcomes = {
            each.result(f"two producers set a result, one of them {moment}, and one never ended")
            for each in (one, other)
        }
        assert outcomes == {"won", "InvalidStateError"}, (
            f"a second producer came {moment} in set_result(), and the two got "
            f"{' and '.join(sorted(outcomes))}; one must win, and the other gets InvalidStateError"
        )
        return moment

    for number in range(1, 100):
        if moment_of_the_other(number) == AFTERWARDS:
            break


# How the tests do it


def copy(future: ProxyFuture[Any]) -> ProxyFuture[Any]:
    """Returns what another process would get."""
    unpickled: ProxyFuture[Any] = pickle.loads(pickle.dumps(future))
    return unpickled


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

    def result(self, deadlock: str, seconds: float = LIMIT) -> T:
        __tracebackhide__ = True
        if not self.ended(seconds):
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
    `first` has fewer lines, `second` runs after it.

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
            if lines == number:
                code = linecache.getline(exercise.__file__, frame.f_lineno).strip()
                moment = f"just before line {frame.f_lineno} (`{code}`)"
                go.set()
                begun.wait(LIMIT)
                other.ended(3)
        return trace

    def traced() -> T:
        sys.settrace(trace)
        try:
            return first()
        finally:
            sys.settrace(None)
            go.set()

    def on_its_turn() -> T:
        go.wait(LIMIT)
        begun.set()
        return second()

    other = Running(on_its_turn)
    one = Running(traced)
    begun.wait(LIMIT)
    return one, other, moment
