"""What a `Store` promises: it keeps objects, remembers the last ones, and travels."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import pickle
import sys
import threading
import time
import weakref
import zlib
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conformance import LIMIT, SETTLING, in_thread, some_bytes
from support import (
    PlainConnector,
    PlainDeferrableConnector,
    needs_proc,
    open_files_and_threads,
    opened,
)

from connectors import (
    BytesLike,
    Connector,
    ConnectorError,
    DeferrableConnector,
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

KINDS = ["local", "file", "manager"]


@pytest.fixture(scope="module")
def connectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A connector of each kind, for all stores here that nobody closes."""
    values = tmp_path_factory.mktemp("files") / "values"
    with LocalConnector() as local, ManagerConnector() as manager, FileConnector(values) as file:
        yield {"local": local, "file": file, "manager": manager}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, connectors: dict[str, Any]) -> Store:
    return Store("store", connectors[request.param])


@pytest.fixture(params=["file", "manager"])
def shared_store(request: pytest.FixtureRequest, connectors: dict[str, Any]) -> Store:
    return Store("shared", connectors[request.param])


@pytest.fixture
def local() -> LocalConnector:
    """A connector for what the kind of connector cannot change."""
    return LocalConnector()


@pytest.fixture
def local_store(local: LocalConnector) -> Store:
    return Store("local", local)


