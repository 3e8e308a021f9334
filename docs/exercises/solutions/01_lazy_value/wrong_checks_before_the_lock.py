# Wrong: the check is outside the lock: a thread that waited for it makes the value again.
# Fails: 8 threads resolved at once and the factory ran

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._values: list[T] = []
        self._lock = threading.Lock()

    def is_resolved(self) -> bool:
        return bool(self._values)

    def resolve(self) -> T:
        if not self._values:
            with self._lock:
                self._values = [self._factory()]
        return self._values[0]
