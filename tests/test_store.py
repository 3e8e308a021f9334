"""What a `Store` promises: it keeps objects, remembers the last ones, and travels."""

from __future__ import annotations

import contextlib
import gc
import json
import pickle
import sys
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conformance import LIMIT, SETTLING, in_thread, some_bytes
from support import (
    PlainConnector,
    PlainDeferrableConnector,
    opened,
)

from connectors import (
    BytesLike,
    ConnectorError,
    FileConnector,
    LocalConnector,
    ManagerConnector,
    WaitableConnector,
)
from proxyfuture import (
    ProxyFuture,
    ProxyResolveError,
    SerializationError,
    Store,
    extract,
    is_resolved,
    resolve,
)

T = TypeVar("T")
Elsewhere = Callable[..., Any]

KINDS = ["local", "file", "manager"]


@pytest.fixture(scope="module")
def connectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A connector of each kind, for all stores here that nobody closes."""
    values = tmp_path_factory.mktemp("files") / "values"
    with LocalConnector() as local, ManagerConnector() as manager, FileConnector(values) as file:
        yield {"local": local, "file": file, "manager": manager}


@pytest.fixture(params=KINDS)
def each_store(request: pytest.FixtureRequest, connectors: dict[str, Any]) -> Store:
    return Store("each", connectors[request.param])


@pytest.fixture(params=["file", "manager"])
def shared_store(request: pytest.FixtureRequest, connectors: dict[str, Any]) -> Store:
    """A store that other processes can reach."""
    return Store("shared", connectors[request.param])


@pytest.fixture
def local() -> LocalConnector:
    """A connector for what the kind of connector cannot change."""
    return LocalConnector()


@pytest.fixture
def store(local: LocalConnector) -> Store:
    return Store("local", local)


def copied(obj: T) -> T:
    copy: T = pickle.loads(pickle.dumps(obj))
    return copy


# Values


@pytest.mark.parametrize("value", [None, 0, "", {"a": (1, 2.5)}, Path("path")], ids=repr)
def test_get_returns_what_put_has_stored(store: Store, value: object) -> None:
    result = store.get(store.put(value), default="default")
    assert result == value
    assert type(result) is type(value)


def test_get_returns_the_default_until_something_is_set(store: Store) -> None:
    future: ProxyFuture[int] = store.future()
    default = object()
    assert store.get(future.key) is None
    assert store.get(future.key, default) is store.get(future.key, default=default) is default
    future.set_result(1)
    assert store.get(future.key, default) == 1


def test_a_value_is_there_from_put_to_evict(each_store: Store) -> None:
    assert not each_store.exists(each_store.future().key)
    key = each_store.put("value")
    assert key != each_store.put("value")
    assert each_store.exists(key)
    assert each_store.get(key) == "value"
    each_store.evict(key)
    assert not each_store.exists(key)
    assert each_store.get(key, "gone") == "gone"  # from the cache, too
    each_store.evict(key)


def test_values_are_plain_pickles(store: Store, local: LocalConnector) -> None:
    for value in [1, {2}], bytearray(some_bytes(100_000)):
        assert local.get(store.put(value)) == pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


@pytest.mark.parametrize("value", [bytearray(10), array("d", range(10))], ids=repr)
def test_a_consumer_can_write_into_its_copy(store: Store, value: Any) -> None:
    proxy: Any = store.proxy(value)
    assert proxy == value
    proxy.append(1)
    proxy[0] = 2
    assert proxy[0] == 2
    assert proxy != value


@pytest.mark.slow
def test_arrays_arrive_with_their_layout_and_can_be_written(store: Store) -> None:
    numpy = pytest.importorskip("numpy", reason="needs NumPy")
    numbers = numpy.arange(60_000.0).reshape(200, 300)
    for value in (
        numbers,
        numpy.asfortranarray(numbers),
        numbers[::2, ::-3],
        numpy.zeros(3, dtype=[("name", "U5"), ("number", "i4")]),
        numpy.array([1, "two", None], dtype=object),
        numpy.array(5),
        numpy.empty((0, 3)),
        numpy.array([], dtype="U1"),
    ):
        copy: Any = extract(store.proxy(value))
        assert copy.dtype == value.dtype
        if value.flags.contiguous:
            assert copy.flags.f_contiguous == value.flags.f_contiguous
        assert numpy.array_equal(copy, value)
        assert copy.flags.writeable


# Proxies


def module_function() -> str:
    return "called"


@pytest.mark.parametrize("value", ["text", None, module_function, int])
def test_proxy_stores_the_value_and_tells_its_type_without_resolving(
    store: Store, value: Any
) -> None:
    proxy: Any = store.proxy(value)
    if not callable(value):
        assert isinstance(proxy, type(value))
        assert not isinstance(proxy, list)
    copy = copied(proxy)  # also where the type cannot be pickled, such as that of functions
    assert not is_resolved(proxy)
    assert not is_resolved(copy)
    assert extract(copy) == extract(proxy) == value
    assert isinstance(proxy, type(value))


def test_proxy_from_key_stands_for_what_is_stored_there_and_does_not_wait(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    proxy = store.proxy_from_key(future.key, target_type=str)
    assert isinstance(proxy, str)
    with pytest.raises(ProxyResolveError) as caught:
        proxy.upper()
    assert isinstance(caught.value.__cause__, TimeoutError)
    future.set_result("value")
    assert proxy.upper() == "VALUE"


# What has left the store


def to_json(obj: object) -> bytes:
    return json.dumps(obj).encode()


JSON: dict[str, Any] = {"serializer": to_json, "deserializer": json.loads}


def proxy_of_future(store: Store, value: Any) -> Any:
    future: ProxyFuture[Any] = store.future()
    future.set_result(value)
    return future.proxy(evict=True, timeout=SETTLING)


EVICTING: dict[str, Callable[[Store, Any], Any]] = {
    "Store.proxy": lambda store, value: store.proxy(value, evict=True),
    "proxy_from_key": lambda store, value: store.proxy_from_key(store.put(value), evict=True),
    "future.proxy": proxy_of_future,
}


@pytest.mark.parametrize("make_proxy", EVICTING.values(), ids=EVICTING)
@pytest.mark.parametrize("options", [{}, JSON], ids=["pickle", "json"])
def test_a_proxy_that_evicted_its_value_carries_it(
    shared_store: Store,
    elsewhere: Elsewhere,
    make_proxy: Callable[[Store, Any], Any],
    options: dict[str, Any],
) -> None:
    proxy = make_proxy(Store("evicting", shared_store.connector, **options), [1, 2])
    early = copied(proxy)
    assert proxy == [1, 2]
    with pytest.raises(ProxyResolveError):
        resolve(early)  # the value has left the store
    once = copied(proxy)
    twice = copied(once)
    assert not is_resolved(twice)
    assert once == twice == copied(twice) == [1, 2]
    assert elsewhere(sum, proxy) == 3


def test_a_proxy_that_evicted_nothing_is_pickled_without_its_target(store: Store) -> None:
    proxy = store.proxy("a secret")
    resolve(proxy)
    assert b"a secret" not in pickle.dumps(proxy)
    assert not is_resolved(copied(proxy))
    assert copied(proxy) == "a secret"


# The cache


def test_the_same_object_is_returned_again(store: Store) -> None:
    future: ProxyFuture[list[int]] = store.future()
    future.set_result([1])
    value = store.get(future.key)
    assert store.get(future.key) is value
    assert future.result() is value
    assert extract(future.proxy()) is value
    assert extract(store.proxy_from_key(future.key)) is value


@pytest.mark.parametrize(("options", "size"), [({"cache_size": 2}, 2), ({}, 16)], ids=str)
def test_the_cache_keeps_the_last_used_objects(
    local: LocalConnector, options: dict[str, Any], size: int
) -> None:
    store = Store("small", local, **options)
    first, *others, another = [store.put([number]) for number in range(size + 1)]
    values = {key: store.get(key) for key in (first, *others)}
    assert store.get(first) is values[first]  # so the second is the one not used for longest
    store.get(another)
    for key in first, *others[1:]:
        assert store.get(key) is values[key]
    again = store.get(others[0])
    assert again == values[others[0]]
    assert again is not values[others[0]]


def test_a_cache_of_size_zero_keeps_nothing(local: LocalConnector) -> None:
    store = Store("uncached", local, cache_size=0)
    future: ProxyFuture[list[int]] = store.future()
    future.set_result([1])
    assert store.get(future.key) == [1]
    assert store.get(future.key) is not store.get(future.key)
    assert future.result() is not future.result()


def append_and_return(store: Store, key: Any) -> Any:
    value = store.get(key)
    value.append("changed in another process")
    return store.get(key)


def test_each_process_has_its_own_cache_and_keeps_it_between_two_arrivals(
    shared_store: Store, elsewhere: Elsewhere
) -> None:
    key = shared_store.put([])
    value = shared_store.get(key)
    for arrivals in 1, 2:
        changed = elsewhere(append_and_return, shared_store, key)
        assert changed == ["changed in another process"] * arrivals
    assert shared_store.get(key) is value == []


@pytest.mark.parametrize("cache_size", [0, 3])
def test_threads_may_share_a_small_cache(local: LocalConnector, cache_size: int) -> None:
    store = Store("busy", local, cache_size=cache_size)
    keys = [store.put(number) for number in range(8)]

    def values_from(start: int) -> list[int]:
        return [store.get(keys[(start + step) % 8]) for step in range(100)]

    with ThreadPoolExecutor(8) as threads:
        for start, values in enumerate(threads.map(values_from, range(8))):
            assert values == [(start + step) % 8 for step in range(100)]


# Serializers


def test_a_custom_serializer_is_used_for_everything_but_exceptions(local: LocalConnector) -> None:
    store, value = Store("json", local, **JSON), {"a": [1, None]}
    future: ProxyFuture[object] = store.future()
    future.set_result(value)
    for key in store.put(value), future.key:
        assert json.loads(local.get(key) or b"") == store.get(key) == value
    assert copied(future).result() == copied(future.proxy()) == store.proxy(value) == value
    failed: ProxyFuture[object] = store.future()
    failed.set_exception(ValueError("reason"))
    with pytest.raises(ValueError, match="reason"):
        failed.result()


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_a_serializer_may_return_any_buffer_of_bytes(
    local: LocalConnector, buffer: Callable[[bytes], BytesLike]
) -> None:
    store = Store("buffers", local, serializer=buffer, deserializer=bytes)
    for value in b"", b"value":
        assert store.get(store.put(value)) == value


# What stores a value, and so must refuse one that cannot be stored.
STORING: dict[str, Callable[[Store, object], object]] = {
    "put": Store.put,
    "proxy": Store.proxy,
    "set_result": lambda store, obj: store.future(object).set_result(obj),
}


@pytest.mark.parametrize("storing", STORING.values(), ids=STORING)
def test_a_serializer_that_does_not_return_bytes_is_named(
    local: LocalConnector, storing: Callable[[Store, object], object]
) -> None:
    to_text: Any = json.dumps
    store = Store("wrong", local, serializer=to_text)
    with pytest.raises(
        SerializationError, match=r"serializer must return bytes.* str.*json\.dumps"
    ):
        storing(store, {})


@pytest.mark.parametrize("storing", STORING.values(), ids=STORING)
def test_an_object_that_cannot_be_serialized_is_named(
    store: Store, storing: Callable[[Store, object], object]
) -> None:
    with pytest.raises(SerializationError, match="A lock cannot be serialized") as caught:
        storing(store, threading.Lock())
    assert isinstance(caught.value.__cause__, TypeError)


# Damaged bytes

DAMAGED = {
    "empty": b"",
    "truncated": pickle.dumps(list(range(1000)))[:-100],
    "not a pickle": b"not a pickle",
    "missing module": pickle.dumps(len).replace(b"builtins", b"missing_"),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_bytes_are_reported_and_the_store_goes_on(
    store: Store, local: LocalConnector, data: bytes
) -> None:
    future: ProxyFuture[object] = store.future()
    local.set(future.key, data)
    for use in (
        lambda: store.get(future.key),
        future.result,
        future.exception,
        lambda: future.to_concurrent().result(LIMIT),
    ):
        with pytest.raises(SerializationError, match=f"{len(data)} bytes") as caught:
            use()
        assert caught.value.__cause__ is not None
    with pytest.raises(ProxyResolveError) as resolving:
        resolve(future.proxy())
    assert isinstance(resolving.value.__cause__, SerializationError)
    assert store.get(store.put("another")) == "another"


# A store is its configuration


def test_what_is_pickled_is_small_and_holds_no_value(each_store: Store) -> None:
    future: ProxyFuture[str] = each_store.future()
    config = len(repr(each_store.connector.config()))
    proxy = each_store.proxy("a secret" * 2**16)
    future.set_result("a secret" * 2**16)
    future.result()  # now it is in the cache as well
    for obj in each_store, future, future.proxy(), proxy:
        pickled = pickle.dumps(obj)
        assert len(pickled) < 300 + config
        assert b"a secret" not in pickled


@pytest.mark.parametrize("kind", KINDS)
def test_unpickled_in_the_same_process_it_is_the_same_store(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as (store, *_):
        assert copied(store) is copied(copied(store)) is store
        assert copied(store.proxy("value")) == "value"


def test_no_serializer_means_the_usual_one_and_options_may_be_positional(
    local: LocalConnector,
) -> None:
    store = Store("usual", local, None, None, 16)
    assert copied(store) is store
    assert copied(Store("usual", local)) is store
    assert copied(store.proxy({1, 2})) == {1, 2}
    positional = Store("usual", local, to_json, json.loads, 2)
    assert positional.get(positional.put([1])) == [1]


def test_stores_of_one_name_and_different_configuration_stay_apart(
    tmp_path: Path, connectors: dict[str, Any], elsewhere: Elsewhere
) -> None:
    with FileConnector(tmp_path / "another") as another:
        stores = [Store("same", connector) for connector in (another, *connectors.values())]
        proxies = [store.proxy(number) for number, store in enumerate(stores)]
        assert all(copied(store) is store for store in stores)
        assert copied(proxies) == [0, 1, 2, 3]
        del proxies[1]  # of the local store
        assert elsewhere(sum, proxies) == 5


def test_stores_that_differ_in_their_serializers_stay_apart(local: LocalConnector) -> None:
    def with_encoding(name: str) -> Store:
        serializer = partial(str.encode, encoding=name)
        return Store("same", local, serializer, partial(bytes.decode, encoding=name))

    stores = [
        Store("same", local),
        Store("same", local, **JSON),
        with_encoding("utf-8"),
        with_encoding("utf-16"),
    ]
    assert all(copied(store) is store for store in stores)
    assert [copied(store.proxy("text")) for store in stores] == ["text"] * 4


@dataclass
class Pickling:
    """A serializer with settings. As a dataclass it has no hash, and each copy is a new object."""

    protocol: int

    def __call__(self, obj: object) -> bytes:
        return pickle.dumps(obj, self.protocol)


CONFIGURED: dict[str, dict[str, Any]] = {
    "usual": {},
    "partial": {"serializer": partial(pickle.dumps, protocol=4)},
    "callable object": {"serializer": Pickling(4)},
}


def unpickled_stores(data: bytes, threads: int = 1) -> int:
    """Unpickles a store some times, in several threads at once. Counts the different stores."""
    barrier = threading.Barrier(threads)

    def unpickled() -> list[Store]:
        barrier.wait(LIMIT)
        return [pickle.loads(data), pickle.loads(data)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the threads do meet inside the few lines that matter
    try:
        waiters = [in_thread(unpickled) for _ in range(threads)]
        return len({id(store) for waiter in waiters for store in waiter.result(LIMIT)})
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("options", CONFIGURED.values(), ids=CONFIGURED)
def test_in_another_process_it_is_opened_once_and_kept(
    shared_store: Store, elsewhere: Elsewhere, options: dict[str, Any]
) -> None:
    store = Store("configured", shared_store.connector, **options)
    assert copied(store) is store
    for _ in range(2):
        assert elsewhere(unpickled_stores, pickle.dumps(store)) == 1


@pytest.mark.slow
def test_threads_that_unpickle_it_at_once_open_it_once(
    shared_store: Store, elsewhere: Elsewhere
) -> None:
    for number in range(50):
        store = Store(f"configured {number}", shared_store.connector)
        assert elsewhere(unpickled_stores, pickle.dumps(store), 8) == 1


def test_custom_options_travel(shared_store: Store, elsewhere: Elsewhere) -> None:
    store = Store("custom", shared_store.connector, **JSON, cache_size=0)
    key = store.put([])
    # Nothing is appended to what is read again: the cache is off there, too.
    assert elsewhere(append_and_return, store, key) == []
    future: ProxyFuture[list[int]] = store.future()
    elsewhere(future.set_result, [1, 2])
    assert json.loads(bytes(store.connector.get(future.key) or b"")) == [1, 2]
    assert future.result() == [1, 2]


def test_a_store_with_a_serializer_that_cannot_be_pickled_works_where_it_is(
    local: LocalConnector,
) -> None:
    store = Store("lambda", local, lambda obj: json.dumps(obj).encode(), json.loads)
    assert store.proxy([1]) == [1]
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(store)


# How long a store is kept


def use_and_count(value: int) -> tuple[int, int]:
    """Uses a proxy. Tells its value, and how many stores this process has."""
    number = value + 0
    del value
    gc.collect()
    return number, sum(type(obj) is Store for obj in gc.get_objects())


def test_a_process_keeps_only_the_latest_few_stores_that_arrived_in_pickles(
    shared_store: Store, elsewhere: Elsewhere
) -> None:
    for number in range(12):
        store = Store(f"job {number}", shared_store.connector)
        value, stores = elsewhere(use_and_count, store.proxy(number))
        assert value == number
        assert stores <= 5  # four are kept, and one may still be in use


def test_a_store_that_nobody_holds_is_gone_with_its_server() -> None:
    stores, addresses = [], []
    for _ in range(2):  # as when a notebook's cell runs again
        store = Store("notebook", ManagerConnector())
        future: ProxyFuture[str] = store.future()
        future.set_result(future.proxy(timeout=5))
        stores.append(weakref.ref(store))
        addresses.append(store.connector.config()["address"])
    gc.collect()
    assert [reference() is store for reference in stores] == [False, True]
    with pytest.raises(ConnectorError):
        ManagerConnector.connect(addresses[0])
    assert copied(store) is store
    assert store.proxy("value") == "value"


# Unpickling does no input or output, and cannot fail

INPUT_AND_OUTPUT = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "mmap.")


def events_of_unpickling(pickled: bytes) -> tuple[list[str], list[str]]:
    """Returns what Python's audit hooks report when a future is unpickled, and when it is used."""
    events: list[list[str]] = [[], []]
    step: int | None = None  # a hook cannot be removed, only told to be silent

    def watch(event: str, _: object) -> None:
        if step is not None and event.startswith(INPUT_AND_OUTPUT):
            events[step].append(event)

    sys.addaudithook(watch)
    step = 0
    future = pickle.loads(pickled)
    step = 1
    with contextlib.suppress(ConnectorError):  # as a LocalConnector's, in another process
        future.done()
    step = None
    return events[0], events[1]


