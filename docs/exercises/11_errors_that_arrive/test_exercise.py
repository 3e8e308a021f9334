"""Tests of exercise 11. Read the failure first: it says what is wrong."""

from __future__ import annotations

import threading
from concurrent.futures import InvalidStateError
from functools import partial
from typing import Any

import pytest
from exercise import BrokenFutureError, LocalConnector, ProxyFuture, ProxyResolveError
from stepping import Running, asleep, fast_time, moments

Future = ProxyFuture[Any]


def new_future() -> Future:
    return ProxyFuture(LocalConnector())


def what_result_does(future: Future) -> tuple[str, object]:
    use = Running(future.result)
    error = use.error("there is an outcome, and result() waits for one")
    return ("raised", error) if error is not None else ("returned", use.result(""))


def what_exception_returns(
    future: Future, deadlock: str = "there is an outcome, and exception() waits for one"
) -> BaseException | None:
    return Running(future.exception).result(deadlock)


def leave(future: Future, error: BaseException | None = None) -> None:
    with future:
        if error is not None:
            raise error


# A result, or an error


@pytest.mark.parametrize("value", ["value", None, False, ..., b"", (None, None)], ids=repr)
def test_a_result_arrives(value: object) -> None:
    future = new_future()
    future.set_result(value)
    arrived, result = what_result_does(future)
    assert (arrived, result) == ("returned", value), (
        f"the result {value!r} was set, and result() {arrived} {result!r}"
    )
    error = what_exception_returns(future)
    assert error is None, f"a result was set, and exception() returned {error!r}, not None"


class ErrorOfYours(Exception):
    """One that is not in the standard library."""


class EmptyError(ErrorOfYours):
    """Is false, and an error all the same."""

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, SystemExit, ErrorOfYours, EmptyError])
def test_an_error_arrives_as_an_error(kind: type[BaseException]) -> None:
    future = new_future()
    sent: Any = kind("no data")
    sent.host = "server"
    future.set_exception(sent)
    arrived, error = what_result_does(future)
    assert arrived == "raised", f"an error was set, and result() returned {error!r}; it must raise"
    asked = Running(future.exception)
    happened = asked.happened("there is an outcome, and exception() waits for one")
    assert asked.error("") is None, f"{sent!r} was set, and exception() {happened}; return it"
    for method, found in ("result() raised", error), ("exception() returned", asked.result("")):
        assert type(found) is kind and found.args == sent.args, (
            f"{sent!r} was set, and {method} {found!r}"
        )
        host = getattr(found, "host", None)
        assert host == "server", f"{sent!r} had host='server', and {method} one with host={host!r}"


def test_an_error_wakes_a_consumer_that_waits() -> None:
    future = new_future()
    consumer = Running(future.exception)
    assert not consumer.ended(0.1), "nothing was set, and exception() returned"
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
    def set_result(future: Future) -> None:
        future.set_result("value")

    def set_exception(future: Future) -> None:
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


class PicklesBadly(Exception):
    """Has code of its own for pickling, which may raise anything."""

    def __reduce__(self) -> Any:
        raise ZeroDivisionError


class UnpicklesBadly(Exception):
    def __reduce__(self) -> Any:
        return {}.__getitem__, ("nothing",)


@pytest.mark.parametrize(
    "error",
    [HoldsALock(), NeedsTwo("server", 80), PicklesBadly("no data"), UnpicklesBadly("no data")],
    ids=repr,
)
def test_an_error_that_cannot_travel_is_reported(error: Exception) -> None:
    future = new_future()
    happened = Running(partial(future.set_exception, error)).happened("set_exception() waits")
    assert happened == "returned None", (
        f"{error!r} cannot be pickled and unpickled, and set_exception() {happened}; "
        "so the producer fails twice, and the consumers hear nothing"
    )
    asked = Running(future.exception)
    happened = asked.happened("there is an outcome, and exception() waits for one")
    arrived = None if asked.error("") else asked.result("")
    assert isinstance(arrived, BrokenFutureError), (
        f"{error!r} cannot make the journey, and exception() {happened}; "
        "there must arrive a BrokenFutureError that describes it"
    )
    assert repr(error) in str(arrived), (
        f"{error!r} could not travel, and {arrived!r} arrived, which does not describe it; "
        "put its repr into the text"
    )


# Time passes


