# Wrong: one lock for all: a factory that uses another lazy value waits for itself.
# Fails: each needs its own lock
"""Exercise 1: a value that is made at its first use. README.md in this folder tells why so."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_MISSING = object()
_LOCK = threading.Lock()


class Lazy(Generic[T]):
    """A value that is made at its first use, and kept.

    Args:
        factory: Makes the value. It is called without arguments.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._value: object = _MISSING

    def is_resolved(self) -> bool:
        """Tells whether the value is there, without making it."""
        return self._value is not _MISSING

    def resolve(self) -> T:
        """Returns the value, after making it if it is not there yet."""
        with _LOCK:
            if not self.is_resolved():
                self._value = self._factory()
        return cast(T, self._value)
