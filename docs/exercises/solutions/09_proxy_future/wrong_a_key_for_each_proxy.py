# Wrong: each proxy reserves a key, which nobody ever sets.
# Fails: its proxy still waits
"""Exercise 9: `ProxyFuture` from the pieces."""

from __future__ import annotations

import os
import pickle
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import closing
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class ProxyFuture(Generic[T]):
    """A result that its producer sets later, and consumers use through proxies.

    future: ProxyFuture[str] = ProxyFuture(connector)
    proxy = future.proxy()          # for the consumer, in any process
    future.set_result("value")      # by the producer, in any process
    proxy.upper()                   # "VALUE"
    """

    def __init__(self, connector: SqliteConnector) -> None:
        """Reserves a key in the connector. Nothing is stored yet."""
        self._connector = connector
        self._key = connector.new_key()

    def proxy(self) -> T:
        """Returns a `Proxy` of the result, at once. Its first use waits for the result.

        The type is the result's, since that is what a consumer's signature says. A `Proxy` is
        none for mypy, so write `return cast(T, Proxy(...))`.
        """
        other: ProxyFuture[T] = ProxyFuture(self._connector)
        return cast(T, Proxy(other.result))

    def set_result(self, value: T) -> None:
        """Pickles the value and sets the key, once. The consumers wait for that.

        Raises:
            concurrent.futures.InvalidStateError: There is a result already, and it stays.
        """
        try:
            self._connector.set(self._key, pickle.dumps(value))
        except AlreadySetError:
            raise InvalidStateError("The future has its result already.") from None

    def result(self, timeout: float | None = None) -> T:
        """Waits for the result and returns it.

        Args:
            timeout: How many seconds to wait at most; `None` has no limit.

        Raises:
            TimeoutError: The timeout passed.
        """
        data = self._connector.wait(self._key, timeout)
        if data is None:
            raise TimeoutError(f"There was no result within {timeout} seconds.")
        return cast(T, pickle.loads(data))

    def done(self) -> bool:
        """Tells whether there is a result, without waiting."""
        return self._connector.get(self._key) is not None


# The pieces


class Proxy:
    """Gets its target from the factory at the first use, and behaves as the target.

    A proxy pickles as its factory. (To be short, this one knows few special methods.)
    """

    def __init__(self, factory: Callable[[], object]) -> None:
        self._factory = factory
        self._target: list[Any] = []  # empty, until there is one

    def _resolved(self) -> Any:
        if not self._target:
            self._target.append(self._factory())
        return self._target[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolved(), name)

    def __str__(self) -> str:
        return str(self._resolved())

    def __eq__(self, other: object) -> bool:
        return bool(self._resolved() == other)

    def __hash__(self) -> int:
        return hash(self._resolved())

    def __len__(self) -> int:
        return len(self._resolved())

    def __getitem__(self, index: Any) -> Any:
        return self._resolved()[index]

    def __reduce__(self) -> tuple[Any, ...]:
        return Proxy, (self._factory,)


class AlreadySetError(Exception):
    """The key has its value already."""


class SqliteConnector:
    """Keeps bytes in a database file, for all processes that can reach the file.

    It knows nothing but the file's path, so it can be pickled.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._execute("create table if not exists items (key primary key, data)")

    def new_key(self) -> str:
        """Returns a key that nobody else has. Nothing is stored under it yet."""
        return os.urandom(16).hex()

    def set(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, once.

        Raises:
            AlreadySetError: The key has its value already, and keeps it.
        """
        try:
            self._execute("insert into items values (?, ?)", key, data)
        except sqlite3.IntegrityError:
            raise AlreadySetError(f"{key} is set already.") from None

    def get(self, key: str) -> bytes | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait."""
        rows = self._execute("select data from items where key = ?", key)
        return cast(bytes, rows[0][0]) if rows else None

    def wait(self, key: str, timeout: float | None = None) -> bytes | None:
        """Waits until `key` is set and returns its bytes, or `None` after `timeout` seconds."""
        start = time.monotonic()
        while (data := self.get(key)) is None:  # a database cannot wake anybody
            if timeout is not None and time.monotonic() - start >= timeout:
                return None
            time.sleep(0.01)
        return data

    def _execute(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
            return database.execute(statement, values).fetchall()
