"""Tests of exercise 8. Read the failure first: it says what is wrong."""

from __future__ import annotations

import linecache
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, wait
from functools import partial
from types import FrameType
from typing import Any, Generic, TypeVar

import exercise
import pytest
from exercise import AlreadySetError, LocalConnector

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy

LINES = 50  # at which two threads are made to meet, if the answer has so many


# One waits, one sets


def test_a_value_that_is_there_is_returned_at_once() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    set_value(connector, key, b"value")
    found = Running(lambda: connector.wait(key)).result(
        "the value was there before wait() came, and it went to sleep; look first"
    )
    assert found == b"value", f"wait() returned {found!r}; it must return the bytes that were set"


@pytest.mark.parametrize("value", [b"value", b""])
def test_who_waits_is_woken_by_the_value(value: bytes) -> None:
    connector = LocalConnector()
    key = connector.new_key()
    waiter = Running(lambda: connector.wait(key))
    assert not waiter.ended(0.3), "wait() returned, though nothing was set and no time was given"
    set_value(connector, key, value)
    found = waiter.result(f"the value {value!r} was set, and nobody woke the one who waits for it")
    assert found == value, f"wait() returned {found!r}; it must return the bytes that were set"


def test_all_who_wait_for_a_key_are_woken() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    waiters = [asleep(lambda: connector.wait(key)) for _ in range(3)]
    set_value(connector, key, b"value")
    found = [
        waiter.result("three waited for one key, and not all were woken") for waiter in waiters
    ]
    assert found == [b"value"] * 3, f"three waited for one key, and they got {found}"


def test_a_value_for_another_key_ends_no_wait() -> None:
    connector = LocalConnector()
    key, other = connector.new_key(), connector.new_key()
    waiter = asleep(lambda: connector.wait(key))
    set_value(connector, other, b"other")
    waiter.ended(0.3)
    set_value(connector, key, b"value")
    found = waiter.result("another key was set, and then this one; only the first woke somebody")
    assert found == b"value", (
        f"a value for another key came, then the one for this key, and wait() returned {found!r}; "
        "who is woken has to look for its own value"
    )


def test_a_key_is_still_set_once() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    set_value(connector, key, b"first")
    for attempt in b"second", b"third":
        try:
            set_value(connector, key, attempt)
        except AlreadySetError:
            continue
        pytest.fail("the key was set twice, and nobody was told; raise AlreadySetError")
    assert connector.get(key) == b"first", "the first value must stay"


# Every moment at which two threads can meet


def test_no_value_comes_at_a_moment_that_wait_misses() -> None:
    def moment_of_the_value(number: int) -> str:
        connector = LocalConnector()
        key = connector.new_key()

        def produce() -> bytes | None:
            connector.set(key, b"value")
            return None

        waiter, producer, moment = meet(number, lambda: connector.wait(key), produce)
        producer.result(f"set() came {moment} in wait(), and never returned")
        found = waiter.result(
            f"the value was set {moment} in wait(), which missed it and slept on; "
            "to look and to leave a bell must be one step, and set() must take the same lock"
        )
        assert found == b"value", f"the value was set {moment}, and wait() returned {found!r}"
        return moment

    for number in range(1, LINES):
        if moment_of_the_value(number) == AFTERWARDS:
            break


def test_no_consumer_comes_at_a_moment_that_set_misses() -> None:
    def moment_of_the_consumer(number: int) -> str:
        connector = LocalConnector()
        key = connector.new_key()

        def produce() -> bytes | None:
            connector.set(key, b"value")
            return None

        producer, waiter, moment = meet(number, produce, lambda: connector.wait(key))
        producer.result(f"wait() came {moment} in set(), which then never returned")
        found = waiter.result(
            f"a consumer came {moment} in set(), which did not wake it; "
            "to store the value and to collect the bells must be one step"
        )
        assert found == b"value", f"wait() came {moment} in set(), and returned {found!r}"
        return moment

    for number in range(1, LINES):
        if moment_of_the_consumer(number) == AFTERWARDS:
            break


