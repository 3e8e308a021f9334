"""How often a large value is copied, and that each consumer has memory of its own."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import resource
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connectors import Connector, ConnectorError, FileConnector, LocalConnector, ManagerConnector
from proxyfuture import ProxyFuture, SerializationError, Store

T = TypeVar("T")

SIZE = 10_000_000  # bytes


class Array:
    """Lends its memory to pickle, as the arrays of NumPy do."""

    def __init__(self, memory: Any) -> None:
        self.memory = memoryview(memory)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Array, (pickle.PickleBuffer(self.memory),)


class Text(bytearray):
    """Looks at the memory it is rebuilt from, as the example in pickle's documentation does."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Text.rebuilt, (pickle.PickleBuffer(self),)

    @classmethod
    def rebuilt(cls, buffer: Any) -> Text:
        owner: Any = memoryview(buffer).obj
        return owner if type(owner) is cls else cls(owner)


@pytest.fixture(params=["local", "file", "manager"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store without a cache: each get brings the value anew."""
    connectors: dict[str, Callable[[], Connector[Any]]] = {
        "local": LocalConnector,
        "file": lambda: FileConnector(tmp_path / "values"),
        "manager": ManagerConnector,
    }
    connector = connectors[request.param]()
    with Store("store", connector, cache_size=0) as store:
        yield store


def memory_for(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """Returns what `function` returns, and how much memory it needed at once, by `SIZE`.

    Counted is what Python allocates. Mapped memory of the operating system is not.
    """
    tracemalloc.start()
    try:
        result = function(*arguments)
        return result, tracemalloc.get_traced_memory()[1] / SIZE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, 100, 100_000, SIZE])
def test_an_array_arrives_in_memory_that_its_consumer_may_change(store: Store, size: int) -> None:
    key = store.put(Array(bytearray(size)))
    first = store.get(key)
    assert first.memory.nbytes == size
    first.memory[:] = b"x" * size
    assert store.get(key).memory == bytes(size)


def test_an_array_that_its_producer_may_not_change_arrives_as_such(store: Store) -> None:
    array = store.get(store.put(Array(b"constant")))
    assert (array.memory, array.memory.readonly) == (b"constant", True)


@pytest.mark.parametrize("size", [0, 11, 100_000])
def test_a_buffer_is_its_own_memory_and_not_a_part_of_other(store: Store, size: int) -> None:
    assert store.get(store.put([Text(b"x" * size), Text(b"y")])) == [b"x" * size, b"y"]


def test_arrays_within_a_value_arrive_with_the_rest(store: Store) -> None:
    sizes = [0, 1, 15, 16, 17, 0, 70_000, 3]
    value = {"arrays": [Array(bytearray([number]) * size) for number, size in enumerate(sizes)]}
    arrived = store.get(store.put(value))
    assert [array.memory for array in arrived["arrays"]] == [
        bytes([number]) * size for number, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("size", [8, 80_000])
def test_an_array_begins_where_the_processor_likes_it_to(store: Store, size: int) -> None:
    arrays = store.get(store.put([Array(bytearray(3)), Array(bytearray(size))]))
    for array in arrays:
        content = (ctypes.c_char * array.memory.nbytes).from_buffer(array.memory)
        assert ctypes.addressof(content) % 16 == 0


def test_an_array_arrives_as_the_result_of_a_future(store: Store) -> None:
    future: ProxyFuture[Array] = store.future(Array)
    proxy = future.proxy()
    future.set_result(Array(bytearray(b"result")))
    assert bytes(proxy.memory) == b"result"


def test_an_array_with_gaps_is_refused_as_pickle_refuses_it(store: Store) -> None:
    with pytest.raises(SerializationError, match="non-contiguous"):
        store.put(Array(memoryview(bytearray(10))[::2]))


@pytest.mark.parametrize("lost", [1, 16, 50, 120, 140])
def test_an_array_that_is_truncated_is_an_error(tmp_path: Path, lost: int) -> None:
    with Store("store", FileConnector(tmp_path / "values")) as store:
        key = store.put([Array(bytearray(30)), Array(bytearray(100))])
        file = tmp_path / "values" / key.id
        file.write_bytes(file.read_bytes()[:-lost])
        with pytest.raises(SerializationError, match="damaged"):
            store.get(key)


def test_serializing_an_array_copies_it_once() -> None:
    # And nothing else does, since a file or the server's memory is not Python's.
    with Store("store", ManagerConnector(), cache_size=0) as store:
        _, memory = memory_for(store.put, Array(bytearray(SIZE)))
    assert 1 <= memory < 1.1


@pytest.mark.parametrize(
    ("store", "copies"),
    [("local", 1), ("file", 1), ("manager", 0 if sys.version_info >= (3, 13) else 1)],
    indirect=["store"],
)
def test_an_array_is_copied_into_the_memory_of_its_consumer_and_no_further(
    store: Store, copies: int
) -> None:
    key = store.put(Array(bytearray(SIZE)))
    array, memory = memory_for(store.get, key)
    assert array.memory.nbytes == SIZE
    assert copies <= memory < copies + 0.1


def test_what_the_manager_hands_over_outlives_the_value_and_the_server() -> None:
    with Store("store", ManagerConnector()) as store:
        key = store.put(Array(bytearray(b"x") * SIZE))
        array = store.get(key)
        store.evict(key)
    with pytest.raises(ConnectorError):
        store.get(key)
    assert bytes(array.memory[-3:]) == b"xxx"


def arrays_held_with_few_open_files(count: int) -> int:
    """Returns how many arrays a process can hold that may open hardly more files."""
    with Store("store", ManagerConnector(), cache_size=0) as store:
        key = store.put(Array(bytearray(100_000)))
        open_files = len(os.listdir("/dev/fd"))
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files + 10, most))
        return len([store.get(key) for _ in range(count)])


def test_a_process_can_hold_more_arrays_than_it_may_open_files() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        assert process.submit(arrays_held_with_few_open_files, 100).result(60) == 100
