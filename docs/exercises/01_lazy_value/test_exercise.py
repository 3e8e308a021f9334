"""What a lazy value has to keep, from simple to subtle."""

import threading
from typing import Any

import pytest
from exercise import Lazy
from stepping import Running, asleep, fast_time, moments


class Factory:
    """Makes a value, after some failures, and counts how often it was asked to."""

    def __init__(self, value: object = "value", failures: tuple[BaseException, ...] = ()) -> None:
        self.value = value
        self.failures = list(failures)
        self.runs = 0
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def __call__(self) -> Any:
        self.runs += 1
        self.begun.set()
        self.go_on.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self.value


class EqualToAll:
    def __eq__(self, other: object) -> bool:
        return True


def test_making_a_lazy_value_does_not_run_the_factory() -> None:
    factory = Factory()
    Lazy(factory)
    assert factory.runs == 0, (
        "the factory ran before anybody used the value; it must wait for the first resolve()"
    )


def test_resolve_returns_what_the_factory_makes() -> None:
    result = Lazy(Factory("value")).resolve()
    assert result == "value", f"resolve() returned {result!r}; the factory had made 'value'"


def test_the_factory_runs_once() -> None:
    factory = Factory()
    lazy = Lazy(factory)
    for _ in range(3):
        lazy.resolve()
    assert factory.runs == 1, f"the factory ran {factory.runs} times for 3 uses; it must run once"


def test_every_use_gets_the_same_object() -> None:
    lazy = Lazy(lambda: ["a list"])
    assert lazy.resolve() is lazy.resolve(), (
        "two uses got two objects; what the first user appends to its list, the second must see"
    )


@pytest.mark.parametrize(
    "value",
    ["", 0, False, [], None, ..., NotImplemented, object, ValueError("a value"), EqualToAll()],
    ids=lambda value: repr(value).partition(" object at")[0],
)
def test_whatever_the_factory_makes_is_a_value(value: object) -> None:
    factory = Factory(value)
    lazy = Lazy(factory)
    for _ in range(3):
        use = Running(lazy.resolve)
        happened = use.happened("resolve() waits for ever")
        assert use.error("") is None and use.result("") is value, (
            f"the factory made {value!r}, and resolve() {happened}; {value!r} is a value like any "
            "other, to be returned as it is"
        )
    assert factory.runs == 1, (
        f"the factory made {value!r} and ran {factory.runs} times for 3 uses; it must run once, "
        f"since {value!r} is a value like any other; if your own mark stands for no value, "
        "compare with `is`: what `==` says is up to the value"
    )
    assert lazy.is_resolved() is True, f"{value!r} is there, and is_resolved() does not say True"


def test_is_resolved_tells_whether_the_value_is_there() -> None:
    factory = Factory(None)
    lazy = Lazy(factory)
    assert lazy.is_resolved() is False, "is_resolved() must be False before the first use"
    assert factory.runs == 0, "is_resolved() ran the factory; asking must not make the value"
    lazy.resolve()
    assert lazy.is_resolved() is True, "is_resolved() must be True after the first use"


@pytest.mark.parametrize("kind", [ConnectionError, KeyboardInterrupt])
def test_after_a_failure_the_next_use_tries_again(kind: type[BaseException]) -> None:
    errors = kind("the server is away"), kind("the server is still away")
    lazy = Lazy(Factory("value", failures=errors))
    for error in errors:
        first = Running(lazy.resolve)
        happened = first.happened(
            "after a failure, the next resolve() waits for ever; who holds a lock?"
        )
        assert first.error("") is error, (
            f"the factory raised {error!r}, and resolve() {happened}; "
            "its caller must get that exception, and no other"
        )
        assert lazy.is_resolved() is False, "the factory failed, yet is_resolved() says True"
    happened = Running(lazy.resolve).happened(
        "after a failure, the next resolve() waits for ever; who holds a lock?"
    )
    assert happened == "returned 'value'", (
        f"two tries failed, the third had to return 'value' and {happened}; "
        "a failure must not be kept"
    )


def test_is_resolved_is_false_and_does_not_wait_while_the_factory_runs() -> None:
    with fast_time(factor=0.001):  # a wait of a second would take a quarter of an hour
        factory = Factory()
        factory.go_on.clear()
        lazy = Lazy(factory)
        user = Running(lazy.resolve)
        factory.begun.wait()
        asked = Running(lazy.is_resolved)
        answer = asked.ended(3) and asked.result("")
        factory.go_on.set()
    assert asked.ended(0), "is_resolved() waits while another thread makes the value"
    assert answer is False, (
        f"the factory runs, there is no value yet, and is_resolved() says {answer}; "
        "say so only once the factory has returned"
    )
    user.result("the factory has returned, and resolve() has not")


def test_a_factory_may_use_another_lazy_value() -> None:
    inner = Lazy(lambda: "value")
    outer = Lazy(lambda: inner.resolve().upper())
    value = Running(outer.resolve).result(
        "a factory that uses another Lazy waits for ever; each needs its own lock"
    )
    assert value == "VALUE", f"the factory of one Lazy used another one, and made {value!r}"


# Several threads. One of them stops before each line of yours, and the others come meanwhile.


def test_threads_that_resolve_at_once_share_one_run() -> None:
    for moment in moments():
        factory = Factory(object())
        lazy = Lazy(factory)
        for thread in moment.meet(lazy.resolve, lazy.resolve, lazy.resolve):
            happened = thread.happened(
                f"two threads came while another one was {moment}, and wait for ever"
            )
            assert factory.runs <= 1, (
                f"3 threads resolved at once and the factory ran {factory.runs} times: two of "
                f"them came while the first one was {moment}; they must wait until it has the value"
            )
            assert thread.error("") is None and thread.result("") is factory.value, (
                f"two threads came while another one was {moment}, and one of them {happened}; "
                "say that the value is there when it is, and not before"
            )


def test_who_waited_for_a_failure_tries_again() -> None:
    for moment in moments():
        error = ConnectionError("the server is away")
        factory = Factory("value", failures=(error,))
        lazy = Lazy(factory)
        threads = moment.meet(lazy.resolve, lazy.resolve, lazy.resolve)
        happened = sorted(
            thread.happened(
                f"two threads came while another one was {moment}; its factory failed, and they "
                "wait for ever; who tells them that it failed?"
            )
            for thread in threads
        )
        assert happened == [f"raised {error!r}", "returned 'value'", "returned 'value'"], (
            f"the factory failed once, two threads came while the first one was {moment}, and "
            f"they {', '.join(happened)}; one gets the error, and who waited tries again"
        )


def test_a_thread_waits_for_as_long_as_the_factory_needs() -> None:
    with fast_time():  # a minute in an eighth of a second
        factory = Factory()
        factory.go_on.clear()
        lazy = Lazy(factory)
        user = Running(lazy.resolve)
        factory.begun.wait()
        other = asleep(lazy.resolve)
        gave_up = other.ended(0.3)
        factory.go_on.set()
        assert not gave_up, (
            "the factory needed two minutes, and a thread that came meanwhile "
            f"{other.happened('')} before the value was there; it must wait"
        )
        found = [
            thread.result("the value is there, and one still waits") for thread in (user, other)
        ]
    assert found == ["value", "value"], f"two threads resolved, and they got {found}"
    assert factory.runs == 1, (
        "the factory needed two minutes, and a thread that came meanwhile lost its patience and "
        "ran it once more; it must wait"
    )
