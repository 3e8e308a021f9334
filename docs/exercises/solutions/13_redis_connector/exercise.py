"""Exercise 13: a Redis connector."""

from __future__ import annotations

import math
import os
from typing import Any, cast

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
        try:
            self._client.xadd(key, {"data": data}, id="1-1")
        except redis.ResponseError as error:
            if "equal or smaller" in str(error):  # the number is taken
                raise AlreadySetError(f"{key} is set already.") from None
            raise

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait."""
        return self._read(key, None)

    def wait(self, key: str, timeout: float | None = None) -> bytes | None:
        """Waits until `key` is set, and returns its bytes.

        Args:
            key: The key to wait for.
            timeout: How many seconds to wait; `None` has no limit; 0 or less does not wait.

        Returns:
            The bytes, or `None` when the timeout passed first.
        """
        if timeout is not None and timeout <= 0:
            return self.get(key)
        return self._read(key, 0 if timeout is None else math.ceil(timeout * 1000))

    def _read(self, key: str, block: int | None) -> bytes | None:
        # What comes out for each stream: its name, and its entries with their numbers.
        streams = cast(list[Any], self._client.xread({key: 0}, count=1, block=block))
        for _, [(_, fields)] in streams:
            return cast(bytes, fields[b"data"])
        return None
