"""The suspect of exercise 16. It passes its test, and is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Lazy:
    """A value that is made by its factory at the first use."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._is_made = False
        self._value: Any = None

    def resolve(self) -> Any:
        """Returns the value, after making it if it is not there yet."""
        with self._lock:
            if not self._is_made:
                self._is_made = True
                self._value = self._factory()
            return self._value
