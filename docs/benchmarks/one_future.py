"""What does a future cost, from its creation to the use of its proxy, when the value is small?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import stores
from measuring import Bench, Goal, Sample, Table, per_call

CASE = "create, set, resolve"


def one_future(open_store: Callable[[Bench], Any]) -> Callable[[Bench], Sample]:
    def prepared(bench: Bench) -> Sample:
        store = open_store(bench)

        def create_set_resolve() -> None:
            future = store.future()
            proxy = future.proxy()
            future.set_result(42)
            assert proxy == 42

        cost = per_call(create_set_resolve, bench)
        return lambda: {CASE: cost()}

    return prepared


TABLE = Table(
    name="one_future",
    title="One future",
    compared=(
        "Creating a future and its proxy, setting the result to a small integer, and using the "
        "proxy, in one thread; no waiting."
    ),
    cases={CASE: "seconds"},
    contestants={name: one_future(open_store) for name, open_store in stores.ALL.items()},
    baseline="proxyfuture, local",
    goals=tuple(
        Goal(f"proxyfuture, {this}", 0.5, times=f"ProxyStore, {that}")
        for this, that in (("local", "local"), ("file", "file"), ("Redis example", "Redis"))
    ),
    rounds=200,
)
