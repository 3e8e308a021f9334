"""Connectors: where the bytes of a value wait until somebody asks for them.

A connector keeps bytes under keys. A key can be handed out before its bytes exist
(`new_key`), is filled once (`set`), and can be waited for (`wait`):

    >>> connector = LocalConnector()
    >>> key = connector.new_key()
    >>> connector.get(key) is None
    True
    >>> connector.set(key, b"value")
    >>> connector.wait(key)
    b'value'

The interfaces come first. They are `typing.Protocol`s in three steps, each step one more
promise: `Connector` keeps values, `DeferrableConnector` has keys that are filled later, and
`WaitableConnector` waits for one. Nobody has to inherit from them: any class of the right
shape works. The method names are those of ProxyStore's connectors.

Then three connectors implement all three steps, each for a wider circle of users:

- `LocalConnector`: the threads of this process.
- `FileConnector`: whoever can reach a directory.
- `ManagerConnector`: whoever can reach a server process, which this module also provides.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import mmap
import os
import pickle
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import AuthenticationError, current_process
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from multiprocessing.reduction import recv_handle, send_handle
from queue import Empty, SimpleQueue
from tempfile import mkdtemp
from typing import IO, Any, NamedTuple, Protocol, Self, TypeVar, cast, runtime_checkable
from weakref import WeakValueDictionary, finalize

__all__ = [
    "AlreadySetError",
    "BytesLike",
    "Connector",
    "ConnectorError",
    "DeferrableConnector",
    "FileConnector",
    "FileKey",
    "InvalidKeyError",
    "LocalConnector",
    "LocalKey",
    "ManagerConnector",
    "ManagerKey",
    "WaitableConnector",
    "checked_timeout",
    "poll",
]

KeyT = TypeVar("KeyT")
BytesLike = bytes | bytearray | memoryview
"""What connectors keep. They may return it in another of the three forms."""


class ConnectorError(Exception):
    """A connector cannot do its work: it is closed, out of reach, or its medium failed."""


class AlreadySetError(ConnectorError):
    """The key has its value already. A key is set once; the first setter has won."""


class InvalidKeyError(ConnectorError):
    """The key is not of the kind that this connector hands out."""


# The interfaces


@runtime_checkable
class Connector(Protocol[KeyT]):
    """Keeps bytes under keys of type `KeyT`."""

    def put(self, obj: BytesLike) -> KeyT:
        """Stores `obj` under a fresh key, which is returned."""

    def get(self, key: KeyT) -> BytesLike | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait.

        Where they can be changed, as a `bytearray` can, they are the caller's own.
        """

    def exists(self, key: KeyT) -> bool:
        """Tells whether `key` is set."""

    def evict(self, key: KeyT) -> None:
        """Forgets what is stored under `key`, which then counts as never set."""

    def put_batch(self, objs: Sequence[BytesLike]) -> list[KeyT]:
        """Stores several values and returns their keys in the same order."""

    def get_batch(self, keys: Sequence[KeyT]) -> list[BytesLike | None]:
        """Returns what `get` returns for each of the keys, in the same order."""

    def config(self) -> dict[str, Any]:
        """Returns what another process needs to reach the same values. It holds no secret."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Connector[KeyT]:
        """Returns a connector for `config()`'s result, without any I/O until its first use."""

    def close(self) -> None:
        """Ends the use of this connector. Only the connector that created a medium removes it."""


@runtime_checkable
class DeferrableConnector(Connector[KeyT], Protocol[KeyT]):
    """A connector whose keys can be handed out first and filled later."""

    def new_key(self, obj: BytesLike | None = None) -> KeyT:
        """Returns a fresh key. `obj` is only a hint for choosing one, and is not stored."""

    def set(self, key: KeyT, obj: BytesLike) -> None:
        """Stores `obj` under `key`, atomically and once.

        A reader sees nothing or the whole value. Of any number of racing setters exactly one
        wins.

        Raises:
            AlreadySetError: `key` has its value already.
        """


@runtime_checkable
class WaitableConnector(DeferrableConnector[KeyT], Protocol[KeyT]):
    """A connector that can wait until a key is set, in the best way that its medium has."""

    def wait(self, key: KeyT, timeout: float | None = None) -> BytesLike | None:
        """Blocks until `key` is set, then returns its bytes.

        Args:
            key: The key to wait for.
            timeout: How many seconds to wait; `None` has no limit.

        Returns:
            The bytes, or `None` when the timeout passed first.

        Raises:
            ConnectorError: The connector was closed, or its medium went away.
        """


# What the three connectors share


