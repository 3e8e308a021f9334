# Wrong: the number of values is no fresh key: after an evict, it comes again.
# Fails: is that of the second, whose value is lost

import pickle
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

# The shape, and who uses it.

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


# A connector, which does not inherit.


class MemoryConnector:
    """Keeps bytes in the memory of this process."""

    def __init__(self) -> None:
        self._values: dict[int, bytes] = {}

    def put(self, obj: BytesLike) -> int:
        key = len(self._values)
        self._values[key] = bytes(obj)
        return key

    def get(self, key: int) -> bytes | None:
        return self._values.get(key)

    def exists(self, key: int) -> bool:
        return key in self._values

    def evict(self, key: int) -> None:
        self._values.pop(key, None)


# Four candidates, and what to think of them.


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
    return {
        "Plain": (True, True),
        "WithoutEvict": (False, False),
        "WithText": (True, False),  # isinstance sees a get, and not what it returns
        "WithMore": (True, True),
    }