def test_unpickling_does_no_input_or_output(each_store: Store, elsewhere: Elsewhere) -> None:
    pickled = pickle.dumps(Store("never seen", each_store.connector).future())
    unpickling, using = elsewhere(events_of_unpickling, pickled)
    assert not unpickling
    if isinstance(each_store.connector, ManagerConnector):  # so it would have been seen
        assert "socket.connect" in using


def what_happens(pickled: bytes) -> str:
    """Unpickles a future and a proxy, and tells what happens at their use."""
    future, proxy = pickle.loads(pickled)
    with pytest.raises(ConnectorError) as direct:
        future.result(LIMIT)
    with pytest.raises(ProxyResolveError) as through_proxy:
        resolve(proxy)
    assert isinstance(through_proxy.value.__cause__, ConnectorError)
    return str(direct.value)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("local", "Use a ManagerConnector or a FileConnector"),
        ("file", "must exist on this machine"),
        ("manager", "python -m connectors serve"),
    ],
)
def test_unpickling_cannot_fail_and_use_says_what_is_out_of_reach_and_the_remedy(
    kind: str, remedy: str, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    with opened(kind, tmp_path) as it:
        future: ProxyFuture[str] = it.store.future()
        pickled = pickle.dumps((future, future.proxy()))
        if kind != "local":
            it.destroy()
            assert remedy in what_happens(pickled)
        assert remedy in elsewhere(what_happens, pickled)


# Closing


# Each use of a closed store, given a future that is done.
USES: dict[str, Callable[[Store, ProxyFuture[str]], object]] = {
    "put": lambda store, future: store.put("another"),
    "get": lambda store, future: store.get(future.key),
    "exists": lambda store, future: store.exists(future.key),
    "evict": lambda store, future: store.evict(future.key),
    "proxy": lambda store, future: store.proxy("another"),
    "future": lambda store, future: store.future(),
    "result": lambda store, future: future.result(LIMIT),
    "exception": lambda store, future: future.exception(LIMIT),
    "done": lambda store, future: future.done(),
    "set_result": lambda store, future: future.set_result("another"),
    "set_exception": lambda store, future: future.set_exception(ValueError()),
    "to_concurrent": lambda store, future: future.to_concurrent().result(LIMIT),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_store_cannot_be_used(
    store: Store, use: Callable[[Store, ProxyFuture[str]], object]
) -> None:
    future: ProxyFuture[str] = store.future()
    future.set_result("value")
    future.result()  # so it is in the cache
    for _ in range(2):  # closing twice does nothing
        store.close()
        with pytest.raises(ConnectorError, match="was closed"):
            use(store, future)


def test_a_proxy_that_was_not_resolved_in_time_says_that_the_store_is_closed(store: Store) -> None:
    early, late = store.proxy("early"), store.proxy("late")
    resolve(early)
    store.close()
    assert early == "early"
    with pytest.raises(ProxyResolveError, match="was closed"):
        resolve(late)


def test_a_with_block_closes_the_store_also_after_an_error(local: LocalConnector) -> None:
    with pytest.raises(ZeroDivisionError), Store("block", local) as store:
        raise ZeroDivisionError
    with pytest.raises(ConnectorError):
        store.put("value")


def test_a_closed_store_is_forgotten_and_does_not_disturb_its_successor(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # a directory that was there before, so closing does not remove it
    with Store("again", FileConnector(tmp_path)) as closed:
        future: ProxyFuture[str] = closed.future()
        future.set_result("value")
    with Store("again", FileConnector(tmp_path)) as store:
        assert copied(closed) is copied(store) is store
        closed.close()
        assert copied(store) is store
        assert copied(future).result() == store.get(future.key) == "value"


# Connectors of others


def test_any_class_of_the_right_shape_keeps_values() -> None:
    connector = PlainConnector("plain")
    with Store("plain", connector) as store:
        key = store.put([1])
        assert store.exists(key)
        assert store.get(key) is store.get(key)
        assert copied(store) is store
        assert copied(store.proxy([2], evict=True)) == [2]
        store.evict(key)
        assert store.get(key, "gone") == "gone"
    assert connector.is_closed


def test_a_connector_that_cannot_wait_is_polled() -> None:
    connector = PlainDeferrableConnector("polled")
    assert not isinstance(connector, WaitableConnector)
    future: ProxyFuture[str] = Store("polled", connector).future()
    with pytest.raises(TimeoutError):
        future.result(0.05)
    waiters = in_thread(future.result), in_thread(extract, future.proxy())
    time.sleep(SETTLING)
    assert not any(waiter.done() for waiter in waiters)
    future.set_result("value")
    assert [waiter.result(LIMIT) for waiter in waiters] == ["value"] * 2


def test_repr_names_the_store_and_its_connector(store: Store) -> None:
    assert repr(store) == f"Store('local', {store.connector!r})"
