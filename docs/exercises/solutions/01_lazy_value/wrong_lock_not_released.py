# Wrong: acquire() and release() without try: a factory that raises leaves the lock taken.
# Fails: deadlock: after a failure, the next resolve() waits for ever

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
        self._lock.acquire()
        if not self._values:
            self._values.append(self._factory())
        self._lock.release()
        return self._values[0]
