"""A connector that cannot have futures: its keys are made of the values.

python docs/examples/content_connector.py
"""

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from connectors import BytesLike
from proxyfuture import Store


class ContentConnector:
    """Keeps equal values once, since they have the same key."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def put(self, obj: BytesLike) -> str:
        key = sha256(obj).hexdigest()  # Without a value there is no key.
        self.values[key] = bytes(obj)
        return key

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def exists(self, key: str) -> bool:
        return key in self.values

    def evict(self, key: str) -> None:
        self.values.pop(key, None)

    def config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ContentConnector":
        return cls()

    def close(self) -> None:
        self.values.clear()


def ask_for_a_future(store: Store) -> None:
    try:
        store.future(str)
    except NotImplementedError as error:
        print("NotImplementedError:", error)


if __name__ == "__main__":
    with Store("by-content", ContentConnector()) as store:
        print(store.proxy("A value that exists already."))
        ask_for_a_future(store)
