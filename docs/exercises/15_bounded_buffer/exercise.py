"""Exercise 15: a bounded buffer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Link(Generic[T]):
    """A value, and two futures: one for the way back, and one for the way on.

    Attributes:
        value: What the producer sent.
        taken: The consumer sets it when it takes the value.
        next: The link after this one; `None` at the end.
    """

    value: T
    taken: Future[None]
    next: Future[Link[T] | None]


class BoundedBuffer(Generic[T]):
    """A stream that holds a limited number of values, between one producer and one consumer.

        buffer: BoundedBuffer[str] = BoundedBuffer(capacity=2)
        buffer.send("one")
        buffer.send("two")     # a third one would wait until the consumer takes the first
        buffer.close()
        list(buffer)           # ["one", "two"]

    Args:
        capacity: How many values can be sent and not yet taken; 1 or more.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be 1 or more, not {capacity}.")
        self._capacity = capacity
        # The producer's place in the stream, and the consumer's.
        self._last: Future[Link[T] | None] = Future()
        self._first = self._last

    def send(self, value: T, timeout: float | None = None) -> None:
        """Adds a value, as soon as there is room for it.

        Args:
            value: What the consumer shall get.
            timeout: How many seconds to wait for room at most; `None` has no limit; 0 or
                less does not wait.

        Raises:
            TimeoutError: The timeout passed, and the value was not sent.
            concurrent.futures.InvalidStateError: The buffer is closed.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Ends the stream after the values that were sent. Does not wait."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[T]:
        """Takes the values one by one, and waits where there is none yet."""
        raise NotImplementedError
