# Wrong: the value is made at once, so nothing is lazy.
# Fails: the factory ran before anybody used the value

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    def __init__(self, factory: Callable[[], T]) -> None:
        self._value = factory()

    def is_resolved(self) -> bool:
        return True

    def resolve(self) -> T:
        return self._value
