"""Exercise 1: a value that is made at its first use. README.md in this folder tells the task."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value that is made at its first use, and kept.

    Args:
        factory: Makes the value. It is called without arguments.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        raise NotImplementedError

    def is_resolved(self) -> bool:
        """Tells whether the value is there, without making it."""
        raise NotImplementedError

    def resolve(self) -> T:
        """Returns the value, after making it if it is not there yet."""
        raise NotImplementedError