def checked_timeout(timeout: float | None) -> float | None:
    """Returns `timeout` (seconds), cut to the longest that the operating system can wait.

    Raises:
        TypeError: `timeout` is neither a number nor `None`.
        ValueError: `timeout` is negative or not a number (NaN).
    """
    if timeout is None:
        return None
    if not isinstance(timeout, int | float):
        raise TypeError(
            f"timeout must be a number of seconds or None, not {type(timeout).__name__}."
        )
    if not timeout >= 0:  # so written, it refuses NaN too
        raise ValueError(f"timeout must be at least 0 seconds, not {timeout}.")
    return min(timeout, threading.TIMEOUT_MAX)


def poll(attempt: Callable[[], BytesLike | None], timeout: float | None = None) -> BytesLike | None:
    """Calls `attempt` until it returns bytes. That is how to wait where nobody wakes the waiter.

    Each pause is 2 % of the time waited so far, but at least 0.2 ms and at most 15 ms. So a
    waiter is late by at most 15 ms and one attempt, and a long wait takes about 65 attempts per
    second.

    Args:
        attempt: What to call. It returns `None` as long as there is nothing.
        timeout: How many seconds to go on; `None` goes on until something is there.

    Returns:
        What `attempt` returned, or `None` when the timeout passed first.
    """
    if not callable(attempt):
        raise TypeError(f"attempt must be callable without arguments, not {attempt!r}.")
    start = time.monotonic()
    timeout = checked_timeout(timeout)
    while (found := attempt()) is None:
        waited = time.monotonic() - start
        pause = min(max(waited * 0.02, 0.0002), 0.015)
        if timeout is not None:
            if waited >= timeout:
                return None
            pause = min(pause, timeout - waited)
        time.sleep(pause)
    return found


class _Key(NamedTuple):
    id: str


class LocalKey(_Key):
    """A key of a `LocalConnector`."""

    __slots__ = ()


class FileKey(_Key):
    """A key of a `FileConnector`. Its `id` is the name of the value's file."""

    __slots__ = ()


class ManagerKey(_Key):
    """A key of a `ManagerConnector`."""

    __slots__ = ()


OwnKeyT = TypeVar("OwnKeyT", bound=_Key)


class _Base(WaitableConnector[OwnKeyT]):
    """What each of the three would otherwise repeat."""

    _key_type: type[OwnKeyT]
    _ended = ""  # once this connector cannot be used any more: the reason

    def new_key(self, obj: BytesLike | None = None) -> OwnKeyT:
        self._check_open()
        # 128 random bits, as in a UUID: no two processes have to agree on a counter.
        return self._key_type(os.urandom(16).hex())

    def put(self, obj: BytesLike) -> OwnKeyT:
        key = self.new_key()
        self.set(key, obj)
        return key

    def put_batch(self, objs: Sequence[BytesLike]) -> list[OwnKeyT]:
        return [self.put(obj) for obj in objs]

    def get_batch(self, keys: Sequence[OwnKeyT]) -> list[BytesLike | None]:
        return [self.get(key) for key in keys]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_config, (self.config(),)

    def __repr__(self) -> str:
        config = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"<{type(self).__name__} {config}>"

    def _checked_id(self, key: OwnKeyT) -> str:
        """Checks that the connector is open and the key of its kind. Returns the key's id."""
        self._check_open()
        if isinstance(key, self._key_type) and isinstance(key.id, str):
            return key.id
        raise self._invalid(key)

    def _checked_bytes(self, obj: object) -> bytes:
        if isinstance(obj, (bytes, bytearray, memoryview)):
            return bytes(obj)  # no copy, if it is bytes already
        raise TypeError(
            f"obj must be bytes, a bytearray or a memoryview, not {type(obj).__name__}."
        )

    def _invalid(self, key: object) -> InvalidKeyError:
        return InvalidKeyError(
            f"key must be a {self._key_type.__name__} made by a {type(self).__name__}, not "
            f"{key!r}. Use a key with the kind of connector it came from."
        )

    def _check_open(self) -> None:
        if self._ended:
            raise ConnectorError(self._ended)

    def _end(self) -> None:
        self._ended = self._ended or f"{self!r} was closed. Open a new one to go on."


def _already_set(key: object) -> AlreadySetError:
    return AlreadySetError(f"{key} is set already. A key is set once: the first value stays.")


def _entry(config: dict[str, Any], name: str, kind: type = str) -> Any:
    """Returns the only entry that `config` should have."""
    if isinstance(config, dict) and set(config) == {name} and isinstance(config[name], kind):
        return config[name]
    raise ConnectorError(
        f"config must be a dict with the one entry {name!r}, not {config!r}. "
        "Pass what the connector's config() returned."
    )