def test_of_two_that_set_a_key_one_wins() -> None:
    def moment_of_the_other(number: int) -> str:
        connector = LocalConnector()
        key = connector.new_key()

        def set_to(data: bytes) -> str:
            try:
                connector.set(key, data)
            except AlreadySetError:
                return "lost"
            return "won"

        one, other, moment = meet(number, lambda: set_to(b"one"), lambda: set_to(b"other"))
        outcomes = [
            each.result(f"a second set() came {moment} in the first, and one of them never ended")
            for each in (one, other)
        ]
        assert sorted(outcomes) == ["lost", "won"], (
            f"two threads set the key, the second one {moment} in the first, and they "
            f"{' and '.join(outcomes)}; to look and to store must be one step, under the lock"
        )
        found, winner = connector.get(key), b"one" if outcomes[0] == "won" else b"other"
        assert found == winner, (
            f"{winner!r} won, and get() found {found!r}; the second came {moment}"
        )
        return moment

    for number in range(1, LINES):
        if moment_of_the_other(number) == AFTERWARDS:
            break


# Time passes


@pytest.mark.parametrize("timeout", [0, 0.2])
def test_a_wait_ends_with_its_timeout(timeout: float) -> None:
    connector = LocalConnector()
    key = connector.new_key()
    start = time.monotonic()
    found = Running(lambda: connector.wait(key, timeout)).result(
        f"wait(key, timeout={timeout}) went on for {LIMIT:.0f} seconds"
    )
    took = time.monotonic() - start
    assert found is None, f"nothing was set, and wait() returned {found!r}; it must return None"
    assert took > timeout - 0.01, f"wait() gave up after {took:.2f} of {timeout} seconds"


def test_a_timeout_of_zero_still_looks() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    set_value(connector, key, b"value")
    found = Running(lambda: connector.wait(key, timeout=0)).result("wait(timeout=0) did not end")
    assert found == b"value", f"the value was there, and wait(key, timeout=0) returned {found!r}"


def test_the_time_runs_while_values_for_other_keys_come() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    waiter = Running(lambda: connector.wait(key, timeout=2))
    end = time.monotonic() + LIMIT
    while not waiter.ended(0.05):
        set_value(connector, connector.new_key(), b"other")
        assert time.monotonic() < end, (
            "deadlock: each value for another key gave wait(key, timeout=2) another two seconds; "
            "the time counts from the call"
        )
    found = waiter.result("")
    assert found is None, f"nothing was set, and wait() returned {found!r}; it must return None"


def test_who_gives_up_does_not_take_the_bell_of_another() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    patient = asleep(lambda: connector.wait(key))
    Running(lambda: connector.wait(key, timeout=0.1)).result("wait(key, timeout=0.1) did not end")
    set_value(connector, key, b"value")
    found = patient.result(
        "two waited for one key; one gave up, and then the value did not wake the other one"
    )
    assert found == b"value", f"wait() returned {found!r}; it must return the bytes that were set"


def test_who_gave_up_can_come_again() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    Running(lambda: connector.wait(key, timeout=0.05)).result("wait(key, timeout=0.05) did not end")
    waiter = asleep(lambda: connector.wait(key))
    set_value(connector, key, b"value")
    found = waiter.result("a wait timed out, and the next one for the same key was not woken")
    assert found == b"value", f"wait() returned {found!r}; it must return the bytes that were set"


def test_a_value_that_comes_as_the_time_ends_is_returned_or_too_late() -> None:
    def moment_of_the_value(number: int) -> str:
        connector = LocalConnector()
        key = connector.new_key()

        def produce() -> bytes | None:
            connector.set(key, b"value")
            return None

        waiter, producer, moment = meet(number, lambda: connector.wait(key, timeout=0.05), produce)
        producer.result(f"set() came {moment} in wait(key, timeout=0.05), and never returned")
        try:
            found = waiter.result(f"the value came {moment}; wait(key, timeout=0.05) did not end")
        except Exception as error:
            pytest.fail(
                f"the value came {moment} in wait(key, timeout=0.05), which raised {error!r}; "
                "when the time is over, look once more, under the lock"
            )
        assert found in (b"value", None), (
            f"the value came {moment}, and wait(key, timeout=0.05) returned {found!r}; "
            "it must return the value, or None if that came too late"
        )
        return moment

    for number in range(1, LINES):
        if moment_of_the_value(number) == AFTERWARDS:
            break


# Nothing happens


