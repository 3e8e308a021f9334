"""Proxy futures: objects that can be handed to a consumer before their value exists.

The consumer gets a proxy and starts at once. It blocks when it first uses the value, and from
then on the proxy behaves as the value. The producer sets the value when it is ready, from any
process that can reach the store:

    >>> from connectors import LocalConnector
    >>> from proxyfuture import ProxyFuture, Store
    >>> with Store("example", LocalConnector()) as store:
    ...     future: ProxyFuture[str] = store.future(str)
    ...     proxy = future.proxy()
    ...     future.set_result("value")
    ...     print(proxy.upper())
    VALUE

A value's journey takes five steps, and the sections of this file follow them:

1. `Store.future` asks a connector for a fresh key. Nothing is stored yet.
2. `ProxyFuture.proxy` wraps "fetch that key when somebody needs it" in a `Proxy`.
3. Both are pickled to other processes. The key and the store's configuration travel.
4. `ProxyFuture.set_result` serializes the value and sets the key, once.
5. The first use of the `Proxy` waits for the key and keeps the value, its *target*.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import math
import operator
import os
import pickle
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast, overload
from weakref import WeakValueDictionary

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

T = TypeVar("T")

_logger = logging.getLogger("proxyfuture")
_SILENT_SECONDS = 30.0  # a consumer that waits for longer says so

# How names begin for which only observers ask: IPython, or Dask of each argument of a task.
_OBSERVERS = "_ipython_", "_repr_", "__dask_"


class ProxyResolveError(Exception):
    """A proxy could not get its target. The reason is the `__cause__`.

    `hasattr` and `for` do not take it for an answer, as an `AttributeError` or `StopIteration`.
    """


class BrokenFutureError(Exception):
    """A producer left its `with future:` block without a result, or its exception cannot travel."""


class SerializationError(Exception):
    """A value cannot be turned into bytes, or bytes into a value. See the `__cause__`."""


# Steps 1 and 3: the store
class Store:
    """Keeps Python objects in a connector, and makes proxies and futures for them.

    A store is its configuration: pickled, it is its name, its connector's type and `config()`, and
    its other arguments. Unpickled in a process that has that store, it is that very store;
    elsewhere it is opened, without any I/O, and the latest few are kept.

    Args:
        name: Tells apart stores that are alike otherwise, but not their keys: stores that share a
            connector share its values.
        connector: Where the bytes go. It is closed with the store.
        serializer: Turns an object into bytes; by default `pickle`, highest protocol. Exceptions
            are pickled whatever the serializer.
        deserializer: Turns these bytes into an object again.
        cache_size: How many objects to remember in this process, the most recently used ones.

    Raises:
        TypeError, ValueError: An argument has the wrong type, or is empty or negative.
    """

    def __init__(
        self,
        name: str,
        connector: Connector[Any],
        serializer: Callable[[Any], BytesLike] | None = None,
        deserializer: Callable[[Any], Any] | None = None,
        cache_size: int = 16,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}.")
        if not name:
            raise ValueError("name must not be empty: it tells the stores of a process apart.")
        if isinstance(connector, type) or not isinstance(connector, Connector):
            raise TypeError(f"connector must have the methods of a Connector, not {connector!r}.")
        for role, function in ("serializer", serializer), ("deserializer", deserializer):
            if not (function is None or callable(function)):
                raise TypeError(f"{role} must be callable with one argument, not {function!r}.")
        if not isinstance(cache_size, int):
            raise TypeError(f"cache_size must be an integer, not {cache_size!r}.")
        if cache_size < 0:
            raise ValueError(f"cache_size must be 0 or a positive integer, not {cache_size}.")
        self.name = name
        self.connector = connector
        self._serializer = serializer
        self._deserializer = deserializer
        self._cache_size = cache_size
        self._cache: OrderedDict[Any, Any] = OrderedDict()
        self._is_closed = False
        # Asked once, since isinstance() with a protocol looks for every method.
        self._is_deferrable = isinstance(connector, DeferrableConnector)
        self._is_waitable = isinstance(connector, WaitableConnector)
        _, configuration = self.__reduce__()
        self._identity = _identify(*configuration)
        _stores.setdefault(self._identity, self)

    def future(self, target_type: type[T] | None = None) -> ProxyFuture[T]:
        """Returns a future whose result this store will keep.

        Args:
            target_type: The class of the result. With it, `isinstance(proxy, ...)` answers before
                there is a result, and `set_result` refuses anything else.

        Raises:
            NotImplementedError: The connector cannot hand out keys before their values.
            TypeError: `target_type` is not a class.
        """
        _check_class(target_type)
        if not self._is_deferrable:
            raise NotImplementedError(
                f"{type(self.connector).__name__} is no DeferrableConnector: it lacks new_key() or "
                "set(), which a future needs. Use, for instance, a FileConnector."
            )
        key = cast(DeferrableConnector[Any], self.connector).new_key()
        return ProxyFuture(self, key, target_type)

    def proxy(self, obj: T, *, evict: bool = False) -> T:
        """Stores `obj` as `put` does, and returns a proxy of it; `evict` as for a future's."""
        return self.proxy_from_key(self.put(obj), evict=evict, target_type=_find_class(obj))

    def proxy_from_key(
        self, key: Any, *, evict: bool = False, target_type: type[T] | None = None
    ) -> T:
        """Returns a proxy of what is stored under `key`. Unlike a future's, it does not wait."""
        return cast(T, _Fetch(self, key, 0, evict).make_proxy(target_type))

    def put(self, obj: object) -> Any:
        """Stores `obj` and returns its key.

        Raises:
            SerializationError: `obj` cannot be serialized.
        """
        return self.connector.put(self._serialize(obj))

    def get(self, key: Any, default: Any = None) -> Any:
        """Returns the object under `key`, or `default` where nothing is set. Does not wait.

        Raises:
            SerializationError: What is stored cannot be deserialized.
            BaseException: The exception that was set there instead of a result.
        """
        # In one expression: a variable for the outcome would be in the traceback of its error.
        return (
            self._recall(key) or self._load(key, self.connector.get(key)) or _Outcome(default)
        ).unwrap()

    def exists(self, key: Any) -> bool:
        """Tells whether `key` is set."""
        return self.connector.exists(key)

    def evict(self, key: Any) -> None:
        """Forgets what is stored under `key`. Caches of other processes may keep it."""
        self.connector.evict(key)
        self._cache.pop(key, None)

    def close(self) -> None:
        """Closes the connector. Consumers that still wait get a `ConnectorError`."""
        self._is_closed = True
        self._cache.clear()
        if _stores.get(self._identity) is self:
            del _stores[self._identity]
        self.connector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        connector = type(self.connector), self.connector.config()
        options = self._serializer, self._deserializer, self._cache_size
        return _open_store, (self.name, *connector, *options)

    def __repr__(self) -> str:
        return f"Store({self.name!r}, {self.connector!r})"

    def _wait_for(
        self, key: Any, timeout: float = math.inf, follower: Future[Any] | None = None
    ) -> _Outcome:
        """Returns what `key` holds, as soon as it is set. This is where a consumer blocks.

        After half a minute, it says that it takes long. It looks once a second whether a `follower`,
        if it waits for one, was cancelled.
        """
        start, is_reported = time.monotonic(), False
        step = _SILENT_SECONDS if follower is None else 1.0
        outcome = self._recall(key)
        while outcome is None:
            waited = time.monotonic() - start
            if waited >= _SILENT_SECONDS and not is_reported:
                is_reported = True
                _logger.warning(
                    "Still waiting for %s in %r after %.0f seconds. Does its producer run, and set "
                    "this future? In a block `with future:`, it cannot forget it.",
                    *(key, self, waited),
                )
            left = max(timeout - waited, 0)
            outcome = self._load(key, self._wait_once(key, min(left, step)))
            if outcome is None and left <= step:  # all that was left has passed
                raise TimeoutError(f"Within {timeout} seconds, nothing was set under {key}.")
            if follower is not None and follower.cancelled():
                raise CancelledError
        return outcome

    def _wait_once(self, key: Any, seconds: float) -> BytesLike | None:
        if self._is_waitable:
            return cast(WaitableConnector[Any], self.connector).wait(key, seconds)

        def attempt() -> BytesLike | None:
            if self._is_closed:
                raise ConnectorError(f"{self!r} was closed. Nobody can wait for {key} any more.")
            return self.connector.get(key)

        return poll(attempt, seconds)

    def _recall(self, key: Any) -> _Outcome | None:
        # Without a lock, since each step is atomic. TypeError: it is no key; fetching will tell.
        with contextlib.suppress(KeyError, TypeError):
            self._cache.move_to_end(key)
            return _Outcome(self._cache[key])
        return None

    def _load(self, key: Any, data: BytesLike | None) -> _Outcome | None:
        if data is None:
            return None
        outcome = self._deserialize(data)
        if outcome.error is None:
            self._cache[key] = outcome.result
            if len(self._cache) > self._cache_size:
                with contextlib.suppress(KeyError):  # another thread has emptied it
                    self._cache.popitem(last=False)
        return outcome

    def _serialize(self, obj: object) -> BytesLike:
        try:
            data = (self._serializer or _pickle)(obj)
        except Exception as cause:
            message = f"A {type(obj).__name__} cannot be serialized: {_describe(cause)}"
            raise SerializationError(message) from cause
        if isinstance(data, (bytes, bytearray, memoryview)) and not _is_error(data):
            return data
        raise SerializationError(
            f"serializer must return bytes, which do not begin as a stored exception does, not a "
            f"{type(data).__name__}. With JSON, it returns json.dumps(obj).encode()."
        )

    def _deserialize(self, data: BytesLike) -> _Outcome:
        try:
            if _is_error(data):
                return _Outcome(error=_unpack_error(data))
            deserializer = self._deserializer or pickle.loads
            return _Outcome(deserializer(bytes(data)))  # some insist on bytes
        except Exception as cause:
            raise SerializationError(
                f"These {len(data)} bytes cannot be deserialized: {_describe(cause)}. They are "
                "damaged, of another serializer, or need a module that is missing here."
            ) from cause


