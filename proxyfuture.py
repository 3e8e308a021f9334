"""Proxy futures: objects that can be handed to a consumer before their value exists.

The consumer gets a proxy and starts at once. It blocks when it first uses the value, and from
then on the proxy behaves as the value. The producer sets the value when it is ready, from any
process that can reach the store:

    >>> from connectors import LocalConnector
    >>> from proxyfuture import ProxyFuture, Store
    >>> with Store("example", LocalConnector()) as store:
    ...     future: ProxyFuture[str] = store.future()
    ...     proxy = future.proxy()
    ...     future.set_result("value")
    ...     print(proxy.upper())
    VALUE

A value's journey takes five steps. The sections of this file are named after them:

1. `Store.future` asks a connector for a fresh key. Nothing is stored yet.
2. `ProxyFuture.proxy` wraps "fetch that key when somebody needs it" in a `Proxy`.
3. Both are pickled to other processes. The key and the store's configuration travel.
4. `ProxyFuture.set_result` serializes the value and sets the key, once.
5. The first use of the `Proxy` waits for the key and keeps the value, its *target*.
"""

from __future__ import annotations

import contextlib
import copy
import math
import operator
import os
import pickle
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast, overload

from connectors import (
    AlreadySetError,
    BytesLike,
    Connector,
    ConnectorError,
    DeferrableConnector,
    WaitableConnector,
    checked_timeout,
    poll,
)

__all__ = [
    "BrokenFutureError",
    "Proxy",
    "ProxyFuture",
    "ProxyResolveError",
    "SerializationError",
    "Store",
    "call_with_proxies",
    "extract",
    "is_resolved",
    "resolve",
]

T = TypeVar("T")


class ProxyResolveError(Exception):
    """A proxy could not get its target. The reason is the `__cause__`.

    It is none of the exceptions that Python's own protocols swallow, such as `AttributeError`
    (`hasattr`) or `StopIteration` (`for`), so that a failure cannot pass for an answer.
    """


class BrokenFutureError(Exception):
    """A future is done, but has neither a result nor an exception that could travel.

    Its producer left the `with future:` block without setting a result; or it raised an
    exception that cannot be pickled or rebuilt, which this one describes.
    """


class SerializationError(Exception):
    """A value cannot be turned into bytes, or bytes into a value. See the `__cause__`."""


# Steps 1 and 3: a store makes futures and proxies, and travels with them


