"""Exercise 7: reserve a key now, fill it later."""

from __future__ import annotations

BytesLike = bytes | bytearray | memoryview


class AlreadySetError(Exception):
    """The key has its value already. A key is set once; the first setter has won."""


class LocalConnector:
    """Keeps bytes under keys, for the threads of one process.

    A key can be handed out before its bytes exist:

        connector = LocalConnector()
        key = connector.new_key()
        connector.get(key)            # None
        connector.set(key, b"value")
        connector.get(key)            # b"value"
    """

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def new_key(self) -> str:
        """Returns a key that nobody else has, in this or any other process.

        Nothing is stored under it yet.
        """
        raise NotImplementedError

    def set(self, key: str, data: BytesLike) -> None:
        """Stores the bytes of `data` under `key`, once.

        Of any number of threads that set the same key, exactly one wins.

        Raises:
            AlreadySetError: The key has its value already, and keeps it.
        """
        raise NotImplementedError

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait."""
        raise NotImplementedError

    def put(self, data: BytesLike) -> str:
        """Stores `data` under a new key, which is returned."""
        raise NotImplementedError
