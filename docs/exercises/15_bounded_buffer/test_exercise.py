"""Tests of exercise 15. Read the failure first: it says what is wrong."""

from __future__ import annotations

import gc
import time
import weakref
from concurrent.futures import InvalidStateError
from functools import partial
from typing import Any, TypeVar

import pytest
from exercise import BoundedBuffer
from stepping import LIMIT, Running, asleep, fast_time

T = TypeVar("T")


# It is a stream


def test_the_values_come_out_in_their_order() -> None:
    buffer: BoundedBuffer[Any] = BoundedBuffer(6)
    sent = ["one", None, 0, ..., ValueError("a value")]
    send_all(buffer, sent)
    buffer.close()
    values = all_of(buffer)
    assert values == sent, f"{sent} were sent, and {values} came out"


def test_a_value_comes_out_before_the_next_one_is_sent() -> None:
    buffer: BoundedBuffer[str] = BoundedBuffer(5)
    values = iter(buffer)
    for value in "one", "two":
        buffer.send(value)
        got = Running(lambda: next(values)).result(f"{value!r} was sent, and the consumer waits")
        assert got == value, f"{value!r} was sent, and {got!r} came out"


def test_a_consumer_may_come_before_the_producer() -> None:
    buffer: BoundedBuffer[str] = BoundedBuffer(1)
    with fast_time(20_000):  # a second is more than five hours
        consumer = asleep(lambda: list(buffer))
        assert not consumer.ended(0.2), "nothing was sent for an hour, and the stream had an end"
    send_all(buffer, ["one", "two", "three"])
    buffer.close()
    values = consumer.result("the buffer was closed, and a consumer that came early still waits")
    assert values == ["one", "two", "three"], f"one, two, three were sent, and {values} came out"


# It is bounded


@pytest.mark.parametrize("capacity", [1, 3])
def test_a_full_buffer_lets_the_producer_wait(capacity: int) -> None:
    buffer: BoundedBuffer[int] = BoundedBuffer(capacity)
    send_all(buffer, list(range(capacity)))
    with fast_time(20_000):
        producer = asleep(lambda: buffer.send(capacity))
        assert not producer.ended(0.2), (
            f"a buffer of capacity {capacity} got {capacity + 1} values, none was taken for an "
            f"hour, and the last send() {producer.happened('')}; "
            "the last one must wait, without a limit"
        )
    values = iter(buffer)
    first = Running(lambda: next(values)).result("there are values, and the consumer waits")
    assert first == 0, f"the values 0, 1, ... were sent, and {first!r} came out first"
    producer.result(
        f"a buffer of capacity {capacity} was full, the consumer took a value, and the producer "
        "still waits; a value is taken when the loop gets it, not when it comes for the next"
    )
    another = asleep(lambda: buffer.send(capacity + 1))
    assert not another.ended(0.1), (
        f"a buffer of capacity {capacity} was full, one value was taken, and two were sent; "
        "a value that is taken makes room for one"
    )
    Running(lambda: [next(values) for _ in range(capacity + 1)]).result("the consumer waits")
    another.result("there is room, and the producer still waits")


def test_never_more_values_than_the_capacity_are_on_their_way() -> None:
    buffer: BoundedBuffer[int] = BoundedBuffer(3)
    sent = 0

    def produce() -> None:
        nonlocal sent
        for value in range(200):
            buffer.send(value)
            sent = value + 1
        buffer.close()

    most = 0

    def consume() -> list[int]:
        nonlocal most
        values = []
        for value in buffer:
            values.append(value)
            most = max(most, sent - len(values))
        return values

    producer, consumer = Running(produce), Running(consume)
    producer.result("a producer and a consumer worked at the same time, and the producer is stuck")
    values = consumer.result("the producer has ended, and the consumer is stuck")
    assert values == list(range(200)), f"200 values were sent, and {len(values)} came out"
    assert most <= 3, f"{most} values were on their way, through a buffer of capacity 3"


def test_what_is_taken_is_forgotten() -> None:
    class Value:
        pass

    buffer: BoundedBuffer[Value] = BoundedBuffer(3)
    values = iter(buffer)
    sent = [Value() for _ in range(3)]
    alive = [weakref.ref(value) for value in sent]
    send_all(buffer, sent)
    sent.clear()
    for _ in range(3):
        Running(lambda: next(values)).result("there are values, and the consumer waits")
    held, end = 2, time.monotonic() + LIMIT / 5
    while held and time.monotonic() < end:  # the threads that took them may still be ending
        time.sleep(0.05)
        gc.collect()
        held = sum(value() is not None for value in alive[:2])  # the loop may hold the third
    assert held == 0, (
        f"three values were taken, and the buffer still holds {held} of the first two; "
        "so it fills the memory after all"
    )