@pytest.fixture(scope="module")
def another_process() -> Iterator[ProcessPoolExecutor]:
    """One process, the same for all calls. It is spawned, so it has nothing of ours but the key."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as executor:
        yield executor


def copied(obj: T) -> T:
    copy: T = pickle.loads(pickle.dumps(obj))
    return copy


# Values


@pytest.mark.parametrize(
    "value", [None, 0, "", b"", [], {"a": (1, 2.5)}, Path("path"), range(3)], ids=repr
)
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


def test_a_value_is_there_from_put_to_evict(store: Store) -> None:
    assert not store.exists(store.future().key)
    key = store.put("value")
    assert key != store.put("value")
    assert store.exists(key)
    assert store.get(key) == "value"
    store.evict(key)
    assert not store.exists(key)
    assert store.get(key, "gone") == "gone"  # from the cache, too
    store.evict(key)


def test_values_are_plain_pickles(store: Store) -> None:
    for value in [1, {2}], bytearray(some_bytes(100_000)):
        data = store.connector.get(store.put(value))
        assert data is not None
        assert bytes(data) == pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


@pytest.mark.parametrize("value", [bytearray(100_000), array("d", range(10_000)), bytearray()])
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


@pytest.mark.parametrize("value", [5, "text", None, len, module_function, int, Path("path")])
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


def test_proxy_from_key_stands_for_what_is_stored_there(store: Store) -> None:
    proxy = store.proxy_from_key(store.put("value"), target_type=str)
    assert isinstance(proxy, str)
    assert not isinstance(proxy, int)
    assert not is_resolved(proxy)
    assert proxy.upper() == "VALUE"


def test_proxy_from_key_needs_the_value_at_its_first_use_and_does_not_wait(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    proxy: str = store.proxy_from_key(future.key)
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
    another_process: ProcessPoolExecutor,
    make_proxy: Callable[[Store, Any], Any],
    options: dict[str, Any],
) -> None:
    store = Store("evicting", shared_store.connector, **options)
    proxy = make_proxy(store, [1, 2])
    early = copied(proxy)
    assert proxy == [1, 2]
    with pytest.raises(ProxyResolveError):
        resolve(early)  # the value has left the store
    once = copied(proxy)
    twice = copied(once)
    assert not is_resolved(twice)
    assert once == twice == copied(twice) == [1, 2]
    assert another_process.submit(sum, proxy).result(LIMIT) == 3


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
    assert store.get(future.key) == store.get(future.key) == [1]
    assert store.get(future.key) is not store.get(future.key)
    assert future.result() is not future.result()
    assert extract(future.proxy()) is not extract(future.proxy())


def append_and_return(store: Store, key: Any) -> Any:
    value = store.get(key)
    value.append("changed in another process")
    return store.get(key)


def test_each_process_has_its_own_cache_and_keeps_it_between_two_arrivals(
    shared_store: Store, another_process: ProcessPoolExecutor
) -> None:
    key = shared_store.put([])
    value = shared_store.get(key)
    for arrivals in 1, 2, 3:
        changed = another_process.submit(append_and_return, shared_store, key).result(LIMIT)
        assert changed == ["changed in another process"] * arrivals
    assert shared_store.get(key) is value == []


@pytest.mark.parametrize("cache_size", [0, 1, 3])
def test_threads_may_share_a_small_cache(local: LocalConnector, cache_size: int) -> None:
    store = Store("busy", local, cache_size=cache_size)
    keys = [store.put(number) for number in range(8)]

    def values_from(start: int) -> list[int]:
        return [store.get(keys[(start + step) % 8]) for step in range(100)]

    with ThreadPoolExecutor(8) as threads:
        for start, values in enumerate(threads.map(values_from, range(8))):
            assert values == [(start + step) % 8 for step in range(100)]


# Serializers


@pytest.mark.parametrize("value", [{"a": [1, None]}, "v" * 2**20], ids=["small", "large"])
def test_a_custom_serializer_is_used_for_everything(store: Store, value: object) -> None:
    json_store = Store("json", store.connector, **JSON)
    future: ProxyFuture[object] = json_store.future()
    future.set_result(value)
    for key in json_store.put(value), future.key:
        stored = json_store.connector.get(key)
        assert stored is not None
        assert json.loads(bytes(stored)) == value
        assert json_store.get(key) == value
    assert copied(future).result() == value
    assert extract(copied(future.proxy())) == value
    assert extract(json_store.proxy(value)) == value


def test_exceptions_travel_past_a_custom_serializer(store: Store) -> None:
    future: ProxyFuture[object] = Store("json", store.connector, **JSON).future()
    future.set_exception(ValueError("reason"))
    with pytest.raises(ValueError, match="reason"):
        future.result()
    with pytest.raises(ProxyResolveError) as resolving:
        resolve(future.proxy())
    assert isinstance(resolving.value.__cause__, ValueError)


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_a_serializer_may_return_any_buffer_of_bytes(
    store: Store, buffer: Callable[[bytes], BytesLike]
) -> None:
    buffers = Store("buffers", store.connector, serializer=buffer, deserializer=bytes)
    for value in b"", b"small", b"large" * 2**18:
        assert buffers.get(buffers.put(value)) == value


# What stores a value, and so must refuse one that cannot be stored.
STORING: dict[str, Callable[[Store, object], object]] = {
    "put": Store.put,
    "proxy": Store.proxy,
    "set_result": lambda store, obj: store.future(object).set_result(obj),
}


@pytest.mark.parametrize("storing", STORING.values(), ids=STORING)
@pytest.mark.parametrize("wrong", ["text", 1, None, [b"bytes"]], ids=repr)
def test_a_serializer_that_does_not_return_bytes_is_named(
    local: LocalConnector, storing: Callable[[Store, object], object], wrong: Any
) -> None:
    store = Store("wrong", local, serializer=lambda obj: wrong)
    message = f"serializer must return bytes.*{type(wrong).__name__}.*json.dumps"
    with pytest.raises(SerializationError, match=message):
        storing(store, {})


@pytest.mark.parametrize("storing", STORING.values(), ids=STORING)
def test_an_object_that_cannot_be_serialized_is_named(
    local_store: Store, storing: Callable[[Store, object], object]
) -> None:
    with pytest.raises(SerializationError, match="A lock cannot be serialized") as caught:
        storing(local_store, threading.Lock())
    assert isinstance(caught.value.__cause__, TypeError)


# Damaged bytes

PICKLED = pickle.dumps(list(range(1000)))


def truncated_exception() -> bytes:
    store = Store("exceptions", LocalConnector())
    future: ProxyFuture[object] = store.future()
    future.set_exception(ValueError("reason"))
    return bytes(store.connector.get(future.key) or b"")[:-10]


DAMAGED = {
    "empty": b"",
    "truncated": PICKLED[:-100],
    "not a pickle": b"not a pickle",
    "missing module": pickle.dumps(len).replace(b"builtins", b"missing_"),
    "truncated exception": truncated_exception(),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_bytes_are_reported_and_the_store_goes_on(store: Store, data: bytes) -> None:
    future: ProxyFuture[object] = store.future()
    connector: Any = store.connector
    connector.set(future.key, data)
    for get in store.get, lambda _: future.result(), lambda _: future.exception():
        with pytest.raises(SerializationError, match=f"{len(data)} bytes") as caught:
            get(future.key)
        assert caught.value.__cause__ is not None
    for proxy in future.proxy(), store.proxy_from_key(future.key):
        with pytest.raises(ProxyResolveError) as resolving:
            resolve(proxy)
        assert isinstance(resolving.value.__cause__, SerializationError)
    assert store.get(store.put("another")) == "another"


# A store is its configuration


def test_what_is_pickled_is_small_and_holds_no_value(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    config = len(repr(store.connector.config()))
    proxy = store.proxy("a secret" * 2**16)
    future.set_result("a secret" * 2**16)
    future.result()  # now it is in the cache as well
    for obj in store, future, future.proxy(), proxy:
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


def plain(numbers: list[int]) -> list[int]:
    """Uses proxies of numbers, in order to return the numbers."""
    return [0 + number for number in numbers]


def test_stores_of_one_name_and_different_configuration_stay_apart(
    tmp_path: Path, connectors: dict[str, Any], another_process: ProcessPoolExecutor
) -> None:
    with (
        Store("same", FileConnector(tmp_path / "one")) as one,
        Store("same", FileConnector(tmp_path / "two")) as two,
    ):
        stores = [one, two, *(Store("same", connector) for connector in connectors.values())]
        proxies = [store.proxy(number) for number, store in enumerate(stores)]
        assert all(copied(store) is store for store in stores)
        assert copied(proxies) == [0, 1, 2, 3, 4]
        local = proxies.pop(2)
        assert another_process.submit(plain, proxies).result(LIMIT) == [0, 1, 3, 4]
        assert local == 2


def test_stores_that_differ_in_their_serializers_stay_apart(local: LocalConnector) -> None:
    stores = [
        Store("same", local),
        Store("same", local, **JSON),
        Store("same", local, str.encode, bytes.decode),
        *(
            Store(
                "same", local, partial(str.encode, encoding=it), partial(bytes.decode, encoding=it)
            )
            for it in ("utf-8", "utf-16")
        ),
    ]
    assert [copied(store) is store for store in stores] == [True] * 5
    assert [copied(store.proxy("text")) for store in stores] == ["text"] * 5


@dataclass
class Compressed:
    """A serializer with settings. As a dataclass it has no hash, and each copy is a new object."""

    level: int

    def __call__(self, obj: object) -> bytes:
        return zlib.compress(pickle.dumps(obj), self.level)


def decompressed(data: bytes) -> object:
    return pickle.loads(zlib.decompress(data))


CONFIGURED: dict[str, dict[str, Any]] = {
    "usual": {},
    "partial": {"serializer": partial(pickle.dumps, protocol=4)},
    "callable object": {"serializer": Compressed(9), "deserializer": decompressed},
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
@pytest.mark.parametrize(
    "threads", [1, pytest.param(8, marks=pytest.mark.slow)], ids="{} threads".format
)
def test_in_another_process_it_is_opened_once_and_kept(
    shared_store: Store,
    another_process: ProcessPoolExecutor,
    options: dict[str, Any],
    threads: int,
) -> None:
    for number in range(1 if threads == 1 else 50):
        store = Store(f"configured {number}", shared_store.connector, **options)
        assert copied(store) is store
        pickled = pickle.dumps(store)
        for _ in range(2):
            counting = another_process.submit(unpickled_stores, pickled, threads)
            assert counting.result(LIMIT) == 1


def test_custom_options_travel(shared_store: Store, another_process: ProcessPoolExecutor) -> None:
    store = Store("custom", shared_store.connector, **JSON, cache_size=0)
    key = store.put([])
    # Nothing is appended to what is read again: the cache is off there, too.
    assert another_process.submit(append_and_return, store, key).result(LIMIT) == []
    future: ProxyFuture[list[int]] = store.future()
    another_process.submit(future.set_result, [1, 2]).result(LIMIT)
    stored = store.connector.get(future.key)
    assert stored is not None
    assert json.loads(bytes(stored)) == future.result() == [1, 2]


def test_a_store_with_a_serializer_that_cannot_be_pickled_works_where_it_is(
    local: LocalConnector,
) -> None:
    store = Store("lambda", local, lambda obj: json.dumps(obj).encode(), json.loads)
    assert store.proxy([1]) == [1]
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(store)


# How long a store is kept


def use_and_count(value: int) -> tuple[int, int, int]:
    """Uses a proxy. Tells its value, how many stores this process has, and its open files."""
    number = value + 0
    del value
    gc.collect()
    stores = sum(type(obj) is Store for obj in gc.get_objects())
    return number, stores, open_files_and_threads(os.getpid())[0]


@needs_proc
def test_a_process_keeps_only_the_latest_few_stores_that_arrived_in_pickles(
    connectors: dict[str, Any],
) -> None:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool:
        counts = []
        for number in range(12):
            proxy = Store(f"job {number}", connectors["manager"]).proxy(number)
            value, *count = pool.apply_async(use_and_count, (proxy,)).get(LIMIT)
            assert value == number
            counts.append(count)
        # Four stores are kept, and one may still be in use.
        assert max(stores for stores, _ in counts) <= 5
        assert counts[-1][1] - counts[0][1] <= 5  # each has a connection


def test_a_store_that_nobody_holds_is_gone_with_its_server() -> None:
    addresses, stores = [], []
    for _ in range(3):  # as when a notebook's cell runs again
        store = Store("notebook", ManagerConnector())
        assert store.proxy("value") == "value"
        future: ProxyFuture[str] = store.future()
        future.set_result(future.proxy(timeout=5))
        addresses.append(store.connector.config()["address"])
        stores.append(weakref.ref(store))
    gc.collect()
    assert [reference() is store for reference in stores] == [False, False, True]
    for address in addresses[:2]:
        with pytest.raises(ConnectorError):
            ManagerConnector.connect(address)
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


def test_unpickling_does_no_input_or_output(
    store: Store, another_process: ProcessPoolExecutor
) -> None:
    pickled = pickle.dumps(Store("never seen", store.connector).future())
    unpickling, using = another_process.submit(events_of_unpickling, pickled).result(LIMIT)
    assert not unpickling
    if isinstance(store.connector, ManagerConnector):  # so it would have been seen
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
    kind: str, remedy: str, tmp_path: Path, another_process: ProcessPoolExecutor
) -> None:
    with opened(kind, tmp_path) as it:
        future: ProxyFuture[str] = it.store.future()
        pickled = pickle.dumps((future, future.proxy()))
        if kind != "local":
            it.destroy()
            assert remedy in what_happens(pickled)
        assert remedy in another_process.submit(what_happens, pickled).result(LIMIT)


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
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "not cached"])
def test_a_closed_store_cannot_be_used(
    local_store: Store, use: Callable[[Store, ProxyFuture[str]], object], cached: bool
) -> None:
    future: ProxyFuture[str] = local_store.future()
    future.set_result("value")
    if cached:
        future.result()
    for _ in range(2):  # closing twice does nothing
        local_store.close()
        with pytest.raises(ConnectorError, match="was closed"):
            use(local_store, future)


def test_a_proxy_that_was_not_resolved_in_time_says_that_the_store_is_closed(
    local_store: Store,
) -> None:
    early, late = local_store.proxy("early"), local_store.proxy("late")
    resolve(early)
    local_store.close()
    assert early == "early"
    with pytest.raises(ProxyResolveError, match="was closed"):
        resolve(late)


@pytest.mark.parametrize("kind", [*KINDS, "polled"])
def test_closing_ends_all_waits(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as (store, *_):
        future: ProxyFuture[str] = store.future()
        waiters: list[Future[Any]] = [
            in_thread(future.result),
            in_thread(future.exception),
            future.to_concurrent(),
            in_thread(resolve, future.proxy()),
        ]
        time.sleep(SETTLING)  # so that some wait already; others may come later
        assert not any(waiter.done() for waiter in waiters)
        store.close()
        errors = [waiter.exception(LIMIT) for waiter in waiters]
    assert all(isinstance(error, ConnectorError) for error in errors[:3])
    assert isinstance(errors[3], ProxyResolveError)
    assert isinstance(errors[3].__cause__, ConnectorError)


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
    with Store("plain", PlainConnector("plain")) as store:
        assert isinstance(store.connector, Connector)
        key = store.put([1])
        assert store.exists(key)
        assert store.get(key) is store.get(key)
        assert store.proxy_from_key(key) == [1]
        assert copied(store) is store
        assert copied(store.proxy([2], evict=True)) == [2]
        store.evict(key)
        assert store.get(key, "gone") == "gone"


def test_a_connector_that_cannot_wait_is_polled() -> None:
    connector = PlainDeferrableConnector("polled")
    assert isinstance(connector, DeferrableConnector)
    assert not isinstance(connector, WaitableConnector)
    with Store("polled", connector) as store:
        future: ProxyFuture[str] = store.future()
        proxy = copied(future).proxy()
        with pytest.raises(TimeoutError, match=r"0\.05 seconds"):
            future.result(0.05)
        waiters = [
            in_thread(future.result),
            in_thread(lambda: proxy.upper().lower()),
            future.to_concurrent(),
        ]
        time.sleep(SETTLING)
        assert not any(waiter.done() for waiter in waiters)
        future.set_result("value")
        assert [waiter.result(LIMIT) for waiter in waiters] == ["value"] * 3
    assert connector.is_closed


class Forgetful(WaitableConnector[int]):
    """It inherits from the interface, and has forgotten everything."""


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(("put", [b"value"]), ("get", [1]), ("exists", [1]), ("evict", [1])),
        *(("config", []), ("from_config", [{}]), ("close", [])),
        *(("new_key", []), ("set", [1, b"value"]), ("wait", [1])),
    ],
)
def test_a_class_that_inherits_an_interface_and_forgets_a_method_gets_an_error(
    name: str, arguments: list[Any]
) -> None:
    forgetful: Any = Forgetful  # a type checker sees what is forgotten
    with pytest.raises(NotImplementedError):
        getattr(forgetful(), name)(*arguments)


def test_repr_names_the_store_and_its_connector(store: Store) -> None:
    assert repr(store) == f"Store('store', {store.connector!r})"
    assert type(store.connector).__name__ in repr(store)
