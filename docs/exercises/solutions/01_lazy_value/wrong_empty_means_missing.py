# Wrong: an empty value counts as none, since it is tested for its truth.
# Fails: the factory made '' and ran 3 times

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._values: list[T] = []

    def is_resolved(self) -> bool:
        return bool(self._values and self._values[0])

    def resolve(self) -> T:
        if not self.is_resolved():
            self._values = [self._factory()]
        return self._values[0]