# The stores of this process, by their configurations, as long as somebody holds them; and the
# latest that were opened for a pickle, since the next pickle may need one again.
_stores: WeakValueDictionary[object, Store] = WeakValueDictionary()
_latest_stores: deque[Store] = deque(maxlen=4)


def _identify(*configuration: Any) -> object:
    try:
        # As pickles, since a functools.partial, for one, differs from its own copy. One by one,
        # since pickle abbreviates what it meets twice.
        return tuple(map(pickle.dumps, configuration))
    except Exception:  # a lambda, for instance: nothing but this very store is like it
        return object()


def _open_store(name: str, kind: type[Connector[Any]], config: Any, *options: Any) -> Store:
    """Unpickles a store: returns the one that this process has, or opens one."""
    with _get_lock(_stores):
        store = _stores.get(_identify(name, kind, config, *options))
        if store is None:
            store = Store(name, kind.from_config(config), *options)
            _latest_stores.append(store)
        return store


_pickle = functools.partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL)


def _find_class(obj: T) -> type[T] | None:
    try:
        pickle.dumps(type(obj))
        return type(obj)
    except Exception:  # that of a function, for instance, has no name that pickle could find
        return None


class _Outcome(NamedTuple):
    """What is set under a key: a result, or an exception in its place."""

    result: Any = None
    error: BaseException | None = None

    def unwrap(self) -> Any:
        if self.error is None:
            return self.result
        try:
            raise self.error
        finally:
            del self  # which the traceback would hold: a cycle, broken as in concurrent.futures


