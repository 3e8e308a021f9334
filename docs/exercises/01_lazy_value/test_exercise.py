"""What a lazy value has to keep, from simple to subtle."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from exercise import Lazy


class Factory:
    """Makes a value, and counts how often it was asked to."""

    def __init__(self, value: Any = "value") -> None:
        self.value = value
        self.runs = 0

    def __call__(self) -> Any:
        self.runs += 1
        return self.value


def in_time(function: Callable[[], Any], complaint: str, seconds: float = 5) -> Any:
    """Returns what `function` returns, or fails with the complaint if it takes too long."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(("value", function()))
        except BaseException as error:
            outcome.append(("error", error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, f"deadlock: {complaint}"
    kind, result = outcome[0]
    if kind == "error":
        raise result
    return result


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


@pytest.mark.parametrize("value", ["", 0, False, [], None])
def test_an_empty_value_is_a_value(value: object) -> None:
    factory = Factory(value)
    lazy = Lazy(factory)
    for _ in range(3):
        lazy.resolve()
    assert factory.runs == 1, (
        f"the factory made {value!r} and ran {factory.runs} times for 3 uses; it must run once, "
        f"since {value!r} is a value like any other"
    )


def test_a_value_that_is_equal_to_everything_is_a_value() -> None:
    class EqualToAll:
        def __eq__(self, other: object) -> bool:
            return True

    factory = Factory(EqualToAll())
    lazy = Lazy(factory)
    for _ in range(3):
        lazy.resolve()
    assert factory.runs == 1, (
        f"the factory made a value that says it is equal to everything, and ran {factory.runs} "
        "times for 3 uses; to know your own mark from a value, compare with `is`"
    )


def test_is_resolved_tells_whether_the_value_is_there() -> None:
    factory = Factory(None)
    lazy = Lazy(factory)
    assert lazy.is_resolved() is False, "is_resolved() must be False before the first use"
    assert factory.runs == 0, "is_resolved() ran the factory; asking must not make the value"
    lazy.resolve()
    assert lazy.is_resolved() is True, "is_resolved() must be True after the first use"


def test_after_a_failure_the_next_use_tries_again() -> None:
    answers = [ConnectionError("the server is away"), "value"]

    def factory() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lazy = Lazy(factory)
    try:
        result = lazy.resolve()
    except ConnectionError:
        pass
    else:
        pytest.fail(f"the factory failed, but resolve() returned {result!r}; it must raise")
    assert lazy.is_resolved() is False, "the factory failed, yet is_resolved() says True"

    def again() -> Any:
        try:
            return lazy.resolve()
        except Exception as error:
            return error

    result = in_time(again, "after a failure, the next resolve() waits for ever; who holds a lock?")
    assert result == "value", (
        f"the first try failed, the second had to return 'value' and gave {result!r}; "
        "a failure must not be kept"
    )


def test_is_resolved_is_false_and_does_not_wait_while_the_factory_runs() -> None:
    factory_runs, go_on = threading.Event(), threading.Event()

    def factory() -> str:
        factory_runs.set()
        go_on.wait(60)
        return "value"

    lazy = Lazy(factory)
    thread = threading.Thread(target=lazy.resolve, daemon=True)
    thread.start()
    assert factory_runs.wait(30), "resolve() did not run the factory"
    try:
        answer = in_time(
            lazy.is_resolved, "is_resolved() waits while another thread makes the value"
        )
    finally:
        go_on.set()
    assert answer is False, (
        f"the factory runs, there is no value yet, and is_resolved() says {answer}; "
        "say so only once the factory has returned"
    )


def test_a_factory_may_use_another_lazy_value() -> None:
    inner = Lazy(lambda: "value")
    outer = Lazy(lambda: inner.resolve().upper())
    value = in_time(
        outer.resolve, "a factory that uses another Lazy waits for ever; each needs its own lock"
    )
    assert value == "VALUE", f"the factory of one Lazy used another one, and made {value!r}"


def test_threads_that_resolve_at_once_share_one_run() -> None:
    everybody_is_here = threading.Barrier(8)
    on_their_way = threading.Semaphore(0)
    runs = []

    def factory() -> object:
        runs.append(threading.current_thread())
        if len(runs) == 1:  # give all the others the time to come in, too
            for _ in range(8):
                on_their_way.acquire(timeout=5)
            time.sleep(0.2)
        return object()

    lazy = Lazy(factory)
    results = []
    errors = []

    def use() -> None:
        everybody_is_here.wait()
        on_their_way.release()
        try:
            results.append(lazy.resolve())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=use, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads), (
        "deadlock: 8 threads resolved at once, and some of them still wait after 10 seconds"
    )
    assert len(runs) == 1, (
        f"8 threads resolved at once and the factory ran {len(runs)} times; it must run once, "
        "while the other threads wait"
    )
    assert not errors, (
        f"8 threads resolved at once, and {len(errors)} of them got {errors[0]!r}; "
        "they must wait until the value is there"
    )
    assert len(results) == 8, f"8 threads resolved at once, and {len(results)} got a value"
    assert len({id(result) for result in results}) == 1, "the 8 threads got different objects"
