# Wrong: `is_resolved()` takes the lock, which the factory may hold for a long time.
# Fails: is_resolved() waits while
"""Exercise 1: a value that is made at its first use. README.md in this folder tells why so."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_MISSING = object()


class Lazy(Generic[T]):
    """A value that is made at its first use, and kept.

    Args:
        factory: Makes the value. It is called without arguments.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._value: object = _MISSING
        self._lock = threading.Lock()

    def is_resolved(self) -> bool:
        """Tells whether the value is there, without making it."""
        with self._lock:
            return self._value is not _MISSING

    def resolve(self) -> T:
        """Returns the value, after making it if it is not there yet."""
        with self._lock:
            if self._value is _MISSING:
                self._value = self._factory()
        return cast(T, self._value)
