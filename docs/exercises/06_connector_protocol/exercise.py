"""Exercise 6: a connector of the right shape. README.md in this folder tells the task."""

import pickle
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

# Given: the shape, and who uses it.

KeyT = TypeVar("KeyT")
BytesLike = bytes | bytearray | memoryview


@runtime_checkable
class Connector(Protocol[KeyT]):
    """Keeps bytes under keys of type `KeyT`."""

    def put(self, obj: BytesLike) -> KeyT:
        """Stores the bytes that `obj` has now under a fresh key, which is returned."""

    def get(self, key: KeyT) -> bytes | None:
        """Returns the bytes under `key`, or `None` where there is nothing (any more)."""

    def exists(self, key: KeyT) -> bool:
        """Tells whether there is something under `key`."""

    def evict(self, key: KeyT) -> None:
        """Forgets what is under `key`, if there is anything."""


class Store(Generic[KeyT]):
    """Keeps objects in a connector."""

    def __init__(self, connector: Connector[KeyT]) -> None:
        self.connector = connector

    def put(self, obj: object) -> KeyT:
        """Stores `obj` and returns its key."""
        return self.connector.put(pickle.dumps(obj))

    def get(self, key: KeyT) -> Any:
        """Returns the object under `key`, or `None`."""
        data = self.connector.get(key)
        return None if data is None else pickle.loads(data)


# Yours: a connector, which does not inherit.


class MemoryConnector:
    """Keeps bytes in the memory of this process."""

    def __init__(self) -> None:
        raise NotImplementedError


# Four candidates, and what you think of them.


class Plain:
    def put(self, obj: BytesLike) -> str:
        return "key"

    def get(self, key: str) -> bytes | None:
        return None

    def exists(self, key: str) -> bool:
        return False

    def evict(self, key: str) -> None:
        pass


class WithoutEvict:
    def put(self, obj: BytesLike) -> str:
        return "key"

    def get(self, key: str) -> bytes | None:
        return None

    def exists(self, key: str) -> bool:
        return False


class WithText(Plain):
    def get(self, key: str) -> str | None:  # type: ignore[override]  # on purpose
        return None


class WithMore(Plain):
    def put(self, obj: BytesLike, priority: int = 0) -> str:
        return "key"

    def close(self) -> None:
        pass


CANDIDATES = [Plain, WithoutEvict, WithText, WithMore]


def predictions() -> dict[str, tuple[bool, bool]]:
    """Tells who takes a candidate for a `Connector[str]`: isinstance (first), mypy (second).

    For instance, `{"Plain": (False, False), ...}`.
    """
    raise NotImplementedError
