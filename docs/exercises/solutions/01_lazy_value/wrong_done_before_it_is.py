# Wrong: it notes "done" before the value is there, and takes it back at a failure.
# Fails: there is no value yet, and is_resolved() says True
"""Exercise 1: a value that is made at its first use. README.md in this folder tells why so."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value that is made at its first use, and kept.

    Args:
        factory: Makes the value. It is called without arguments.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._done = False
        self._lock = threading.Lock()

    def is_resolved(self) -> bool:
        """Tells whether the value is there, without making it."""
        return self._done

    def resolve(self) -> T:
        """Returns the value, after making it if it is not there yet."""
        if self._done:
            return self._value
        with self._lock:
            if not self._done:
                self._done = True
                try:
                    self._value = self._factory()
                except BaseException:
                    self._done = False
                    raise
        return self._value
