# Wrong: after the end it raises once, and from then on it sends to nobody.
# Fails: must raise InvalidStateError each time
"""Exercise 14: a stream made of futures."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Link(Generic[T]):
    """A value, and the future of the link after it, which has `None` at the end."""

    value: T
    next: Future[Link[T] | None]


class Producer(Generic[T]):
    """The end of a stream where values go in.

        producer: Producer[str] = Producer()
        producer.send("one")
        producer.close()
        list(producer.stream)    # ["one"], for any number of consumers

    Attributes:
        stream: The other end, for the consumers.
    """

    def __init__(self) -> None:
        self._last: Future[Link[T] | None] = Future()
        self.stream: Stream[T] = Stream(self._last)

    def send(self, value: T) -> None:
        """Adds a value to the stream. Consumers get it at once.

        Raises:
            concurrent.futures.InvalidStateError: The stream has ended.
        """
        following: Future[Link[T] | None] = Future()
        last, self._last = self._last, following
        last.set_result(Link(value, following))

    def close(self) -> None:
        """Ends the stream.

        Raises:
            concurrent.futures.InvalidStateError: The stream has ended before.
        """
        self._last.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Ends the stream with an error, which the consumers get after the last value.

        Raises:
            concurrent.futures.InvalidStateError: The stream has ended before.
        """
        self._last.set_exception(error)


class Stream(Generic[T]):
    """The end of a stream where values come out. Each loop over it goes through all of them."""

    def __init__(self, first: Future[Link[T] | None]) -> None:
        self._first = first

    def __iter__(self) -> Iterator[T]:
        """Goes through the values from the first one on, and waits where there is none yet."""
        current = self._first
        while (link := current.result()) is not None:
            yield link.value
            current = link.next
