"""What the test of exercise 16 is tried on: two that are right, and relatives of the suspect."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any


class Right:
    """Keeps the value only when the factory has returned."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory
        self.values: list[Any] = []

    def resolve(self) -> Any:
        if not self.values:
            self.values.append(self.factory())
        return self.values[0]


class RightInItsOwnWay:
    """Replaces its own method: a use after the first one does not even look."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.resolve = lambda: self._attempt(factory)

    def _attempt(self, factory: Callable[[], Any]) -> Any:
        attempt: Future[Any] = Future()  # a new one each time
        try:
            attempt.set_result(factory())
        except BaseException as error:
            attempt.set_exception(error)
        value = attempt.result()
        self.resolve = attempt.result
        return value


class KeepsTheError(Right):
    """raises the first failure for ever"""

    error: BaseException | None = None

    def resolve(self) -> Any:
        if self.error:
            raise self.error
        try:
            return super().resolve()
        except BaseException as error:
            self.error = error
            raise


class GivesUp(Right):
    """tries twice, and returns None from then on"""

    tries = 0

    def resolve(self) -> Any:
        self.tries += not self.values
        return super().resolve() if self.tries <= 2 else None


class Swallows(Right):
    """returns None instead of raising what the factory raised"""

    def resolve(self) -> Any:
        with suppress(Exception):
            return super().resolve()
        return None


class RaisesAnotherError(Right):
    """raises an error of its own instead of what the factory raised"""

    def resolve(self) -> Any:
        try:
            return super().resolve()
        except Exception as error:
            raise type(error)("The factory failed.") from error


class TriesAgainAtOnce(Right):
    """calls the factory once more, before it raises what that raises"""

    def resolve(self) -> Any:
        with suppress(Exception):
            return super().resolve()
        return super().resolve()


class ForgetsAfterAFailure(Right):
    """does not keep a value that comes after a failure"""

    failed = False

    def resolve(self) -> Any:
        try:
            return self.factory() if self.failed else super().resolve()
        except BaseException:
            self.failed = True
            raise


RELATIVES = [
    KeepsTheError,
    GivesUp,
    Swallows,
    RaisesAnotherError,
    TriesAgainAtOnce,
    ForgetsAfterAFailure,
]
