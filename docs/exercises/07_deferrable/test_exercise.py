"""Tests of exercise 7. Read the failure first: it says what is wrong."""

from __future__ import annotations

import os
import random
import time
import warnings
from functools import partial

import pytest
from exercise import AlreadySetError, LocalConnector
from stepping import Running, entries, fast_time, moments, replaced


def test_a_new_key_has_no_value_yet() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    assert isinstance(key, str), f"new_key() returned {key!r}; it must return a string"
    found = connector.get(key)
    assert found is None, f"nobody has set the key, and get() found {found!r}; it must return None"


def test_a_new_key_stores_nothing() -> None:
    connector = LocalConnector()
    before = entries(vars(connector))
    for _ in range(100):
        connector.new_key()
    stored = entries(vars(connector)) - before
    assert stored < 10, (
        f"100 keys were drawn, and the connector holds {stored} things more than before; "
        "a key that nobody fills must cost nothing"
    )


def test_what_is_set_under_a_key_is_found_there() -> None:
    connector = LocalConnector()
    one, other = connector.new_key(), connector.new_key()
    connector.set(one, b"value")
    for time_of in "first", "second":
        found = connector.get(one)
        assert found == b"value", (
            f"a value was set, and the {time_of} get() found {found!r}; it must return the bytes, "
            "to each who asks"
        )
    assert connector.get(other) is None, "one key was set, and another one got a value, too"


def test_a_key_may_have_been_drawn_elsewhere() -> None:
    connector, key = LocalConnector(), LocalConnector().new_key()
    assert connector.get(key) is None, "nobody has set the key, and get() did not return None"
    happened = Running(partial(connector.set, key, b"value")).happened("set() did not end")
    assert connector.get(key) == b"value", (
        f"another connector drew the key, and set() {happened}, and get() has no value; "
        "who chooses a key asks nobody, so take each one"
    )


def test_put_is_a_new_key_with_its_value() -> None:
    connector = LocalConnector()
    key = connector.put(b"value")
    assert connector.get(key) == b"value", "put() must store the bytes under the key it returns"
    assert connector.put(b"value") != key, "put() returned the same key twice; each is a new one"


@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
def test_what_the_owner_changes_afterwards_changes_no_value(kind: type[bytearray]) -> None:
    connector = LocalConnector()
    data = kind(b"value")
    key, other = connector.put(data), connector.new_key()
    connector.set(other, data)
    data[0:5] = b"later"
    for call, found in ("put", connector.get(key)), ("set", connector.get(other)):
        assert found == b"value" and isinstance(found, bytes), (
            f"{call}() stored b'value', its owner wrote b'later' into the buffer, and get() found "
            f"{found!r}; keep the bytes and not the buffer"
        )


# The keys


def test_no_two_keys_are_equal() -> None:
    connector = LocalConnector()
    for number in 1000, 300_000:
        different = len({connector.new_key() for _ in range(number)})
        assert different == number, (
            f"{number} calls of new_key() made only {different} different keys; "
            "the more keys there are, the longer they must be"
        )


def test_connectors_that_never_met_make_different_keys() -> None:
    one, other = LocalConnector(), LocalConnector()
    shared = {one.new_key() for _ in range(100)} & {other.new_key() for _ in range(100)}
    assert not shared, (
        f"two connectors, as two processes would have them, both made the key {shared.pop()!r}; "
        "a key must be drawn, not counted"
    )


def test_keys_differ_though_the_program_repeats_its_random_numbers() -> None:
    connector = LocalConnector()
    before = random.getstate()
    random.seed(1)
    first = connector.new_key()
    random.seed(1)
    second = connector.new_key()
    random.setstate(before)
    assert first != second, (
        "a program that calls random.seed(1), to repeat an experiment, gets the same keys again; "
        "draw them from the operating system"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this test needs a system that has os.fork")
def test_processes_that_agree_in_everything_make_different_keys() -> None:
    connector = LocalConnector()
    receiver, sender = os.pipe()
    clocks = time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter
    with replaced({os.getpid: lambda: 1, **dict.fromkeys(clocks, lambda: 1)}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of a fork where threads are running
            child = os.fork()
        if child == 0:
            try:
                os.write(sender, connector.new_key().encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        key, key_of_child = connector.new_key(), os.read(receiver, 1000).decode()
    assert key != key_of_child, (
        f"two machines can have processes of the same number, at the same time, with the same "
        f"memory; such two both made the key {key!r}; draw it from the operating system"
    )


# A key is set once


def test_a_key_is_set_once() -> None:
    connector = LocalConnector()
    key = connector.new_key()
    connector.set(key, b"first")
    for attempt in b"second", b"third":
        late = Running(partial(connector.set, key, attempt))
        happened = late.happened(
            "set() refused a value, and the next set() never returned; "
            "release the lock on every way out, also when you raise"
        )
        assert isinstance(late.error(""), AlreadySetError), (
            f"the key was set twice, and nobody was told: set() {happened}; raise AlreadySetError"
        )
    found = connector.get(key)
    assert found == b"first", (
        f"the first value was replaced by {found!r}; it must stay, since somebody may have read it"
    )


def test_a_key_is_set_once_also_with_the_same_value() -> None:
    connector = LocalConnector()
    key, same = connector.new_key(), b"same"
    connector.set(key, same)
    try:
        connector.set(key, same)
    except AlreadySetError:
        return
    pytest.fail("two setters brought the same value, and both believe they won; only one did")


def test_nothing_is_a_value_too() -> None:
    connector = LocalConnector()
    key = connector.put(b"")
    assert connector.get(key) == b"", (
        f"the value b'' was set, and get() found {connector.get(key)!r}; "
        "no bytes are a value, unlike no value"
    )
    try:
        connector.set(key, b"late")
    except AlreadySetError:
        return
    pytest.fail("the value b'' was overwritten; ask whether the key is there, not what is there")


# Threads that meet at each line of your set(). While they wait for each other, hours go by.


def test_of_two_threads_that_set_a_key_one_wins() -> None:
    for stopped in 1, 2:
        for moment in moments(stopped):
            with fast_time():
                connector = LocalConnector()
                key = connector.new_key()
                setters = moment.meet(
                    partial(connector.set, key, b"first"), partial(connector.set, key, b"second")
                )
                errors = [
                    setter.error(f"set() never returned, after another thread called it {moment}")
                    for setter in setters
                ]
            assert errors != [None, None], (
                f"two threads set the key, and both won: one came while the other was {moment}; "
                "looking and storing must be one step"
            )
            assert sorted(type(error) for error in errors if error) == [AlreadySetError], (
                f"two threads set the key, and they got {errors}, where one had to win: one came "
                f"while the other was {moment}"
            )
            found, winner = connector.get(key), b"second" if errors[0] else b"first"
            assert found == winner, (
                f"the setter of {winner!r} won, and get() found {found!r}: the other one came "
                f"while it was {moment}"
            )


def test_two_threads_that_set_two_keys_both_win() -> None:
    for moment in moments():
        connector = LocalConnector()
        one, other = connector.new_key(), connector.new_key()
        for setter in moment.meet(
            partial(connector.set, one, b"one"), partial(connector.set, other, b"other")
        ):
            happened = setter.happened("two threads set two keys, and one of them never ended")
            assert setter.error("") is None, (
                f"while a thread was {moment} in set(), another thread set another key, and "
                f"{happened}; who finds the room taken waits, since its key may still be free"
            )
        found = connector.get(one), connector.get(other)
        assert found == (b"one", b"other"), f"two threads set two keys, and get() found {found}"
