"""Tests of exercise 14. Read the failure first: it says what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from typing import Any, Generic, TypeVar

import pytest
from exercise import Producer, Stream

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy


def test_the_values_come_out_in_their_order() -> None:
    values = all_of(stream_of("one", "two", "three"))
    assert values == ["one", "two", "three"], f"one, two, three were sent, and {values} came out"


def test_a_stream_may_be_empty() -> None:
    values = all_of(stream_of())
    assert values == [], f"nothing was sent, and {values} came out"


def test_a_value_comes_out_before_the_next_one_is_sent() -> None:
    producer: Producer[str] = Producer()
    values = iter(producer.stream)
    for value in "one", "two":
        producer.send(value)
        got = Running(lambda: next(values)).result(
            f"{value!r} was sent, and the consumer still waits for it; "
            "it must not wait for the whole stream"
        )
        assert got == value, f"{value!r} was sent, and {got!r} came out"


def test_a_consumer_may_come_before_the_producer() -> None:
    producer: Producer[str] = Producer()
    consumer = Running(lambda: list(producer.stream))
    assert not consumer.ended(0.3), "nothing was sent, and the stream had an end already"
    producer.send("one")
    assert not consumer.ended(0.3), "the stream was not closed, and it had an end already"
    producer.send("two")
    producer.close()
    values = consumer.result("the stream was closed, and a consumer that came early still waits")
    assert values == ["one", "two"], f"one and two were sent, and {values} came out"


@pytest.mark.parametrize("value", [None, 0, "", (), (None, None)], ids=repr)
def test_what_looks_like_an_end_is_a_value(value: object) -> None:
    values = all_of(stream_of("before", value, "after"))
    assert values == ["before", value, "after"], (
        f"'before', {value!r} and 'after' were sent, and {values} came out; "
        "the end must be something that nobody can send"
    )


def test_two_loops_do_not_disturb_each_other() -> None:
    stream = stream_of("one", "two", "three")
    for _ in stream:
        break
    values = all_of(stream)
    assert values == ["one", "two", "three"], (
        f"a loop over the stream was left after one value, and the next loop got {values}; "
        "each loop begins with the first value"
    )


def test_each_consumer_gets_all_values() -> None:
    producer: Producer[int] = Producer()
    consumers = [Running(lambda: list(producer.stream)) for _ in range(3)]
    for value in range(100):
        producer.send(value)
    producer.close()
    for consumer in consumers:
        values = consumer.result("three consumers read a stream, and one still waits at its end")
        assert values == list(range(100)), (
            f"three consumers read a stream of 100 values, and one of them got {len(values)}; "
            "where a consumer is, is its own affair"
        )


def test_a_long_stream_is_no_problem() -> None:
    problem = ""
    try:
        values = all_of(stream_of(*range(5000)))
    except RecursionError:
        problem = "RecursionError"
    assert not problem, (
        "a stream of 5000 values ended with a RecursionError; go from link to link in a loop, "
        "since each call inside a call takes room that Python limits"
    )
    assert values == list(range(5000)), f"5000 values were sent, and {len(values)} came out"


def test_an_error_comes_after_the_values_before_it() -> None:
    producer: Producer[str] = Producer()
    producer.send("one")
    producer.fail(ValueError("the instrument broke"))
    values = iter(producer.stream)
    first = Running(lambda: next(values, "nothing")).result("a value was sent; the consumer waits")
    assert first == "one", f"'one' was sent, then an error came, and {first!r} came out first"
    happened = ""
    try:
        second = Running(lambda: next(values, "the end")).result(
            "the producer failed, and the consumer still waits"
        )
        happened = f"the consumer got {second!r}"
    except ValueError:
        pass
    assert not happened, f"the producer failed with a ValueError, and {happened}; it must be told"


def test_nothing_comes_after_the_end() -> None:
    ends: list[tuple[str, Callable[[Producer[Any]], None]]] = [
        ("close()", lambda producer: producer.close()),
        ("fail()", lambda producer: producer.fail(ValueError("the instrument broke"))),
        ("send()", lambda producer: producer.send("late")),
    ]
    for first, end in ends[:2]:
        for second, call in ends:
            producer: Producer[str] = Producer()
            end(producer)
            refused = [was_refused(call, producer) for _ in range(2)]
            assert refused == [True, True], (
                f"after {first}, {second} did something, and nobody will ever see it; "
                "it must raise InvalidStateError each time"
            )


# How the tests do it


def was_refused(call: Callable[[Producer[Any]], None], producer: Producer[Any]) -> bool:
    try:
        call(producer)
    except InvalidStateError:
        return True
    return False


def stream_of(*values: Any) -> Stream[Any]:
    producer: Producer[Any] = Producer()
    for value in values:
        producer.send(value)
    producer.close()
    return producer.stream


def all_of(stream: Stream[Any]) -> list[Any]:
    return Running(lambda: list(stream)).result(
        "the stream was closed, and a consumer still waits for its end"
    )


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
