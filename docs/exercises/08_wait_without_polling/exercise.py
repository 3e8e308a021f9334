"""Exercise 8: wait without polling."""

from __future__ import annotations

import os
import threading

BytesLike = bytes | bytearray | memoryview


class AlreadySetError(Exception):
    """The key has its value already. A key is set once; the first setter has won."""


class LocalConnector:
    """Keeps bytes under keys, for the threads of one process, and wakes who waits for them.

    connector = LocalConnector()
    key = connector.new_key()
    connector.wait(key, timeout=1)    # None, after a second
    connector.set(key, b"value")      # perhaps in another thread, and much later
    connector.wait(key)               # b"value"
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}
        # What else must be remembered, so that set() can wake those who wait?

    def new_key(self) -> str:
        """Returns a key that nobody else has. Nothing is stored under it yet."""
        return os.urandom(16).hex()

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait."""
        return self._values.get(key)

    def set(self, key: str, data: BytesLike) -> None:
        """Stores the bytes of `data`, once, and wakes all who wait for `key`, and nobody else.

        Raises:
            AlreadySetError: The key has its value already, and keeps it.
        """
        raise NotImplementedError

    def wait(self, key: str, timeout: float | None = None) -> bytes | None:
        """Sleeps until `key` is set, and returns its bytes.

        Args:
            key: The key to wait for.
            timeout: How many seconds to wait; `None` has no limit; 0 or less does not wait.

        Returns:
            The bytes, or `None` when the timeout passed first.
        """
        raise NotImplementedError
