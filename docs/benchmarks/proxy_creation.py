"""What does a proxy cost that nobody has used yet: time, memory, and bytes when it travels?"""

from __future__ import annotations

import pickle
import timeit
import tracemalloc
from collections.abc import Callable
from typing import Any

import stores
from measuring import Bench, Goal, Sample, Table, peer, repeated
from proxyfuture import Proxy

ProxyClass = Callable[[Callable[[], object]], object]


def factory() -> int:
    return 42


def creation(
    get_class: Callable[[], ProxyClass], open_store: Callable[[Bench], Any] | None = None
) -> Callable[[Bench], Sample]:
    def prepared(bench: Bench) -> Sample:
        new = get_class()
        timer = timeit.Timer("new(factory)", globals={"new": new, "factory": factory})
        pickled = {} if open_store is None else {"pickled": pickled_size(open_store(bench))}
        return lambda: {"time": repeated(timer, bench), "memory": memory(new), **pickled}

    return prepared


def memory(new: ProxyClass, count: int = 1000) -> float:
    """Returns how many bytes each of `count` proxies takes, without the factory they share."""
    proxies: list[object] = [None] * count
    tracemalloc.start()
    for index in range(count):
        proxies[index] = new(factory)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / count


def pickled_size(store: Any) -> int:
    return len(pickle.dumps(store.future().proxy(), pickle.HIGHEST_PROTOCOL))


def proxystore() -> ProxyClass:
    proxy_class: ProxyClass = peer("proxystore.proxy").Proxy
    return proxy_class


def werkzeug() -> ProxyClass:
    proxy_class: ProxyClass = peer("werkzeug.local").LocalProxy
    return proxy_class


def lazy_object_proxy() -> ProxyClass:
    proxy_class: ProxyClass = peer("lazy_object_proxy.cext").Proxy
    return proxy_class


def wrapt() -> ProxyClass:
    peer("wrapt._wrappers")  # the C extension, which it can do without
    proxy_class: ProxyClass = peer("wrapt").ObjectProxy
    return proxy_class


TABLE = Table(
    name="proxy_creation",
    title="Making a proxy",
    compared=(
        "Making a proxy of a function that is not called yet (wrapt's wraps the function itself), "
        "and the memory that each takes. Pickled is the proxy of a future in a store with a "
        "file connector, its directory's path being equally long; the other libraries have none."
    ),
    cases={"time": "seconds", "memory": "bytes", "pickled": "bytes"},
    contestants={
        "proxyfuture": creation(lambda: Proxy, stores.file),
        "ProxyStore": creation(proxystore, stores.proxystore_file),
        "werkzeug": creation(werkzeug),
        "lazy-object-proxy (C)": creation(lazy_object_proxy),
        "wrapt (C)": creation(wrapt),
    },
    baseline="proxyfuture",
    goals=(
        Goal("proxyfuture", 1, times="ProxyStore", cases=("time", "memory")),
        Goal("proxyfuture", 1 / 3, times="ProxyStore", cases=("pickled",)),
    ),
    rounds=100,
)
