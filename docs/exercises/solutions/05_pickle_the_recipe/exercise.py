"""Exercise 5: a proxy that travels as its factory. README.md in this folder tells why so."""

from __future__ import annotations

import pickle
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The lazy value.

_MISSING = object()


class Lazy:
    """A value that is made at its first use, and kept."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory
        self._value: Any = _MISSING
        self._lock = threading.Lock()

    def resolve(self) -> Any:
        """Returns the value, after making it if it is not there yet."""
        with self._lock:
            if self._value is _MISSING:
                self._value = self.factory()
        return self._value


# Where values are stored, and what fetches them.


class Fetch:
    """A factory: reads a value from the file that `store` wrote.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> Any:
        return pickle.loads(self._path.read_bytes())


def store(value: Any, folder: Path) -> Proxy:
    """Pickles `value` into a new file in `folder`, and returns a proxy that fetches it."""
    path = folder.resolve() / f"{uuid.uuid4()}.pickle"
    path.write_bytes(pickle.dumps(value))
    return Proxy(Fetch(path))


# The proxy.


class Proxy:
    """An object that behaves as its target.

    Args:
        factory: Makes the target, at the first use.
    """

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._lazy = Lazy(factory)

    def __getattr__(self, name: str) -> Any:
        if name == "_lazy":  # in an object made without __init__
            raise AttributeError(name)
        return getattr(self._lazy.resolve(), name)

    def __eq__(self, other: object) -> Any:
        return self._lazy.resolve() == other

    def __len__(self) -> int:
        return len(self._lazy.resolve())

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns what makes this proxy again: a function, and a tuple of its arguments."""
        return Proxy, (self._lazy.factory,)
