"""LocalConnector keeps values for the threads of one process, and says so in any other."""

from __future__ import annotations

import gc
import pickle
import sys
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance import LIMIT, SETTLING, in_thread, uses
from support import in_forked_child, needs_fork

from connectors import ConnectorError, LocalConnector, LocalKey


@pytest.fixture
def connector() -> Iterator[LocalConnector]:
    with LocalConnector() as connector:
        yield connector


# In another process


def names_the_remedy(connector: LocalConnector, key: LocalKey) -> bool:
    """Tells whether each use of the connector, here where it cannot be used, says what would do."""
    for use in (lambda: connector.put(b"value"), *uses(connector, key)):
        with pytest.raises(ConnectorError, match=r"(?s)ManagerConnector.*FileConnector"):
            use()
    return True


def forked_children_are_told() -> bool:
    connector, unset = LocalConnector(), LocalKey("0" * 32)

    def work_until_closed() -> None:
        while True:
            connector.evict(connector.put(b"value"))

    with connector:
        in_thread(connector.wait, unset)
        for _ in range(2):  # so that at some fork the child inherits a lock nobody will release
            in_thread(work_until_closed)
        time.sleep(SETTLING)
        return all([in_forked_child(names_the_remedy, connector, unset) for _ in range(10)])


@needs_fork
def test_after_a_fork_every_use_names_the_connectors_that_would_do_whatever_other_threads_do(
    elsewhere: Callable[..., Any],
) -> None:
    assert elsewhere(forked_children_are_told)


def test_a_pickled_copy_elsewhere_names_the_connectors_that_would_do_and_can_be_closed(
    connector: LocalConnector, elsewhere: Callable[..., Any]
) -> None:
    key = connector.put(b"value")
    assert elsewhere(repr, connector) == repr(connector)
    assert elsewhere(names_the_remedy, connector, key)
    elsewhere(LocalConnector.close, connector)
    assert connector.get(key) == b"value"


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


def test_waits_given_up_and_evicted_values_leave_nothing_behind(connector: LocalConnector) -> None:
    awaited = connector.new_key()
    waiter = in_thread(connector.wait, awaited)

    def use(times: int) -> int:
        """Returns how many bytes of memory are in use then."""
        for _ in range(times):
            assert connector.wait(connector.new_key(), 0) is connector.wait(awaited, 0) is None
            connector.evict(connector.put(bytearray(1000)))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = use(100)  # what is made only once is no growth
        assert use(1000) - before < 50_000
    finally:
        tracemalloc.stop()
    connector.set(awaited, b"value")
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
