"""Exercise 13: a Redis connector."""

from __future__ import annotations

import os

import redis


class AlreadySetError(Exception):
    """The key has its value already. A key is set once; the first setter has won."""


class RedisConnector:
    """Keeps bytes in a Redis server, for all processes and machines that can reach it.

        connector = RedisConnector("redis://localhost:6379")
        key = connector.new_key()
        connector.set(key, b"value")    # on one machine
        connector.wait(key)             # b"value", on another one

    Args:
        url: Where the server is.
    """

    def __init__(self, url: str) -> None:
        # No limit for an answer: a command that waits may wait for long.
        self._client = redis.Redis.from_url(url, socket_timeout=None)

    def new_key(self) -> str:
        """Returns a key that nobody else has. Nothing is stored under it yet."""
        return os.urandom(16).hex()

    def set(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, once, and wakes all who wait for it.

        Raises:
            AlreadySetError: The key has its value already, and keeps it.
        """
        raise NotImplementedError

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait."""
        raise NotImplementedError

    def wait(self, key: str, timeout: float | None = None) -> bytes | None:
        """Waits until `key` is set, and returns its bytes.

        Args:
            key: The key to wait for.
            timeout: How many seconds to wait; `None` has no limit; 0 or less does not wait.

        Returns:
            The bytes, or `None` when the timeout passed first.
        """
        raise NotImplementedError
