"""The suspect of exercise 18. It passes its test, and is wrong."""

from __future__ import annotations

import os
from pathlib import Path


class AlreadySetError(Exception):
    """The key has its value already."""


class Connector:
    """Keeps each value in a file, for all processes that can reach the directory."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def new_key(self) -> str:
        """Returns a key that nobody else has. Nothing is stored under it yet."""
        return os.urandom(16).hex()

    def set(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, once. Raises `AlreadySetError` if there is a value."""
        path = self._directory / key
        try:
            with open(path, "xb") as file:
                file.write(data)
        except FileExistsError:
            raise AlreadySetError(f"{key} is set already.") from None
        except BaseException:
            path.unlink()
            raise

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set."""
        try:
            return (self._directory / key).read_bytes()
        except FileNotFoundError:
            return None