# Steps 2 and 4: the future
class ProxyFuture(Generic[T]):
    """A result that its producer sets later, and consumers use through proxies.

    Its methods are named, block and fail like those of `concurrent.futures.Future`. Unlike that
    one, it can be pickled to any process that can reach the store. Get one from `Store.future`.

    A producer that uses it as a context manager cannot forget its consumers: an exception that
    leaves the block is set for them, too, and without a result they get a `BrokenFutureError`.

        >>> def produce(future: ProxyFuture[int]) -> None:
        ...     with future:
        ...         future.set_result(6 * 7)
    """

    def __init__(self, store: Store, key: Any, target_type: type[T] | None = None) -> None:
        self.key = key  # where the result is kept in the store
        self._store = store
        self._target_type = target_type
        self._was_set = False

    def proxy(self, *, timeout: float | None = None, evict: bool = False) -> T:
        """Returns a proxy of the result. To a type checker, it is the result.

        Args:
            timeout: How many seconds the proxy's first use waits at most; `None` has no limit. Of
                threads that share a proxy, one waits after the other.
            evict: Whether to remove the result from the store once the proxy has it, for a result
                with one consumer. From then on, the proxy's pickle holds it.

        Raises:
            TypeError, ValueError: `timeout` is no number, or a negative one.
        """
        fetch = _Fetch(self._store, self.key, checked_timeout(timeout), evict)
        return cast(T, fetch.make_proxy(self._target_type))

    def result(self, timeout: float | None = None) -> T:
        """Waits for the result and returns it.

        Args:
            timeout: How many seconds to wait at most; `None` has no limit.

        Raises:
            TimeoutError: The timeout passed.
            BaseException: What the producer set as an exception.
            BrokenFutureError: The producer set nothing, or an exception that cannot travel.
            SerializationError: The result cannot be deserialized here.
            ConnectorError: The store was closed, or is out of reach.
        """
        return cast(T, self._store._wait_for(self.key, checked_timeout(timeout)).unwrap())

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `result`, but returns the exception that the producer set, or else `None`."""
        return self._store._wait_for(self.key, checked_timeout(timeout)).error

    def done(self) -> bool:
        """Tells whether a result or an exception was set, and is still stored."""
        return self._store.exists(self.key)

    def set_result(self, obj: T) -> None:
        """Sets the result, once, which wakes its consumers.

        Raises:
            InvalidStateError: A result or an exception was set before, and is still stored.
            TypeError: `obj` is not of the future's target type.
            SerializationError: `obj` cannot be serialized.
            ConnectorError: The store is closed, out of reach, or has no room.
        """
        if self._target_type is not None and not isinstance(obj, self._target_type):
            raise TypeError(
                f"obj must be a {self._target_type.__name__}, as the future was told, "
                f"not a {type(obj).__name__}."
            )
        self._set(self._store._serialize(obj))

    def set_exception(self, exc: BaseException) -> None:
        """Sets an exception instead of a result, once. The errors are those of `set_result`."""
        if not isinstance(exc, BaseException):
            raise TypeError(f"exc must be an instance of an exception class, not {exc!r}.")
        self._set(_pack_error(exc))

    def to_concurrent(self) -> Future[T]:
        """Returns a `concurrent.futures.Future` that follows this one.

        For `concurrent.futures.wait` and `as_completed`, callbacks, and `asyncio.wrap_future`,
        which `await` uses. It costs a thread until it is done, or a second after it was cancelled.
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
        error = exc or BrokenFutureError("The producer left `with future:` without a result.")
        # Somebody else may have set it. And the block's exception tells more than a closed store's.
        with contextlib.suppress(InvalidStateError if exc is None else Exception):
            self.set_exception(error)

    def __reduce__(self) -> tuple[Any, ...]:
        return ProxyFuture, (self._store, self.key, self._target_type)

    def __repr__(self) -> str:
        return f"<ProxyFuture {self.key!r} in {self._store!r}>"  # to ask for its state could block

    def _set(self, data: BytesLike) -> None:
        try:
            cast(DeferrableConnector[Any], self._store.connector).set(self.key, data)
        except AlreadySetError as error:
            raise InvalidStateError(f"{self!r} is done already; it can be set once.") from error
        self._was_set = True

    def _lead(self, follower: Future[T]) -> None:
        try:
            result, error = self._store._wait_for(self.key, follower=follower)
        except BaseException as failure:
            result, error = None, failure
        if follower.set_running_or_notify_cancel():  # from here on, it cannot be cancelled
            if error is None:
                follower.set_result(result)
            else:
                follower.set_exception(_adapt_to_asyncio(error))


