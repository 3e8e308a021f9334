"""Large values, woken at once: a connector that joins two others.

The bytes go into a file, in memory where there is a /dev/shm. The file's name, 32 characters, goes
through a manager's server, which decides who was first and wakes who waits.

    python docs/examples/large_values.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from connectors import (
    AlreadySetError,
    BytesLike,
    FileConnector,
    FileKey,
    InvalidKeyError,
    ManagerConnector,
    ManagerKey,
)
from proxyfuture import ProxyFuture, Store


@dataclass(frozen=True)
class LargeValueConnector:
    names: ManagerConnector
    files: FileConnector

    def new_key(self, obj: BytesLike | None = None) -> ManagerKey:
        return self.names.new_key()

    def put(self, obj: BytesLike) -> ManagerKey:
        return self.names.put(self._write(obj))

    def set(self, key: ManagerKey, obj: BytesLike) -> None:
        name = self._write(obj)
        try:
            self.names.set(key, name)
        except (AlreadySetError, InvalidKeyError):  # but not if only the answer got lost
            self.files.evict(FileKey(name.decode()))
            raise

    def get(self, key: ManagerKey) -> BytesLike | None:
        return self._read(self.names.get(key))

    def wait(self, key: ManagerKey, timeout: float | None = None) -> BytesLike | None:
        return self._read(self.names.wait(key, timeout))

    def exists(self, key: ManagerKey) -> bool:
        return self.names.exists(key)

    def evict(self, key: ManagerKey) -> None:
        if name := self.names.get(key):
            self.names.evict(key)  # first: no name leads to a file that is gone
            self.files.evict(FileKey(name.decode()))

    def config(self) -> dict[str, Any]:
        return {"names": self.names.config(), "files": self.files.config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LargeValueConnector":
        names = ManagerConnector.from_config(config["names"])
        return cls(names, FileConnector.from_config(config["files"]))

    def close(self) -> None:
        with self.files:  # which closes them
            self.names.close()

    def _write(self, obj: BytesLike) -> bytes:
        return self.files.put(obj).id.encode()

    def _read(self, name: BytesLike | None) -> BytesLike | None:
        return None if name is None else self.files.get(FileKey(bytes(name).decode()))


def produce(future: ProxyFuture[bytes]) -> None:
    with future:
        time.sleep(0.3)  # by now, the consumer waits
        future.set_result(bytes(50_000_000))


def consume(data: bytes) -> int:
    return len(data)


def main() -> None:
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with (
        TemporaryDirectory(dir=memory) as directory,
        ProcessPoolExecutor(2) as executor,
        Store(
            "large-values",
            LargeValueConnector(ManagerConnector(), FileConnector(f"{directory}/values")),
        ) as store,
    ):
        future: ProxyFuture[bytes] = store.future(bytes)
        size = executor.submit(consume, future.proxy())
        executor.submit(produce, future).result()
        print(f"{size.result():,} bytes arrived.")
        name = store.connector.names.get(future.key)  # type: ignore[attr-defined]  # it has some
        print(f"Through the server went {len(name)}.")


if __name__ == "__main__":
    main()
