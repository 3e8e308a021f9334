"""Tests of exercise 7. Read the failure first: it says what is wrong."""

from __future__ import annotations

import linecache
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from types import FrameType
from typing import Any, Generic, TypeVar

import exercise
import pytest
from exercise import AlreadySetError, LocalConnector

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy


def test_a_new_key_has_no_value_yet() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    assert isinstance(key, str), f"new_key() returned {key!r}; it must return a string"
    found = connector.get(key)
    assert found is None, f"nobody has set the key, and get() found {found!r}; it must return None"


def test_what_is_set_under_a_key_is_found_there() -> None:
    connector = LocalConnector()
    one, other = connector.new_key(), connector.new_key()
    connector.set(one, b"value")
    assert connector.get(one) == b"value", "get() must return the bytes that were set"
    assert connector.get(other) is None, "one key was set, and another one got a value, too"


def test_put_is_a_new_key_with_its_value() -> None:
    connector = LocalConnector()
    key = connector.put(b"value")
    assert connector.get(key) == b"value", "put() must store the bytes under the key it returns"
    assert connector.put(b"value") != key, "put() returned the same key twice; each is a new one"


def test_no_two_keys_are_equal() -> None:
    connector = LocalConnector()
    different = len({connector.new_key() for _ in range(1000)})
    assert different == 1000, f"1000 calls of new_key() made only {different} different keys"


def test_connectors_that_never_met_make_different_keys() -> None:
    one, other = LocalConnector(), LocalConnector()
    shared = {one.new_key() for _ in range(100)} & {other.new_key() for _ in range(100)}
    assert not shared, (
        f"two connectors, as two processes would have them, both made the key {shared.pop()!r}; "
        "a key must be drawn, not counted"
    )


def test_keys_differ_though_the_program_repeats_its_random_numbers() -> None:
    connector = LocalConnector()
    before = random.getstate()
    random.seed(1)
    first = connector.new_key()
    random.seed(1)
    second = connector.new_key()
    random.setstate(before)
    assert first != second, (
        "a program that calls random.seed(1), to repeat an experiment, gets the same keys again; "
        "draw them from the operating system"
    )


def test_a_key_is_set_once() -> None:
    def body() -> None:
        connector = LocalConnector()
        key = connector.new_key()
        connector.set(key, b"first")
        for attempt in b"second", b"third":
            try:
                connector.set(key, attempt)
            except AlreadySetError:
                pass
            else:
                pytest.fail("the key was set twice, and nobody was told; raise AlreadySetError")
        assert connector.get(key) == b"first", (
            f"the first value was replaced by {connector.get(key)!r}; "
            "it must stay, since somebody may have read it already"
        )

    Running(body).result(
        "set() refused a value, and the next set() never returned; "
        "release the lock on every way out, also when you raise"
    )


def test_a_key_is_set_once_also_with_the_same_value() -> None:
    connector = LocalConnector()
    key, same = connector.new_key(), b"same"
    connector.set(key, same)
    try:
        connector.set(key, same)
    except AlreadySetError:
        return
    pytest.fail("two setters brought the same value, and both believe they won; only one did")


def test_nothing_is_a_value_too() -> None:
    connector = LocalConnector()
    key = connector.put(b"")
    assert connector.get(key) == b"", (
        f"the value b'' was set, and get() found {connector.get(key)!r}; "
        "no bytes are a value, unlike no value"
    )
    try:
        connector.set(key, b"late")
    except AlreadySetError:
        return
    pytest.fail("the value b'' was overwritten; ask whether the key is there, not what is there")


def test_of_two_threads_that_set_a_key_one_wins() -> None:
    def moment_of_the_other(number: int) -> str:
        connector = LocalConnector()
        key = connector.new_key()

        def try_to_set(data: bytes) -> bool:
            try:
                connector.set(key, data)
            except AlreadySetError:
                return False
            return True

        first, second, moment = meet(
            number, lambda: try_to_set(b"first"), lambda: try_to_set(b"second")
        )
        won = [
            setter.result(f"set() never returned, after another thread called it {moment}")
            for setter in (first, second)
        ]
        assert won != [True, True], (
            f"two threads set the key, and both won: the second one came {moment}; "
            "looking and storing must be one step"
        )
        assert won != [False, False], f"two threads set the key, and none won: one came {moment}"
        winner = b"first" if won[0] else b"second"
        assert connector.get(key) == winner, (
            f"the setter of {winner!r} won, and get() found {connector.get(key)!r}: "
            f"the other one came {moment}"
        )
        return moment

    for number in range(1, 100):
        if moment_of_the_other(number) == AFTERWARDS:
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
        go.wait(LIMIT)
        begun.set()
        return second()

    other = Running(on_its_turn)
    one = Running(traced)
    begun.wait(LIMIT)
    return one, other, moment
