# Wrong: the value is made, returned and not kept.
# Fails: the factory ran 3 times for 3 uses; it must run once

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._resolved = False

    def is_resolved(self) -> bool:
        return self._resolved

    def resolve(self) -> T:
        self._resolved = True
        return self._factory()
