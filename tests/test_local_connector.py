"""LocalConnector keeps values for the threads of one process, and says so in any other."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance import LIMIT, SETTLING, in_thread

from connectors import ConnectorError, LocalConnector, LocalKey

USES: list[Callable[[LocalConnector, LocalKey], object]] = [
    lambda connector, key: connector.put(b"value"),
    lambda connector, key: connector.get(key),
    lambda connector, key: connector.exists(key),
    lambda connector, key: connector.evict(key),
    lambda connector, key: connector.set(key, b"value"),
    lambda connector, key: connector.wait(key),
    lambda connector, key: connector.wait(key, 0),
]


@pytest.fixture
def connector() -> Iterator[LocalConnector]:
    with LocalConnector() as connector:
        yield connector


def call_in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process with one thread, which can be forked without a warning."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(function, arguments).get(LIMIT)


# In another process


def complaints(connector: LocalConnector, key: LocalKey) -> list[str]:
    """Returns what each use of the connector raises, here where it cannot be used."""
    texts = []
    for use in USES:
        with pytest.raises(ConnectorError) as caught:
            use(connector, key)
        texts.append(str(caught.value))
    return texts


def complaints_after_fork(waiting: bool, working: bool) -> list[str]:
    connector, unset = LocalConnector(), LocalKey("0" * 32)
    if waiting:
        in_thread(connector.wait, unset)
        time.sleep(SETTLING)
    if working:  # so that at some fork the child inherits a lock that nobody will release
        for _ in range(2):
            in_thread(work_for_ever, connector)
    return [text for _ in range(20) for text in in_forked_child(complaints, connector, unset)]


def work_for_ever(connector: LocalConnector) -> None:
    while True:
        connector.evict(connector.put(b"value"))


def in_forked_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a forked child, and returns what it returned there."""
    readable, writable = os.pipe()
    if os.fork() == 0:
        signal.alarm(int(LIMIT))  # ends the child, should it block
        try:
            os.write(writable, pickle.dumps(function(*arguments)))
        finally:
            os._exit(0)  # the child must not go on with the parent's work
    os.close(writable)
    with open(readable, "rb") as pipe:
        answer: Any = pickle.load(pipe)
    os.wait()
    return answer


@pytest.mark.parametrize("waiting", [False, True], ids=["", "another-thread-waits"])
@pytest.mark.parametrize("working", [False, True], ids=["", "other-threads-work"])
def test_every_use_after_a_fork_names_the_connectors_that_would_work(
    waiting: bool, working: bool
) -> None:
    texts = call_in_new_process(complaints_after_fork, waiting, working)
    assert len(texts) == 20 * len(USES)
    assert all("FileConnector" in text and "ManagerConnector" in text for text in texts)


def test_every_use_of_a_pickled_copy_elsewhere_names_the_connectors_that_would_work(
    connector: LocalConnector,
) -> None:
    texts = call_in_new_process(complaints, connector, connector.put(b"value"))
    assert all("FileConnector" in text and "ManagerConnector" in text for text in texts)


def value_after_child_closed() -> tuple[bytes | None, bytes | None]:
    connector = LocalConnector()
    key, unset = connector.put(b"value"), connector.new_key()
    waiter = in_thread(connector.wait, unset)
    time.sleep(SETTLING)
    in_forked_child(connector.close)
    connector.set(unset, b"awaited")
    return connector.get(key), waiter.result(LIMIT)


def test_a_forked_child_that_closes_it_leaves_the_parent_alone() -> None:
    assert call_in_new_process(value_after_child_closed) == (b"value", b"awaited")


def test_a_pickled_copy_elsewhere_can_be_looked_at_and_closed(connector: LocalConnector) -> None:
    assert "LocalConnector" in call_in_new_process(repr, connector)
    call_in_new_process(LocalConnector.close, connector)
    assert connector.put(b"value")


# In this process


def test_a_pickled_copy_in_the_same_process_is_the_connector_itself(
    connector: LocalConnector,
) -> None:
    assert pickle.loads(pickle.dumps(connector)) is connector
    assert LocalConnector.from_config(connector.config()) is connector


def test_two_connectors_share_nothing(connector: LocalConnector) -> None:
    with LocalConnector() as other:
        assert other.get(connector.put(b"value")) is None


def test_bytes_are_kept_without_a_copy(connector: LocalConnector) -> None:
    value = b"value" * 1000
    assert connector.get(connector.put(value)) is value


def test_a_connector_that_nobody_holds_is_gone_with_its_values() -> None:
    connector = LocalConnector()
    connector.put(b"value")
    gone = weakref.ref(connector)
    del connector
    gc.collect()
    assert gone() is None


def test_abandoned_waits_leave_nothing_behind(connector: LocalConnector) -> None:
    def abandon(times: int) -> None:
        for _ in range(times):
            assert connector.wait(connector.new_key(), 0) is None

    assert memory_growth(abandon) < 50_000


def test_abandoned_waits_for_a_key_that_others_wait_for_leave_nothing_behind(
    connector: LocalConnector,
) -> None:
    key = connector.new_key()
    waiter = in_thread(connector.wait, key)
    time.sleep(SETTLING)

    def abandon(times: int) -> None:
        for _ in range(times):
            assert connector.wait(key, 0) is None

    assert memory_growth(abandon) < 50_000
    connector.set(key, b"value")
    assert waiter.result(LIMIT) == b"value"


def test_a_finalizer_may_set_a_value_at_any_moment(connector: LocalConnector) -> None:
    """Finalizers and signal handlers run between any two lines: here, between all of them."""
    keys = []

    def finalize(*_: object) -> Any:
        keys.append(connector.put(b"The task was lost."))
        return finalize

    def use_connector() -> None:
        key = connector.new_key()
        sys.settrace(finalize)
        try:
            assert connector.wait(key, 0) is None
            connector.set(key, b"value")
            assert connector.wait(key) == b"value"
            connector.evict(key)
        finally:
            sys.settrace(None)

    in_thread(use_connector).result(LIMIT)
    assert len(keys) > 20
    assert all(connector.exists(key) for key in keys)


def test_evicted_values_leave_nothing_behind(connector: LocalConnector) -> None:
    def evict(times: int) -> None:
        for _ in range(times):
            connector.evict(connector.put(bytearray(1000)))

    assert memory_growth(evict) < 50_000


def memory_growth(work: Callable[[int], None]) -> int:
    """Returns how many bytes more are in use after 2,000 times."""
    work(100)  # what is only made once is no growth
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work(2_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Lets threads run in turn so often that a race between them is likely to be lost."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_threads_may_close_it_at_the_same_time() -> None:
    for _ in range(500):
        connector = LocalConnector()
        waiters = [in_thread(connector.wait, connector.new_key()) for _ in range(2)]
        start = threading.Barrier(4)

        def close(connector: LocalConnector = connector, start: threading.Barrier = start) -> None:
            start.wait(LIMIT)
            connector.close()

        for closer in [in_thread(close) for _ in range(4)]:
            closer.result(LIMIT)
        for waiter in waiters:
            with pytest.raises(ConnectorError):
                waiter.result(LIMIT)
