"""What a `Store` promises: it keeps objects, remembers the last ones, and travels."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import pickle
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

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


def open_connector(kind: str, directory: Path) -> WaitableConnector[Any]:
    if kind == "local":
        return LocalConnector()
    return FileConnector(directory) if kind == "file" else ManagerConnector()


@pytest.fixture(params=KINDS)
def connector(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WaitableConnector[Any]]:
    connector = open_connector(request.param, tmp_path / "values")
    yield connector
    connector.close()


@pytest.fixture
def store(connector: WaitableConnector[Any]) -> Iterator[Store]:
    with Store("store", connector) as store:
        yield store


@pytest.fixture(params=["file", "manager"])
def shared_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store("shared", open_connector(request.param, tmp_path / "values")) as store:
        yield store


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
    key = store.put(value)
    result = store.get(key, default="default")
    assert result == value
    assert type(result) is type(value)


def test_get_returns_the_default_where_nothing_is_set(store: Store) -> None:
    pending = store.future().key
    assert store.get(pending) is None
    default = object()
    assert store.get(pending, default) is default
    assert store.get(pending, default=default) is default


def test_get_finds_a_value_that_was_set_after_a_get_found_none(store: Store) -> None:
    future: ProxyFuture[int] = store.future()
    assert store.get(future.key) is None
    future.set_result(1)
    assert store.get(future.key) == 1


def test_each_put_has_its_own_key(store: Store) -> None:
    assert len({store.put("value") for _ in range(20)}) == 20


def test_a_value_exists_from_put_to_evict(store: Store) -> None:
    assert not store.exists(store.future().key)
    key = store.put("value")
    assert store.exists(key)
    store.evict(key)
    assert not store.exists(key)


def test_an_evicted_value_is_gone_from_the_cache_too(store: Store) -> None:
    key = store.put("value")
    assert store.get(key) == "value"
    store.evict(key)
    assert store.get(key, "gone") == "gone"


def test_evicting_what_is_not_set_does_nothing(store: Store) -> None:
    key = store.put("value")
    store.evict(store.future().key)
    store.evict(key)
    store.evict(key)


def test_proxy_stores_the_value_and_stands_for_it(store: Store) -> None:
    proxy = store.proxy(["a", "b"])
    assert not is_resolved(proxy)
    assert proxy == ["a", "b"]
    assert is_resolved(proxy)


def test_proxy_with_evict_removes_the_value_at_its_first_use(store: Store) -> None:
    key = store.put("value")
    proxy: str = store.proxy_from_key(key, evict=True)
    assert store.exists(key)
    assert proxy.upper() == "VALUE"
    assert not store.exists(key)
    assert proxy.upper() == "VALUE"
    # Store.proxy() has the same option. It does not tell the key, but a copy finds nothing there.
    proxy = store.proxy("value", evict=True)
    copy = copied(proxy)
    assert proxy == "value"
    with pytest.raises(ProxyResolveError):
        resolve(copy)


def test_proxy_from_key_stands_for_what_is_stored_there(store: Store) -> None:
    proxy: str = store.proxy_from_key(store.put("value"))
    assert proxy.upper() == "VALUE"


def test_proxy_from_key_does_not_need_the_value_until_its_first_use(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    proxy: str = store.proxy_from_key(future.key)
    future.set_result("value")
    assert proxy.upper() == "VALUE"


@pytest.mark.timeout(20)
def test_proxy_from_key_does_not_wait_for_a_value(store: Store) -> None:
    proxy: str = store.proxy_from_key(store.future().key)
    with pytest.raises(ProxyResolveError) as caught:
        proxy.upper()
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_proxy_from_key_answers_isinstance_from_its_target_type(store: Store) -> None:
    proxy = store.proxy_from_key(store.put("value"), target_type=str)
    assert isinstance(proxy, str)
    assert not isinstance(proxy, int)
    assert not is_resolved(proxy)


# The cache


def test_the_same_object_is_returned_again(store: Store) -> None:
    future: ProxyFuture[list[int]] = store.future()
    future.set_result([1])
    value = store.get(future.key)
    assert store.get(future.key) is value
    assert future.result() is value
    assert extract(future.proxy()) is value
    assert extract(store.proxy_from_key(future.key)) is value


def test_none_is_remembered_like_any_value(store: Store) -> None:
    key = store.put(None)
    assert store.get(key, "default") is None
    assert store.get(key, "default") is None


def test_the_cache_keeps_the_last_used_objects(connector: WaitableConnector[Any]) -> None:
    with Store("small", connector, cache_size=2) as store:
        first, second, third = (store.put([number]) for number in range(3))
        one, two = store.get(first), store.get(second)
        assert store.get(first) is one  # so the second is now the one that was not used longest
        store.get(third)
        assert store.get(first) is one
        again = store.get(second)
        assert again == two
        assert again is not two


def test_the_cache_keeps_sixteen_objects_unless_told_otherwise(store: Store) -> None:
    keys = [store.put([number]) for number in range(17)]
    values = [store.get(key) for key in keys[:16]]
    assert all(store.get(key) is value for key, value in zip(keys, values, strict=False))
    store.get(keys[16])
    assert all(store.get(key) is value for key, value in zip(keys[1:], values[1:], strict=False))
    assert store.get(keys[0]) is not values[0]


def test_a_cache_of_size_zero_keeps_nothing(connector: WaitableConnector[Any]) -> None:
    with Store("uncached", connector, cache_size=0) as store:
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


def test_each_process_has_its_own_cache(
    shared_store: Store, another_process: ProcessPoolExecutor
) -> None:
    key = shared_store.put([])
    value = shared_store.get(key)
    changed = another_process.submit(append_and_return, shared_store, key).result(60)
    assert changed == ["changed in another process"]
    assert shared_store.get(key) is value == []


@pytest.mark.parametrize("cache_size", [0, 1, 3])
def test_threads_may_share_a_small_cache(
    connector: WaitableConnector[Any], cache_size: int
) -> None:
    with (
        Store("busy", connector, cache_size=cache_size) as store,
        ThreadPoolExecutor(8) as threads,
    ):
        keys = [store.put(number) for number in range(8)]

        def values_from(start: int) -> list[int]:
            return [store.get(keys[(start + step) % 8]) for step in range(100)]

        for start, values in enumerate(threads.map(values_from, range(8))):
            assert values == [(start + step) % 8 for step in range(100)]


# Serializers


def to_json(obj: object) -> bytes:
    return json.dumps(obj).encode()


@pytest.fixture
def json_store(connector: WaitableConnector[Any]) -> Iterator[Store]:
    with Store("json", connector, serializer=to_json, deserializer=json.loads) as store:
        yield store


# Above 64 KiB the manager sends files instead of messages.
JSON_VALUES = {"small": {"a": [1, None]}, "large": "v" * 2**20}


@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
def test_a_custom_serializer_is_used_for_values(json_store: Store, value: object) -> None:
    key = json_store.put(value)
    stored = json_store.connector.get(key)
    assert stored is not None
    assert json.loads(bytes(stored)) == value
    assert json_store.get(key) == value


@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
def test_a_custom_serializer_is_used_for_proxies(json_store: Store, value: object) -> None:
    assert extract(json_store.proxy(value)) == value
    assert extract(copied(json_store.proxy(value, evict=True))) == value


@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
def test_a_custom_serializer_is_used_for_results(json_store: Store, value: object) -> None:
    future: ProxyFuture[object] = json_store.future()
    future.set_result(value)
    stored = json_store.connector.get(future.key)
    assert stored is not None
    assert json.loads(bytes(stored)) == value
    assert future.result() == value
    assert extract(copied(future).proxy()) == value


@pytest.mark.parametrize("text", ["small", "large" * 2**18], ids=["small", "large"])
def test_exceptions_travel_past_a_custom_serializer(json_store: Store, text: str) -> None:
    future: ProxyFuture[object] = json_store.future()
    future.set_exception(ValueError(text))
    with pytest.raises(ValueError, match=r"small|large") as caught:
        future.result()
    assert caught.value.args == (text,)
    with pytest.raises(ProxyResolveError) as resolving:
        resolve(future.proxy())
    assert isinstance(resolving.value.__cause__, ValueError)


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_a_serializer_may_return_any_buffer_of_bytes(
    connector: WaitableConnector[Any], buffer: Callable[[bytes], BytesLike]
) -> None:
    def serializer(obj: bytes) -> BytesLike:
        return buffer(obj)

    with Store("buffers", connector, serializer=serializer, deserializer=bytes) as store:
        for value in b"", b"small", b"large" * 2**18:
            assert store.get(store.put(value)) == value


# What stores a value, and so must refuse one that cannot be stored.
STORING: dict[str, Callable[[Store, object], object]] = {
    "put": Store.put,
    "proxy": Store.proxy,
    "set_result": lambda store, obj: store.future(object).set_result(obj),
}


@pytest.mark.parametrize("storing", STORING.values(), ids=STORING)
@pytest.mark.parametrize("wrong", ["text", 1, None, [b"bytes"]], ids=repr)
def test_a_serializer_that_does_not_return_bytes_is_named(
    storing: Callable[[Store, object], object], wrong: Any
) -> None:
    with Store("wrong", LocalConnector(), serializer=lambda obj: wrong) as store:
        message = f"serializer must return bytes, not {type(wrong).__name__}"
        with pytest.raises(SerializationError, match=message):
            storing(store, {})


@pytest.mark.parametrize("storing", STORING.values(), ids=STORING)
def test_an_object_that_cannot_be_serialized_is_named(
    store: Store, storing: Callable[[Store, object], object]
) -> None:
    with pytest.raises(SerializationError, match="lock") as caught:
        storing(store, threading.Lock())
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_future_stays_pending_when_its_result_cannot_be_serialized(store: Store) -> None:
    future: ProxyFuture[object] = store.future()
    with pytest.raises(SerializationError):
        future.set_result(threading.Lock())
    assert not future.done()
    future.set_result("another")
    assert future.result() == "another"


class MessageFails(Exception):
    """Raised by a broken class; that it cannot even be printed must not hide where it came from."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


