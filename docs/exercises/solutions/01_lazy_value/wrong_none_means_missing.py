# Wrong: None stands for "no value yet", but None can be the value.
# Fails: the factory made None and ran 3 times

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._value: T | None = None

    def is_resolved(self) -> bool:
        return self._value is not None

    def resolve(self) -> T:
        if self._value is None:
            self._value = self._factory()
        return self._value
