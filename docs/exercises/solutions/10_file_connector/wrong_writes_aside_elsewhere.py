# Wrong: the temporary directory may be on another disk, where `os.link` does not reach.
# Fails: outside of the connector's directory
"""Exercise 10: the file connector."""

from __future__ import annotations

import os
import re
import tempfile
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
        path = self._path(key)
        with tempfile.NamedTemporaryFile() as partial:
            partial.write(data)
            partial.flush()
            try:
                os.link(partial.name, path)
            except FileExistsError:
                raise AlreadySetError(f"{key} is set already.") from None

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait.

        Raises:
            InvalidKeyError: `key` is not a key.
        """
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None
