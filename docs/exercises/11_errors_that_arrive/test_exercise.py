"""Tests of exercise 11. Read the failure first: it says what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from typing import Any, Generic, TypeVar

import pytest
from exercise import BrokenFutureError, LocalConnector, ProxyFuture, ProxyResolveError

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy


# A result, or an error


@pytest.mark.parametrize("value", ["value", None, False])
def test_a_result_arrives(value: object) -> None:
    future = new_future()
    future.set_result(value)
    arrived, result = what_result_does(future)
    assert (arrived, result) == ("returned", value), (
        f"the result {value!r} was set, and result() {arrived} {result!r}"
    )
    error = what_exception_returns(future)
    assert error is None, f"a result was set, and exception() returned {error!r}, not None"


def test_an_error_arrives_as_an_error() -> None:
    future = new_future()
    future.set_exception(ValueError("no data"))
    arrived, error = what_result_does(future)
    assert arrived == "raised", f"an error was set, and result() returned {error!r}; it must raise"
    assert repr(error) == "ValueError('no data')", (
        f"ValueError('no data') was set, and result() raised {error!r}"
    )
    error = what_exception_returns(future)
    assert repr(error) == "ValueError('no data')", (
        f"ValueError('no data') was set, and exception() returned {error!r}"
    )


def test_an_error_wakes_a_consumer_that_waits() -> None:
    future = new_future()
    consumer = Running(future.exception)
    assert not consumer.ended(0.3), "nothing was set, and exception() returned"
    future.set_exception(ValueError("no data"))
    error = consumer.result("the producer set an error, and the consumer still waits")
    assert isinstance(error, ValueError), f"a ValueError was set, and {error!r} arrived"


def test_a_result_may_be_an_exception() -> None:
    future = new_future()
    future.set_result(ValueError("as a value"))
    arrived, result = what_result_does(future)
    assert arrived == "returned", (
        "the result was an exception object, say of a function that collects errors, and result() "
        "raised it; only what comes through set_exception() is raised"
    )
    assert isinstance(result, ValueError), f"the result was a ValueError, and {result!r} arrived"
    assert what_exception_returns(future) is None, (
        "the result was an exception object, and exception() took it for an error"
    )


def test_the_user_of_a_proxy_is_told() -> None:
    future = new_future()
    future.set_exception(AttributeError("a mistake of the producer"))
    proxy = future.proxy()
    try:
        answer = Running(lambda: hasattr(proxy, "upper")).result("the use of a proxy never ended")
    except ProxyResolveError as error:
        cause = error.__cause__
        assert isinstance(cause, AttributeError), f"the cause must be the producer's, not {cause!r}"
        return
    pytest.fail(f"the producer failed, and hasattr(proxy, ...) was {answer}; raise what was set")


def test_an_outcome_is_set_once() -> None:
    def set_result(future: ProxyFuture[Any]) -> None:
        future.set_result("value")

    def set_exception(future: ProxyFuture[Any]) -> None:
        future.set_exception(ValueError("no data"))

    for first in set_result, set_exception:
        for second in set_result, set_exception:
            future = new_future()
            first(future)
            before = repr(what_result_does(future))
            with pytest.raises(InvalidStateError):
                second(future)
            after = repr(what_result_does(future))
            assert before == after, f"the outcome was {before}; now it is {after}; it must stay"


# Errors that cannot travel


class HoldsALock(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("the lock is stuck")
        self.lock = threading.Lock()


class NeedsTwo(Exception):
    """Can be pickled, and not unpickled: that calls the class with its one text."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is away")


@pytest.mark.parametrize("error", [HoldsALock(), NeedsTwo("server", 80)], ids=repr)
def test_an_error_that_cannot_travel_is_reported(error: Exception) -> None:
    future = new_future()
    problem = ""
    try:
        future.set_exception(error)
    except Exception as failure:
        problem = repr(failure)
    assert not problem, (
        f"an error that cannot be pickled was set, and set_exception() raised {problem}; "
        "so the producer fails twice, and the consumers hear nothing"
    )
    try:
        arrived = what_exception_returns(future)
    except Exception as failure:
        arrived, problem = None, f"exception() failed with {failure!r}"
    assert isinstance(arrived, BrokenFutureError), (
        f"{error!r} cannot make the journey, and {problem or f'{arrived!r} arrived'}; "
        "there must arrive a BrokenFutureError that describes it"
    )
    assert str(error) in str(arrived), (
        f"{error!r} could not travel, and {arrived!r} arrived, which does not describe it; "
        "put its repr into the text"
    )