class CannotBeSerialized:
    def __reduce__(self) -> str:
        raise MessageFails


def test_the_reason_may_be_an_exception_that_cannot_be_printed(store: Store) -> None:
    with pytest.raises(SerializationError) as caught:
        store.put(CannotBeSerialized())
    assert isinstance(caught.value.__cause__, MessageFails)


# Damaged bytes

PICKLED = pickle.dumps(list(range(1000)))
DAMAGED = {
    "empty": b"",
    "truncated": PICKLED[:-100],
    "not a pickle": b"not a pickle",
    "missing module": pickle.dumps(len).replace(b"builtins", b"missing_"),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_bytes_are_reported_and_the_store_goes_on(
    store: Store, connector: WaitableConnector[Any], data: bytes
) -> None:
    future: ProxyFuture[object] = store.future()
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


def test_a_truncated_file_is_reported(tmp_path: Path) -> None:
    with Store("files", FileConnector(tmp_path / "values")) as store:
        key = store.put(list(range(1000)))
        file = tmp_path / "values" / key.id
        file.write_bytes(file.read_bytes()[:1000])
        with pytest.raises(SerializationError, match="1000 bytes"):
            store.get(key)


def test_a_truncated_exception_is_reported(store: Store) -> None:
    future: ProxyFuture[object] = store.future()
    future.set_exception(ValueError("reason"))
    stored = store.connector.get(future.key)
    assert stored is not None
    key = store.connector.put(stored[:-10])
    with pytest.raises(SerializationError):
        store.get(key)


# A store is its configuration


def test_a_pickled_store_is_small_and_holds_no_value(store: Store) -> None:
    future: ProxyFuture[str] = store.future()
    config = len(repr(store.connector.config()))
    proxy = store.proxy("a secret" * 2**16)
    future.set_result("a secret" * 2**16)
    future.result()  # now it is in the cache as well
    for obj in store, future, future.proxy(), proxy:
        pickled = pickle.dumps(obj)
        assert len(pickled) < 200 + config
        assert b"a secret" not in pickled


def test_a_resolved_proxy_is_pickled_without_its_target(store: Store) -> None:
    proxy = store.proxy("a secret")
    resolve(proxy)
    assert b"a secret" not in pickle.dumps(proxy)
    assert not is_resolved(copied(proxy))
    assert copied(proxy) == "a secret"


def test_unpickled_in_the_same_process_it_is_the_same_store(store: Store) -> None:
    assert copied(store) is store
    assert copied(copied(store)) is store


def test_no_serializer_means_the_usual_one() -> None:
    with LocalConnector() as connector:
        store = Store("usual", connector)
        same = Store("usual", connector, serializer=None, deserializer=None, cache_size=16)
        assert same.get(same.put({1, 2})) == {1, 2}
        assert copied(same) is store


def number_of_stores(pickled: list[bytes]) -> list[int]:
    """Unpickles each from eight threads at once, twice, and counts the different stores."""
    threads = 8
    barrier = threading.Barrier(threads)

    def unpickled(data: bytes) -> list[Store]:
        barrier.wait(30)
        return [pickle.loads(data), pickle.loads(data)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the threads do meet inside the few lines that matter
    try:
        with ThreadPoolExecutor(threads) as executor:
            results = [list(executor.map(unpickled, [data] * threads)) for data in pickled]
    finally:
        sys.setswitchinterval(interval)
    return [len({id(store) for pair in pairs for store in pair}) for pairs in results]


def test_in_another_process_it_is_opened_once_and_kept(
    shared_store: Store, another_process: ProcessPoolExecutor
) -> None:
    stores = [Store(f"store-{number}", shared_store.connector) for number in range(50)]
    pickled = [pickle.dumps(store) for store in stores]
    for _ in range(2):
        assert another_process.submit(number_of_stores, pickled).result(60) == [1] * 50
    for store in stores:
        store.close()


def test_another_process_keeps_the_cache_between_two_arrivals(
    shared_store: Store, another_process: ProcessPoolExecutor
) -> None:
    key = shared_store.put([])
    for arrivals in 1, 2, 3:
        values = another_process.submit(append_and_return, shared_store, key).result(60)
        assert len(values) == arrivals


def plain(numbers: list[int]) -> list[int]:
    """Uses proxies of numbers, in order to return the numbers."""
    return [0 + number for number in numbers]


def test_stores_of_one_name_and_different_configuration_stay_apart(
    tmp_path: Path, another_process: ProcessPoolExecutor
) -> None:
    with contextlib.ExitStack() as stack:
        stores = [
            stack.enter_context(Store("same", FileConnector(tmp_path / "one"))),
            stack.enter_context(Store("same", FileConnector(tmp_path / "two"))),
            stack.enter_context(Store("same", ManagerConnector())),
            stack.enter_context(Store("same", LocalConnector())),
        ]
        proxies = [store.proxy(number) for number, store in enumerate(stores)]
        assert all(copied(store) is store for store in stores)
        assert copied(proxies) == [0, 1, 2, 3]
        assert another_process.submit(plain, proxies[:3]).result(60) == [0, 1, 2]


def test_stores_that_differ_in_their_serializers_stay_apart(
    connector: WaitableConnector[Any],
) -> None:
    with (
        Store("same", connector) as usual,
        Store("same", connector, serializer=to_json, deserializer=json.loads) as custom,
    ):
        assert copied(usual.proxy([1])) == [1]
        assert copied(custom.proxy([1])) == [1]


@dataclass
class Cipher:
    """Serializes text with a key of its own."""

    key: int

    def encrypt(self, text: str) -> bytes:
        return bytes(byte ^ self.key for byte in text.encode())

    def decrypt(self, data: bytes) -> str:
        return bytes(byte ^ self.key for byte in data).decode()


def test_stores_whose_serializers_differ_in_their_settings_stay_apart(
    connector: WaitableConnector[Any],
) -> None:
    first, second = Cipher(1), Cipher(2)
    with (
        Store("same", connector, serializer=first.encrypt, deserializer=first.decrypt) as one,
        Store("same", connector, serializer=second.encrypt, deserializer=second.decrypt) as two,
    ):
        assert copied(one) is one
        assert copied(two.proxy("text")) == "text"


def test_methods_of_built_in_types_can_be_serializers(store: Store) -> None:
    with Store(
        "text", store.connector, serializer=str.encode, deserializer=bytes.decode, cache_size=0
    ) as text:
        assert copied(text.proxy("text")) == "text"


def test_custom_options_travel(shared_store: Store, another_process: ProcessPoolExecutor) -> None:
    with Store(
        "custom",
        shared_store.connector,
        serializer=to_json,
        deserializer=json.loads,
        cache_size=0,
    ) as store:
        key = store.put([])
        # Nothing is appended to what is read again: the cache is off there, too.
        assert another_process.submit(append_and_return, store, key).result(60) == []
        future: ProxyFuture[list[int]] = store.future()
        another_process.submit(future.set_result, [1, 2]).result(60)
        stored = store.connector.get(future.key)
        assert stored is not None
        assert json.loads(bytes(stored)) == future.result() == [1, 2]


@dataclass
class Compressed:
    """A serializer with settings. As a dataclass it has no hash, and each copy is a new object."""

    level: int

    def __call__(self, obj: object) -> bytes:
        return zlib.compress(pickle.dumps(obj), self.level)


def decompressed(data: bytes) -> object:
    return pickle.loads(zlib.decompress(data))


CONFIGURED: dict[str, dict[str, Any]] = {
    "partial": {"serializer": partial(pickle.dumps, protocol=4)},
    "callable object": {"serializer": Compressed(9), "deserializer": decompressed},
}


@pytest.mark.parametrize("options", CONFIGURED.values(), ids=CONFIGURED)
def test_a_store_whose_serializer_is_a_new_object_in_each_pickle_is_still_opened_once(
    shared_store: Store, another_process: ProcessPoolExecutor, options: dict[str, Any]
) -> None:
    with Store("configured", shared_store.connector, **options) as store:
        assert copied(store) is store
        assert copied(store.proxy([1])) == [1]
        pickled = [pickle.dumps(store)]
        assert another_process.submit(number_of_stores, pickled).result(60) == [1]


def test_a_store_with_a_serializer_that_cannot_be_pickled_works_where_it_is(
    connector: WaitableConnector[Any],
) -> None:
    with Store(
        "lambda",
        connector,
        serializer=lambda obj: json.dumps(obj).encode(),
        deserializer=json.loads,
    ) as store:
        assert store.proxy([1]) == [1]
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(store)


INPUT_AND_OUTPUT = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "mmap.")


def events_of_unpickling(pickled: bytes) -> list[str]:
    """Returns what Python's audit hooks report, which is each use of a file, socket or process."""
    events: list[str] = []
    watching = threading.Event()  # a hook cannot be removed, only told to be silent

    def watch(event: str, _: object) -> None:
        if watching.is_set() and event.startswith(INPUT_AND_OUTPUT):
            events.append(event)

    sys.addaudithook(watch)
    watching.set()
    obj = pickle.loads(pickled)
    watching.clear()
    assert not events
    watching.set()
    with contextlib.suppress(ConnectorError):  # as a LocalConnector's, in another process
        obj.done()
    watching.clear()
    return events


def test_unpickling_does_no_input_or_output(
    store: Store, another_process: ProcessPoolExecutor
) -> None:
    pickled = pickle.dumps(store.future())
    events = another_process.submit(events_of_unpickling, pickled).result(60)
    if isinstance(store.connector, ManagerConnector):  # so it would have been seen
        assert "socket.connect" in events


def what_happens(pickled: bytes) -> str:
    """Unpickles a future and a proxy, and tells what happens at their use."""
    future, proxy = pickle.loads(pickled)
    with pytest.raises(ConnectorError) as direct:
        future.result(30)
    with pytest.raises(ProxyResolveError) as through_proxy:
        resolve(proxy)
    assert isinstance(through_proxy.value.__cause__, ConnectorError)
    return str(direct.value)


def test_unpickling_cannot_fail_and_use_says_that_the_directory_is_gone(
    tmp_path: Path, another_process: ProcessPoolExecutor
) -> None:
    with Store("gone", FileConnector(tmp_path / "values")) as store:
        future: ProxyFuture[str] = store.future()
        pickled = pickle.dumps((future, future.proxy()))
        shutil.rmtree(tmp_path / "values")
        for message in (
            what_happens(pickled),
            another_process.submit(what_happens, pickled).result(60),
        ):
            assert repr(str(tmp_path / "values")) in message
            assert "must exist on this machine" in message


def test_unpickling_cannot_fail_and_use_says_that_the_server_is_gone(
    another_process: ProcessPoolExecutor,
) -> None:
    with Store("gone", ManagerConnector()) as store:
        future: ProxyFuture[str] = store.future()
        pickled = pickle.dumps((future, future.proxy()))
    for message in (
        what_happens(pickled),
        another_process.submit(what_happens, pickled).result(60),
    ):
        assert "does not answer" in message
        assert "python -m connectors serve" in message


def test_unpickling_cannot_fail_and_use_says_that_the_memory_is_elsewhere(
    another_process: ProcessPoolExecutor,
) -> None:
    with Store("elsewhere", LocalConnector()) as store:
        future: ProxyFuture[str] = store.future()
        pickled = pickle.dumps((future, future.proxy()))
        message = another_process.submit(what_happens, pickled).result(60)
        assert "Use a FileConnector or a ManagerConnector" in message


# Closing


# Each use of a closed store, given the key of a value and a future that is done.
USES: dict[str, Callable[[Store, ProxyFuture[str]], object]] = {
    "put": lambda store, future: store.put("another"),
    "get": lambda store, future: store.get(future.key),
    "exists": lambda store, future: store.exists(future.key),
    "evict": lambda store, future: store.evict(future.key),
    "proxy": lambda store, future: store.proxy("another"),
    "result": lambda store, future: future.result(30),
    "exception": lambda store, future: future.exception(30),
    "done": lambda store, future: future.done(),
    "set_result": lambda store, future: future.set_result("another"),
    "set_exception": lambda store, future: future.set_exception(ValueError()),
    "to_concurrent": lambda store, future: future.to_concurrent().result(30),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "not cached"])