# Within one process


class LocalConnector(_Base[LocalKey]):
    """Keeps values in this process's memory, for its threads.

    Whoever waits for a key leaves a function, which `set` calls with the value. So a value
    wakes those who wait for it, and no others.

    In another process the connector, and each copy of it, raises `ConnectorError`: the memory
    is not shared, and a waiter there would wait for ever.
    """

    _key_type = LocalKey

    def __init__(self) -> None:
        self._name = os.urandom(8).hex()
        # Reentrant, since a finalizer may run, and set a key, while its thread holds the lock.
        self._lock = threading.RLock()
        self._values: dict[str, Any] = {}  # bytes; in a ManagerConnector's server, also files
        self._waiting: dict[str, list[Callable[[Any], object]]] = {}
        _local_connectors[self._name] = self

    def get(self, key: LocalKey) -> bytes | None:
        value: bytes | None = self._values.get(self._checked_id(key))
        return value

    def exists(self, key: LocalKey) -> bool:
        return self._checked_id(key) in self._values

    def evict(self, key: LocalKey) -> None:
        self._values.pop(self._checked_id(key), None)

    def set(self, key: LocalKey, obj: BytesLike) -> None:
        self._set(self._checked_id(key), self._checked_bytes(obj))

    def wait(self, key: LocalKey, timeout: float | None = None) -> bytes | None:
        name, timeout = self._checked_id(key), checked_timeout(timeout)
        inbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._when_set(name, inbox.put)
        try:
            value = inbox.get(timeout=timeout)
        except BaseException as reason:  # Empty, after the timeout; or Ctrl-C, for instance
            self._forget(name, inbox.put)
            if isinstance(reason, Empty):
                return None
            raise
        if value is None:
            raise ConnectorError(self._ended)
        return value

    def _set(self, name: str, value: Any) -> None:
        with self._lock:
            if name in self._values:
                raise _already_set(name)
            self._values[name] = value
            waiting = self._waiting.pop(name, ())
        for deliver in waiting:
            deliver(value)

    def _when_set(self, name: str, deliver: Callable[[Any], object]) -> None:
        """Arranges a call of `deliver` with the value, now or later; with `None` at the close."""
        with self._lock:
            value = self._values.get(name)
            if value is None and not self._ended:
                self._waiting.setdefault(name, []).append(deliver)
                return
        deliver(value)

    def _forget(self, name: str, deliver: Callable[[Any], object]) -> bool:
        """Takes back what `_when_set` was told. Returns whether it was in time."""
        with self._lock:
            waiting = self._waiting.get(name, [])
            if deliver not in waiting:
                return False
            waiting.remove(deliver)
            if not waiting:
                del self._waiting[name]
            return True

    def config(self) -> dict[str, Any]:
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LocalConnector:
        name = _entry(config, "name")
        connector = _local_connectors.get(name)
        if connector is None:
            connector = cls()  # a stand-in, which tells whoever uses it
            connector._name, connector._ended = name, _ELSEWHERE
        return connector

    def close(self) -> None:
        """Forgets all values. Whoever still waits gets a `ConnectorError`."""
        if self._ended:  # maybe in a forked child, where the lock cannot be trusted
            return
        with self._lock:
            self._end()
            self._values.clear()
            waiting, self._waiting = self._waiting, {}
        for deliver in itertools.chain(*waiting.values()):
            deliver(None)


_ELSEWHERE = (
    "This LocalConnector keeps its values in the memory of another process. Use a FileConnector "
    "or a ManagerConnector between processes."
)

# By name: a copy that is pickled and unpickled within one process finds its original.
_local_connectors: WeakValueDictionary[str, LocalConnector] = WeakValueDictionary()


def _end_in_forked_child() -> None:
    for connector in _local_connectors.values():
        connector._ended = _ELSEWHERE


os.register_at_fork(after_in_child=_end_in_forked_child)