def test_a_loop_that_is_left_loses_nothing() -> None:
    buffer: BoundedBuffer[str] = BoundedBuffer(5)
    send_all(buffer, ["one", "two", "three"])
    buffer.close()
    first: Any = iter(buffer)
    taken = [next(first), next(first)]
    first.close()  # as a loop does with its generator at a `break`
    happened = Running(lambda: list(buffer)).happened("the next loop waits for ever")
    assert happened == "returned ['three']", (
        f"of three values, a loop got {taken} and was left, and the next loop {happened}; "
        "each value is taken once, when a loop gets it"
    )


# Time passes


def test_who_does_not_want_to_wait_for_room_gets_a_timeout_error() -> None:
    buffer: BoundedBuffer[str] = BoundedBuffer(1)
    buffer.send("one")
    for attempt in "first", "second", "third":
        happened = ""
        try:
            Running(partial(buffer.send, "two", 0.1)).result("send(value, timeout=0.1) did not end")
            happened = "returned"
        except TimeoutError:
            pass
        except Exception as error:
            happened = f"raised {error!r}"
        assert not happened, (
            f"the buffer was full, and the {attempt} send(value, timeout=0.1) {happened}; "
            "a timeout makes no room"
        )


def test_a_value_that_timed_out_was_not_sent() -> None:
    buffer: BoundedBuffer[str] = BoundedBuffer(1)
    values = iter(buffer)
    buffer.send("one")
    with pytest.raises(TimeoutError):
        Running(partial(buffer.send, "two", 0.1)).result("send(value, timeout=0.1) did not end")
    Running(lambda: next(values)).result("there is a value, and the consumer waits")
    Running(partial(buffer.send, "two again")).result(
        "a send timed out, then the consumer took a value, and the next send still waits for room"
    )
    second = Running(lambda: next(values)).result("a value was sent, and the consumer waits")
    assert second == "two again", (
        f"a send timed out, so its value was not sent, and then {second!r} came out"
    )


@pytest.mark.parametrize("jumps", [-3600, 3600])
@pytest.mark.parametrize("timeout", [-1, 0, 20])
def test_a_timeout_is_for_the_whole_call(timeout: float, jumps: float) -> None:
    with fast_time(factor=100, wall_clock_jumps=jumps):  # somebody sets the computer's clock
        buffer: BoundedBuffer[int] = BoundedBuffer(100)
        send_all(buffer, list(range(100)))
        start = time.monotonic()
        producer = Running(partial(buffer.send, 100, timeout))
        happened = producer.happened(f"the buffer was full, and send(value, {timeout=}) goes on")
        took = time.monotonic() - start
    assert isinstance(producer.error(""), TimeoutError), (
        f"the buffer was full, and send(value, {timeout=}) {happened}"
    )
    assert timeout - 0.5 < took < timeout + 200, (
        f"the buffer was full, and send(value, {timeout=}) waited {took:.0f} seconds; the time "
        "counts from the call, whatever somebody does to the clock: time.monotonic() never jumps"
    )


# It ends


def test_close_does_not_wait() -> None:
    buffer: BoundedBuffer[str] = BoundedBuffer(1)
    buffer.send("one")
    Running(buffer.close).result(
        "the buffer was full, and close() waited for room; the end needs none, and the consumer "
        "may be the same thread, a moment later"
    )
    values = all_of(buffer)
    assert values == ["one"], f"'one' was sent, the buffer closed, and {values} came out"


def test_nothing_can_be_sent_after_the_end() -> None:
    buffer: BoundedBuffer[str] = BoundedBuffer(1)
    buffer.send("one")
    buffer.close()
    for _ in range(2):
        happened = ""
        try:
            Running(partial(buffer.send, "late")).result(
                "the buffer was full and closed, and send() waits for room, in vain"
            )
            happened = "returned"
        except InvalidStateError:
            pass
        except Exception as error:
            happened = f"raised {error!r}"
        assert not happened, f"after close(), send() {happened}; it must raise InvalidStateError"
    values = all_of(buffer)
    assert values == ["one"], f"'one' was sent, the buffer closed, and {values} came out"


# How the tests do it


def send_all(buffer: BoundedBuffer[T], values: list[T]) -> None:
    def send() -> None:
        for value in values:
            buffer.send(value)

    Running(send).result("there is room, or there soon will be, and send() never returned")


def all_of(buffer: BoundedBuffer[T]) -> list[T]:
    return Running(lambda: list(buffer)).result(
        "the buffer was closed, and the consumer still waits for its end"
    )
