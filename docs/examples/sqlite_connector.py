"""A connector of one's own: each value waits in a row of an SQLite database.

It inherits from nothing. Its shape makes it a `WaitableConnector`, and mypy checks the shape.

    python docs/examples/sqlite_connector.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

import contextlib
import os
import sqlite3
import uuid
from concurrent.futures import ProcessPoolExecutor
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from connectors import (
    AlreadySetError,
    BytesLike,
    ConnectorError,
    InvalidKeyError,
    WaitableConnector,
    poll,
)
from proxyfuture import ProxyFuture, Store


class SqliteKey(NamedTuple):
    id: str


def _checked_id(key: SqliteKey) -> str:
    if isinstance(key, SqliteKey):
        return key.id
    raise InvalidKeyError(f"key must be a SqliteKey, not {key!r}.")


class SqliteConnector:
    """Keeps values in a database, a file, for the processes of this machine."""

    _is_closed = False
    _creator: int | None = None  # the process that will remove the file

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(path)
        with contextlib.suppress(FileExistsError):
            # For this user alone: who can write a pickle can run code in its readers.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, mode=0o600))
            self._creator = os.getpid()
        self._execute("CREATE TABLE IF NOT EXISTS stored (id PRIMARY KEY, value)")

    def _execute(self, statement: str, *values: object) -> list[Any]:
        """Executes one statement, as one transaction, and returns the rows."""
        if self._is_closed:
            raise ConnectorError(f"{self!r} was closed. Open a new one to go on.")
        try:
            # A connection for each, since one must not cross threads or a fork. mode=rw:
            # a file that is gone is an error, where SQLite would make an empty one.
            url = f"file:{quote(self._path)}?mode=rw"
            database = sqlite3.connect(url, uri=True, timeout=60)  # for others to finish
            with contextlib.closing(database), database:
                return database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise ConnectorError(f"{self!r} cannot be used: {error}.") from error

    # Step 1, a Connector: keep bytes under keys

    def put(self, obj: BytesLike) -> SqliteKey:
        key = self.new_key()
        self.set(key, obj)
        return key

    def get(self, key: SqliteKey) -> bytes | None:
        rows = self._execute("SELECT value FROM stored WHERE id = ?", _checked_id(key))
        value: bytes | None = rows[0][0] if rows else None
        return value

    def exists(self, key: SqliteKey) -> bool:
        return bool(self._execute("SELECT id FROM stored WHERE id = ?", _checked_id(key)))

    def evict(self, key: SqliteKey) -> None:
        self._execute("DELETE FROM stored WHERE id = ?", _checked_id(key))

    # Step 2, a DeferrableConnector: hand out the key first, set it once

    def new_key(self, obj: BytesLike | None = None) -> SqliteKey:
        return SqliteKey(uuid.uuid4().hex)  # random: no process has to ask another

    def set(self, key: SqliteKey, obj: BytesLike) -> None:
        # The primary key lets one row in, however many race. The winner gets the id back.
        won = self._execute(
            "INSERT INTO stored VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id",
            _checked_id(key),
            bytes(obj),
        )
        if not won:
            raise AlreadySetError(f"{key} is set already. The first value stays.")

    # Step 3, a WaitableConnector: wait

    def wait(self, key: SqliteKey, timeout: float | None = None) -> BytesLike | None:
        return poll(lambda: self.get(key), timeout)

    # Step 4: travel, and clean up

    def config(self) -> dict[str, Any]:
        return {"path": self._path}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        connector = cls.__new__(cls)  # without __init__, which touches the disk
        connector._path = config["path"]
        return connector

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_config, (self.config(),)

    def __repr__(self) -> str:
        return f"SqliteConnector({self._path!r})"

    def close(self) -> None:
        if not self._is_closed and self._creator == os.getpid():  # no copy, no forked child
            # The journal is there if a setter was killed.
            for path in self._path, f"{self._path}-journal":
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        self._is_closed = True


def greet(name: str) -> str:
    return f"Hello, {name}!"


def main() -> None:
    with TemporaryDirectory() as folder, ProcessPoolExecutor(1) as executor:
        connector: WaitableConnector[SqliteKey] = SqliteConnector(f"{folder}/values")
        with Store("sqlite-example", connector) as store:
            future: ProxyFuture[str] = store.future(str)
            greeting = executor.submit(greet, future.proxy())
            future.set_result("SQLite")
            print(greeting.result())


if __name__ == "__main__":
    main()
