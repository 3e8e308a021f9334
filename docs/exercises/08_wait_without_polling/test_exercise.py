"""Tests of exercise 8. Read the failure first: it says what is wrong."""

from __future__ import annotations

import time
from functools import partial

import pytest
from exercise import AlreadySetError, LocalConnector
from stepping import Running, asleep, entries, fast_time, moments

HOURS = 20_000.0  # as factor for fast_time(): a second is more than five hours


def new() -> tuple[LocalConnector, str]:
    connector = LocalConnector()
    return connector, connector.new_key()


def set_value(connector: LocalConnector, key: str, data: bytes) -> None:
    Running(partial(connector.set, key, data)).result(
        "set() never returned; nobody may keep the lock, neither one who sleeps in wait(), "
        "nor a set() that raises"
    )


# One waits, one sets


@pytest.mark.parametrize("timeout", [None, 1, 0, -1])
@pytest.mark.parametrize("value", [b"value", b""])
def test_a_value_that_is_there_is_returned_at_once(value: bytes, timeout: float | None) -> None:
    connector, key = new()
    set_value(connector, key, value)
    for _ in range(2):
        found = Running(partial(connector.wait, key, timeout)).result(
            f"the value {value!r} was there before wait(key, {timeout=}) came, and it went to "
            "sleep; look first"
        )
        assert found == value, (
            f"the value {value!r} was there, and wait(key, {timeout=}) returned {found!r}"
        )


@pytest.mark.parametrize("value", [b"value", b""])
def test_who_waits_is_woken_by_the_value_however_late(value: bytes) -> None:
    with fast_time(HOURS):
        connector, key = new()
        waiter = asleep(partial(connector.wait, key))
        assert not waiter.ended(0.2), "wait() gave up after an hour, though no time was given"
        set_value(connector, key, value)
        found = waiter.result(f"the value {value!r} was set, and nobody woke who waits for it")
    assert found == value, f"wait() returned {found!r}; it must return the bytes that were set"


def test_all_who_wait_for_a_key_are_woken() -> None:
    connector, key = new()
    waiters = [asleep(partial(connector.wait, key)) for _ in range(3)]
    set_value(connector, key, b"value")
    found = [
        waiter.result("three waited for one key, and not all were woken") for waiter in waiters
    ]
    assert found == [b"value"] * 3, f"three waited for one key, and they got {found}"


def test_a_value_for_another_key_ends_no_wait() -> None:
    connector, key = new()
    waiter = asleep(partial(connector.wait, key))
    set_value(connector, connector.new_key(), b"other")
    waiter.ended(0.1)
    set_value(connector, key, b"value")
    found = waiter.result("another key was set, and then this one; only the first woke somebody")
    assert found == b"value", (
        f"a value for another key came, then the one for this key, and wait() returned {found!r}; "
        "who is woken has to look for its own value"
    )


def test_who_was_woken_can_wait_for_another_key() -> None:
    connector, key = new()
    other = connector.new_key()
    waiter = asleep(lambda: [connector.wait(key), connector.wait(other)])
    set_value(connector, key, b"value")
    waiter.ended(0.1)
    set_value(connector, other, b"other")
    found = waiter.result("a thread waited for a key and then for another one, and sleeps on")
    assert found == [b"value", b"other"], (
        f"a thread waited for a key and then for another one, and got {found}; "
        "a bell that rang for one key still rings when the next wait comes"
    )


def test_a_key_is_still_set_once() -> None:
    connector, key = new()
    set_value(connector, key, b"first")
    for attempt in b"second", b"third":
        try:
            set_value(connector, key, attempt)
        except AlreadySetError:
            continue
        pytest.fail("the key was set twice, and nobody was told; raise AlreadySetError")
    assert connector.get(key) == b"first", "the first value must stay"


def test_what_the_owner_changes_afterwards_changes_no_value() -> None:
    connector, key = new()
    data = bytearray(b"value")
    connector.set(key, data)
    data[0:5] = b"later"
    found = connector.wait(key)
    assert found == b"value" and isinstance(found, bytes), (
        f"b'value' was set, its owner wrote b'later' into the bytearray, and wait() found "
        f"{found!r}; keep the bytes and not the buffer"
    )


# Time passes