def test_while_nothing_happens_who_waits_does_nothing() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    steps = Steps(lambda: connector.wait(key))
    waiter = Running(steps)
    steps.settle()
    rounds = [steps.during(lambda: time.sleep(1.2)) for _ in range(2)]
    place = steps.last_line
    set_value(connector, key, b"value")
    waiter.result("the value was set, and nobody woke the one who waits for it")
    assert not all(rounds), (
        f"polling: while nothing happened for two seconds, the thread in wait() did {sum(rounds)} "
        f"steps, some of them at {place}; who sleeps until set() wakes it does none"
    )


def test_who_waits_for_another_key_sleeps_on() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    steps = Steps(lambda: connector.wait(key))
    waiter = Running(steps)
    steps.settle()

    def set_other_keys() -> None:
        for _ in range(25):
            set_value(connector, connector.new_key(), b"other")
            time.sleep(0.01)
        time.sleep(0.2)

    rounds = [steps.during(set_other_keys) for _ in range(2)]
    set_value(connector, key, b"value")
    waiter.result("the value was set, and nobody woke the one who waits for it")
    assert not all(rounds), (
        f"values for 50 other keys came, and woke the one who waits for this key: it did "
        f"{sum(rounds)} steps, to find nothing; each key needs bells of its own"
    )


# Nothing is left behind


def test_who_gives_up_leaves_nothing_behind() -> None:
    connector = LocalConnector()

    def give_up() -> None:
        for _ in range(100):
            connector.wait(connector.new_key(), timeout=0.001)

    before = entries(vars(connector))
    Running(give_up).result("a hundred waits of a millisecond did not end")
    left = entries(vars(connector)) - before
    assert left < 10, (
        f"100 waits timed out, and the connector remembers {left} things more than before; "
        "in a program that runs for a year, that is a leak"
    )


def test_who_is_woken_leaves_nothing_behind() -> None:
    def grown(wait_first: bool) -> int:
        connector = LocalConnector()
        before = entries(vars(connector))
        keys = [connector.new_key() for _ in range(50)]
        waiters = [Running(partial(connector.wait, key)) for key in keys if wait_first]
        time.sleep(0.5)  # to fall asleep; one that does not, leaves nothing anyway
        for key in keys:
            set_value(connector, key, b"value")
        for waiter in waiters:
            waiter.result("50 waited, each for a key of its own, and not all were woken")
        return entries(vars(connector)) - before

    left = grown(wait_first=True) - grown(wait_first=False)
    assert left < 10, (
        f"50 waited and were woken, and the connector remembers {left} things more than if nobody "
        "had waited; in a program that runs for a year, that is a leak"
    )


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


def set_value(connector: LocalConnector, key: str, data: bytes) -> None:
    Running(lambda: connector.set(key, data)).result(
        "set() never returned; nobody may keep the lock, neither one who sleeps in wait(), "
        "nor a set() that raises"
    )


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


class Steps(Generic[T]):
    """Counts the lines and the calls of a thread. One that sleeps makes none."""

    def __init__(self, call: Callable[[], T]) -> None:
        self.last_line = "a library"
        self._call = call
        self._number = 0

    def __call__(self) -> T:
        sys.setprofile(self._count_call)
        sys.settrace(self._count_line)
        try:
            return self._call()
        finally:
            sys.settrace(None)
            sys.setprofile(None)

    def _count_call(self, *_: Any) -> None:
        self._number += 1

    def _count_line(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != exercise.__file__:
            return None
        if event == "line":
            self._number += 1
            self.last_line = line_of(frame)
        return self._count_line

    def during(self, something: Callable[[], object]) -> int:
        before = self._number
        something()
        return self._number - before

    def settle(self) -> None:
        """Gives the thread time to fall asleep. One that polls never does."""
        quiet = 0
        end = time.monotonic() + 2
        while quiet < 8 and time.monotonic() < end:
            active = self.during(lambda: time.sleep(0.05))
            quiet = 0 if active or not self._number else quiet + 1


def asleep(call: Callable[[], T]) -> Running[T]:
    """Begins a call, and gives it the time to fall asleep."""
    steps = Steps(call)
    running = Running(steps)
    steps.settle()
    return running


def entries(thing: object) -> int:
    """Counts what is in a collection, and in the collections in it."""
    if isinstance(thing, str | bytes) or not isinstance(thing, Collection):
        return 0
    inner = list(thing.values()) if isinstance(thing, Mapping) else list(thing)
    return len(inner) + sum(entries(each) for each in inner)
