"""The conformance suite: what a connector promises, no matter who wrote it.

Point it at your own connector. Choose the class for the last of the three steps it takes:

    class TestMyConnector(WaitableConformance):
        @pytest.fixture
        def connector(self) -> Iterator[MyConnector]:
            connector = MyConnector()
            yield connector
            connector.close()

Each test gets a connector of its own. If it takes long to open one, give `connector` the scope of
the class, so that the tests share it; and write a second fixture, `fresh_connector`, which opens
one for each of the few tests that close theirs.

A connector for one process only says so, with `crosses_processes = False` in the class.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import random
import threading
import time
import warnings
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
SETTLING = 0.05

LARGE = 5_000_000

NO_KEYS: list[Any] = [None, 42, "../../etc/passwd", ("../../etc/passwd",), []]


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


@contextlib.contextmanager
def another_process(method: str = "spawn") -> Iterator[Callable[..., Any]]:
    """Starts a process, and provides what calls functions there, one after the other."""
    context: Any = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=answer_calls, args=(there,), daemon=True)
    with warnings.catch_warnings():  # Python warns of a fork while other threads run
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    there.close()

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        here.send((function, arguments))
        if not here.poll(LIMIT):
            raise TimeoutError(f"{function} takes too long.")
        result, error = here.recv()
        if error is not None:
            raise error
        return result

    with here:
        yield call
        process.kill()
        process.join(LIMIT)
        process.close()


def answer_calls(pipe: Any) -> None:
    """Calls each function that comes, and sends what it returns and what it raises."""
    while True:
        function, arguments = pipe.recv()
        try:
            pipe.send((function(*arguments), None))
        except BaseException as error:
            pipe.send((None, error))


def is_stored(connector: Connector[Any], key: Any, value: BytesLike) -> bool:
    """Tells whether `value` can be had. No `assert` compares large values: it would show them."""
    found = connector.get(key)
    return found is not None and bytes(found) == bytes(value)


def copies(connector: Connector[Any]) -> list[Any]:
    """Returns copies that were made in both ways: of the pickle, and of the configuration."""
    config = pickle.loads(pickle.dumps(connector.config()))
    return [pickle.loads(pickle.dumps(connector)), type(connector).from_config(config)]


def uses(connector: Any, key: Any) -> list[Callable[[], object]]:
    """Returns a call of each method that takes a key."""
    calls: list[Callable[[], object]] = [
        lambda: connector.get(key),
        lambda: connector.exists(key),
        lambda: connector.evict(key),
    ]
    if isinstance(connector, DeferrableConnector):
        calls.append(lambda: connector.set(key, b"value"))
    if isinstance(connector, WaitableConnector):
        calls += [lambda: connector.wait(key), lambda: connector.wait(key, 0)]
    return calls


class ConnectorConformance:
    """What every `Connector` promises: it keeps values."""

    protocol: type = Connector
    crosses_processes = True

    @pytest.fixture
    def fresh_connector(self, connector: Any) -> Any:
        """A connector that a test may close."""
        return connector

    @pytest.fixture(scope="class", params=multiprocessing.get_all_start_methods())
    @classmethod
    def elsewhere(cls, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
        """Calls a function in a process that was started with one of the methods there are."""
        if not cls.crosses_processes:
            pytest.skip("for one process only")
        with another_process(request.param) as call:
            yield call

    def test_has_the_methods_of_its_protocol(self, connector: Connector[Any]) -> None:
        assert isinstance(connector, self.protocol)

    @pytest.mark.parametrize("size", [0, 1, 100_000, LARGE])
    def test_returns_the_bytes_that_were_put(self, connector: Connector[Any], size: int) -> None:
        key = connector.put(some_bytes(size))
        assert isinstance(connector.get(key), BytesLike)
        assert is_stored(connector, key, some_bytes(size))

    def test_takes_every_kind_of_bytes(self, connector: Connector[Any]) -> None:
        value = some_bytes(80_000)
        of_floats, in_rows = array("d", value), memoryview(value).cast("B", [2, 40_000])
        kinds: Any = bytearray(value), memoryview(value)[::-2], memoryview(of_floats), in_rows
        for kind in kinds:
            assert is_stored(connector, connector.put(kind), memoryview(kind).tobytes())

    @pytest.mark.parametrize("size", [8, 800_000])
    def test_what_is_stored_cannot_be_changed(self, connector: Connector[Any], size: int) -> None:
        value = bytearray(some_bytes(size))
        key = connector.put(value)
        value[:] = bytes(size)
        view = memoryview(connector.get(key) or b"")
        if not view.readonly:  # then the bytes are their reader's own
            view[:] = bytes(size)
        assert is_stored(connector, key, some_bytes(size))

    def test_forgets_an_evicted_value_and_no_other(self, connector: Connector[Any]) -> None:
        key, other = connector.put(b"value"), connector.put(b"")
        assert connector.exists(key) is connector.exists(other) is True
        for _ in range(2):
            connector.evict(key)
            assert connector.exists(key) is False
            assert connector.get(key) is None
        assert is_stored(connector, other, b"")

    def test_batches_if_it_has_them_keep_their_order(self, connector: Any) -> None:
        if not hasattr(connector, "put_batch"):
            pytest.skip("it has no batches, which ProxyStore's Store asks for")
        keys = connector.put_batch([b"first", bytearray(b"second"), memoryview(b"third")])
        assert connector.get_batch(keys) == [b"first", b"second", b"third"]
        connector.evict(keys[1])
        assert connector.get_batch(keys[::-1]) == [b"third", None, b"first"]
        assert connector.get_batch(connector.put_batch([])) == []

    def test_every_value_has_a_fresh_key(self, connector: Connector[Any]) -> None:
        assert len({connector.put(b"same") for _ in range(100)}) == 100

    def test_threads_can_share_it(self, connector: Connector[Any]) -> None:
        def put_and_get(thread: str) -> bool:
            values = [f"{thread}: {count}".encode() for count in range(20)]
            keys = [connector.put(value) for value in values]
            return all(map(is_stored, [connector] * 20, keys, values))

        assert all(
            [future.result(LIMIT) for future in [in_thread(put_and_get, i) for i in "abcdefgh"]]
        )

    def test_a_pickled_key_is_the_same_key(self, connector: Connector[Any]) -> None:
        key = connector.put(b"value")
        copy = pickle.loads(pickle.dumps(key))
        assert copy == key
        assert hash(copy) == hash(key)  # a store's cache is a dict with the keys as its keys
        assert is_stored(connector, copy, b"value")

    def test_a_copy_reaches_the_same_values(self, connector: Connector[Any]) -> None:
        for copy in copies(connector):
            assert type(copy) is type(connector)
            assert copy.config() == connector.config()
            assert is_stored(copy, connector.put(b"original"), b"original")
            assert is_stored(connector, copy.put(b"copy"), b"copy")

    def test_a_copy_in_another_process_reaches_the_same_values(
        self, connector: Connector[Any], elsewhere: Callable[..., Any]
    ) -> None:
        key, value = connector.put(some_bytes(LARGE)), some_bytes(LARGE + 1)
        assert is_stored(connector, elsewhere(evict_and_put, connector, key, value), value)
        assert not connector.exists(key)

    @pytest.mark.parametrize("key", NO_KEYS, ids=repr)
    def test_refuses_what_is_not_a_key(self, connector: Connector[Any], key: object) -> None:
        for use in uses(connector, key):
            with pytest.raises(InvalidKeyError):
                use()

    def test_after_close_it_does_nothing_but_can_be_looked_at_and_pickled(
        self, fresh_connector: Connector[Any]
    ) -> None:
        key = fresh_connector.put(b"value")
        fresh_connector.close()
        fresh_connector.close()
        for use in (lambda: fresh_connector.put(b"value"), *uses(fresh_connector, key)):
            with pytest.raises(ConnectorError):
                use()
        assert type(fresh_connector).__name__ in repr(fresh_connector)
        assert [type(copy) for copy in copies(fresh_connector)] == [type(fresh_connector)] * 2


def evict_and_put(connector: Connector[Any], key: Any, value: bytes) -> Any:
    """Evicts a value of `LARGE` bytes, and returns the key of another one."""
    assert is_stored(connector, key, some_bytes(LARGE))
    connector.evict(key)
    return connector.put(value)


class DeferrableConformance(ConnectorConformance):
    """What a `DeferrableConnector` promises: its keys are handed out first, and set once."""

    protocol = DeferrableConnector

    @pytest.mark.parametrize("hint", [(), (b"value",)], ids=["no-hint", "hint"])
    def test_a_new_key_holds_nothing_and_can_be_set_also_after_an_eviction(
        self, connector: DeferrableConnector[Any], hint: tuple[bytes, ...]
    ) -> None:
        key = connector.new_key(*hint)
        assert connector.get(key) is None
        assert connector.exists(key) is False
        connector.evict(key)
        connector.set(key, b"value")
        assert is_stored(connector, key, b"value")

    def test_new_keys_are_fresh(self, connector: DeferrableConnector[Any]) -> None:
        assert len({connector.new_key() for _ in range(100)}) == 100

    @pytest.mark.parametrize("size", [0, 1, LARGE])
    def test_a_key_is_set_once(self, connector: DeferrableConnector[Any], size: int) -> None:
        key, first = connector.new_key(), some_bytes(size)
        value = bytearray(first)
        connector.set(key, value)
        value[:] = bytes(size)  # which changes nothing of what is stored
        for second in (first, b"second", b"", some_bytes(LARGE + 1)):
            with pytest.raises(AlreadySetError):
                connector.set(key, second)
            assert is_stored(connector, key, first)

    def test_what_was_put_is_set_for_copies_too(self, connector: DeferrableConnector[Any]) -> None:
        key = connector.put(b"first")
        for setter in (connector, *copies(connector)):
            with pytest.raises(AlreadySetError):
                setter.set(key, b"second")
            assert is_stored(setter, key, b"first")

    @pytest.mark.parametrize("size", [10, 100_000])
    def test_of_racing_threads_exactly_one_wins(
        self, connector: DeferrableConnector[Any], size: int
    ) -> None:
        values = [bytes([number]) * size for number in range(8)]
        keys = [connector.new_key() for _ in range(10)]
        start = threading.Barrier(len(values))

        def race(value: bytes) -> list[bool]:
            start.wait(LIMIT)
            return [sets_first(connector, key, value) for key in keys]

        racers = [in_thread(race, value) for value in values]
        won = [racer.result(LIMIT) for racer in racers]
        for key, wins in zip(keys, zip(*won, strict=True), strict=True):
            assert sum(wins) == 1
            assert is_stored(connector, key, values[wins.index(True)])

    def test_of_racing_processes_exactly_one_wins(
        self, connector: DeferrableConnector[Any], elsewhere: Callable[..., Any]
    ) -> None:
        keys = [connector.new_key() for _ in range(100)]
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

        for _ in range(3):
            key = connector.new_key()
            readers = [in_thread(first_seen, key) for _ in range(2)]
            connector.set(key, value)
            assert all([reader.result(LIMIT) == value for reader in readers])


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
    """What a `WaitableConnector` promises: it wakes those who wait, with the value."""

    protocol = WaitableConnector

    def test_returns_what_is_set_while_it_waits_or_was_set_before(
        self, connector: WaitableConnector[Any]
    ) -> None:
        key = connector.new_key()
        # The last two timeouts are more than the system can wait.
        timeouts = [None, LIMIT, 1e300, float("inf")]
        waiters = [in_thread(connector.wait, key, timeout) for timeout in timeouts]
        time.sleep(SETTLING)
        assert not any([waiter.done() for waiter in waiters])
        connector.set(key, b"value")
        assert [waiter.result(LIMIT) for waiter in waiters] == [b"value"] * 4
        assert [connector.wait(key, timeout) for timeout in [0, *timeouts]] == [b"value"] * 5

    @pytest.mark.parametrize("timeout", [0, 0.001, 0.2])
    def test_returns_none_after_the_timeout(
        self, connector: WaitableConnector[Any], timeout: float
    ) -> None:
        start = time.monotonic()
        assert connector.wait(connector.new_key(), timeout) is None
        assert timeout * 0.9 <= time.monotonic() - start < timeout + LIMIT / 4

    @pytest.mark.parametrize(
        ("timeout", "error"),
        [(-0.001, ValueError), (float("nan"), ValueError), ("1", TypeError)],
    )
    def test_refuses_a_timeout_that_makes_no_sense(
        self, connector: WaitableConnector[Any], timeout: Any, error: type[Exception]
    ) -> None:
        for key in (connector.put(b"value"), connector.new_key()):
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

    def test_the_waiters_of_all_copies_are_woken(self, connector: WaitableConnector[Any]) -> None:
        key = connector.new_key()
        waiters = [in_thread(waiter.wait, key) for waiter in [connector, *copies(connector)] * 3]
        time.sleep(SETTLING)
        connector.set(key, b"value")
        assert [waiter.result(LIMIT) for waiter in waiters] == [b"value"] * 9

    def test_many_waiters_get_their_own_values(self, connector: WaitableConnector[Any]) -> None:
        values = {connector.new_key(): f"value {number}".encode() for number in range(20)}
        waiters = {key: in_thread(connector.wait, key) for key in values}
        for key in random.Random(0).sample(list(values), len(values)):
            connector.set(key, values[key])
        assert {key: waiter.result(LIMIT) for key, waiter in waiters.items()} == values

    def test_a_waiter_outlasts_evictions_other_values_and_waiters_that_give_up(
        self, connector: WaitableConnector[Any]
    ) -> None:
        key = connector.new_key()
        patient = in_thread(connector.wait, key)
        assert connector.wait(key, SETTLING) is None
        connector.put(b"other")
        connector.evict(key)
        time.sleep(SETTLING)
        assert not patient.done()
        connector.set(key, b"value")
        assert patient.result(LIMIT) == b"value"

    def test_processes_that_wait_already_wake_each_other_with_values_of_any_size(
        self, connector: WaitableConnector[Any], elsewhere: Callable[..., Any]
    ) -> None:
        sizes = [1, 100_000, 10_000_000]
        questions, replies = ([connector.new_key() for _ in sizes] for _ in range(2))
        there = in_thread(elsewhere, answer_all, connector, questions, replies)
        here = [in_thread(connector.wait, reply) for reply in replies]
        time.sleep(2 * SETTLING)
        for size, question, waiter in zip(sizes, questions, here, strict=True):
            connector.set(question, some_bytes(size))
            assert (waiter.result(LIMIT) == some_bytes(size)[::-1]) is True
        there.result(LIMIT)

    def test_waiters_are_woken_promptly(self, connector: WaitableConnector[Any]) -> None:
        # One that looked once a second would need half a minute for all these turns.
        questions, replies = ([connector.new_key() for _ in range(20)] for _ in range(2))
        answering = in_thread(answer_all, connector, questions, replies)
        start = time.monotonic()
        for question, reply in zip(questions, replies, strict=True):
            connector.set(question, b"value")
            assert connector.wait(reply, LIMIT) is not None
        assert time.monotonic() - start < LIMIT / 2
        answering.result(LIMIT)

    def test_close_ends_the_waits_of_other_threads(
        self, fresh_connector: WaitableConnector[Any]
    ) -> None:
        key, other = fresh_connector.new_key(), fresh_connector.new_key()
        waits = [(key, None), (key, 1000), (other, None), (other, 1000)]
        waiters = [in_thread(fresh_connector.wait, *wait) for wait in waits]
        time.sleep(SETTLING)
        fresh_connector.close()
        for waiter in waiters:
            with pytest.raises(ConnectorError):
                waiter.result(LIMIT)


def answer_all(connector: WaitableConnector[Any], questions: list[Any], replies: list[Any]) -> None:
    """Waits for all questions at once, and answers each with its bytes backwards."""

    def answer(question: Any, reply: Any) -> None:
        connector.set(reply, bytes(connector.wait(question, LIMIT) or b"")[::-1])

    for answered in [in_thread(answer, *keys) for keys in zip(questions, replies, strict=True)]:
        answered.result(LIMIT)