@pytest.mark.parametrize("jumps", [0, -3600, 3600])
@pytest.mark.parametrize("timeout", [-1, 0, 20])
def test_a_wait_ends_with_its_timeout(timeout: float, jumps: float) -> None:
    with fast_time(factor=100, wall_clock_jumps=jumps):
        connector, key = new()
        start = time.monotonic()
        found = Running(partial(connector.wait, key, timeout)).result(
            f"wait(key, {timeout=}) does not end"
            + (
                ", if somebody sets the computer's clock back; time.monotonic() never jumps"
                * (jumps < 0)
            )
        )
        took = time.monotonic() - start
    assert found is None, f"nothing was set, and wait() returned {found!r}; it must return None"
    assert took > timeout - 0.5, f"wait() gave up after {took:.0f} of {timeout} seconds" + (
        "; somebody had set the computer's clock, and time.monotonic() never jumps" * (jumps > 0)
    )


def test_the_time_runs_while_values_for_other_keys_come() -> None:
    with fast_time(factor=100):
        connector, key = new()
        waiter = Running(partial(connector.wait, key, timeout=20))
        start = time.monotonic()
        while not waiter.ended(0.02):
            set_value(connector, connector.new_key(), b"other")
            assert time.monotonic() < start + 300, (
                "deadlock: each value for another key gave wait(key, timeout=20) another twenty "
                "seconds; the time counts from the call"
            )
    found = waiter.result("")
    assert found is None, f"nothing was set, and wait() returned {found!r}; it must return None"


def test_who_gives_up_does_not_take_the_bell_of_another() -> None:
    connector, key = new()
    patient = asleep(partial(connector.wait, key))
    Running(partial(connector.wait, key, timeout=0.01)).result("wait(timeout=0.01) did not end")
    set_value(connector, key, b"value")
    found = patient.result(
        "two waited for one key; one gave up, and then the value did not wake the other one"
    )
    assert found == b"value", f"wait() returned {found!r}; it must return the bytes that were set"


# Nothing happens


def test_while_nothing_happens_who_waits_does_nothing() -> None:
    with fast_time(HOURS):
        connector, key = new()
        waiter = asleep(partial(connector.wait, key))
        steps = waiter.steps_during(lambda: waiter.ended(0.3))
        place = waiter.place
        set_value(connector, key, b"value")
        waiter.result("the value was set, and nobody woke the one who waits for it")
    assert steps == 0, (
        f"polling: while nothing happened for an hour, the thread in wait() did {steps} steps, "
        f"some of them at {place}; who sleeps until set() wakes it does none"
    )


def test_who_waits_for_another_key_sleeps_on() -> None:
    connector, key = new()
    waiter = asleep(partial(connector.wait, key))

    def set_other_keys() -> None:
        for _ in range(50):
            set_value(connector, connector.new_key(), b"other")
        waiter.ended(0.1)

    steps = waiter.steps_during(set_other_keys)
    set_value(connector, key, b"value")
    waiter.result("the value was set, and nobody woke the one who waits for it")
    assert steps == 0, (
        f"values for 50 other keys came, and woke the one who waits for this key: it did {steps} "
        "steps, to find nothing; each key needs bells of its own"
    )


# Nothing is left behind


def test_who_gives_up_leaves_nothing_behind() -> None:
    connector = LocalConnector()

    def give_up() -> None:
        for _ in range(50):
            connector.wait(connector.new_key(), timeout=0.001)
            connector.wait(connector.new_key(), timeout=0)

    before = entries(vars(connector))
    Running(give_up).result("a hundred waits of a millisecond did not end")
    left = entries(vars(connector)) - before
    assert left < 10, (
        f"100 waits timed out, and the connector remembers {left} things more than before; "
        "in a program that runs for a year, that is a leak"
    )


def test_who_is_woken_leaves_nothing_behind() -> None:
    def grown(wait_first: bool) -> int:
        connector = LocalConnector()
        before = entries(vars(connector))
        keys = [connector.new_key() for _ in range(50)]
        waiters = [asleep(partial(connector.wait, key)) for key in keys if wait_first]
        for key in keys:
            set_value(connector, key, b"value")
        for waiter in waiters:
            waiter.result("50 waited, each for a key of its own, and not all were woken")
        return entries(vars(connector)) - before

    left = grown(wait_first=True) - grown(wait_first=False)
    assert left < 10, (
        f"50 waited and were woken, and the connector remembers {left} things more than if nobody "
        "had waited; in a program that runs for a year, that is a leak"
    )