class Store:
    """Keeps Python objects in a connector, and makes proxies and futures for them.

    A store is its configuration: pickled, it is its name and its connector's type and
    `config()`. Unpickled in a process that has that store, it is that very store; elsewhere it
    is opened once and kept. Opening does no I/O: a connector connects at its first use.

    Args:
        name: A part of the configuration. It tells apart stores that are alike otherwise, but not
            their keys: stores that share a connector share its values.
        connector: Where the bytes go. It is closed with the store.
        serializer: Turns an object into bytes; by default `pickle`, highest protocol. If the
            store is to travel, a function that can be pickled, always into the same bytes: it is
            a part of the configuration. Exceptions are pickled whatever the serializer.
        deserializer: Turns these bytes into an object again.
        cache_size: How many objects to keep in this process, the most recently used ones. Whoever
            asks for the key of one gets that same object. 0 keeps none.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `name` is empty, or `cache_size` negative.
    """

    def __init__(
        self,
        name: str,
        connector: Connector[Any],
        *,
        serializer: Callable[[Any], BytesLike] | None = None,
        deserializer: Callable[[Any], Any] | None = None,
        cache_size: int = 16,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}.")
        if not name:
            raise ValueError("name must not be empty: it tells the stores of a process apart.")
        if isinstance(connector, type) or not isinstance(connector, Connector):
            raise TypeError(
                f"connector must be an object with the methods of a Connector, not {connector!r}."
            )
        for role, function in ("serializer", serializer), ("deserializer", deserializer):
            if not (function is None or callable(function)):
                raise TypeError(f"{role} must be callable with one argument, not {function!r}.")
        if not isinstance(cache_size, int):
            raise TypeError(f"cache_size must be an integer, not {cache_size!r}.")
        if cache_size < 0:
            raise ValueError(f"cache_size must be 0 or a positive integer, not {cache_size}.")
        self.name = name
        self.connector = connector
        self._options = serializer, deserializer, cache_size
        self._serializer = _pickled if serializer is None else serializer
        self._deserializer = _unpickled if deserializer is None else deserializer
        self._cache_size = cache_size
        self._cache: OrderedDict[Any, Any] = OrderedDict()
        self._closed = False
        # Looked up now, since isinstance() with a protocol looks for every method.
        self._is_deferrable = isinstance(connector, DeferrableConnector)
        self._wait: Callable[[Any, float | None], BytesLike | None] = (
            connector.wait if isinstance(connector, WaitableConnector) else self._poll
        )
        config = connector.config()
        self._identity = _identity(name, type(connector), config, serializer, deserializer)
        _stores.setdefault(self._identity, self)  # where a pickled copy finds it

    def future(self, target_type: type[T] | None = None) -> ProxyFuture[T]:
        """Returns a future whose result this store will keep.

        Args:
            target_type: The class of the result. With it, `isinstance(proxy, ...)` answers before
                there is a result, for instance when an engine such as Dask inspects the arguments
                of its tasks; and `set_result` refuses anything else.

        Raises:
            NotImplementedError: The connector cannot hand out keys before their values.
            TypeError: `target_type` is not a class.
        """
        _check_class(target_type)
        return ProxyFuture(self, self._deferrable().new_key(), target_type)

    def proxy(self, obj: T, *, evict: bool = False) -> T:
        """Stores `obj` and returns a proxy of it; `evict` as in `ProxyFuture.proxy`.

        Raises:
            SerializationError: `obj` cannot be serialized.
        """
        return cast(T, self.proxy_from_key(self.put(obj), evict=evict))

    def proxy_from_key(
        self, key: Any, *, evict: bool = False, target_type: type[T] | None = None
    ) -> T:
        """Returns a proxy of what is stored under `key`. Unlike a future's, it does not wait."""
        return cast(T, self._proxy(key, 0, evict, target_type))

    def put(self, obj: object) -> Any:
        """Stores `obj` and returns its key.

        Raises:
            SerializationError: `obj` cannot be serialized.
        """
        return self.connector.put(self._serialized(obj))

    def get(self, key: Any, default: Any = None) -> Any:
        """Returns the object under `key`, or `default` where nothing is set. Does not wait.

        Raises:
            SerializationError: What is stored cannot be deserialized.
            BaseException: The exception that was set there instead of a result.
        """
        outcome = self._outcome(key, self.connector.get)
        if outcome is None:
            return default
        value, error = outcome
        if error is not None:
            raise error
        return value

    def exists(self, key: Any) -> bool:
        """Tells whether `key` is set."""
        return self.connector.exists(key)

    def evict(self, key: Any) -> None:
        """Forgets what is stored under `key`. Caches of other processes may keep it."""
        self.connector.evict(key)
        self._cache.pop(key, None)

    def close(self) -> None:
        """Closes the connector. Whoever still waits gets a `ConnectorError`."""
        self._closed = True
        self._cache.clear()
        if _stores.get(self._identity) is self:
            _stores.pop(self._identity, None)
        self.connector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        parts = self.name, type(self.connector), self.connector.config()
        # The usual options stay at home, since a proxy should be small.
        options = () if self._options == _USUAL_OPTIONS else self._options
        return _open_store, (*parts, *options)

    def __repr__(self) -> str:
        return f"Store({self.name!r}, {self.connector!r})"

    def _proxy(
        self, key: Any, timeout: float | None, evict: bool, target_type: type[Any] | None
    ) -> Proxy[Any]:
        fetch = _Fetch(self, key, timeout, evict)
        return Proxy(fetch, target_type)  # type: ignore[arg-type]  # mypy overlooks its __call__

    def _deferrable(self) -> DeferrableConnector[Any]:
        if self._is_deferrable:
            return self.connector  # type: ignore[return-value]  # __init__ has looked
        raise NotImplementedError(
            f"{type(self.connector).__name__} is not a DeferrableConnector: it has no new_key() "
            "and set(), which a future needs. Use, for instance, a FileConnector."
        )

    def _poll(self, key: Any, timeout: float | None) -> BytesLike | None:
        def attempt() -> BytesLike | None:
            if self._closed:
                raise ConnectorError(f"{self!r} was closed while this waited for {key}.")
            return self.connector.get(key)

        return poll(attempt, timeout)

    def _awaited(self, key: Any, timeout: float | None) -> _Outcome:
        """Waits for what `key` will hold: a value and no exception, or the reverse."""
        outcome = self._outcome(key, self._wait, checked_timeout(timeout))
        if outcome is None:
            raise TimeoutError(
                f"There was nothing under {key} within {timeout} seconds. It is not set yet, or it "
                "was evicted."
            )
        return outcome

    def _outcome(
        self, key: Any, fetch: Callable[..., BytesLike | None], *arguments: Any
    ) -> _Outcome | None:
        """Returns what `key` holds, from the cache or from what `fetch` brings, if anything."""
        # No lock for the cache: each step is atomic. A race costs another fetch, or keeps an
        # evicted object until it is its turn to leave. TypeError: it is no key; fetch will tell.
        with contextlib.suppress(KeyError, TypeError):
            self._cache.move_to_end(key)
            return self._cache[key], None
        data = fetch(key, *arguments)
        if data is None:
            return None
        try:
            if _is_error(data):
                return None, _unpacked_error(data)
            # Deserializers other than ours may insist on bytes.
            value = self._deserializer(data if self._deserializer is _unpickled else bytes(data))
        except Exception as cause:
            raise SerializationError(
                f"The {len(data)} bytes under {key} cannot be deserialized: {_described(cause)}. "
                "They are damaged, or were made by another serializer, or need a module that is "
                "missing here."
            ) from cause
        self._cache[key] = value
        if len(self._cache) > self._cache_size:
            # Not contextlib.suppress(), which would cost a woken consumer a tenth of its time.
            try:  # noqa: SIM105
                self._cache.popitem(last=False)
            except KeyError:  # another thread has emptied it
                pass
        return value, None

    def _serialized(self, obj: object) -> BytesLike:
        try:
            data = self._serializer(obj)
        except Exception as cause:
            raise SerializationError(
                f"A {type(obj).__name__} cannot be serialized: {_described(cause)}"
            ) from cause
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise SerializationError(
                f"serializer must return bytes, not {type(data).__name__}. With JSON, for "
                "instance, it is a function that returns json.dumps(obj).encode()."
            )
        if _is_error(data):
            raise SerializationError(
                f"serializer turned a {type(obj).__name__} into bytes that begin as those of a "
                "stored exception. Let serializer put a byte before, and deserializer remove it."
            )
        return data