# Between processes, through a directory

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def _explained(method: MethodT) -> MethodT:
    """Makes a method of `FileConnector` explain the operating system's errors to its user."""

    @functools.wraps(method)
    def explained(self: FileConnector, *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        except (OSError, ValueError) as error:
            raise ConnectorError(
                f"store_dir {self._store_dir!r} cannot be used: {error}. It must exist on this "
                "machine, be writable, have room, and allow hard links."
            ) from error

    return cast(MethodT, explained)


class FileConnector(_Base[FileKey]):
    """Keeps each value in a file of a directory, local or shared between machines.

    A value is written aside, then linked to its name: a step that a file system does whole or
    not at all, and refuses if the name exists. A directory cannot wake a waiter, so `wait`
    polls (see `poll`).

    The directory is private to its user (mode 0700). One that exists is accepted if it belongs
    to the user and nobody else may write to it. Values survive the death of any process, but
    not a power failure: nothing is synchronized to the disk.

    Args:
        store_dir: The directory. If it does not exist it is created, in a parent that does;
            then `close()` removes it, with the values in it.

    Raises:
        ConnectorError: The directory cannot be created or is not private.
    """

    _key_type = FileKey
    _id_pattern = re.compile("[0-9a-f]{32}")
    _creator: int | None = None  # the process that made the directory

    @_explained
    def __init__(self, store_dir: str | os.PathLike[str]) -> None:
        if not isinstance(store_dir, str | os.PathLike):
            raise TypeError(f"store_dir must be a path, not {type(store_dir).__name__}.")
        self._store_dir = os.fsdecode(store_dir)
        if store_dir:  # abspath() would take an empty path, which nobody means, for "here"
            self._store_dir = os.path.abspath(self._store_dir)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._store_dir, mode=0o700)
            self._creator = os.getpid()
        self._check_directory()

    @_explained
    def get(self, key: FileKey) -> bytearray | None:
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                # Not file.read(): from a bytearray, an array is loaded without another copy.
                value = bytearray(os.stat(file.fileno()).st_size)
                file.readinto(value)
                return value
        except FileNotFoundError:
            return None

    @_explained
    def exists(self, key: FileKey) -> bool:
        path = self._path(key)
        try:
            os.stat(path)  # and not os.path.exists(), which takes every error for a no
        except FileNotFoundError:
            return False
        return True

    @_explained
    def evict(self, key: FileKey) -> None:
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    @_explained
    def set(self, key: FileKey, obj: BytesLike) -> None:
        value, path = self._checked_bytes(obj), self._path(key)
        partial = f"{path}.{os.urandom(8).hex()}.partial"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(value)
            os.link(partial, path)
        except FileExistsError:
            # Over NFS the answer to a link can get lost and the repeated request fail, as
            # open(2) tells. The file has both names then: this setter did win.
            if os.stat(partial).st_nlink != 2:
                raise _already_set(key) from None
        finally:
            os.unlink(partial)

    def wait(self, key: FileKey, timeout: float | None = None) -> BytesLike | None:
        path = os.path.join(self._store_dir, self._checked_id(key))
        looks = itertools.count()

        def attempt() -> BytesLike | None:
            # `get` raises an error if the connector is closed, or key or directory are not as they
            # should be. `access` costs half as much, so 49 of 50 looks make do with it.
            if next(looks) % 50 == 0 or self._ended or os.access(path, os.F_OK):
                return self.get(key)
            return None

        found = poll(attempt, timeout)
        return self.get(key) if found is None else found  # an error must not pass for a timeout

    def config(self) -> dict[str, Any]:
        return {"store_dir": self._store_dir}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        # Not through __init__: on a machine that does not share the directory, creating an
        # empty one would turn an error into a wait without end.
        connector = cls.__new__(cls)
        connector._store_dir = _entry(config, "store_dir")
        return connector

    @_explained
    def close(self) -> None:
        """Ends the use; the creator removes the values, and the directory if that empties it.

        Whoever still waits through this connector gets a `ConnectorError`.
        """
        self._end()
        if self._creator == os.getpid():  # a forked child is not the creator
            self._creator = None
            with contextlib.suppress(FileNotFoundError):  # it is gone already
                self._remove_directory()

    def _remove_directory(self) -> None:
        while True:
            for path in self._own_files():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(self._store_dir)
                return
            if not self._own_files():  # what keeps the directory is somebody else's
                return
            # Else a setter was late: once more.

    def _own_files(self) -> list[str]:
        own = re.compile(r"[0-9a-f]{32}(\.\w+\.partial)?")
        with os.scandir(self._store_dir) as entries:
            return [each.path for each in entries if own.fullmatch(each.name) and each.is_file()]

    def _path(self, key: FileKey) -> str:
        name = self._checked_id(key)
        if not self._id_pattern.fullmatch(name):  # '../../etc/passwd', for instance
            raise self._invalid(key)
        try:
            # At each use, since a directory that was removed must not look like a pending key.
            self._check_directory()
        except FileNotFoundError:
            self._check_open()  # another thread's close() may have removed it just now
            raise
        return os.path.join(self._store_dir, name)

    def _check_directory(self) -> None:
        status = os.stat(self._store_dir)
        if not stat.S_ISDIR(status.st_mode):
            raise ConnectorError(f"store_dir {self._store_dir!r} is not a directory.")
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise ConnectorError(
                f"store_dir {self._store_dir!r} belongs to somebody else, or others may write "
                "to it. Values are pickles, and whoever can write one can run code in its "
                "readers: use a directory of your own, with mode 0700."
            )


