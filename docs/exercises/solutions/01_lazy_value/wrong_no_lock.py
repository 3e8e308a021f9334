# Wrong: between the check and the assignment, other threads pass the check too.
# Fails: 8 threads resolved at once and the factory ran

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._values: list[T] = []

    def is_resolved(self) -> bool:
        return bool(self._values)

    def resolve(self) -> T:
        if not self._values:
            self._values.append(self._factory())
        return self._values[0]