_Outcome = tuple[Any, BaseException | None]

_USUAL_OPTIONS = None, None, 16

# The stores of this process, by what identifies them.
_stores: dict[object, Store] = {}


def _identity(
    name: str, connector_type: type, config: dict[str, Any], *functions: Callable[[Any], Any] | None
) -> tuple[object, ...]:
    # A dict by its repr, since it cannot be hashed.
    return name, connector_type, repr(config), *map(_identified, functions)


def _identified(function: Callable[[Any], Any] | None) -> object:
    if function is None:
        return None
    try:  # not the function itself: a functools.partial, for one, is unpickled as a new object
        return pickle.dumps(function)
    except Exception:
        # Pickle finds functions by name, and an engine may bring along one that has none here. Two
        # of the same place, such as lambdas, count as one.
        return getattr(function, "__module__", ""), getattr(function, "__qualname__", "")


def _open_store(
    name: str, connector_type: type[Connector[Any]], config: dict[str, Any], *options: Any
) -> Store:
    """Unpickles a store: returns the one that this process has, or opens one."""
    serializer, deserializer, cache_size = options or _USUAL_OPTIONS
    store = _stores.get(_identity(name, connector_type, config, serializer, deserializer))
    if store is None:
        store = Store(
            name,
            connector_type.from_config(config),
            serializer=serializer,
            deserializer=deserializer,
            cache_size=cache_size,
        )
    return _stores.get(store._identity, store)  # another thread's, if it was quicker


# Steps 2 and 4: the future