# Between processes, through a server


class ManagerConnector(_Base[ManagerKey]):
    """Keeps values in a server process, in the manner of `multiprocessing`'s managers.

    Without an `address`, this connector starts the server, which ends with it, even if this
    process is killed. All processes that this one starts with `multiprocessing` can use copies of
    it. For processes without a common parent, run `python -m connectors serve HOST:PORT` and
    `connect` to it.

    The server hosts a `LocalConnector`: a value that arrives is sent on to its waiters at
    once. On Linux, large values travel through a Unix socket as open files in memory, of which
    the server sees no byte and the reader gets a `memoryview`.

    Client and server prove to each other that they know the same authentication key. It is in
    the environment variable `PROXYFUTURE_AUTHKEY`, or without one, it is this process's, which
    child processes inherit (`multiprocessing.current_process().authkey`). It is never pickled.
    What travels is not encrypted.

    Args:
        address: Of a server that runs already, to be reached at the first use. `connect` also
            checks that it is there. By default, this connector starts one.

    Raises:
        ConnectorError: The server process cannot be created.
        ValueError: `address` is not an address.
    """

    # Why not multiprocessing.managers? Their clients keep one connection per thread, also
    # after a call that Ctrl-C interrupted and after a plain os.fork(), and the next call reads
    # an answer meant for another (python/cpython#101320, boto/s3transfer#123). Their server
    # outlives a creator that is killed (python/cpython#81158).

    _key_type = ManagerKey
    _stop_server: Callable[[], object] | None = None

    def __init__(self, address: Address | None = None) -> None:
        if address is not None:
            return self._prepare(_checked_address(address), None)
        authkey = _default_authkey()
        address, stop_server = _start_server(authkey)
        self._prepare(address, authkey)
        self._stop_server = finalize(self, stop_server)

    @classmethod
    def connect(cls, address: Address, authkey: bytes | None = None) -> Self:
        """Returns a connector for a server that runs already.

        Args:
            address: `(host, port)`, or the path of a Unix socket.
            authkey: The server's authentication key, for this process: a copy elsewhere has the
                default there, which is the environment variable `PROXYFUTURE_AUTHKEY`, or without
                one, the process's key.

        Raises:
            TypeError: `authkey` is not bytes.
            ValueError: `address` is neither, or `authkey` is empty.
            ConnectorError: Nobody answers at the address, or the key is not the server's.
        """
        if not isinstance(authkey, bytes | None):
            raise TypeError(f"authkey must be bytes, not {type(authkey).__name__}.")
        if authkey == b"":
            raise ValueError("authkey must not be empty: everybody knows that key.")
        connector = cls(_checked_address(address))  # checked, since None would start a server
        connector._authkey = authkey
        connector._idle.append(connector._dial())
        return connector

    def get(self, key: ManagerKey) -> BytesLike | None:
        return _content(self._call("get", key))

    def exists(self, key: ManagerKey) -> bool:
        return bool(self._call("exists", key))

    def evict(self, key: ManagerKey) -> None:
        self._call("evict", key)

    def set(self, key: ManagerKey, obj: BytesLike) -> None:
        value = self._checked_bytes(obj)
        if len(value) >= _LARGE and isinstance(self._address, str) and _HAS_FILES_IN_MEMORY:
            with _as_file(value) as file:
                self._call("set", key, file)
        else:
            self._call("set", key, value)

    def wait(self, key: ManagerKey, timeout: float | None = None) -> BytesLike | None:
        name, timeout = self._checked_id(key), checked_timeout(timeout)
        end = math.inf if timeout is None else time.monotonic() + timeout
        with self._connection() as connection:
            _send(connection, ("wait", name))
            # A second at a time, since close() cannot wake us.
            while not connection.poll(min(max(end - time.monotonic(), 0), 1)):
                self._check_open()
                if time.monotonic() >= end:
                    _send(connection, ("forget", name))
                    break
            _, value = _receive(connection)  # one answer, even if value and "forget" cross
        return _content(value)

    def config(self) -> dict[str, Any]:
        return {"address": self._address}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(_checked_address(_entry(config, "address", object)))

    def close(self) -> None:
        """Ends the use; the creator stops the server, and the values are gone.

        Whoever still waits through this connector, or for this server, gets a `ConnectorError`.
        """
        self._end()
        self._idle.clear()
        if self._stop_server is not None:
            self._stop_server()

    def _prepare(self, address: Address, authkey: bytes | None) -> None:
        self._address = address
        self._authkey = authkey
        # Connections that no call is using. A few are kept, since to dial takes longer than a call;
        # one that is dropped from here closes itself.
        self._idle: deque[Connection] = deque(maxlen=8)
        self._pid = os.getpid()

    def _call(self, method: str, key: ManagerKey, value: Any = None) -> Any:
        """Makes the server's `LocalConnector` do something, and returns its answer."""
        name = self._checked_id(key)
        with self._connection() as connection:
            _send(connection, (method, name), value)
            error, answer = _receive(connection)
        if error:  # the server sends no other one
            raise AlreadySetError(error)
        return answer

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Lends a connection for one call."""
        if self._pid != os.getpid():  # forked: the parent goes on using its connections
            self._prepare(self._address, self._authkey)
        connection = None
        with contextlib.suppress(IndexError):
            connection = self._idle.pop()
        connection = connection or self._dial()
        try:
            yield connection
        except BaseException as broken:
            # No other call may use it and read the answer to this one, which may be under way
            # still, after Ctrl-C for instance.
            connection.close()
            if isinstance(broken, ConnectorError) or not isinstance(broken, Exception):
                raise
            self._idle.clear()  # they lead to the same server
            self._check_open()
            raise self._unreachable(broken) from broken
        if not self._ended:
            self._idle.append(connection)

    def _dial(self) -> Connection:
        try:
            key = _default_authkey() if self._authkey is None else self._authkey
            return _dial(self._address, key)
        except (AuthenticationError, AssertionError) as error:  # the second before Python 3.12
            raise ConnectorError(
                f"The server at {self._address!r} has another authentication key. Pass its key to "
                f"ManagerConnector.connect(), or set the environment variable {_AUTHKEY_VARIABLE}."
            ) from error
        except (OSError, EOFError, ValueError) as error:
            self._check_open()
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ConnectorError:
        return ConnectorError(
            f"The server at {self._address!r} does not answer: {error!r}. The server of a "
            "ManagerConnector() ends with it, and serves only this machine. For one that lasts, or "
            "serves others, run `python -m connectors serve HOST:PORT`."
        )


Address = tuple[str, int] | str

# The environment variable with an authentication key for processes that have no common parent.
_AUTHKEY_VARIABLE = "PROXYFUTURE_AUTHKEY"

# Values of this many bytes or more are large. Smaller ones fit into a socket's buffer.
_LARGE = 64 * 1024

_HAS_FILES_IN_MEMORY = hasattr(os, "memfd_create")

# How a reader maps a file in memory. The reader may change what it sees, and only the pages that it
# changes are copied. Before Python 3.13, a map keeps its file open, of which there can be few. So
# there it is read-only: a store then copies arrays out of it, and map and file can go.
_MAP: dict[str, Any] = {"access": mmap.ACCESS_READ}
if sys.version_info >= (3, 13):
    _MAP = {"access": mmap.ACCESS_COPY, "trackfd": False}

# After this many seconds without a sign of life, the other side counts as gone.
_PATIENCE = 30


def _default_authkey() -> bytes:
    return os.fsencode(os.environ.get(_AUTHKEY_VARIABLE, "")) or current_process().authkey


def _checked_address(address: Any) -> Address:
    match address:
        case str() if address and ("/" in address or ":" not in address):  # not "host:port"
            return address
        case [str(host), int(port)] if 0 < port < 65536:
            return host, port
    raise ValueError(f"address must be (host, port) or a Unix socket's path, not {address!r}.")


def _dial(address: Address, authkey: bytes) -> Connection:
    """Connects to a server. Both sides prove that they know the key."""
    if isinstance(address, str):
        client = socket.socket(socket.AF_UNIX)
    else:
        client = socket.create_connection(address, _PATIENCE)
    with client:
        client.settimeout(None)  # it may have one from create_connection() or setdefaulttimeout()
        _limit(client, read_seconds=_PATIENCE)
        if isinstance(address, str):
            client.connect(address)  # within the limit, since a frozen server does not accept
        connection = Connection(os.dup(client.fileno()))
        answer_challenge(connection, authkey)
        deliver_challenge(connection, authkey)
    return connection


def _welcome(client: socket.socket, authkey: bytes) -> Connection:
    """The server's end of `_dial`."""
    with client:
        _limit(client, read_seconds=_PATIENCE)
        connection = Connection(os.dup(client.fileno()))
        deliver_challenge(connection, authkey)
        answer_challenge(connection, authkey)
        _limit(client, read_seconds=0)  # no limit: between calls, clients are silent
    return connection