@pytest.mark.parametrize("timeout", [0, 0.1])
@pytest.mark.parametrize("method", ["result", "exception"])
def test_who_does_not_want_to_wait_any_more_gets_a_timeout_error(
    method: str, timeout: float
) -> None:
    future = new_future()
    waits = Running(partial(getattr(future, method), timeout=timeout))
    happened = waits.happened(f"nothing was set, and {method}({timeout=}) did not end")
    assert isinstance(waits.error(""), TimeoutError), (
        f"nothing was set, and {method}({timeout=}) {happened}; TimeoutError"
    )
    problem = ""
    try:
        future.set_result("value")
    except InvalidStateError as error:
        problem = repr(error)
    assert not problem, (
        f"a timeout passed, then the result came, and set_result() raised {problem}; "
        "the timeout of one consumer changes nothing for the others"
    )
    happened = Running(partial(future.result, timeout)).happened(
        "there is a result; result() waits"
    )
    assert happened == "returned 'value'", (
        f"a timeout passed, then the result was set, and result({timeout=}) {happened}"
    )


@pytest.mark.parametrize("method", ["result", "exception"])
def test_without_a_timeout_one_waits_for_hours(method: str) -> None:
    with fast_time(20_000):  # a second is more than five hours
        future = new_future()
        consumer = asleep(getattr(future, method))
        gave_up = consumer.ended(0.1)
    assert not gave_up, (
        f"{method}() has no limit, and gave up before the outcome was there; "
        f"it {consumer.happened('')}"
    )


# with future:


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("no data"),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        InvalidStateError("another future is done"),
    ],
    ids=repr,
)
def test_an_error_in_the_block_arrives_and_goes_on(raised: BaseException) -> None:
    future = new_future()
    went_on = Running(partial(leave, future, raised)).error("the block does not end")
    error = what_exception_returns(
        future, f"{raised!r} was raised in `with future:`, and the consumers still wait"
    )
    assert repr(error) == repr(raised), (
        f"{raised!r} was raised in `with future:`, and {error!r} arrived; "
        "not every error is an Exception, but each is a BaseException"
    )
    assert went_on, (
        "an error was raised in `with future:`, and the block swallowed it; "
        "it must also go on to the producer's own caller"
    )
    assert went_on is raised, f"{raised!r} was raised in `with future:`, and {went_on!r} went on"


def test_a_result_that_cannot_travel_is_the_producers_error() -> None:
    future = new_future()
    with pytest.raises(TypeError), future:
        future.set_result(threading.Lock())
    arrived, result = what_result_does(future)
    assert isinstance(result, TypeError) and arrived == "raised", (
        "in `with future:`, the producer set a lock as the result, which pickle refuses, and "
        f"result() {arrived} {result!r}; the producer's error is the outcome then"
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
    leave(future)  # a path through the producer that forgets the result
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


@pytest.mark.parametrize("error", [None, ValueError("no data")], ids=repr)
def test_somebody_else_may_set_it_just_as_the_block_ends(error: Exception | None) -> None:
    for moment in moments():
        future = new_future()
        leaves, other = moment.meet(
            partial(leave, future, error), partial(future.set_result, "value")
        )
        went_on = leaves.error(f"a result came {moment}, and the block never ended")
        assert went_on is error, (
            f"the block ended with {error!r}, somebody else set a result {moment}, and {went_on!r} "
            "went on; to look and to set are two steps, so try, and suppress InvalidStateError"
        )
        too_late = other.error(f"set_result() came {moment}, and never ended")
        arrived, result = what_result_does(future)
        assert (arrived == "raised") == isinstance(too_late, InvalidStateError), (
            f"a result came {moment}, set_result() {other.happened('')}, and result() {arrived} "
            f"{result!r}; the first outcome stays, and who comes too late is told"
        )


# A connector that breaks


class AwayConnector(LocalConnector):
    """Its server is away."""

    def set(self, key: str, data: bytes) -> None:
        raise ConnectionError("the server is away")

    def wait(self, key: str, timeout: float | None = None) -> bytes | None:
        raise ConnectionError("the server is away")


@pytest.mark.parametrize(
    "call",
    [
        partial(ProxyFuture.set_result, value=1),
        partial(ProxyFuture.set_exception, error=ValueError("no data")),
        ProxyFuture.result,
        ProxyFuture.exception,
        leave,
    ],
    ids=["set_result", "set_exception", "result", "exception", "the end of `with future:`"],
)
def test_an_error_of_the_connector_is_not_hidden(call: Any, request: Any) -> None:
    used = Running(partial(call, ProxyFuture(AwayConnector())))
    happened = used.happened("the connector raised an error, and something still waits")
    assert isinstance(used.error(""), ConnectionError), (
        f"the connector raised a ConnectionError, and {request.node.callspec.id} {happened}; "
        "that is no outcome, and nobody has set one: let the error go on"
    )