def _adapt_to_asyncio(error: BaseException) -> BaseException:
    """Replaces what `asyncio` would take for its own: the end of a coroutine or its cancellation."""
    import asyncio

    if not isinstance(error, (StopIteration, CancelledError, asyncio.CancelledError)):
        return error
    substitute = RuntimeError(f"The producer raised {_describe(error)}.")
    substitute.__cause__ = error
    return substitute


class _Fetch(NamedTuple):
    """The factory of a store's proxies. A tuple, since it pickles small."""

    store: Store
    key: Any
    timeout: float
    evict: bool
    data: BytesLike | None = None  # what has left the store travels in here

    def __call__(self) -> Any:
        if self.data is not None:
            return self.store._deserialize(self.data).result
        outcome = self.store._wait_for(self.key, self.timeout)
        if outcome.error is not None:
            message = "The producer set an exception instead of a result: "
            raise ProxyResolveError(message + _describe(outcome.error)) from outcome.error
        if self.evict:
            with contextlib.suppress(Exception):  # the proxy has its value all the same
                self.store.evict(self.key)
        return outcome.result

    def __repr__(self) -> str:
        return f"{self.key!r} in {self.store!r}"

    def make_proxy(self, target_type: type[Any] | None) -> Proxy[Any]:
        return Proxy(self, target_type)  # type: ignore[arg-type]  # mypy overlooks __call__