def _limit(peer: socket.socket, read_seconds: int) -> None:
    """Makes the kernel give up a read after so long (0: never), and a write after `_PATIENCE`.

    A server that is frozen, or a stranger that listens and never answers, would block every
    call for ever otherwise, where only `wait` may block. Unlike `settimeout`, this holds for
    `Connection`, too.
    """
    for option, seconds in (socket.SO_SNDTIMEO, _PATIENCE), (socket.SO_RCVTIMEO, read_seconds):
        peer.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))  # a timeval of C
    if peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # send small answers at once
        # Ask a machine that is silent whether it is still there. While it has not confirmed what
        # was sent, the kernel does not ask but sends again, for 15 minutes without the last option.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = {
            "TCP_KEEPIDLE": 10,
            "TCP_KEEPINTVL": 5,
            "TCP_KEEPCNT": 4,
            "TCP_USER_TIMEOUT": _PATIENCE * 1000,
        }
        for name, number in options.items():
            if hasattr(socket, name):  # macOS does not have all of them
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), number)


# How client and server talk. A message is a head and a value: bytes, an open file, or None.
# The head of a request is a method's name and a key's id; that of an answer is None, or an error's
# text. Each request gets one answer, but a `wait` and the `forget` that ends it get one together.


def _send(connection: Connection, head: object, value: Any = None) -> None:
    is_file = hasattr(value, "fileno")
    connection.send_bytes(pickle.dumps((head, None if is_file else value, is_file)))
    if is_file:
        send_handle(connection, value.fileno(), 0)
        _end_timeout(connection)


