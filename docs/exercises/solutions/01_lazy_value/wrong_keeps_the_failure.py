# Wrong: it says "resolved" before the factory has returned.
# Fails: the factory failed, yet is_resolved() says True

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._resolved = False
        self._value: T | None = None
        self._lock = threading.Lock()

    def is_resolved(self) -> bool:
        return self._resolved

    def resolve(self) -> T | None:
        with self._lock:
            if not self._resolved:
                self._resolved = True
                self._value = self._factory()
        return self._value