def call_with_proxies(fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Calls `fn` with a proxy in place of every argument that is a `ProxyFuture`.

    For engines that look into the arguments of a task, and so would wait for a proxy before they
    start the task. In a future, they find nothing to wait for:

        submit(call_with_proxies, bar, future)  # instead of submit(bar, future.proxy())
    """

    def proxied(argument: Any) -> Any:
        # By type(), since isinstance() would ask a proxy among the arguments for its class.
        return argument.proxy() if issubclass(type(argument), ProxyFuture) else argument

    return fn(*map(proxied, args), **{name: proxied(value) for name, value in kwargs.items()})


# What is stored in step 4: a serialized value; or behind a mark, with which neither a pickle nor a
# text begins, a pickled exception
_ERROR_MARK = b"\0proxyfuture exception\0"


def _is_error(data: BytesLike) -> bool:
    return data[: len(_ERROR_MARK)] == _ERROR_MARK


def _pack_error(error: BaseException) -> bytes:
    try:
        pickled = pickle.dumps(error)
    except Exception:
        pickled = b""  # which cannot be loaded, so the reader gets the description
    text = f"In the producer (process {os.getpid()}):\n\n"
    text += "".join(traceback.format_exception(error))
    return _ERROR_MARK + pickle.dumps((pickled, _describe(error), text))


def _unpack_error(data: BytesLike) -> BaseException:
    pickled, description, text = pickle.loads(data[len(_ERROR_MARK) :])
    error: BaseException
    try:
        error = pickle.loads(pickled)
        assert isinstance(error, BaseException)
    except Exception:
        error = BrokenFutureError(f"The producer's exception cannot be rebuilt: {description}")
    with contextlib.suppress(Exception):  # some classes take no notes
        BaseException.add_note(error, text)
    return error


def _describe(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:
        return object.__repr__(error)


# Step 5: the proxy
def _unwrap(operand: Any) -> Any:
    """For what stands at the right of an operator, where few types know what to do with a proxy."""
    return operand.__target__ if type(operand) is Proxy else operand


_Operation = Callable[[Any, Any], Any]


def _define_operator(operate: _Operation, change: _Operation) -> tuple[Any, Any, Any]:
    """Returns three special methods: of an operator such as `+`, its reflected form, and `+=`."""

    def in_place(self: Proxy[Any], other: Any) -> Any:
        result = change(self.__target__, _unwrap(other))
        return self if result is self.__target__ else result

    return (
        lambda self, other: operate(self.__target__, _unwrap(other)),
        lambda self, other: operate(other, self.__target__),
        in_place,
    )


class Proxy(Generic[T]):
    """An object that behaves as another one, its target, which it gets at its first use.

    It has all special methods that Python lets a class define, and each hands its operation to
    the target; `__getattr__` does the rest. What cannot be handed on is listed in docs/limits.md.

        >>> proxy = Proxy(lambda: [1, 2])
        >>> proxy
        <Proxy of ..., unresolved>
        >>> proxy + [3]
        [1, 2, 3]

    Args:
        factory: Called without arguments, at the first use, to get the target. After an
            `Exception`, of which the user gets a `ProxyResolveError`, the next use calls it again.
        target_type: The target's class, if known, to answer `isinstance` without the target.

    Raises:
        TypeError: `factory` cannot be called, or `target_type` is not a class.
    """

    __slots__ = ("__factory__", "__target__", "__target_type__", "__weakref__")

    # The slot __target__ is empty at first. Reading it makes Python ask __getattr__, which fills it.
    # From then on, self.__target__ is as fast as an attribute can be.
    __target__: Any
    __factory__: Callable[[], T]
    __target_type__: type[T] | None

    def __new__(cls, factory: Callable[[], T], target_type: type[T] | None = None) -> Self:
        if not callable(factory):
            raise TypeError(f"factory must be callable without arguments, not {factory!r}.")
        _check_class(target_type)
        proxy = super().__new__(cls)
        object.__setattr__(proxy, "__factory__", factory)
        object.__setattr__(proxy, "__target_type__", target_type)
        return proxy

    def __init_subclass__(cls) -> None:
        raise TypeError("Proxy cannot be subclassed. What should differ can be in the factory.")

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            if name == "__target__":
                return _resolve(self)
            if name.startswith(_OBSERVERS) and not is_resolved(self):
                raise AttributeError(f"A proxy has no {name!r} before it has its target.")
        return getattr(self.__target__, name)

    # fmt: off
    # The table: one line for each special method, in the order of the language reference. Missing on
    # purpose: __getattribute__ (too slow); __del__ and __sizeof__ (about the proxy); __get__, __set__,
    # __delete__ and __set_name__ (a proxy may be kept in a class); __release_buffer__ (not needed).
    # 3.3.1 Basic customization (__repr__ is below)
    def __str__(self) -> str: return str(self.__target__)
    def __bytes__(self) -> bytes: return bytes(self.__target__)
    def __format__(self, spec: str) -> str: return format(self.__target__, spec)
    def __lt__(self, other: Any) -> Any: return self.__target__ < _unwrap(other)
    def __le__(self, other: Any) -> Any: return self.__target__ <= _unwrap(other)
    def __eq__(self, other: Any) -> Any: return self.__target__ == _unwrap(other)
    def __ne__(self, other: Any) -> Any: return self.__target__ != _unwrap(other)
    def __gt__(self, other: Any) -> Any: return self.__target__ > _unwrap(other)
    def __ge__(self, other: Any) -> Any: return self.__target__ >= _unwrap(other)
    def __hash__(self) -> int: return hash(self.__target__)
    def __bool__(self) -> bool: return bool(self.__target__)
    # 3.3.2 Attribute access (__getattr__ is above, __setattr__ and __dir__ are below)
    def __delattr__(self, name: str) -> None: return delattr(self.__target__, name)
    # 3.3.3 and 3.3.4 Class creation, instance and subclass checks, where the target is a class
    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]: return (self.__target__,)
    def __instancecheck__(self, instance: Any) -> bool: return isinstance(instance, self.__target__)
    def __subclasscheck__(self, subclass: Any) -> bool: return issubclass(_unwrap(subclass), self.__target__)
    # 3.3.6 Calls
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: return self.__target__(*args, **kwargs)
    # 3.3.7 Containers
    def __len__(self) -> int: return len(self.__target__)
    def __length_hint__(self) -> int: return operator.length_hint(self.__target__)
    def __getitem__(self, key: Any) -> Any: return self.__target__[_unwrap(key)]
    def __setitem__(self, key: Any, value: Any) -> None: return operator.setitem(self.__target__, _unwrap(key), value)
    def __delitem__(self, key: Any) -> None: return operator.delitem(self.__target__, _unwrap(key))
    def __iter__(self) -> Any: return iter(self.__target__)
    def __next__(self) -> Any: return next(self.__target__)
    def __reversed__(self) -> Any: return reversed(self.__target__)
    def __contains__(self, item: Any) -> bool: return _unwrap(item) in self.__target__
    # 3.3.8 Numbers: operators, each with its reflected and its in-place form
    __add__, __radd__, __iadd__ = _define_operator(operator.add, operator.iadd)
    __sub__, __rsub__, __isub__ = _define_operator(operator.sub, operator.isub)
    __mul__, __rmul__, __imul__ = _define_operator(operator.mul, operator.imul)
    __matmul__, __rmatmul__, __imatmul__ = _define_operator(operator.matmul, operator.imatmul)
    __truediv__, __rtruediv__, __itruediv__ = _define_operator(operator.truediv, operator.itruediv)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _define_operator(operator.floordiv, operator.ifloordiv)
    __mod__, __rmod__, __imod__ = _define_operator(operator.mod, operator.imod)
    __lshift__, __rlshift__, __ilshift__ = _define_operator(operator.lshift, operator.ilshift)
    __rshift__, __rrshift__, __irshift__ = _define_operator(operator.rshift, operator.irshift)
    __and__, __rand__, __iand__ = _define_operator(operator.and_, operator.iand)
    __xor__, __rxor__, __ixor__ = _define_operator(operator.xor, operator.ixor)
    __or__, __ror__, __ior__ = _define_operator(operator.or_, operator.ior)
    def __divmod__(self, other: Any) -> Any: return divmod(self.__target__, _unwrap(other))
    def __rdivmod__(self, other: Any) -> Any: return divmod(other, self.__target__)
    def __pow__(self, *others: Any) -> Any: return pow(self.__target__, *map(_unwrap, others))
    def __rpow__(self, other: Any, *modulo: Any) -> Any: return pow(other, self.__target__, *map(_unwrap, modulo))
    __ipow__ = _define_operator(pow, operator.ipow)[2]
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
    # 3.3.9 and 3.3.11 With statements (ExitStack raises Python's errors); buffers (Python 3.12)
    def __enter__(self) -> Any: return contextlib.ExitStack().enter_context(self.__target__)
    def __exit__(self, *exc: Any) -> Any: return self.__target__.__exit__(*exc)
    def __buffer__(self, flags: int) -> memoryview: return memoryview(self.__target__)
    # 3.4 Coroutines
    def __await__(self) -> Any: return _await(self.__target__).__await__()
    def __aiter__(self) -> Any: return aiter(self.__target__)
    def __anext__(self) -> Any: return anext(self.__target__)
    def __aenter__(self) -> Any: return contextlib.AsyncExitStack().enter_async_context(self.__target__)
    def __aexit__(self, *exc: Any) -> Any: return self.__target__.__aexit__(*exc)
    # From the library reference: os.fspath, copy
    def __fspath__(self) -> Any: return os.fspath(self.__target__)
    def __copy__(self) -> Any: return copy.copy(self.__target__)
    def __deepcopy__(self, memo: dict[int, Any]) -> Any: return copy.deepcopy(self.__target__, memo)
    # fmt: on

    def __repr__(self) -> str:
        # Debuggers, logs and the prompt only look, and must not block.
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
        factory: Any = self.__factory__
        if isinstance(factory, _Fetch) and factory.evict and is_resolved(self):
            factory = factory._replace(data=factory.store._serialize(self.__target__))
        return Proxy, (factory, self.__target_type__)


def _check_class(target_type: type[Any] | None) -> None:
    if target_type is None:
        return
    with contextlib.suppress(TypeError):
        isinstance(None, target_type)  # refuses typing.Any, for instance, which is a class, too
        if isinstance(target_type, type):
            return
    raise TypeError(f"target_type must be a class or None, not {target_type!r}.")


def resolve(proxy: object) -> None:
    """Resolves a proxy now, if it is not yet resolved. The errors are those of `extract`."""
    extract(proxy)


def is_resolved(proxy: object) -> bool:
    """Tells whether a proxy has its target, without waiting. Refuses what is no proxy."""
    try:
        # Unlike proxy.__target__, this finds the slot empty, and does not go on to __getattr__.
        object.__getattribute__(_check_proxy(proxy), "__target__")
        return True
    except AttributeError:
        return False


@overload
def extract(proxy: Proxy[T]) -> T: ...
@overload
def extract(proxy: T) -> T: ...  # ProxyFuture.proxy() declares its proxy as the result
def extract(proxy: Any) -> Any:
    """Returns the target itself, for functions that insist on a type. Resolves the proxy, if need be.

    Raises:
        ProxyResolveError: The factory failed.
        TypeError: `proxy` is not a `Proxy`.
    """
    return _check_proxy(proxy).__target__


def _check_proxy(proxy: object) -> Proxy[Any]:
    if isinstance(proxy, Proxy):  # this looks at the type first, and does not resolve a proxy
        return proxy
    raise TypeError(f"proxy must be a Proxy, not a {type(proxy).__name__}.")


# A lock for each proxy that is about to be resolved. They are here, rather than in the proxies, and by
# process, so that a forked child has no lock that a thread of its parent holds. They are reentrant,
# since a factory may use its own proxy, which shall be an error and not a deadlock.
_locks: dict[tuple[int, int], threading.RLock] = {}


def _get_lock(thing: object) -> threading.RLock:
    return _locks.setdefault((os.getpid(), id(thing)), threading.RLock())


def _resolve(proxy: Proxy[T]) -> T:
    """Returns the target, after calling the factory if no other thread has done so."""
    with _get_lock(proxy):
        if not is_resolved(proxy):
            try:
                target = proxy.__factory__()
            except ProxyResolveError:
                raise
            except Exception as error:
                message = f"The factory of the proxy failed: {_describe(error)}"
                raise ProxyResolveError(message) from error
            object.__setattr__(proxy, "__target__", target)
    # Nobody needs the lock any more: a latecomer who makes another one finds the target. After a
    # failure it stays, since other threads may be waiting for it, for the next to try.
    _locks.pop((os.getpid(), id(proxy)), None)
    return cast(T, proxy.__target__)


async def _await(awaitable: Any) -> Any:
    return await awaitable  # whatever Python accepts here, with the errors that it raises
