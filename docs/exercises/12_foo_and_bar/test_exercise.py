"""Tests of exercise 12. Read the failure first: it says what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import exercise
import pytest
from exercise import bar, measured, predicted, predicted_chain, proxy_of
from stepping import LIMIT, Running, fast_time, replaced

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
        (0, 1, 2, 3, "the data is there at once, and bar works for 1 s and then for 2 s"),
        (0.02, 0.001, 0.0003, 0.0203, "bar waits for 19 ms; short times count as well"),
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
        ([(2, 1), (0, 1), (0, 1)], 5, "the first one ends at 3 s, then 1 s for each of the others"),
        ([(0.01, 0.002), (0, 0.0003)], 0.0123, "short times count as well"),
        ([], 0, "there is no task"),
    ]
    for tasks, expected, reason in chains:
        given = list(tasks)
        answer = predicted_chain(given)
        assert given == tasks, f"the tasks were {tasks}, and predicted_chain() left {given} of them"
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


@pytest.mark.parametrize("data", [[4, 5], [2, 2], [-1], []], ids=str)
def test_bar_returns_the_sum_of_whatever_comes(works: Works, data: list[int]) -> None:
    future: Future[list[int]] = Future()
    future.set_result(data)
    result = bar(proxy_of(future), INDEPENDENT, DEPENDENT)
    assert result == sum(data), f"the data was {data}, and bar() returned {result}, not the sum"
    begun = [seconds for seconds, _, _ in works.done]
    assert begun == [INDEPENDENT, DEPENDENT], f"for the data {data}, bar() did work of {begun} s"


def test_what_goes_wrong_in_foo_comes_out_of_bar(works: Works) -> None:
    future: Future[list[int]] = Future()
    future.set_exception(ConnectionError("no data"))
    try:
        result = bar(proxy_of(future), INDEPENDENT, DEPENDENT)
    except ConnectionError:
        return
    pytest.fail(f"foo failed with a ConnectionError, and bar() returned {result}")


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
    took = Running(lambda: measured(0.2, 0.1, 0.1)).result("measured() never returned")
    limit = time.monotonic() - start
    assert works.done, "measured() must run foo() and bar(), which call work()"
    began = min(begin for _, begin, _ in works.done)
    ended = max(end for _, _, end in works.done)
    assert took >= ended - began - 0.1, (
        f"between the first and the last piece of work were {ended - began:.3f} s, and measured() "
        f"returned {took:.3f} s; wait for both, then look at the clock"
    )
    assert took <= limit * 1.01, (
        f"measured() took {limit:.3f} s itself, and returned {took:.3f} s; "
        "the difference of two times of time.monotonic() is a number of seconds"
    )


def test_measured_calls_foo_and_bar(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in "foo", "bar":
        real = getattr(exercise, name)

        def noted(*arguments: Any, name: str = name, real: Any = real, **options: Any) -> Any:
            called.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(exercise, name, noted)
    Running(lambda: measured(FOO, INDEPENDENT, DEPENDENT)).result("measured() never returned")
    assert sorted(called) == ["bar", "foo"], (
        f"measured() called {' and '.join(called) or 'neither'}; it must call foo and bar once each"
    )


def test_each_measurement_has_data_of_its_own(works: Works) -> None:
    for number in "first", "second":
        works.done.clear()
        Running(lambda: measured(FOO, 0, DEPENDENT)).result("measured() never returned")
        times = {seconds: (begin, end) for seconds, begin, end in works.done}
        assert times[DEPENDENT][0] >= times[FOO][1], (
            f"in the {number} measurement, bar used the data before foo had made it; each of them "
            "needs a future of its own"
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


def test_it_waits_for_foo_as_well(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def foo_that_cleans_up(future: Future[list[int]], seconds: float) -> None:
        exercise.work(seconds)
        future.set_result([1, 2, 3])
        exercise.work(0.3)

    monkeypatch.setattr(exercise, "foo", foo_that_cleans_up)
    Running(lambda: measured(FOO, 0, 0)).result("measured() never returned")
    ended = [seconds for seconds, _, _ in works.done]
    assert 0.3 in ended, (
        "foo had something to do after its result, and measured() returned when bar had ended; "
        "wait for both"
    )


def test_the_clock_starts_before_the_threads(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    real_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        real_start(thread)
        time.sleep(0.2)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        took = measured(FOO, INDEPENDENT, DEPENDENT)
    assert took >= 0.19, (
        "to start a thread took 0.2 s here, and measured() returned "
        f"{took:.3f} s; it counts from the start, and it is measured and not predicted"
    )


def test_the_clock_is_one_that_nobody_sets(works: Works) -> None:
    for jump in 1000, -1000:
        jumps = count(1)

        class Jumping(datetime):
            @classmethod
            def now(cls, tz: Any = None, jump: int = jump, jumps: Any = jumps) -> Any:
                return super().now(tz) + timedelta(seconds=jump * next(jumps))

        with fast_time(factor=1, wall_clock_jumps=jump), replaced({datetime: Jumping}):
            took = measured(FOO, INDEPENDENT, DEPENDENT)
        assert 0 <= took < 100, (
            f"while measured() ran, the time of day was set by {jump} s, and it returned "
            f"{took:.0f} s; which clock only ever goes on?"
        )


@pytest.mark.parametrize("slow", [(3600, 0, 0), (0, 3600, 0), (0, 0, 3600)], ids=str)
def test_it_waits_as_long_as_it_takes(
    works: Works, slow: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = 10_000
    real_join = threading.Thread.join

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        real_join(thread, None if timeout is None else timeout / speed)

    with fast_time(speed), monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", join)
        took = measured(*slow)
    assert took >= 3500, (
        f"foo, bar's independent and bar's dependent work of {slow} seconds, in fast time, were "
        f"measured as {took:.0f} s; who waits must not give up"
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