def test_a_closed_store_cannot_be_used(
    store: Store, use: Callable[[Store, ProxyFuture[str]], object], cached: bool
) -> None:
    future: ProxyFuture[str] = store.future()
    future.set_result("value")
    if cached:
        future.result()
    store.close()
    with pytest.raises(ConnectorError):
        use(store, future)


def test_a_proxy_that_was_not_resolved_in_time_says_that_the_store_is_closed(store: Store) -> None:
    early, late = store.proxy("early"), store.proxy("late")
    resolve(early)
    store.close()
    assert early == "early"
    with pytest.raises(ProxyResolveError) as caught:
        resolve(late)
    assert isinstance(caught.value.__cause__, ConnectorError)
    assert "closed" in str(caught.value.__cause__)


@pytest.mark.timeout(30)
def test_closing_wakes_whoever_waits(store: Store) -> None:
    futures: list[ProxyFuture[str]] = [store.future() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        waiters = [threads.submit(future.result) for future in futures]
        time.sleep(0.1)  # some wait already, others may come after the closing: all is well
        assert not any(waiter.done() for waiter in waiters)
        store.close()
        for waiter in waiters:
            assert isinstance(waiter.exception(20), ConnectorError)


def test_closing_twice_does_nothing(store: Store) -> None:
    store.close()
    store.close()


def test_a_with_block_closes_the_store_also_after_an_error(
    connector: WaitableConnector[Any],
) -> None:
    with pytest.raises(ZeroDivisionError), Store("block", connector) as store:
        assert store.put("value")
        raise ZeroDivisionError
    with pytest.raises(ConnectorError):
        store.put("value")


def test_a_closed_store_is_forgotten(store: Store) -> None:
    store.close()
    assert copied(store) is not store


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_of_the_same_name_can_be_opened_after_closing(kind: str, tmp_path: Path) -> None:
    def open_store() -> Store:
        return Store("again", open_connector(kind, tmp_path / "values"))

    with open_store() as closed:
        assert closed.get(closed.put("first")) == "first"
    with open_store() as store:
        assert copied(store) is store
        assert copied(store.proxy("second")) == "second"
        closed.close()  # once more, which must not disturb its successor
        assert copied(store) is store
        assert copied(store.proxy("third")) == "third"


def test_a_future_follows_its_store_to_the_successor_when_it_is_unpickled(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # a directory that was there before, so closing does not remove it
    with Store("again", FileConnector(tmp_path)) as closed:
        future: ProxyFuture[str] = closed.future()
        future.set_result("value")
    with Store("again", FileConnector(tmp_path)) as store:
        assert copied(future).result() == "value"
        assert store.get(future.key) == "value"


# Connectors of others


class PlainConnector:
    """A connector as somebody else may write it: the right shape, and nothing inherited."""

    _values: dict[tuple[str, int], bytes] = {}  # noqa: RUF012 (meant to be shared)

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_closed = False

    def put(self, obj: BytesLike) -> int:
        key = len(self._values)
        self._values[self.name, key] = bytes(obj)
        return key

    def get(self, key: int) -> bytes | None:
        return self._values.get((self.name, key))

    def exists(self, key: int) -> bool:
        return (self.name, key) in self._values

    def evict(self, key: int) -> None:
        self._values.pop((self.name, key), None)

    def put_batch(self, objs: Sequence[BytesLike]) -> list[int]:
        return [self.put(obj) for obj in objs]

    def get_batch(self, keys: Sequence[int]) -> list[BytesLike | None]:
        return [self.get(key) for key in keys]

    def config(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PlainConnector:
        return cls(**config)

    def close(self) -> None:
        self.is_closed = True


class PlainDeferrableConnector(PlainConnector):
    """It has keys that are filled later, but nobody is woken."""

    _count = 0

    def new_key(self, obj: BytesLike | None = None) -> int:
        self._count -= 1
        return self._count

    def set(self, key: int, obj: BytesLike) -> None:
        self._values[self.name, key] = bytes(obj)


@pytest.fixture
def plain_store() -> Iterator[Store]:
    with Store("plain", PlainConnector("plain")) as store:
        yield store


@pytest.fixture
def polled_store() -> Iterator[Store]:
    connector = PlainDeferrableConnector("polled")
    assert isinstance(connector, DeferrableConnector)
    assert not isinstance(connector, WaitableConnector)
    with Store("polled", connector) as store:
        yield store
    assert connector.is_closed
    PlainConnector._values.clear()


def test_any_class_of_the_right_shape_keeps_values(plain_store: Store) -> None:
    assert isinstance(plain_store.connector, Connector)
    key = plain_store.put([1])
    assert plain_store.exists(key)
    assert plain_store.get(key) is plain_store.get(key)
    assert plain_store.proxy_from_key(key) == [1]
    assert copied(plain_store) is plain_store
    assert copied(plain_store.proxy([2], evict=True)) == [2]
    plain_store.evict(key)
    assert plain_store.get(key, "gone") == "gone"


def test_futures_need_a_connector_that_is_deferrable(plain_store: Store) -> None:
    with pytest.raises(NotImplementedError) as caught:
        plain_store.future()
    assert "PlainConnector" in str(caught.value)
    assert "DeferrableConnector" in str(caught.value)
    assert "FileConnector" in str(caught.value)  # a remedy


def test_a_connector_that_cannot_wait_is_polled(polled_store: Store) -> None:
    future: ProxyFuture[str] = polled_store.future()
    proxy = copied(future).proxy()
    with ThreadPoolExecutor(3) as threads:
        waiters = [
            threads.submit(future.result),
            threads.submit(lambda: proxy.upper().lower()),
            threads.submit(future.to_concurrent().result),
        ]
        time.sleep(0.05)
        assert not any(waiter.done() for waiter in waiters)
        future.set_result("value")
        assert [waiter.result(30) for waiter in waiters] == ["value"] * 3


@pytest.mark.timeout(30)
@pytest.mark.parametrize("timeout", [0, 0.05])
def test_polling_ends_with_the_timeout(polled_store: Store, timeout: float) -> None:
    future: ProxyFuture[str] = polled_store.future()
    with pytest.raises(TimeoutError, match=f"within {timeout} seconds"):
        future.result(timeout)
    future.set_result("value")
    assert future.result(timeout) == "value"


@pytest.mark.timeout(30)
def test_polling_ends_with_the_store(polled_store: Store) -> None:
    future: ProxyFuture[str] = polled_store.future()
    follower = future.to_concurrent()
    with ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(future.result)
        time.sleep(0.05)
        assert not waiter.done()
        polled_store.close()
        for waiting in waiter, follower:
            error = waiting.exception(20)
            assert isinstance(error, ConnectorError)
            assert "closed" in str(error)


# Arguments


WRONG_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": 1}, TypeError, "name must be a string, not 1"),
    ({"name": b"store"}, TypeError, "name must be a string"),
    ({"name": None}, TypeError, "name must be a string"),
    ({"name": ""}, ValueError, "name"),
    ({"connector": None}, TypeError, "connector must be .* methods of a Connector"),
    ({"connector": "file"}, TypeError, "connector must be .* methods of a Connector"),
    ({"connector": {}}, TypeError, "connector must be .* methods of a Connector"),
    ({"connector": PlainConnector}, TypeError, "connector must be an object"),
    ({"serializer": "json"}, TypeError, "^serializer must be callable.*'json'"),
    ({"serializer": 0}, TypeError, "^serializer must be callable.*0"),
    ({"deserializer": json}, TypeError, "^deserializer must be callable.*module 'json'"),
    ({"deserializer": b""}, TypeError, "^deserializer must be callable.*b''"),
    ({"cache_size": -1}, ValueError, "cache_size must be 0 or a positive integer, not -1"),
    ({"cache_size": "16"}, TypeError, "cache_size must be"),
    ({"cache_size": 1.5}, TypeError, "cache_size must be"),
    ({"cache_size": None}, TypeError, "cache_size must be"),
]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    WRONG_ARGUMENTS,
    ids=[repr(row[0]) for row in WRONG_ARGUMENTS],
)
def test_wrong_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Store(**{"name": "store", "connector": LocalConnector(), **arguments})


@pytest.mark.parametrize("target_type", [list[int], "str", 1, (int, str), int | str], ids=repr)
def test_a_target_type_that_is_no_class_is_refused(store: Store, target_type: Any) -> None:
    with pytest.raises(TypeError, match="target_type must be a class"):
        store.future(target_type)
    with pytest.raises(TypeError, match="target_type must be a class"):
        store.proxy_from_key(store.put(1), target_type=target_type)


def test_options_are_passed_by_name() -> None:
    open_store: Callable[..., Store] = Store
    with pytest.raises(TypeError):
        open_store("store", LocalConnector(), to_json, json.loads)


def test_repr_names_the_store_and_its_connector(store: Store) -> None:
    assert repr(store) == f"Store('store', {store.connector!r})"
    assert type(store.connector).__name__ in repr(store)