# Every moment at which threads can meet. While they stand, hours go by.


def test_no_value_comes_at_a_moment_that_wait_misses() -> None:
    for moment in moments():
        connector, key = new()
        waiter, setter = moment.meet(
            partial(connector.wait, key), partial(connector.set, key, b"value")
        )
        setter.result(f"set() came {moment} in wait(), and never returned")
        found = waiter.result(
            f"the value was set {moment} in wait(), which missed it and slept on; "
            "to look and to leave a bell must be one step, and set() must take the same lock"
        )
        assert found == b"value", f"the value was set {moment}, and wait() returned {found!r}"


def test_no_consumer_comes_at_a_moment_that_set_misses() -> None:
    for moment in moments():
        connector, key = new()
        setter, waiter = moment.meet(
            partial(connector.set, key, b"value"), partial(connector.wait, key)
        )
        setter.result(f"wait() came {moment} in set(), which then never returned")
        found = waiter.result(
            f"a consumer came {moment} in set(), which did not wake it; "
            "to store the value and to collect the bells must be one step"
        )
        assert found == b"value", f"wait() came {moment} in set(), and returned {found!r}"


def test_of_two_that_set_a_key_one_wins() -> None:
    for moment in moments():
        with fast_time():
            connector, key = new()
            setters = moment.meet(
                partial(connector.set, key, b"one"), partial(connector.set, key, b"other")
            )
            errors = [
                setter.error(f"a second set() came {moment}, and hangs") for setter in setters
            ]
        assert sorted(type(error) for error in errors if error) == [AlreadySetError], (
            f"two threads set the key, the second one {moment} in the first, and they got "
            f"{errors}, where one has to win; to look and to store must be one step, under the lock"
        )
        found, winner = connector.get(key), b"other" if errors[0] else b"one"
        assert found == winner, f"{winner!r} won, and get() found {found!r}; one came {moment}"


@pytest.mark.parametrize("stopped", [1, 2])
def test_two_consumers_that_come_at_once_are_both_woken(stopped: int) -> None:
    for moment in moments(stopped):
        connector, key = new()
        wait, set_now = partial(connector.wait, key), partial(connector.set, key, b"value")
        if stopped == 2:  # the value comes while both stand
            waiters = moment.meet(wait, wait, set_now)[:2]
        else:  # the value comes when both have gone to sleep
            waiters = moment.meet(wait, wait)
            set_value(connector, key, b"value")
        for waiter in waiters:
            found = waiter.result(
                f"two consumers came at once, one while the other was {moment} in wait(), and one "
                "was not woken; a bell that is made outside the lock can replace another one"
            )
            assert found == b"value", f"two consumers came, one {moment}, and one got {found!r}"


def test_a_consumer_that_comes_as_another_one_gives_up_is_woken() -> None:
    for moment in moments():
        connector, key = new()
        impatient, patient = moment.meet(
            partial(connector.wait, key, 0.001), partial(connector.wait, key)
        )
        happened = impatient.happened("wait(key, timeout=0.001) did not end")
        assert happened == "returned None", (
            f"a consumer came while another one was {moment} in wait(key, timeout=0.001), which "
            f"{happened}; it must return None, as nothing was set"
        )
        set_value(connector, key, b"value")
        found = patient.result(
            f"a consumer came while another one was {moment} and gave up, and then the value did "
            "not wake it; to take a bell away is a matter for the lock, too"
        )
        assert found == b"value", f"a consumer came while another gave up, and got {found!r}"


def test_a_value_that_comes_as_the_time_ends_is_returned_or_too_late() -> None:
    for moment in moments():
        connector, key = new()
        waiter, setter = moment.meet(
            partial(connector.wait, key, 0.001), partial(connector.set, key, b"value")
        )
        setter.result(f"set() came {moment} in wait(key, timeout=0.001), and never returned")
        happened = waiter.happened(f"the value came {moment}; wait(key, timeout=0.001) did not end")
        assert happened in ("returned b'value'", "returned None"), (
            f"the value came {moment} in wait(key, timeout=0.001), which {happened}; "
            "when the time is over, look once more, under the lock"
        )
