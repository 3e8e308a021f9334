"""What does one operation on a resolved proxy cost?"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

from measuring import Bench, Goal, Sample, Table, peer, repeated
from proxyfuture import Proxy, resolve


class Thing:
    attribute = 1

    def method(self) -> None:
        pass


# A target for each operation.
OPERATIONS: dict[str, tuple[str, Any]] = {
    "`+`": ("p + 1", 1),
    "`len`": ("len(p)", [1, 2, 3]),
    "`[]`": ("p[0]", [1, 2, 3]),
    "attribute": ("p.attribute", Thing()),
    "method": ("p.method()", Thing()),
    "iteration": ("for _ in p: pass", [1, 2, 3]),
    "`==`": ("p == 1", 1),
}


def operations(new_proxy: Callable[[Any], Any]) -> Callable[[Bench], Sample]:
    def prepared(bench: Bench) -> Sample:
        timers = {
            case: timeit.Timer(statement, "p = proxy", globals={"proxy": new_proxy(target)})
            for case, (statement, target) in OPERATIONS.items()
        }
        return lambda: {case: repeated(timer, bench) for case, timer in timers.items()}

    return prepared


def no_proxy(target: Any) -> Any:
    return target


def this(target: Any) -> Any:
    proxy = Proxy(lambda: target)
    resolve(proxy)
    return proxy


def proxystore(target: Any) -> Any:
    module = peer("proxystore.proxy")
    proxy = module.Proxy(lambda: target)
    module.resolve(proxy)
    return proxy


def werkzeug(target: Any) -> Any:
    return peer("werkzeug.local").LocalProxy(lambda: target)


def lazy_object_proxy(target: Any) -> Any:
    proxy = peer("lazy_object_proxy.cext").Proxy(lambda: target)
    bool(proxy.__wrapped__)  # resolves it
    return proxy


def wrapt(target: Any) -> Any:
    peer("wrapt._wrappers")  # the C extension, which it can do without
    return peer("wrapt").ObjectProxy(target)


PROXIES = {
    "no proxy": no_proxy,
    "proxyfuture": this,
    "ProxyStore": proxystore,
    "werkzeug": werkzeug,
    "lazy-object-proxy (C)": lazy_object_proxy,
    "wrapt (C)": wrapt,
}

TABLE = Table(
    name="proxy_operations",
    title="Using a proxy",
    compared=(
        "One operation on a proxy that has its target: an integer, a list of three, an object "
        "with an attribute and a method. Werkzeug's proxy is the only one that asks for its "
        "target each time."
    ),
    cases=dict.fromkeys(OPERATIONS, "seconds"),
    contestants={name: operations(new_proxy) for name, new_proxy in PROXIES.items()},
    baseline="no proxy",
    goals=(
        Goal("proxyfuture", 1, times="ProxyStore"),
        Goal("proxyfuture", 1, times="werkzeug"),
        Goal("proxyfuture", 1, times="lazy-object-proxy (C)", cases=("attribute",)),
        Goal("proxyfuture", 1, times="wrapt (C)", cases=("attribute",)),
    ),
    rounds=100,
)
