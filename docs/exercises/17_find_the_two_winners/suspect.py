"""The suspect of exercise 17. It passes its test, and is wrong."""

from __future__ import annotations

import os
import threading


class AlreadySetError(Exception):
    """The key has its value already."""


class Connector:
    """Keeps bytes under keys, for the threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}

    def new_key(self) -> str:
        """Returns a key that nobody else has. Nothing is stored under it yet."""
        return os.urandom(16).hex()

    def set(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, once. Raises `AlreadySetError` if there is a value."""
        if self.get(key) is not None:
            raise AlreadySetError(f"{key} is set already.")
        with self._lock:
            self._values[key] = data

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set."""
        with self._lock:
            return self._values.get(key)
