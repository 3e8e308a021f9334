"""A user's program, for type checkers: `mypy --strict` has nothing to say about it.

`assert_type` states the type that is inferred. A `type: ignore` states that a mistake is
noticed, for mypy complains about one that is not needed.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self, assert_type

from connectors import (
    BytesLike,
    Connector,
    DeferrableConnector,
    FileConnector,
    LocalConnector,
    ManagerConnector,
    WaitableConnector,
)
from proxyfuture import (
    Proxy,
    ProxyFuture,
    Store,
    call_with_proxies,
    extract,
    is_resolved,
)


@dataclass
class MyData:
    number: int


def foo() -> MyData:
    return MyData(1)


def bar(data: MyData) -> str:
    return str(data.number)


def a_future_knows_the_type_of_its_result(store: Store) -> None:
    future: ProxyFuture[MyData] = store.future()
    assert_type(store.future(MyData), ProxyFuture[MyData])
    unknown = store.future()  # type: ignore[var-annotated]
    assert_type(future.result(), MyData)
    assert_type(future.result(timeout=1.5), MyData)
    assert_type(future.exception(), BaseException | None)
    assert_type(future.done(), bool)
    assert_type(future.to_concurrent(), Future[MyData])
    future.result("soon")  # type: ignore[arg-type]
    del unknown


def a_producer_sets_a_result_of_that_type(future: ProxyFuture[MyData]) -> None:
    with future as same:
        assert_type(same, ProxyFuture[MyData])
        future.set_result(foo())
        future.set_result("text")  # type: ignore[arg-type]
    future.set_exception(ValueError())
    future.set_exception("text")  # type: ignore[arg-type]


async def an_awaited_future_gives_its_result(future: ProxyFuture[MyData]) -> None:
    assert_type(await future, MyData)


def a_proxy_has_the_type_of_the_result(store: Store, future: ProxyFuture[MyData]) -> None:
    assert_type(future.proxy(), MyData)
    assert_type(future.proxy(timeout=1, evict=True), MyData)
    assert_type(bar(future.proxy()), str)
    assert_type(future.proxy().number, int)
    bar(store.future(str).proxy())  # type: ignore[arg-type]
    future.proxy().missing  # type: ignore[attr-defined]  # noqa: B018


def a_proxy_of_a_value_has_the_type_of_the_value(store: Store, data: MyData) -> None:
    assert_type(store.proxy(data), MyData)
    assert_type(store.proxy([data], evict=True), list[MyData])
    assert_type(bar(store.proxy(data)), str)
    key = store.put(data)
    assert_type(store.proxy_from_key(key, target_type=MyData), MyData)
    found: MyData = store.proxy_from_key(key)
    del found


def extract_keeps_the_type(store: Store, data: MyData) -> None:
    assert_type(extract(store.proxy(data)), MyData)
    assert_type(extract(Proxy(foo)), MyData)
    assert_type(is_resolved(store.proxy(data)), bool)


def a_proxy_made_by_hand_is_anything(data: MyData) -> None:
    proxy = Proxy(foo)
    assert_type(proxy, Proxy[MyData])
    assert_type(Proxy[MyData](foo), Proxy[MyData])
    Proxy(data)  # type: ignore[arg-type]
    Proxy(foo, "MyData")  # type: ignore[arg-type]
    assert_type(proxy.number, Any)
    assert_type(proxy + 1, Any)


def a_call_with_proxies_returns_what_the_function_returns(future: ProxyFuture[MyData]) -> None:
    assert_type(call_with_proxies(bar, future), str)
    assert_type(call_with_proxies(bar, data=future), str)


def a_store_closes_itself(connector: LocalConnector) -> None:
    with Store("name", connector) as store:
        assert_type(store, Store)
        assert_type(store.name, str)
    Store("name", "connector")  # type: ignore[arg-type]


def the_connectors_have_the_shape(local: LocalConnector, file: FileConnector) -> None:
    manager = ManagerConnector()
    for_threads: WaitableConnector[Any] = local
    for_directories: WaitableConnector[Any] = file
    for_processes: WaitableConnector[Any] = manager
    assert_type(local.get(local.new_key()), bytes | None)
    local.get(file.new_key())  # type: ignore[arg-type]
    del for_threads, for_directories, for_processes


class DictConnector:
    """A connector by its shape alone."""

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}

    def new_key(self, obj: BytesLike | None = None) -> int:
        return len(self.values)

    def set(self, key: int, obj: BytesLike) -> None:
        self.values[key] = bytes(obj)

    def put(self, obj: BytesLike) -> int:
        key = self.new_key()
        self.set(key, obj)
        return key

    def get(self, key: int) -> bytes | None:
        return self.values.get(key)

    def exists(self, key: int) -> bool:
        return key in self.values

    def evict(self, key: int) -> None:
        del self.values[key]

    def config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def close(self) -> None:
        self.values.clear()


class OneWithoutAMethod:
    def get(self, key: int) -> bytes | None:
        return None


def a_users_connector_needs_no_inheritance() -> None:
    connector: Connector[int] = DictConnector()
    deferrable: DeferrableConnector[int] = DictConnector()
    Store("name", DictConnector())
    del connector, deferrable


def a_connector_of_another_shape_is_noticed() -> None:
    of_other_keys: DeferrableConnector[str] = DictConnector()  # type: ignore[assignment]
    without_waiting: WaitableConnector[int] = DictConnector()  # type: ignore[assignment]
    Store("name", OneWithoutAMethod())  # type: ignore[arg-type]
    del of_other_keys, without_waiting
