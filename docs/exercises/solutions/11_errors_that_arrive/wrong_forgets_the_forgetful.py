# Wrong: it reports errors, but not a block that sets nothing.
# Fails: without a result, and its consumers still wait
"""Exercise 11: errors that arrive."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar, cast

T = TypeVar("T")


class BrokenFutureError(Exception):
    """A future is done, but has neither a result nor an error that could travel."""


class ProxyFuture(Generic[T]):
    """An outcome that a producer sets later: a result, or an error.

    def produce(future: ProxyFuture[int]) -> None:
        with future:                        # whatever happens, the consumers hear of it
            future.set_result(6 * 7)
    """

    def __init__(self, connector: LocalConnector) -> None:
        self._connector = connector
        self._key = connector.new_key()

    def proxy(self) -> T:
        """Returns a proxy of the result. Its first use waits for the outcome."""
        return cast(T, Proxy(self.result))

    def set_result(self, value: T) -> None:
        """Sets the result, once, which wakes the consumers.

        Raises:
            InvalidStateError: There is an outcome already, and it stays.
        """
        self._set(pickle.dumps((value, None)))

    def set_exception(self, error: BaseException) -> None:
        """Sets an error instead of a result, once, which wakes the consumers.

        An error that cannot be pickled and unpickled arrives as a `BrokenFutureError` with its
        `repr` in the text.

        Raises:
            InvalidStateError: There is an outcome already, and it stays.
        """
        self._set(pickle.dumps((None, portable(error))))

    def result(self, timeout: float | None = None) -> T:
        """Waits for the outcome, and returns the result.

        Args:
            timeout: How many seconds to wait at most; `None` has no limit.

        Raises:
            TimeoutError: The timeout passed.
            BaseException: The producer set an error: that one.
        """
        value, error = self._outcome(timeout)
        if error is not None:
            raise error
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the outcome, and returns the error, or `None` if there is a result.

        Args:
            timeout: How many seconds to wait at most; `None` has no limit.

        Raises:
            TimeoutError: The timeout passed.
        """
        return self._outcome(timeout)[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Makes sure that there is an outcome when the block is left.

        Args:
            kind: The class of the error; not needed.
            error: What was raised in the block, or `None`.
            traceback: Where it was raised; not needed.
        """
        if error is not None:
            with suppress(InvalidStateError):  # there is an outcome already
                self.set_exception(error)

    def _outcome(self, timeout: float | None) -> tuple[T, BaseException | None]:
        data = self._connector.wait(self._key, timeout)
        if data is None:
            raise TimeoutError(f"There was no outcome within {timeout} seconds.")
        return cast(tuple[T, BaseException | None], pickle.loads(data))

    def _set(self, data: bytes) -> None:
        try:
            self._connector.set(self._key, data)
        except AlreadySetError:
            raise InvalidStateError("The future has its outcome already.") from None


def portable(error: BaseException) -> BaseException:
    """Returns the error, or one that describes it, if it cannot travel."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BrokenFutureError(f"The producer failed with an error that cannot travel: {error!r}")
    return error


# The pieces


class ProxyResolveError(Exception):
    """A proxy could not get its target. The reason is the `__cause__`."""


class Proxy:
    """Gets its target from the factory at the first use, and behaves as the target."""

    def __init__(self, factory: Callable[[], object]) -> None:
        self._factory = factory
        self._target: list[Any] = []  # empty, until there is one

    def _resolved(self) -> Any:
        if not self._target:
            try:
                self._target.append(self._factory())
            except Exception as error:
                # Not the error itself: Python swallows some. hasattr() takes an AttributeError
                # for "no", a for loop takes a StopIteration for "the end".
                raise ProxyResolveError(f"The proxy has no target: {error!r}") from error
        return self._target[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolved(), name)

    def __str__(self) -> str:
        return str(self._resolved())

    def __len__(self) -> int:
        return len(self._resolved())


class AlreadySetError(Exception):
    """The key has its value already."""


class LocalConnector:
    """Keeps bytes under keys, for the threads of one process, and wakes who waits for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}
        self._waiting: dict[str, list[threading.Event]] = {}

    def new_key(self) -> str:
        """Returns a key that nobody else has. Nothing is stored under it yet."""
        return os.urandom(16).hex()

    def set(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, once, and wakes all who wait for it.

        Raises:
            AlreadySetError: The key has its value already, and keeps it.
        """
        with self._lock:
            if key in self._values:
                raise AlreadySetError(f"{key} is set already.")
            self._values[key] = data
            waiting = self._waiting.pop(key, [])
        for bell in waiting:
            bell.set()

    def wait(self, key: str, timeout: float | None = None) -> bytes | None:
        """Waits until `key` is set and returns its bytes, or `None` after `timeout` seconds."""
        bell = threading.Event()
        with self._lock:
            if key in self._values:
                return self._values[key]
            self._waiting.setdefault(key, []).append(bell)
        bell.wait(timeout)
        with self._lock:
            if key not in self._values:
                self._waiting[key].remove(bell)
                if not self._waiting[key]:
                    del self._waiting[key]
            return self._values.get(key)