# Time passes


@pytest.mark.parametrize("method", ["result", "exception"])
def test_who_does_not_want_to_wait_any_more_gets_a_timeout_error(method: str) -> None:
    future = new_future()
    happened = ""
    try:
        returned = Running(lambda: getattr(future, method)(timeout=0.1)).result(
            f"{method}(timeout=0.1) did not end"
        )
        happened = f"returned {returned!r}"
    except TimeoutError:
        pass
    except Exception as error:
        happened = f"raised {error!r}"
    assert not happened, f"nothing was set, and {method}(timeout=0.1) {happened}; TimeoutError"
    problem = ""
    try:
        future.set_result("value")
    except InvalidStateError as error:
        problem = repr(error)
    assert not problem, (
        f"a timeout passed, then the result came, and set_result() raised {problem}; "
        "the timeout of one consumer changes nothing for the others"
    )
    arrived, result = what_result_does(future)
    assert (arrived, result) == ("returned", "value"), (
        f"a timeout passed, then the result was set, and result() {arrived} {result!r}"
    )


# with future:


def test_an_error_in_the_block_arrives_and_goes_on() -> None:
    future = new_future()
    went_on = False
    try:
        with future:
            raise ValueError("no data")
    except ValueError:
        went_on = True
    error = what_exception_returns(future)
    assert repr(error) == "ValueError('no data')", (
        f"ValueError('no data') was raised in `with future:`, and {error!r} arrived"
    )
    assert went_on, (
        "an error was raised in `with future:`, and the block swallowed it; "
        "it must also go on to the producer's own caller"
    )


def test_even_an_exit_in_the_block_arrives() -> None:
    future = new_future()
    with pytest.raises(SystemExit), future:
        raise SystemExit(1)
    error = what_exception_returns(future)
    assert isinstance(error, SystemExit), (
        f"the producer called sys.exit() in `with future:`, and {error!r} arrived; "
        "not every error is an Exception, but each is a BaseException"
    )


def test_a_result_set_in_the_block_arrives() -> None:
    future = new_future()
    with future as same:
        same.set_result("value")
    arrived, result = what_result_does(future)
    assert (arrived, result) == ("returned", "value"), (
        f"a result was set in `with future:`, and result() {arrived} {result!r}"
    )


def test_a_block_that_sets_nothing_is_reported() -> None:
    future = new_future()
    with future:
        pass  # a path through the producer that forgets the result
    error = what_exception_returns(
        future, "the producer left `with future:` without a result, and its consumers still wait"
    )
    assert isinstance(error, BrokenFutureError), (
        f"`with future:` was left without a result, and {error!r} arrived, not a BrokenFutureError"
    )


def test_an_error_after_the_result_goes_on_and_the_result_stays() -> None:
    future = new_future()
    raised: BaseException | None = None
    try:
        with future:
            future.set_result("value")
            raise ValueError("while cleaning up")
    except Exception as error:
        raised = error
    assert repr(raised) == "ValueError('while cleaning up')", (
        f"the result was set, then ValueError('while cleaning up') was raised in the block, and "
        f"the producer's caller got {raised!r}; leave the error of the block alone"
    )
    arrived, result = what_result_does(future)
    assert (arrived, result) == ("returned", "value"), (
        f"the result was set before the error, and result() {arrived} {result!r}; it must stay"
    )


# How the tests do it


def new_future() -> ProxyFuture[Any]:
    return ProxyFuture(LocalConnector())


def what_result_does(future: ProxyFuture[Any]) -> tuple[str, object]:
    waits = "there is an outcome, and result() waits for one"
    call: Callable[[], object] = future.result
    try:
        return "returned", Running(call).result(waits)
    except Exception as error:
        return "raised", error


def what_exception_returns(
    future: ProxyFuture[Any], deadlock: str = "there is an outcome, and exception() waits for one"
) -> BaseException | None:
    return Running(future.exception).result(deadlock)


class Running(Generic[T]):
    """A call in a thread of its own, so that what blocks does not block the tests."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: Future[T] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        __tracebackhide__ = True
        try:
            self._outcome.set_result(self._call())
        except BaseException as error:
            self._outcome.set_exception(error)

    def ended(self, seconds: float = LIMIT) -> bool:
        return bool(wait([self._outcome], seconds).done)

    def result(self, deadlock: str) -> T:
        __tracebackhide__ = True
        if not self.ended():
            pytest.fail(f"deadlock: {deadlock}", pytrace=False)
        if error := self._outcome.exception():
            raise error
        return self._outcome.result()
