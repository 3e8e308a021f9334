"""The stores that take part: this project's, and ProxyStore's, on the same media.

None keeps objects in a cache, since then a benchmark would measure the cache. All pickle with
the same protocol, so that what is compared is the way of the bytes.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

from connectors import Connector, FileConnector, LocalConnector, ManagerConnector
from measuring import Bench, peer
from proxyfuture import Store


def local(bench: Bench) -> Store:
    return _store(bench, LocalConnector())


def file(bench: Bench) -> Store:
    return _store(bench, FileConnector(os.path.join(bench.directory(), "store")))


def manager(bench: Bench) -> Store:
    return _store(bench, ManagerConnector())


def redis(bench: Bench) -> Store:
    """The example connector of the documentation, docs/examples/redis_connector.py."""
    peer("redis")
    connector = peer("redis_connector").RedisConnector
    return _store(bench, connector(f"redis://127.0.0.1:{bench.redis_port}"))


def proxystore_local(bench: Bench) -> Any:
    return _proxystore(bench, peer("proxystore.connectors.local").LocalConnector())


def proxystore_file(bench: Bench) -> Any:
    connector = peer("proxystore.connectors.file").FileConnector
    return _proxystore(bench, connector(os.path.join(bench.directory(), "store")))


def proxystore_redis(bench: Bench) -> Any:
    peer("redis")
    connector = peer("proxystore.connectors.redis").RedisConnector
    return _proxystore(bench, connector("127.0.0.1", bench.redis_port))


THIS: dict[str, Callable[[Bench], Store]] = {
    "local": local,
    "file": file,
    "manager": manager,
    "Redis": redis,
}

ALL: dict[str, Callable[[Bench], Any]] = {
    "proxyfuture, local": local,
    "ProxyStore, local": proxystore_local,
    "proxyfuture, file": file,
    "ProxyStore, file": proxystore_file,
    "proxyfuture, Redis example": redis,
    "ProxyStore, Redis": proxystore_redis,
    "proxyfuture, manager": manager,
}


def _store(bench: Bench, connector: Connector[Any]) -> Store:
    name = f"benchmark-{os.urandom(4).hex()}"
    return bench.enter_context(Store(name, connector, cache_size=0))


def _proxystore(bench: Bench, connector: Any) -> Any:
    return bench.enter_context(
        peer("proxystore.store").Store(
            f"benchmark-{os.urandom(4).hex()}",
            connector,
            serializer=partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL),
            deserializer=pickle.loads,
            cache_size=0,
            register=True,  # or each use of a future would open another store
        )
    )
