"""The conformance suite: what a connector promises, whoever wrote it.

Point it at your own connector. Choose the class for the last of the three steps it takes:

    class TestMyConnector(WaitableConformance):
        @pytest.fixture
        def connector(self) -> Iterator[MyConnector]:
            connector = MyConnector()
            yield connector
            connector.close()

Each test gets a connector of its own. A connector for one process only says so, with
`crosses_processes = False` in the class.
"""

from __future__ import annotations

import multiprocessing
import pickle
import random
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from connectors import (
    AlreadySetError,
    BytesLike,
    Connector,
    ConnectorError,
    DeferrableConnector,
    InvalidKeyError,
    WaitableConnector,
)

T = TypeVar("T")

# Seconds after which something counts as never happening: ample, for a busy machine.
LIMIT = 20.0

# Seconds to give a thread or process that is about to block. If one should need longer, a test
# sees less of what it is after, but does not fail.
SETTLING = 0.1

LARGE = 5_000_000


def some_bytes(size: int) -> bytes:
    """Returns bytes without a pattern, so that lost or exchanged parts are noticed."""
    return random.Random(size).randbytes(size)


def in_thread(function: Callable[..., T], *arguments: Any) -> Future[T]:
    """Calls `function` in a thread of its own, and returns a future of what it returns.

    The thread is a daemon: if it should block for ever, the test run can end nevertheless.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def is_stored(connector: Connector[Any], key: Any, value: BytesLike) -> bool:
    """Tells whether `value` can be had. No `assert` compares large values: it would show them."""
    found = connector.get(key)
    return found is not None and bytes(found) == bytes(value)


def bytes_waited_for(connector: WaitableConnector[Any], key: Any) -> bytes:
    """Returns what `wait` does, as bytes: these can be pickled, and a memoryview cannot."""
    return bytes(connector.wait(key) or b"")


class ConnectorConformance:
    """What every `Connector` promises: it keeps values."""

    crosses_processes = True

    @pytest.fixture(scope="class")
    @classmethod
    def elsewhere(cls) -> Iterator[Callable[..., Any]]:
        """Calls a function in a process that has nothing but what was pickled to it."""
        if not cls.crosses_processes:
            pytest.skip("for one process only")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            yield lambda function, *arguments: pool.apply_async(function, arguments).get(LIMIT)

    def test_has_the_methods_of_a_connector(self, connector: Connector[Any]) -> None:
        assert isinstance(connector, Connector)

    # 64 KiB: a usual size for buffers, so a connector may go other ways from there on
    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000, LARGE])
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_returns_the_bytes_that_were_put(
        self, connector: Connector[Any], kind: Callable[[bytes], BytesLike], size: int
    ) -> None:
        value = some_bytes(size)
        key = connector.put(kind(value))
        found = connector.get(key)
        assert isinstance(found, BytesLike)
        assert len(found) == size
        assert is_stored(connector, key, value)

    @pytest.mark.parametrize("size", [8, 800_000])
    @pytest.mark.parametrize(
        "view",
        [
            pytest.param(lambda value: memoryview(value)[::2], id="every-second-byte"),
            pytest.param(lambda value: memoryview(value)[::-1], id="backwards"),
            pytest.param(lambda value: memoryview(array("d", value)), id="of-floats"),
            pytest.param(lambda value: memoryview(value).cast("B", [2, len(value) // 2]), id="2d"),
        ],
    )
    def test_takes_a_view_of_any_layout(
        self, connector: Connector[Any], view: Callable[[bytes], memoryview], size: int
    ) -> None:
        value = view(some_bytes(size))
        assert is_stored(connector, connector.put(value), value.tobytes())

    def test_later_changes_of_a_value_do_not_reach_the_store(
        self, connector: Connector[Any]
    ) -> None:
        value = bytearray(b"before")
        key = connector.put(value)
        value[:] = b"after!"
        assert is_stored(connector, key, b"before")

    @pytest.mark.parametrize("size", [8, 800_000])
    def test_bytes_that_can_be_changed_are_their_readers_own(
        self, connector: Connector[Any], size: int
    ) -> None:
        key = connector.put(some_bytes(size))
        found = connector.get(key)
        assert found is not None
        view = memoryview(found)
        if not view.readonly:
            view[:] = bytes(size)
        assert is_stored(connector, key, some_bytes(size))

    def test_the_same_value_can_be_read_many_times(self, connector: Connector[Any]) -> None:
        key = connector.put(b"value")
        assert all(is_stored(connector, key, b"value") for _ in range(3))

    def test_tells_what_exists(self, connector: Connector[Any]) -> None:
        key = connector.put(b"")
        assert connector.exists(key) is True
        connector.evict(key)
        assert connector.exists(key) is False

    def test_forgets_an_evicted_value_and_no_other(self, connector: Connector[Any]) -> None:
        key, other = connector.put(b"value"), connector.put(b"other")
        connector.evict(key)
        assert connector.get(key) is None
        assert is_stored(connector, other, b"other")

    def test_evicting_twice_is_fine(self, connector: Connector[Any]) -> None:
        key = connector.put(b"value")
        connector.evict(key)
        connector.evict(key)
        assert connector.get(key) is None

    def test_batches_keep_their_order(self, connector: Connector[Any]) -> None:
        values: list[BytesLike] = [
            b"first",
            bytearray(b"second"),
            memoryview(b"third"),
            b"",
            some_bytes(100_000),
        ]
        keys = connector.put_batch(values)
        assert isinstance(keys, list)
        assert connector.get_batch(keys) == values
        assert connector.get_batch(keys[::-1]) == values[::-1]

    def test_a_batch_has_none_for_what_is_not_set(self, connector: Connector[Any]) -> None:
        keys = connector.put_batch([b"first", b"second", b"third"])
        connector.evict(keys[1])
        assert connector.get_batch(keys) == [b"first", None, b"third"]

    def test_batches_may_be_empty(self, connector: Connector[Any]) -> None:
        assert connector.put_batch([]) == []
        assert connector.get_batch([]) == []

    def test_every_value_has_a_fresh_key(self, connector: Connector[Any]) -> None:
        keys = [connector.put(b"same") for _ in range(50)] + connector.put_batch([b"same"] * 50)
        assert len(set(keys)) == 100

    def test_threads_can_share_it(self, connector: Connector[Any]) -> None:
        def put_and_get(thread: int) -> bool:
            values = [f"{thread}: {count}".encode() for count in range(50)]
            keys = [connector.put(value) for value in values]
            return all(map(is_stored, [connector] * 50, keys, values))

        assert all(
            [future.result(LIMIT) for future in [in_thread(put_and_get, i) for i in "abcdefgh"]]
        )

    def test_a_pickled_key_is_the_same_key(self, connector: Connector[Any]) -> None:
        key = connector.put(b"value")
        copy = pickle.loads(pickle.dumps(key))
        assert copy == key
        assert hash(copy) == hash(key)  # a store's cache is a dict with the keys as its keys
        assert is_stored(connector, copy, b"value")

    def test_a_pickled_copy_reaches_the_same_values(self, connector: Connector[Any]) -> None:
        copy = pickle.loads(pickle.dumps(connector))
        assert type(copy) is type(connector)
        assert is_stored(copy, connector.put(b"original"), b"original")
        assert is_stored(connector, copy.put(b"copy"), b"copy")

    def test_its_config_leads_to_the_same_values(self, connector: Connector[Any]) -> None:
        config = connector.config()
        assert isinstance(config, dict)
        copy = type(connector).from_config(pickle.loads(pickle.dumps(config)))
        assert copy.config() == config
        assert is_stored(copy, connector.put(b"original"), b"original")
        assert is_stored(connector, copy.put(b"copy"), b"copy")

    def test_a_copy_in_another_process_reaches_the_same_values(
        self, connector: Connector[Any], elsewhere: Callable[..., Any]
    ) -> None:
        key = connector.put(b"from here")
        assert elsewhere(connector.get, key) == b"from here"
        key = elsewhere(connector.put, b"from there")
        assert is_stored(connector, key, b"from there")
        elsewhere(connector.evict, key)
        assert not connector.exists(key)

    def test_large_values_reach_another_process(
        self, connector: Connector[Any], elsewhere: Callable[..., Any]
    ) -> None:
        value = some_bytes(LARGE)
        assert elsewhere(is_stored, connector, connector.put(value), value)
        assert is_stored(connector, elsewhere(connector.put, value), value)

    @pytest.mark.parametrize("method", ["get", "exists", "evict"])
    @pytest.mark.parametrize(
        "key", [None, 42, "../../etc/passwd", ("../../etc/passwd",), b"key", []], ids=repr
    )
    def test_refuses_what_is_not_a_key(
        self, connector: Connector[Any], method: str, key: object
    ) -> None:
        with pytest.raises(InvalidKeyError):
            getattr(connector, method)(key)

    def test_does_nothing_after_close(self, connector: Connector[Any]) -> None:
        key = connector.put(b"value")
        connector.close()
        for use in (
            lambda: connector.put(b"value"),
            lambda: connector.get(key),
            lambda: connector.exists(key),
            lambda: connector.evict(key),
            lambda: connector.put_batch([b"value"]),
            lambda: connector.get_batch([key]),
        ):
            with pytest.raises(ConnectorError):
                use()

    def test_closing_twice_is_fine(self, connector: Connector[Any]) -> None:
        connector.close()
        connector.close()

    def test_a_closed_connector_can_be_looked_at_and_pickled(
        self, connector: Connector[Any]
    ) -> None:
        connector.close()
        assert type(connector).__name__ in repr(connector)
        assert type(pickle.loads(pickle.dumps(connector))) is type(connector)


class DeferrableConformance(ConnectorConformance):
    """What a `DeferrableConnector` promises: its keys are handed out first, and set once."""

    def test_has_the_methods_of_a_deferrable_connector(
        self, connector: DeferrableConnector[Any]
    ) -> None:
        assert isinstance(connector, DeferrableConnector)

    @pytest.mark.parametrize("hint", [(), (b"value",)], ids=["no-hint", "hint"])
    def test_a_new_key_holds_nothing(
        self, connector: DeferrableConnector[Any], hint: tuple[bytes, ...]
    ) -> None:
        key = connector.new_key(*hint)
        assert connector.get(key) is None
        assert connector.exists(key) is False
        assert connector.get_batch([key]) == [None]
        connector.evict(key)

    def test_new_keys_are_fresh(self, connector: DeferrableConnector[Any]) -> None:
        assert len({connector.new_key() for _ in range(100)}) == 100

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000, LARGE])
    def test_a_key_is_set_later(
        self,
        connector: DeferrableConnector[Any],
        kind: Callable[[bytes], BytesLike],
        size: int,
    ) -> None:
        key = connector.new_key()
        value = some_bytes(size)
        connector.set(key, kind(value))
        assert connector.exists(key)
        assert is_stored(connector, key, value)

    def test_later_changes_of_a_set_value_do_not_reach_the_store(
        self, connector: DeferrableConnector[Any]
    ) -> None:
        key, value = connector.new_key(), bytearray(b"before")
        connector.set(key, value)
        value[:] = b"after!"
        assert is_stored(connector, key, b"before")

    def test_an_evicted_new_key_can_be_set(self, connector: DeferrableConnector[Any]) -> None:
        key = connector.new_key()
        connector.evict(key)
        connector.set(key, b"value")
        assert is_stored(connector, key, b"value")

    def test_another_process_sets_a_key(
        self, connector: DeferrableConnector[Any], elsewhere: Callable[..., Any]
    ) -> None:
        key = connector.new_key()
        elsewhere(connector.set, key, b"from there")
        assert is_stored(connector, key, b"from there")
        key = elsewhere(connector.new_key)
        connector.set(key, b"from here")
        assert elsewhere(connector.get, key) == b"from here"

    @pytest.mark.parametrize("size", [0, 1, LARGE])
    def test_a_key_is_set_once(self, connector: DeferrableConnector[Any], size: int) -> None:
        key, first = connector.new_key(), some_bytes(size)
        connector.set(key, first)
        for second in (first, b"second", b"", some_bytes(LARGE + 1)):
            with pytest.raises(AlreadySetError):
                connector.set(key, second)
            assert is_stored(connector, key, first)

    def test_what_was_put_is_set(self, connector: DeferrableConnector[Any]) -> None:
        key = connector.put(b"first")
        with pytest.raises(AlreadySetError):
            connector.set(key, b"second")
        assert is_stored(connector, key, b"first")

    def test_a_copy_cannot_set_a_key_again(self, connector: DeferrableConnector[Any]) -> None:
        key, copy = connector.new_key(), pickle.loads(pickle.dumps(connector))
        connector.set(key, b"first")
        with pytest.raises(AlreadySetError):
            copy.set(key, b"second")
        assert is_stored(connector, key, b"first")

    def test_setting_twice_is_a_connector_error(self) -> None:
        assert issubclass(AlreadySetError, ConnectorError)

    def test_works_on_after_a_key_was_set_twice(self, connector: DeferrableConnector[Any]) -> None:
        key = connector.put(b"first")
        with pytest.raises(AlreadySetError):
            connector.set(key, b"second")
        other = connector.new_key()
        connector.set(other, b"other")
        assert is_stored(connector, other, b"other")

    @pytest.mark.parametrize("size", [10, 100_000])
    def test_of_racing_threads_exactly_one_wins(
        self, connector: DeferrableConnector[Any], size: int
    ) -> None:
        values = [bytes([number]) * size for number in range(8)]
        start = threading.Barrier(len(values))

        def race(key: Any, value: bytes) -> bytes | None:
            start.wait(LIMIT)
            return value if sets_first(connector, key, value) else None

        for _ in range(10):
            key = connector.new_key()
            racers = [in_thread(race, key, value) for value in values]
            winners = [value for racer in racers if (value := racer.result(LIMIT)) is not None]
            assert len(winners) == 1
            assert is_stored(connector, key, winners[0])

    def test_of_racing_processes_exactly_one_wins(
        self, connector: DeferrableConnector[Any], elsewhere: Callable[..., Any]
    ) -> None:
        keys = [connector.new_key() for _ in range(300)]
        start = connector.new_key()
        there = in_thread(elsewhere, keys_set_first, connector, start, keys, b"there")
        here = keys_set_first(connector, start, keys, b"here")
        winners = {b"here": here, b"there": there.result(LIMIT)}
        assert len(winners[b"here"]) + len(winners[b"there"]) == len(keys)
        for value, won in winners.items():
            assert all(is_stored(connector, key, value) for key in won)

    def test_a_racing_reader_sees_nothing_or_the_whole(
        self, connector: DeferrableConnector[Any]
    ) -> None:
        value = some_bytes(LARGE)

        def first_seen(key: Any) -> BytesLike:
            while True:
                existed = connector.exists(key)
                if (found := connector.get(key)) is not None:
                    return found
                assert not existed

        for _ in range(5):
            key = connector.new_key()
            readers = [in_thread(first_seen, key) for _ in range(2)]
            connector.set(key, value)
            assert all([reader.result(LIMIT) == value for reader in readers])

    @pytest.mark.parametrize("key", [None, "../../etc/passwd", ("../../etc/passwd",)], ids=repr)
    def test_refuses_to_set_what_is_not_a_key(
        self, connector: DeferrableConnector[Any], key: object
    ) -> None:
        with pytest.raises(InvalidKeyError):
            connector.set(key, b"value")

    def test_sets_nothing_after_close(self, connector: DeferrableConnector[Any]) -> None:
        key = connector.new_key()
        connector.close()
        with pytest.raises(ConnectorError):
            connector.set(key, b"value")


def sets_first(connector: DeferrableConnector[Any], key: Any, value: bytes) -> bool:
    """Tries to set `key`, and tells whether it was the first to do so."""
    try:
        connector.set(key, value)
    except AlreadySetError:
        return False
    return True


def keys_set_first(
    connector: DeferrableConnector[Any], start: Any, keys: list[Any], value: bytes
) -> list[Any]:
    """Tries to set all the keys, once another one does the same, and returns those it won."""
    if sets_first(connector, start, b"one is ready"):
        while connector.exists(start):
            time.sleep(0.0001)
    else:
        connector.evict(start)
    return [key for key in keys if sets_first(connector, key, value)]


class WaitableConformance(DeferrableConformance):
    """What a `WaitableConnector` promises: it wakes whoever waits, with the value."""

    def test_has_the_methods_of_a_waitable_connector(
        self, connector: WaitableConnector[Any]
    ) -> None:
        assert isinstance(connector, WaitableConnector)

    @pytest.mark.parametrize("timeout", [None, LIMIT, 0, 0.0])
    def test_returns_what_is_set_already(
        self, connector: WaitableConnector[Any], timeout: float | None
    ) -> None:
        key = connector.put(b"value")
        assert connector.wait(key, timeout) == b"value"

    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000, LARGE])
    def test_returns_what_is_set_while_it_waits(
        self, connector: WaitableConnector[Any], size: int
    ) -> None:
        key, value = connector.new_key(), some_bytes(size)
        waiter = in_thread(connector.wait, key)
        time.sleep(SETTLING)
        assert not waiter.done()
        connector.set(key, value)
        found = waiter.result(LIMIT)
        assert isinstance(found, BytesLike)
        assert (found == value) is True
        assert is_stored(connector, key, value)

    @pytest.mark.parametrize("timeout", [0, 0.0, 0.001, 0.2, True])
    def test_returns_none_after_the_timeout(
        self, connector: WaitableConnector[Any], timeout: float
    ) -> None:
        start = time.monotonic()
        assert connector.wait(connector.new_key(), timeout) is None
        assert timeout * 0.9 <= time.monotonic() - start < timeout + LIMIT / 4

    @pytest.mark.parametrize("timeout", [1e300, float("inf")])
    def test_a_timeout_may_be_longer_than_the_system_can_wait(
        self, connector: WaitableConnector[Any], timeout: float
    ) -> None:
        key = connector.new_key()
        waiter = in_thread(connector.wait, key, timeout)
        time.sleep(SETTLING)
        connector.set(key, b"value")
        assert waiter.result(LIMIT) == b"value"

    @pytest.mark.parametrize(
        ("timeout", "error"),
        [
            (-1, ValueError),
            (-0.001, ValueError),
            (float("nan"), ValueError),
            ("1", TypeError),
            ([], TypeError),
        ],
    )
    @pytest.mark.parametrize("is_set", [True, False], ids=["set", "not-set"])
    def test_refuses_a_timeout_that_makes_no_sense(
        self,
        connector: WaitableConnector[Any],
        timeout: Any,
        error: type[Exception],
        is_set: bool,
    ) -> None:
        key = connector.put(b"value") if is_set else connector.new_key()
        with pytest.raises(error, match="timeout"):
            connector.wait(key, timeout)

    def test_after_a_timeout_every_wait_gets_its_own_answer(
        self, connector: WaitableConnector[Any]
    ) -> None:
        first, second, third = (connector.new_key() for _ in range(3))
        assert connector.wait(first, 0.01) is None
        connector.set(first, b"first")
        connector.set(third, b"third")
        assert connector.wait(third, LIMIT) == b"third"
        assert connector.wait(second, 0.01) is None
        assert connector.wait(first, LIMIT) == b"first"
        assert connector.get(third) == b"third"

    def test_all_waiters_of_a_key_get_it(self, connector: WaitableConnector[Any]) -> None:
        key = connector.new_key()
        waiters = [in_thread(connector.wait, key) for _ in range(20)]
        time.sleep(SETTLING)
        connector.set(key, b"value")
        assert [waiter.result(LIMIT) for waiter in waiters] == [b"value"] * 20

    def test_leaves_the_waiters_of_other_keys_alone(
        self, connector: WaitableConnector[Any]
    ) -> None:
        key, other = connector.new_key(), connector.new_key()
        waiter, bystander = in_thread(connector.wait, key), in_thread(connector.wait, other)
        time.sleep(SETTLING)
        connector.set(key, b"value")
        assert waiter.result(LIMIT) == b"value"
        time.sleep(SETTLING)
        assert not bystander.done()
        connector.set(other, b"other")
        assert bystander.result(LIMIT) == b"other"

    def test_many_waiters_get_their_own_values(self, connector: WaitableConnector[Any]) -> None:
        values = {connector.new_key(): f"value {number}".encode() for number in range(40)}
        waiters = {key: in_thread(connector.wait, key) for key in values}
        in_random_order = random.Random(0).sample(list(values), len(values))
        for key in in_random_order:
            connector.set(key, values[key])
        assert {key: waiter.result(LIMIT) for key, waiter in waiters.items()} == values

    def test_a_waiter_that_gives_up_does_not_end_the_waits_of_others(
        self, connector: WaitableConnector[Any]
    ) -> None:
        key = connector.new_key()
        patient = in_thread(connector.wait, key)
        assert connector.wait(key, SETTLING) is None
        assert not patient.done()
        connector.set(key, b"value")
        assert patient.result(LIMIT) == b"value"

    def test_a_wait_outlasts_the_eviction_of_nothing(
        self, connector: WaitableConnector[Any]
    ) -> None:
        key = connector.new_key()
        waiter = in_thread(connector.wait, key)
        time.sleep(SETTLING)
        connector.evict(key)
        connector.set(key, b"value")
        assert waiter.result(LIMIT) == b"value"

    def test_a_copy_wakes_the_waiter(self, connector: WaitableConnector[Any]) -> None:
        key, copy = connector.new_key(), pickle.loads(pickle.dumps(connector))
        waiter = in_thread(copy.wait, key)
        time.sleep(SETTLING)
        connector.set(key, b"value")
        assert waiter.result(LIMIT) == b"value"

    @pytest.mark.parametrize("size", [1, LARGE])
    def test_another_process_is_woken(
        self, connector: WaitableConnector[Any], elsewhere: Callable[..., Any], size: int
    ) -> None:
        key, value = connector.new_key(), some_bytes(size)
        waiter = in_thread(elsewhere, bytes_waited_for, connector, key)
        time.sleep(SETTLING)
        connector.set(key, value)
        assert (waiter.result(LIMIT) == value) is True

    @pytest.mark.parametrize("size", [1, LARGE])
    def test_another_process_wakes_the_waiter(
        self, connector: WaitableConnector[Any], elsewhere: Callable[..., Any], size: int
    ) -> None:
        key, value = connector.new_key(), some_bytes(size)
        waiter = in_thread(connector.wait, key)
        time.sleep(SETTLING)
        elsewhere(connector.set, key, value)
        assert (waiter.result(LIMIT) == value) is True

    def test_close_ends_the_waits_of_other_threads(self, connector: WaitableConnector[Any]) -> None:
        key, other = connector.new_key(), connector.new_key()
        waits = [(key, None), (key, 1000), (other, None), (other, 1000)]
        waiters = [in_thread(connector.wait, *wait) for wait in waits]
        time.sleep(SETTLING)
        connector.close()
        for waiter in waiters:
            with pytest.raises(ConnectorError):
                waiter.result(LIMIT)

    @pytest.mark.parametrize("timeout", [None, 0, 1])
    def test_waits_for_nothing_after_close(
        self, connector: WaitableConnector[Any], timeout: float | None
    ) -> None:
        key = connector.new_key()
        connector.close()
        with pytest.raises(ConnectorError):
            connector.wait(key, timeout)

    @pytest.mark.parametrize("key", [None, "../../etc/passwd", ("../../etc/passwd",)], ids=repr)
    def test_refuses_to_wait_for_what_is_not_a_key(
        self, connector: WaitableConnector[Any], key: object
    ) -> None:
        with pytest.raises(InvalidKeyError):
            connector.wait(key, 0)
