"""Tests of exercise 12. Read the failure first: it says what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

import exercise
import pytest
from exercise import bar, measured, predicted, predicted_chain, proxy_of

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy

# The durations tell who is at work.
FOO, INDEPENDENT, DEPENDENT = 0.03, 0.02, 0.01


# Predict


def test_the_time_is_predicted() -> None:
    for foo, independent, dependent, expected, reason in [
        (2, 1, 1, 3, "bar waits for foo until 2 s, then works for 1 s"),
        (1, 3, 1, 4, "foo is done early, and bar never waits"),
        (2, 2, 1, 3, "both get there at 2 s, then bar works for 1 s"),
        (1, 0, 1, 2, "bar can do nothing without the data, so nothing overlaps"),
        (1, 1, 0, 1, "all of bar overlaps with foo"),
    ]:
        answer = predicted(foo, independent, dependent)
        is_right = abs(answer - expected) < 1e-9
        assert is_right, (
            f"foo takes {foo} s, bar {independent} s and then, with the data, {dependent} s: "
            f"{reason}, which makes {expected} s and not {answer!r} s"
        )


def test_the_time_of_a_chain_is_predicted() -> None:
    chains: list[tuple[list[tuple[float, float]], float, str]] = [
        ([(1, 2)], 3, "a single task waits for nobody"),
        ([(0, 2), (1, 1)], 3, "the second one waits until 2 s, then works for 1 s"),
        ([(0, 1), (3, 1)], 4, "the second one never waits"),
        ([(0, 1)] * 8, 8, "no task can do anything without the one before, so nothing overlaps"),
        ([(0.9, 0.1)] * 8, 1.7, "all work for 0.9 s at once, then 8 times 0.1 s in a row"),
        ([(0, 1), (5, 1), (1, 1)], 7, "the second one ends at 6 s, and the third one at 7 s"),
        ([], 0, "there is no task"),
    ]
    for tasks, expected, reason in chains:
        answer = predicted_chain(tasks)
        is_right = abs(answer - expected) < 1e-9
        assert is_right, (
            f"the tasks {tasks} start together: {reason}, "
            f"which makes {expected} s and not {answer!r} s"
        )


# The consumer


def test_bar_works_before_it_needs_the_data(works: Works) -> None:
    future: Future[list[int]] = Future()
    consumer = Running(lambda: bar(proxy_of(future), INDEPENDENT, DEPENDENT))
    end = time.monotonic() + LIMIT / 2
    while not works.done and time.monotonic() < end:
        time.sleep(0.01)
    consumer.ended(0.7)
    begun = [seconds for seconds, _, _ in works.done]
    future.set_result([1, 2, 3])
    result = consumer.result("the data is there, and bar() still waits for something")
    assert begun, (
        "bar() used the data before its independent work, so it waited for foo and nothing "
        "overlapped; even `if data` is a use"
    )
    assert begun == [INDEPENDENT], (
        f"before there was any data, bar() did work of {begun} seconds; it may do the "
        f"independent part, {INDEPENDENT}, and the other one when it has the data"
    )
    assert [seconds for seconds, _, _ in works.done] == [INDEPENDENT, DEPENDENT], (
        "bar() must do its independent work, use the data, and do its dependent work"
    )
    assert result == 6, f"the data was [1, 2, 3], and bar() returned {result}, not the sum"


# Measure


def test_foo_and_bar_are_at_work_at_the_same_time(works: Works) -> None:
    works.meet_in(FOO, INDEPENDENT)
    Running(lambda: measured(FOO, INDEPENDENT, DEPENDENT)).result(
        "measured() never returned; does each of foo and bar have a thread, and foo the future?"
    )
    seconds = sorted(seconds for seconds, _, _ in works.done)
    assert seconds == sorted([FOO, INDEPENDENT, DEPENDENT]), (
        f"measured() must run foo() and bar() once each; there was work of {seconds} seconds"
    )
    assert works.met, (
        "foo and bar never were at work at the same time: one of them began when the other one "
        "had ended; start both before you wait for any"
    )


def test_the_time_is_measured_until_both_have_ended(works: Works) -> None:
    start = time.monotonic()
    took = Running(lambda: measured(FOO, INDEPENDENT, DEPENDENT)).result(
        "measured() never returned"
    )
    limit = time.monotonic() - start
    assert works.done, "measured() must run foo() and bar(), which call work()"
    began = min(begin for _, begin, _ in works.done)
    ended = max(end for _, _, end in works.done)
    assert took >= (ended - began) * 0.99, (
        f"between the first and the last piece of work were {ended - began:.3f} s, and measured() "
        f"returned {took:.3f} s; wait for both, then look at the clock"
    )
    assert took <= limit * 1.01, (
        f"measured() took {limit:.3f} s itself, and returned {took:.3f} s; "
        "the difference of two times of time.monotonic() is a number of seconds"
    )


def test_measured_runs_what_it_measures(works: Works) -> None:
    for slow in (0.4, 0, 0), (0, 0.4, 0), (0, 0, 0.4):
        took = Running(lambda slow=slow: measured(*slow)).result(  # type: ignore[misc]
            "measured() never returned"
        )
        assert took >= 0.39, (
            f"foo, bar's independent and bar's dependent work of {slow} seconds were measured as "
            f"{took:.3f} s; nothing can be faster than its slowest part"
        )


# How the tests do it


class Works:
    """Takes the place of `work`, and remembers who worked when."""

    def __init__(self) -> None:
        self.done: list[tuple[float, float, float]] = []
        self.met = False
        self._meeting: set[float] = set()
        self._barrier = threading.Barrier(2)

    def meet_in(self, *seconds: float) -> None:
        """Has the works of these durations wait for each other, in the middle."""
        self._meeting = set(seconds)

    def __call__(self, seconds: float) -> None:
        begin = time.monotonic()
        if seconds in self._meeting:
            try:
                self._barrier.wait(LIMIT / 2)
                self.met = True
            except threading.BrokenBarrierError:  # nobody came
                pass
        time.sleep(seconds)
        self.done.append((seconds, begin, time.monotonic()))


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> Iterator[Works]:
    replacement = Works()
    futures: list[Future[list[int]]] = []

    def remembering(future: Future[list[int]]) -> list[int]:
        futures.append(future)
        return proxy_of(future)

    monkeypatch.setattr(exercise, "work", replacement)
    monkeypatch.setattr(exercise, "proxy_of", remembering)
    yield replacement
    for future in futures:  # so that no thread waits on and holds up the end of the program
        if not future.done():
            future.set_exception(TimeoutError("The test is over."))


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