class ProxyFuture(Generic[T]):
    """A result that its producer sets later, and consumers use through proxies.

    Its methods are named, block and fail like those of `concurrent.futures.Future`. Unlike that
    one, it can be pickled to any process that can reach the store, a producer's or a consumer's.
    Get one from `Store.future`.

    A producer that uses it as a context manager cannot forget its consumers: without a result,
    an exception that leaves the block is set for them, too, and a block that just ends sets a
    `BrokenFutureError`.

        >>> def produce(future: ProxyFuture[int]) -> None:
        ...     with future:
        ...         future.set_result(6 * 7)

    Attributes:
        key: Where the result is kept in the store.
    """

    def __init__(self, store: Store, key: Any, target_type: type[T] | None = None) -> None:
        self.key = key
        self._store = store
        self._target_type = target_type
        self._was_set = False

    def proxy(self, *, timeout: float | None = None, evict: bool = False) -> T:
        """Returns a proxy of the result, to be handed to a consumer.

        To a type checker it is the result, since that is what a consumer's signature says.

        Args:
            timeout: How many seconds the proxy's first use waits at most; `None` has no limit.
                Threads that share a proxy take turns, so one may wait for those before it, too.
            evict: Whether to remove the result from the store once the proxy has it. For a
                result with one consumer.

        Raises:
            TypeError: `timeout` is not a number.
            ValueError: `timeout` is negative.
        """
        limit = checked_timeout(timeout)
        return cast(T, self._store._proxy(self.key, limit, evict, self._target_type))

    def result(self, timeout: float | None = None) -> T:
        """Waits for the result and returns it.

        Args:
            timeout: How many seconds to wait at most; `None` has no limit.

        Raises:
            TimeoutError: The timeout passed.
            BaseException: The producer set an exception: that one.
            BrokenFutureError: The producer left its block without setting anything, or set an
                exception that cannot travel.
            SerializationError: The result cannot be deserialized here.
            ConnectorError: The store was closed, or is out of reach.
        """
        value: T
        value, error = self._store._awaited(self.key, timeout)
        if error is not None:
            raise error
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the result and returns the exception in its place, or `None`.

        The arguments and errors are those of `result`, but what the producer set is returned.
        """
        return self._store._awaited(self.key, timeout)[1]

    def done(self) -> bool:
        """Tells whether a result or an exception was set, and is still stored."""
        return self._store.exists(self.key)

    def set_result(self, obj: T) -> None:
        """Sets the result, once, which wakes its consumers.

        Raises:
            InvalidStateError: A result or an exception was set before, and is still stored.
            TypeError: `obj` is not of the future's target type.
            SerializationError: `obj` cannot be serialized.
            ConnectorError: The store cannot keep it, and the future stays pending; or the store has
                it, and only the answer was lost.
        """
        if self._target_type is not None and not isinstance(obj, self._target_type):
            raise TypeError(
                f"obj must be a {self._target_type.__name__}, as the future was told, "
                f"not a {type(obj).__name__}."
            )
        self._set(self._store._serialized(obj))

    def set_exception(self, exc: BaseException) -> None:
        """Sets an exception instead of a result, once, which wakes the consumers.

        Raises:
            InvalidStateError: A result or an exception was set before, and is still stored.
            TypeError: `exc` is not an exception.
            ConnectorError: The store cannot keep it, and the future stays pending; or the store has
                it, and only the answer was lost.
        """
        if not isinstance(exc, BaseException):
            raise TypeError(f"exc must be an instance of an exception class, not {exc!r}.")
        self._set(_packed_error(exc))

    def to_concurrent(self) -> Future[T]:
        """Returns a `concurrent.futures.Future` that follows this one.

        For `concurrent.futures.wait` and `as_completed`, callbacks, and `asyncio.wrap_future`,
        which `await` uses. Each costs a thread until it is done, or for up to a minute after it
        was cancelled.
        """
        follower: Future[T] = Future()
        threading.Thread(target=self._lead, args=(follower,), daemon=True).start()
        return follower

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio  # here: importing it takes half as long as all else in this module

        return asyncio.wrap_future(self.to_concurrent()).__await__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if self._was_set:  # and not done(), since a consumer may have evicted the result by now
            return
        if exc is None:
            exc = BrokenFutureError("The producer left `with future:` without setting a result.")
        with contextlib.suppress(InvalidStateError):  # the block may have let somebody else set it
            self.set_exception(exc)

    def __reduce__(self) -> tuple[Any, ...]:
        return ProxyFuture, (self._store, self.key, self._target_type)

    def __repr__(self) -> str:
        # Says nothing about the state, since asking the connector could block.
        return f"<ProxyFuture {self.key!r} in {self._store!r}>"

    def _set(self, data: BytesLike) -> None:
        try:
            self._store._deferrable().set(self.key, data)
        except AlreadySetError as error:
            raise InvalidStateError(f"{self!r} is done already; it can be set once.") from error
        self._was_set = True

    def _lead(self, follower: Future[T]) -> None:
        try:
            value, error = self._awaited_unless_cancelled(follower)
        except BaseException as failure:
            value, error = None, failure
        if not follower.set_running_or_notify_cancel():  # from here on, it cannot be cancelled
            return
        if error is None:
            follower.set_result(value)
        else:
            follower.set_exception(_for_asyncio(error))

    def _awaited_unless_cancelled(self, follower: Future[T]) -> _Outcome:
        outcome, seconds = None, 1
        while outcome is None and not follower.cancelled():
            # Some seconds at a time, to notice that nobody is interested any more; but ever more of
            # them, since a connector that polls looks often when a wait begins.
            outcome = self._store._outcome(self.key, self._store._wait, seconds)
            seconds = min(2 * seconds, 60)
        return outcome or (None, None)


def _for_asyncio(error: BaseException) -> BaseException:
    """Returns `error`, or another in its place if a future of `asyncio` would misunderstand it.

    It refuses a `StopIteration`, and takes a `CancelledError` for its own cancellation.
    """
    kinds = {each.__name__ for each in type(error).__mro__}  # names: asyncio is not imported here
    if kinds.isdisjoint({"StopIteration", "CancelledError"}):
        return error
    substitute = RuntimeError(f"The producer raised {_described(error)}.")
    substitute.__cause__ = error
    return substitute


class _Fetch(NamedTuple):
    """The factory of a store's proxies: fetch the key, and wait for it up to the timeout.

    A tuple, since it pickles small.
    """

    store: Store
    key: Any
    timeout: float | None
    evict: bool

    def __call__(self) -> Any:
        value, error = self.store._awaited(self.key, self.timeout)
        if error is not None:
            raise ProxyResolveError(
                f"The producer set an exception instead of a result: {_described(error)}"
            ) from error
        if self.evict:
            # If that fails, what is stored takes room for longer. But the proxy has its value.
            with contextlib.suppress(Exception):
                self.store.evict(self.key)
        return value


def call_with_proxies(fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Calls `fn` with a proxy in place of every argument that is a `ProxyFuture`.

    Engines that look into the arguments of a task would wait for a proxy before they start
    the task. They find nothing to wait for in a future, so let the task make the proxies:

        submit(call_with_proxies, bar, future)  # instead of submit(bar, future.proxy())

    Futures inside other arguments, such as lists, stay as they are.

    Raises:
        TypeError: `fn` cannot be called.
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, not {fn!r}.")

    def proxied(argument: Any) -> Any:
        # By type(), since isinstance() would ask a proxy among the arguments for its class.
        return argument.proxy() if issubclass(type(argument), ProxyFuture) else argument

    return fn(*map(proxied, args), **{name: proxied(value) for name, value in kwargs.items()})


# What is stored in step 4: a value, or an exception in its place

# A value is stored as its pickle. An object such as an array can leave its memory out of the pickle
# (PEP 574). That memory is put behind the pickle, where the reader can use it in place:
#
#     mark and (pickle, sizes), memory, memory, ..., mark
#
# Each part is filled up to a multiple of 16 bytes, and the mark is 16 bytes long.

_BUFFERS_MARK = b"\0with buffers\0\0\0"


def _pickled(obj: object) -> bytes:
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(obj, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    if not buffers:
        return pickled
    views = [buffer.raw() for buffer in buffers]
    head = _BUFFERS_MARK + pickle.dumps((pickled, [len(view) for view in views]))
    parts: list[BytesLike] = [head, *views, _BUFFERS_MARK]
    padded: list[BytesLike] = []
    for part in parts:
        padded += part, bytes(_gap(len(part)))
    return b"".join(padded)


def _unpickled(data: BytesLike) -> Any:
    size_of_mark = len(_BUFFERS_MARK)
    if data[:size_of_mark] != _BUFFERS_MARK:
        return pickle.loads(data)
    if data[-size_of_mark:] != _BUFFERS_MARK:
        raise ValueError("the end is missing")
    view = memoryview(data)
    if view.readonly:  # whoever gets an array may change it, in memory of its own
        view = memoryview(bytearray(view))
    pickled, sizes = pickle.loads(view[size_of_mark:])
    # From the end, since only pickle knows where its own bytes end.
    buffers, end = [], len(view) - size_of_mark
    for size in reversed(sizes):
        end -= size + _gap(size)
        # Classes that follow the example in Python's documentation of pickle ask a buffer for
        # `memoryview(buffer).obj`. With a plain view, they would get all of `data`.
        buffers.append(pickle.PickleBuffer(view[end : end + size]))
    return pickle.loads(pickled, buffers=reversed(buffers))


def _gap(size: int) -> int:
    return -size % 16  # each part begins where processors like an array's memory to begin


# An exception is stored behind a mark that no pickle and no text begins with. So results need no
# wrapper that says what they are, and no copy to add one.

_ERROR_MARK = b"\0proxyfuture exception\0"


def _is_error(data: BytesLike) -> bool:
    return data[: len(_ERROR_MARK)] == _ERROR_MARK


def _packed_error(error: BaseException) -> bytes:
    try:
        pickled = pickle.dumps(error)
    except Exception:
        pickled = b""  # which cannot be loaded, so the reader gets the description
    producer = f"In the producer (process {os.getpid()}):\n\n"
    text = producer + "".join(traceback.format_exception(error))
    return _ERROR_MARK + pickle.dumps((pickled, _described(error), text))


def _unpacked_error(data: BytesLike) -> BaseException:
    pickled, description, text = pickle.loads(data[len(_ERROR_MARK) :])
    try:
        error: BaseException = pickle.loads(pickled)
        BaseException.add_note(error, text)  # refuses what is no exception
    except Exception:
        error = BrokenFutureError(f"The producer's exception cannot be rebuilt: {description}")
        error.add_note(text)
    return error


def _described(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:
        return object.__repr__(error)


# Step 5: the proxy


class Proxy(Generic[T]):
    """An object that behaves as another one, its target, which it gets at its first use.

    The special methods that Python lets a class define are here, and each hands its operation to
    the target; `__getattr__` does the rest. (What cannot be handed on is listed in docs/limits.md.)
    A proxy pickles as its factory.

        >>> proxy = Proxy(lambda: [1, 2])
        >>> proxy
        <Proxy of ...>
        >>> proxy + [3]
        [1, 2, 3]
        >>> proxy
        [1, 2]

    Args:
        factory: Called without arguments, at the first use, to get the target. If it raises an
            `Exception`, the user of the proxy gets a `ProxyResolveError`, and the next use calls it
            again.
        target_type: The target's class, if known. Then `isinstance`, and `hasattr` for special
            methods that it lacks, are answered without the target.

    Raises:
        TypeError: `factory` cannot be called, or `target_type` is not a class.
    """

    __slots__ = ("__factory__", "__target__", "__target_type__", "__weakref__")

    # The slot __target__ is empty at first. Reading it then makes Python ask __getattr__, which
    # fills it. From then on, self.__target__ is as fast as an attribute can be.
    __target__: Any
    __factory__: Callable[[], T]
    __target_type__: type[T] | None

    def __init__(self, factory: Callable[[], T], target_type: type[T] | None = None) -> None:
        if not callable(factory):
            raise TypeError(f"factory must be callable without arguments, not {factory!r}.")
        _check_class(target_type)
        object.__setattr__(self, "__factory__", factory)
        object.__setattr__(self, "__target_type__", target_type)

    def __getattr__(self, name: str) -> Any:
        # A slice, since startswith() would slow down every attribute of a resolved proxy.
        if name[:2] == "__":
            if name == "__target__":
                return _resolved(self)
            if _surely_lacks(self, name):
                raise AttributeError(f"The proxy's target type has no attribute {name!r}.")
        return getattr(self.__target__, name)

    # fmt: off
    # The table: one line for each special method, in the order of the language reference, so that
    # a missing one is easily seen. Missing on purpose: __del__ and __sizeof__ (about the proxy);
    # __getattribute__ (it would slow down every access); __get__, __set__, __delete__ and
    # __set_name__ (they would resolve a proxy that is merely stored in a class);
    # __release_buffer__ (the memoryview in __buffer__ releases itself).

    # 3.3.1 Basic customization (__repr__ is below)
    def __str__(self) -> str: return str(self.__target__)
    def __bytes__(self) -> bytes: return bytes(self.__target__)
    def __format__(self, spec: str) -> str: return format(self.__target__, spec)
    def __lt__(self, other: Any) -> Any: return self.__target__ < other
    def __le__(self, other: Any) -> Any: return self.__target__ <= other
    def __eq__(self, other: Any) -> Any: return self.__target__ == other
    def __ne__(self, other: Any) -> Any: return self.__target__ != other
    def __gt__(self, other: Any) -> Any: return self.__target__ > other
    def __ge__(self, other: Any) -> Any: return self.__target__ >= other
    def __hash__(self) -> int: return hash(self.__target__)
    def __bool__(self) -> bool: return bool(self.__target__)

    # 3.3.2 Attribute access (__getattr__ is above, __setattr__ and __dir__ are below)
    def __delattr__(self, name: str) -> None: return delattr(self.__target__, name)

    # 3.3.3 and 3.3.4 Class creation, instance and subclass checks, where the target is a class
    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]: return (self.__target__,)
    def __instancecheck__(self, instance: Any) -> bool: return isinstance(instance, self.__target__)
    def __subclasscheck__(self, subclass: Any) -> bool: return issubclass(subclass, self.__target__)

    # 3.3.6 Calls
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: return self.__target__(*args, **kwargs)

    # 3.3.7 Containers
    def __len__(self) -> int: return len(self.__target__)
    def __length_hint__(self) -> int: return operator.length_hint(self.__target__)
    def __getitem__(self, key: Any) -> Any: return self.__target__[key]
    def __setitem__(self, key: Any, value: Any) -> None: return operator.setitem(self.__target__, key, value)
    def __delitem__(self, key: Any) -> None: return operator.delitem(self.__target__, key)
    def __iter__(self) -> Any: return iter(self.__target__)
    def __next__(self) -> Any: return next(self.__target__)
    def __reversed__(self) -> Any: return reversed(self.__target__)
    def __contains__(self, item: Any) -> bool: return item in self.__target__

    # 3.3.8 Numbers: operators, reflected, in place
    def __add__(self, other: Any) -> Any: return self.__target__ + other
    def __sub__(self, other: Any) -> Any: return self.__target__ - other
    def __mul__(self, other: Any) -> Any: return self.__target__ * other
    def __matmul__(self, other: Any) -> Any: return self.__target__ @ other
    def __truediv__(self, other: Any) -> Any: return self.__target__ / other
    def __floordiv__(self, other: Any) -> Any: return self.__target__ // other
    def __mod__(self, other: Any) -> Any: return self.__target__ % other
    def __divmod__(self, other: Any) -> Any: return divmod(self.__target__, other)
    def __pow__(self, other: Any, *modulo: Any) -> Any: return pow(self.__target__, other, *modulo)
    def __lshift__(self, other: Any) -> Any: return self.__target__ << other
    def __rshift__(self, other: Any) -> Any: return self.__target__ >> other
    def __and__(self, other: Any) -> Any: return self.__target__ & other
    def __xor__(self, other: Any) -> Any: return self.__target__ ^ other
    def __or__(self, other: Any) -> Any: return self.__target__ | other
    def __radd__(self, other: Any) -> Any: return other + self.__target__
    def __rsub__(self, other: Any) -> Any: return other - self.__target__
    def __rmul__(self, other: Any) -> Any: return other * self.__target__
    def __rmatmul__(self, other: Any) -> Any: return other @ self.__target__
    def __rtruediv__(self, other: Any) -> Any: return other / self.__target__
    def __rfloordiv__(self, other: Any) -> Any: return other // self.__target__
    def __rmod__(self, other: Any) -> Any: return other % self.__target__
    def __rdivmod__(self, other: Any) -> Any: return divmod(other, self.__target__)
    def __rpow__(self, other: Any, *modulo: Any) -> Any: return pow(other, self.__target__, *modulo)
    def __rlshift__(self, other: Any) -> Any: return other << self.__target__
    def __rrshift__(self, other: Any) -> Any: return other >> self.__target__
    def __rand__(self, other: Any) -> Any: return other & self.__target__
    def __rxor__(self, other: Any) -> Any: return other ^ self.__target__
    def __ror__(self, other: Any) -> Any: return other | self.__target__
    def __iadd__(self, other: Any) -> Any: return _in_place(operator.iadd, self, other)
    def __isub__(self, other: Any) -> Any: return _in_place(operator.isub, self, other)
    def __imul__(self, other: Any) -> Any: return _in_place(operator.imul, self, other)
    def __imatmul__(self, other: Any) -> Any: return _in_place(operator.imatmul, self, other)
    def __itruediv__(self, other: Any) -> Any: return _in_place(operator.itruediv, self, other)
    def __ifloordiv__(self, other: Any) -> Any: return _in_place(operator.ifloordiv, self, other)
    def __imod__(self, other: Any) -> Any: return _in_place(operator.imod, self, other)
    def __ipow__(self, other: Any, *modulo: Any) -> Any: return _in_place(operator.ipow, self, other)  # modulo: only for mypy
    def __ilshift__(self, other: Any) -> Any: return _in_place(operator.ilshift, self, other)
    def __irshift__(self, other: Any) -> Any: return _in_place(operator.irshift, self, other)
    def __iand__(self, other: Any) -> Any: return _in_place(operator.iand, self, other)
    def __ixor__(self, other: Any) -> Any: return _in_place(operator.ixor, self, other)
    def __ior__(self, other: Any) -> Any: return _in_place(operator.ior, self, other)

    # 3.3.8 Numbers: signs and conversions
    def __neg__(self) -> Any: return -self.__target__
    def __pos__(self) -> Any: return +self.__target__
    def __abs__(self) -> Any: return abs(self.__target__)
    def __invert__(self) -> Any: return ~self.__target__
    def __complex__(self) -> complex: return complex(self.__target__)
    def __int__(self) -> int: return int(self.__target__)
    def __float__(self) -> float: return float(self.__target__)
    def __index__(self) -> int: return operator.index(self.__target__)
    def __round__(self, *digits: Any) -> Any: return round(self.__target__, *digits)
    def __trunc__(self) -> Any: return math.trunc(self.__target__)
    def __floor__(self) -> Any: return math.floor(self.__target__)
    def __ceil__(self) -> Any: return math.ceil(self.__target__)

    # 3.3.9 and 3.3.11 With statements, and buffers (Python 3.12 and later)
    def __enter__(self) -> Any: return self.__target__.__enter__()
    def __exit__(self, *exc: Any) -> Any: return self.__target__.__exit__(*exc)
    def __buffer__(self, flags: int) -> memoryview: return memoryview(self.__target__)

    # 3.4 Coroutines
    def __await__(self) -> Any: return self.__target__.__await__()
    def __aiter__(self) -> Any: return aiter(self.__target__)
    def __anext__(self) -> Any: return anext(self.__target__)
    def __aenter__(self) -> Any: return self.__target__.__aenter__()
    def __aexit__(self, *exc: Any) -> Any: return self.__target__.__aexit__(*exc)

    # From the library reference: os.fspath, copy
    def __fspath__(self) -> Any: return os.fspath(self.__target__)
    def __copy__(self) -> Any: return copy.copy(self.__target__)
    def __deepcopy__(self, memo: dict[int, Any]) -> Any: return copy.deepcopy(self.__target__, memo)
    # fmt: on

    def __repr__(self) -> str:
        # For debuggers, logs and the prompt: looking at a proxy must not block.
        if is_resolved(self):
            return repr(self.__target__)
        return f"<Proxy of {self.__factory__!r}, unresolved>"

    def __dir__(self) -> list[str]:
        return dir(self.__target__ if is_resolved(self) else self.__target_type__ or Proxy)

    def __setattr__(self, name: str, value: Any) -> None:
        # Proxy[int](...) sets __orig_class__, which is about the proxy. Typing ignores the error.
        if name == "__orig_class__":
            raise AttributeError(name)
        setattr(self.__target__, name, value)

    @property  # type: ignore[misc]  # object's can be assigned to; here, __setattr__ does that
    def __class__(self) -> Any:
        if not is_resolved(self) and self.__target_type__ is not None:
            return self.__target_type__
        return self.__target__.__class__

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.__factory__, self.__target_type__)


def _surely_lacks(proxy: Proxy[Any], name: str) -> bool:
    """Tells whether the target, which is not there yet, will be without a special method.

    Engines ask each argument of a task for methods of their own, such as `__dask_future__`, and
    would wait.
    """
    target_type = proxy.__target_type__
    return target_type is not None and not hasattr(target_type, name) and not is_resolved(proxy)


def _check_class(target_type: type[Any] | None) -> None:
    if target_type is None:
        return
    try:
        isinstance(None, target_type)  # refuses typing.Any, for instance, which is a class, too
        if isinstance(target_type, type):
            return
    except TypeError:
        pass
    raise TypeError(f"target_type must be a class or None, not {target_type!r}.")


def resolve(proxy: object) -> None:
    """Resolves a proxy now, if it is not yet resolved.

    Raises:
        ProxyResolveError: The factory failed.
        TypeError: `proxy` is not a `Proxy`.
    """
    extract(proxy)


def is_resolved(proxy: object) -> bool:
    """Tells whether a proxy has its target, without waiting for it.

    Raises:
        TypeError: `proxy` is not a `Proxy`.
    """
    try:
        # Finds the slot empty or not. Unlike proxy.__target__, it does not go on to __getattr__.
        object.__getattribute__(_checked_proxy(proxy), "__target__")
    except AttributeError:
        return False
    return True


@overload
def extract(proxy: Proxy[T]) -> T: ...
@overload
def extract(proxy: T) -> T: ...  # ProxyFuture.proxy() declares its proxy as the result
def extract(proxy: Any) -> Any:
    """Returns the target itself, resolving the proxy first if need be.

    For what a proxy cannot imitate: `type(extract(p))`, `extract(p) is other`, and functions in
    C that insist on an exact type.

    Raises:
        ProxyResolveError: The factory failed.
        TypeError: `proxy` is not a `Proxy`.
    """
    return _checked_proxy(proxy).__target__


def _checked_proxy(proxy: object) -> Proxy[Any]:
    if isinstance(proxy, Proxy):  # this looks at the type first, and does not resolve a proxy
        return proxy
    raise TypeError(f"proxy must be a Proxy, not a {type(proxy).__name__}.")


# Whoever resolves a proxy holds its lock. The locks are here, by the id of the proxy, rather than
# in the proxies, so that a forked child can drop those which threads of its parent hold. They are
# reentrant, since a factory may use its own proxy, which shall be an error and not a deadlock.
_locks: dict[int, threading.RLock] = {}
os.register_at_fork(after_in_child=_locks.clear)


def _resolved(proxy: Proxy[T]) -> T:
    """Returns the target, after calling the factory if no other thread has done so."""
    with _locks.setdefault(id(proxy), threading.RLock()):
        if not is_resolved(proxy):
            try:
                target = proxy.__factory__()
            except ProxyResolveError:
                raise
            except Exception as error:
                raise ProxyResolveError(
                    f"The factory of the proxy failed: {_described(error)}"
                ) from error
            object.__setattr__(proxy, "__target__", target)
    # From now on nobody needs the lock: a latecomer who makes another one finds the target. After a
    # failure it stays: other threads may be waiting for it, and whoever tries next will take it,
    # even if that is a later proxy with the same id.
    _locks.pop(id(proxy), None)
    return cast(T, proxy.__target__)


def _in_place(operation: Callable[[Any, Any], Any], proxy: Proxy[Any], other: Any) -> Any:
    """Returns what `proxy += other` leaves: the proxy, if its target has changed in place."""
    if isinstance(other, Proxy):
        other = extract(other)  # or Python would ask for other.__radd__ before a list's +=
    result = operation(proxy.__target__, other)
    return proxy if result is proxy.__target__ else result
