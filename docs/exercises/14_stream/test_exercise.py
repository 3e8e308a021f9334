"""Tests of exercise 14. Read the failure first: it says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import InvalidStateError
from functools import partial
from typing import Any

import pytest
from exercise import Producer, Stream
from stepping import Running, asleep, fast_time


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
    with fast_time(20_000):  # a second is more than five hours
        consumer = asleep(lambda: list(producer.stream))
        assert not consumer.ended(0.2), "nothing was sent for an hour, and the stream had an end"
        producer.send("one")
        assert not consumer.ended(0.2), "the stream was not closed for an hour, and it had an end"
        producer.send("two")
        producer.close()
    values = consumer.result("the stream was closed, and a consumer that came early still waits")
    assert values == ["one", "two"], f"one and two were sent, and {values} came out"


@pytest.mark.parametrize(
    "value", [None, 0, "", (), (None, None), ..., StopIteration(), ValueError("a value")], ids=repr
)
def test_what_looks_like_an_end_is_a_value(value: object) -> None:
    values = all_of(stream_of("before", value, "after"))
    assert values == ["before", value, "after"], (
        f"'before', {value!r} and 'after' were sent, and {values} came out; "
        "the end must be something that nobody can send"
    )


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_a_loop_that_is_left_disturbs_no_other(taken: int) -> None:
    producer: Producer[str] = Producer()
    for value in "one", "two", "three":
        producer.send(value)
    left: Any = iter(producer.stream)
    for _ in range(taken):
        next(left)
    left.close()  # as a loop does with its generator at a `break`
    happened = Running(producer.close).happened("close() never ended")
    assert happened == "returned None", (
        f"a loop over the stream was left after {taken} values, and then close() {happened}; "
        "whether a consumer stops is no affair of the producer"
    )
    values = all_of(producer.stream)
    assert values == ["one", "two", "three"], (
        f"a loop over the stream was left after {taken} values, and the next loop got {values}; "
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


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_comes_after_the_values_before_it(kind: type[BaseException]) -> None:
    producer: Producer[str] = Producer()
    producer.send("one")
    error = kind("the instrument broke")
    producer.fail(error)
    for consumer in "first", "second":
        values = iter(producer.stream)
        got = Running(partial(next, values, "nothing")).result(
            "a value was sent, and the consumer waits"
        )
        assert got == "one", f"'one' was sent, then an error came, and {got!r} came out first"
        failed = Running(partial(next, values, "the end"))
        happened = failed.happened("the producer failed, and the consumer still waits")
        assert failed.error("") is error, (
            f"the producer failed with {error!r}, and the {consumer} consumer {happened}; "
            "it must be told, and each of them with that error"
        )


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