def _receive(connection: Connection) -> tuple[Any, Any]:
    head, value, is_file = pickle.loads(connection.recv_bytes())
    if is_file:
        value = os.fdopen(recv_handle(connection), "rb")
        _end_timeout(connection)
    return head, value


def _end_timeout(connection: Connection) -> None:
    # To pass a file, multiprocessing wraps the connection in a socket. In a program that calls
    # socket.setdefaulttimeout(), that leaves it unable to block.
    os.set_blocking(connection.fileno(), True)


def _as_file(obj: BytesLike) -> IO[bytes]:
    """Returns a file in memory, without a name: it is gone with its last holder."""
    with _explaining_no_room(len(obj)):
        file = os.fdopen(os.memfd_create("value"), "w+b")
        file.write(obj)
        file.flush()
        return file


def _content(value: IO[bytes] | bytes | None) -> BytesLike | None:
    if value is None or isinstance(value, bytes):
        return value
    with value, _explaining_no_room(os.fstat(value.fileno()).st_size):
        return memoryview(mmap.mmap(value.fileno(), 0, **_MAP))


@contextlib.contextmanager
def _explaining_no_room(size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConnectorError(f"There is no room for {size} bytes: {error}.") from error


# The server process


def _start_server(authkey: bytes) -> tuple[str, Callable[[], None]]:
    """Starts a server that ends with this process. Returns its address, and what stops it."""
    creator = os.getpid()
    environment = {**os.environ, _AUTHKEY_VARIABLE: authkey.hex()}  # random bytes are no text
    try:
        with contextlib.ExitStack() as undo:
            directory = mkdtemp(prefix="proxyfuture-")
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
            address = os.path.join(directory, "socket")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.settimeout(None)  # else, with setdefaulttimeout(), the server would poll
                listener.bind(address)
                listener.listen(socket.SOMAXCONN)  # from now on, clients can connect
                server = subprocess.Popen(
                    # A new interpreter, since a fork would hold our files and locks. It runs this
                    # file alone (-I -S), in a group of its own: Ctrl-C is meant for us.
                    [sys.executable, "-I", "-S", __file__, "serve", f"--creator={creator}"],
                    env=environment,
                    stdin=listener.fileno(),
                    process_group=0,
                )
            undo.pop_all()  # the directory stays
    except OSError as error:
        raise ConnectorError(f"The server process cannot be started: {error}.") from error

    def stop() -> None:
        if os.getpid() == creator:  # and not a forked child of it, when that ends
            server.kill()
            server.wait()
            shutil.rmtree(directory, ignore_errors=True)

    return address, stop


def _serve(listener: socket.socket, authkey: bytes) -> None:
    """Serves clients, each in a thread, until this process is told to end."""
    import resource  # here: only a server needs it

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # if the system allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each client is an open file
    memory = LocalConnector()
    while True:
        try:
            client, _ = listener.accept()
            arguments = client, memory, authkey
            threading.Thread(target=_serve_client, args=arguments, daemon=True).start()
        except OSError:  # too many files, until some client leaves
            time.sleep(0.1)
        except RuntimeError:  # too many threads
            client.close()  # else it would stay open, and the client wait, until the next accept()


def _serve_client(client: socket.socket, memory: LocalConnector, authkey: bytes) -> None:
    # A `wait` is answered by the thread of whoever sets the value. One thread at a time may send.
    lock = threading.Lock()

    def answer(value: Any = None, error: str | None = None) -> None:
        with lock:
            try:
                _send(connection, error, value)
            except Exception:  # the client has left, or there is no room for the answer
                _hang_up(connection)  # nothing may follow half of an answer

    def deliver(value: Any) -> None:
        # A client may be slow to read a large value. The one who set it shall not wait for that.
        if isinstance(value, bytes) and len(value) >= _LARGE:
            with contextlib.suppress(RuntimeError, MemoryError):  # if no thread can start, this one
                return threading.Thread(target=answer, args=(value,), daemon=True).start()
        answer(value)

    # A client that leaves, has another authkey or talks nonsense ends here: nobody is left to tell.
    with contextlib.suppress(Exception):
        connection = _welcome(client, authkey)
        waited_for = ""
        try:
            while True:
                (method, name), value = _receive(connection)
                if method == "wait":
                    waited_for = name
                    memory._when_set(name, deliver)
                elif method == "forget":
                    if memory._forget(name, deliver):  # else its answer is under way
                        answer()
                elif method == "set":
                    try:
                        memory._set(name, value)
                    except AlreadySetError as error:
                        answer(error=str(error))
                    else:
                        answer()
                else:  # get, exists or evict; whoever knows the key can run anything, by a pickle
                    answer(getattr(memory, method)(LocalKey(name)))
                del value  # or it would stay until the next request, even if somebody evicts it
        finally:
            memory._forget(waited_for, deliver)
            with lock:  # or an answer could go to whoever gets the same file descriptor next
                connection.close()


def _hang_up(connection: Connection) -> None:
    """Ends a connection for both sides, also for the thread that is reading from it."""
    with contextlib.suppress(OSError):  # it has ended already
        peer = socket.socket(fileno=connection.fileno())
        try:
            peer.shutdown(socket.SHUT_RDWR)
        finally:
            peer.detach()


def _serve_creator(creator: int, authkey: bytes) -> None:
    """Serves on the socket that is the standard input, as long as the creator lives."""
    with socket.socket(fileno=0) as listener:
        threading.Thread(target=_serve, args=(listener, authkey), daemon=True).start()
        while os.getppid() == creator:
            time.sleep(0.5)
        shutil.rmtree(os.path.dirname(listener.getsockname()), ignore_errors=True)


def _serve_network(host: str, port: int, authkey: bytes) -> None:
    """Serves whoever can reach the address and knows the key."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=socket.SOMAXCONN)
    with contextlib.suppress(KeyboardInterrupt), listener:
        host, port = listener.getsockname()[:2]
        print(f"Serving on {host}:{port}. Ctrl-C ends it.", flush=True)
        _serve(listener, authkey)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"the address must be HOST:PORT, such as 127.0.0.1:5000, not {text!r}.")
    return host.strip("[]") or "127.0.0.1", int(port)


def main() -> None:
    """Runs the command line, `python -m connectors serve HOST:PORT`."""
    import argparse  # here: it takes a megabyte, and only this command needs it

    parser = argparse.ArgumentParser(
        prog="python -m connectors",
        description="A server for ManagerConnector.connect((HOST, PORT)).",
    )
    serve = parser.add_subparsers(required=True).add_parser(
        "serve",
        help="keep values for all processes that know the authentication key",
        epilog=f"The environment variable {_AUTHKEY_VARIABLE} holds the authentication key.",
    )
    serve.add_argument(
        "address",
        metavar="HOST:PORT",
        nargs="?",
        default="127.0.0.1:0",
        help="where to listen (default: for this machine only, on any free port)",
    )
    serve.add_argument("--creator", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    authkey = os.environ.get(_AUTHKEY_VARIABLE)
    if not authkey:
        parser.error(f"set {_AUTHKEY_VARIABLE} to a secret that the server's clients know too.")
    if arguments.creator:
        return _serve_creator(arguments.creator, bytes.fromhex(authkey))
    try:
        _serve_network(*_host_and_port(arguments.address), os.fsencode(authkey))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"cannot listen on {arguments.address}: {error}.")


if __name__ == "__main__":
    main()
