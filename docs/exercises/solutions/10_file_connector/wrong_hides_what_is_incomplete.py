# Wrong: it hides a value that is not complete, which blocks the key for ever after a crash.
# Fails: and still nobody else can set it
"""Exercise 10: the file connector."""

from __future__ import annotations

import os
import re
from pathlib import Path


class AlreadySetError(Exception):
    """The key has its value already. A key is set once; the first setter has won."""


class InvalidKeyError(Exception):
    """The key is not one that a connector made."""


class FileConnector:
    """Keeps each value in a file, for all processes that can reach the directory.

        connector = FileConnector("/tmp/values")
        key = connector.new_key()
        connector.set(key, b"value")                 # in one process
        FileConnector("/tmp/values").get(key)        # b"value", in another one

    Args:
        directory: An existing directory.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)

    def new_key(self) -> str:
        """Returns a key that nobody else has: 32 characters of 0123456789abcdef."""
        return os.urandom(16).hex()

    def _path(self, key: str) -> Path:
        """Returns the path of the file that holds the value of `key`.

        Raises:
            InvalidKeyError: `key` is not a string that `new_key` could have made.
        """
        if not re.fullmatch("[0-9a-f]{32}", key):
            raise InvalidKeyError(f"{key!r} is not a key that new_key() made.")
        return self._directory / key

    def set(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, as a whole and once.

        Raises:
            AlreadySetError: The key has its value already, and keeps it.
            InvalidKeyError: `key` is not a key.
        """
        try:
            with open(self._path(key), "xb") as file:
                file.write(len(data).to_bytes(8, "big"))
                file.write(data)
        except FileExistsError:
            raise AlreadySetError(f"{key} is set already.") from None

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait.

        Raises:
            InvalidKeyError: `key` is not a key.
        """
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        length, data = int.from_bytes(content[:8], "big"), content[8:]
        return data if len(content) >= 8 and len(data) == length else None
