"""Connectors: where the bytes of a value wait until somebody asks for them.

A connector keeps bytes under keys. A key can be handed out before its bytes exist, is filled once,
and can be waited for:

    >>> connector = LocalConnector()
    >>> key = connector.new_key()
    >>> connector.set(key, b"value")
    >>> connector.wait(key)
    b'value'

First come the interfaces, in three steps. Three connectors take them all, each for more users:

- `LocalConnector`: the threads of this process. The values are in its memory.
- `ManagerConnector`: the processes that can reach a server. The values are in its memory.
- `FileConnector`: the processes that can reach a directory.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing import AuthenticationError, connection, current_process, managers
from multiprocessing.managers import BaseManager, BaseProxy, RemoteError, Server
from queue import Empty, SimpleQueue
from typing import IO, Any, NamedTuple, Protocol, Self, TypeVar, cast, runtime_checkable
from weakref import WeakValueDictionary, finalize

T = TypeVar("T")
KeyT = TypeVar("KeyT")
BytesLike = bytes | bytearray | memoryview
Address = tuple[str, int] | str

_AUTHKEY_VARIABLE = "PROXYFUTURE_AUTHKEY"  # an environment variable
_SHORT_WAIT = 1.0  # seconds, of which a row makes a long wait
_PATIENCE = 30.0  # a server that says nothing for so many seconds is frozen or out of reach


class ConnectorError(Exception):
    """A connector cannot do its work: it is closed, out of reach, or its medium failed."""


class AlreadySetError(ConnectorError):
    """The key has its value already. A key is set once; the first setter has won."""


class InvalidKeyError(ConnectorError):
    """The key is not of the kind that this connector hands out."""


# The interfaces. Any class of the right shape works, whether it inherits from them or not; one that
# does, and forgets a method, gets an error. The names are those of ProxyStore's connectors.
@runtime_checkable
class Connector(Protocol[KeyT]):
    """Keeps bytes under keys of type `KeyT`."""

    def put(self, obj: BytesLike) -> KeyT:
        """Stores `obj` under a fresh key, which is returned."""
        raise NotImplementedError

    def get(self, key: KeyT) -> BytesLike | None:
        """Returns the bytes under `key`, or `None` where nothing is set. Does not wait."""
        raise NotImplementedError

    def exists(self, key: KeyT) -> bool:
        """Tells whether `key` is set."""
        raise NotImplementedError

    def evict(self, key: KeyT) -> None:
        """Forgets what is stored under `key`, which then counts as never set."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Returns what another process needs to reach the same values. It holds no secret."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Connector[KeyT]:
        """Returns a connector for `config()`'s result, without any I/O until its first use."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the use of this connector. Only the connector that created a medium removes it."""
        raise NotImplementedError


@runtime_checkable
class DeferrableConnector(Connector[KeyT], Protocol[KeyT]):
    """A connector whose keys can be handed out first and filled later."""

    def new_key(self, obj: BytesLike | None = None) -> KeyT:
        """Returns a fresh key. `obj` is only a hint for choosing one, and is not stored."""
        raise NotImplementedError

    def set(self, key: KeyT, obj: BytesLike) -> None:
        """Stores `obj` under `key`, whole or not at all. Of racing setters exactly one wins.

        Raises:
            AlreadySetError: `key` has its value already.
        """
        raise NotImplementedError


@runtime_checkable
class WaitableConnector(DeferrableConnector[KeyT], Protocol[KeyT]):
    """A connector that can wait until a key is set, in the best way that its medium has."""

    def wait(self, key: KeyT, timeout: float | None = None) -> BytesLike | None:
        """Blocks until `key` is set and returns its bytes, or `None` after `timeout` seconds.

        Raises:
            ConnectorError: The connector was closed, or its medium went away.
        """
        raise NotImplementedError


# What the three connectors share
def checked_timeout(timeout: float | None) -> float:
    """Returns `timeout` (seconds), and infinity for `None`.

    Raises:
        TypeError, ValueError: It is no number, or a negative one or NaN.
    """
    if timeout is None:
        return math.inf
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}.")
    if not timeout >= 0:  # so written, it refuses NaN too
        raise ValueError(f"timeout must be at least 0 seconds, not {timeout}.")
    return timeout


def poll(attempt: Callable[[], BytesLike | None], timeout: float | None = None) -> BytesLike | None:
    """Calls `attempt` until it returns bytes. That is how to wait where nobody wakes the waiter.

    Each pause is 2 % of the time waited so far, but at least 0.2 ms and at most 15 ms: a waiter is
    late by no more than that and one attempt. After `timeout` seconds, the result is `None`.
    """
    start = time.monotonic()
    end = start + checked_timeout(timeout)
    while (found := attempt()) is None:
        now = time.monotonic()
        if now >= end:
            return None
        time.sleep(min(max((now - start) * 0.02, 0.0002), 0.015, end - now))
    return found


# The `id` of a `FileKey` is the name of its value's file.
LocalKey = NamedTuple("LocalKey", [("id", str)])
ManagerKey = NamedTuple("ManagerKey", [("id", str)])
FileKey = NamedTuple("FileKey", [("id", str)])
OwnKeyT = TypeVar("OwnKeyT", LocalKey, ManagerKey, FileKey)


class _Base(WaitableConnector[OwnKeyT]):
    """A connector around a medium, whose `get`, `exists`, `evict`, `set` and `wait` it calls.

    A medium knows the ids of keys, and nothing of wrong keys, of long waits or of closing.
    """

    _key_type: type[OwnKeyT]
    _is_closed = False
    _remedy = ""

    def _get_medium(self) -> Any:
        raise NotImplementedError

    def _call(self, method: str, *arguments: Any) -> Any:
        with self._explain():
            return getattr(self._get_medium(), method)(*arguments)

    @contextlib.contextmanager
    def _explain(self) -> Iterator[None]:
        """Makes the errors of a medium explain themselves."""
        try:
            yield
        except (AuthenticationError, AssertionError, EOFError, OSError, ValueError) as error:
            # AssertionError: what a server of another kind leads to, before Python 3.12.
            self._check_open()  # another thread may have closed it just now
            raise ConnectorError(f"{self!r} cannot be used: {error!r}. {self._remedy}") from error

    def new_key(self, obj: BytesLike | None = None) -> OwnKeyT:
        self._check_open()
        return self._key_type(os.urandom(16).hex())  # nobody has to agree with others on a counter

    def put(self, obj: BytesLike) -> OwnKeyT:
        key = self.new_key()
        self.set(key, obj)
        return key

    def get(self, key: OwnKeyT) -> bytes | None:
        return cast(bytes | None, self._call("get", self._check_key(key)))

    def exists(self, key: OwnKeyT) -> bool:
        return bool(self._call("exists", self._check_key(key)))

    def evict(self, key: OwnKeyT) -> None:
        self._call("evict", self._check_key(key))

    def set(self, key: OwnKeyT, obj: BytesLike) -> None:
        key_id = self._check_key(key)
        if not isinstance(obj, BytesLike):
            raise TypeError(f"obj must be bytes, bytearray or memoryview, not {type(obj)}.")
        if not self._call("set", key_id, bytes(obj)):  # which is no copy, if it is bytes already
            raise AlreadySetError(f"{key} is set already, and can be set only once.")

    def wait(self, key: OwnKeyT, timeout: float | None = None) -> BytesLike | None:
        left = checked_timeout(timeout)
        end = time.monotonic() + left
        while True:
            # A row of short waits. Before each, a close() is noticed; and a consumer that was
            # killed meanwhile costs a server no more than that.
            value: bytes | None = self._call("wait", self._check_key(key), min(left, _SHORT_WAIT))
            if value is not None or left <= _SHORT_WAIT:
                return value
            left = max(end - time.monotonic(), 0)

    def put_batch(self, objs: Sequence[BytesLike]) -> list[OwnKeyT]:  # for ProxyStore's `Store`
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

    def _check_open(self) -> None:
        if self._is_closed:
            raise ConnectorError(f"{self!r} was closed. Open a new one to go on.")

    def _check_key(self, key: OwnKeyT) -> str:
        """Checks that the connector is open and the key of its kind. Returns the key's id."""
        self._check_open()
        if isinstance(key, self._key_type) and re.fullmatch("[0-9a-f]{32}", str(key.id)):
            return key.id  # and not '../../etc/passwd', for instance
        raise InvalidKeyError(
            f"key must be a {self._key_type.__name__} made by a {type(self).__name__}, not "
            f"{key!r}. Use a key with the kind of connector it came from."
        )


# Within one process: the medium is a memory
class _Memory:
    """The values by their keys' ids, and the waiters for those to come."""

    def __init__(self) -> None:
        # Reentrant, since Python may collect garbage at any time, and a finalizer may set a key.
        self._lock = threading.RLock()
        self._values: dict[str, bytes] = {}
        self._waiters: dict[str, set[SimpleQueue[bytes]]] = {}

    def get(self, key_id: str) -> bytes | None:
        return self._values.get(key_id)

    def exists(self, key_id: str) -> bool:
        return key_id in self._values

    def evict(self, key_id: str) -> None:
        self._values.pop(key_id, None)

    def set(self, key_id: str, value: bytes) -> bool:
        """Stores the value and wakes its waiters, unless there is one. Tells whether it did."""
        with self._lock:
            if key_id in self._values:
                return False
            self._values[key_id] = value
            waiters = self._waiters.pop(key_id, set())
        for waiter in waiters:
            waiter.put(value)
        return True

    def wait(self, key_id: str, seconds: float) -> bytes | None:
        """Returns the value, or `None` if it does not come in time."""
        waiter: SimpleQueue[bytes] = SimpleQueue()
        with self._lock:
            self._waiters.setdefault(key_id, set()).add(waiter)
        try:
            # It looks only now that it is listed as a waiter. So no value can come between.
            value = self._values.get(key_id)
            return waiter.get(timeout=seconds) if value is None else value
        except Empty:
            return None
        finally:
            with self._lock:
                waiters = self._waiters.get(key_id, set())
                waiters.discard(waiter)
                if not waiters:
                    self._waiters.pop(key_id, None)


class LocalConnector(_Base[LocalKey]):
    """Keeps values in this process's memory, for its threads. Elsewhere it raises an error."""

    _key_type = LocalKey

    def __init__(self) -> None:
        self._name = os.urandom(8).hex()
        self._process = os.getpid()
        self._memory = _Memory()
        _local_connectors[self._name] = self

    def config(self) -> dict[str, Any]:
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LocalConnector:
        connector = _local_connectors.get(config["name"])
        if connector is None:
            connector = cls()  # a stand-in, which says at its use what is wrong
            connector._name, connector._process = config["name"], 0
        return connector

    def close(self) -> None:
        """Forgets all values. Threads that still wait get a `ConnectorError`."""
        self._is_closed = True
        self._memory = _Memory()

    def _get_medium(self) -> _Memory:
        return self._memory

    def _check_open(self) -> None:
        super()._check_open()
        if self._process != os.getpid():
            raise ConnectorError(
                f"The values of {self!r} are in another process, or gone with the original. Use a "
                "ManagerConnector or a FileConnector between processes."
            )


# By name: a copy that is pickled and unpickled within one process finds its original.
_local_connectors: WeakValueDictionary[str, LocalConnector] = WeakValueDictionary()


# Between processes: the medium is a memory in a server's process
class ManagerConnector(_Base[ManagerKey]):
    """Keeps values in the memory of a server process, with `multiprocessing.managers`.

    Without an `address`, this connector starts the server, which ends with it, even if this
    process is killed. Processes that this one starts with `multiprocessing` can use copies of it.
    For others, run `python -m connectors serve HOST:PORT` and `connect` to it.

    Client and server prove to each other that they know the same authentication key: that of the
    environment variable `PROXYFUTURE_AUTHKEY`, or else `multiprocessing.current_process().authkey`,
    which children inherit. It is never pickled. What travels is not encrypted.

    Args:
        address: Of a server that runs already, to be reached at the first use. `connect` also
            checks that it is there. By default, this connector starts one.

    Raises:
        ConnectorError: No server can be started here.
        ValueError: `address` is not an address.
    """

    _key_type = ManagerKey
    _remedy = (
        "A ManagerConnector()'s server belongs to the process that made it: it ends with that one, "
        "and only its children have its authentication key, too. For a server that lasts, or for "
        "others, run `python -m connectors serve HOST:PORT`, with one PROXYFUTURE_AUTHKEY."
    )

    def __init__(self, address: Address | None = None) -> None:
        self._authkey: bytes | None = None  # None: this process's, wherever that is
        self._proxy: _MemoryProxy | None = None
        self._stop_server: Callable[[], object] = lambda: None
        if address is not None:
            self._address = _check_address(address)
        else:
            self._authkey = _default_authkey()
            server, self._address = _start_server(self._authkey)
            self._stop_server = finalize(self, _stop_server, server, os.getpid())

    @classmethod
    def connect(cls, address: Address, authkey: bytes | None = None) -> Self:
        """Returns a connector for a server that runs already.

        Args:
            address: `(host, port)`, the path of a Unix socket, or the name of a Windows pipe.
            authkey: The server's authentication key. Without it, and in copies elsewhere, it is
                found as the class tells.

        Raises:
            TypeError, ValueError: `address` is not an address, or `authkey` not bytes, or empty.
            ConnectorError: Nobody answers at the address, or the key is not the server's.
        """
        if not isinstance(authkey, bytes | None):
            raise TypeError(f"authkey must be bytes, not {type(authkey).__name__}.")
        if authkey == b"":
            raise ValueError("authkey must not be empty: everybody knows that key.")
        connector = cls(_check_address(address))  # checked, since None would start a server
        connector._authkey = authkey
        connector._call("exists", "")  # Is anybody there?
        return connector

    def config(self) -> dict[str, Any]:
        return {"address": self._address}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(_check_address(config["address"]))

    def close(self) -> None:
        """Ends the use, and what waits. The creator stops the server, and the values are gone."""
        self._is_closed = True
        self._proxy = None  # and with it go its connections
        self._stop_server()

    def _get_medium(self) -> _MemoryProxy:
        proxy = self._proxy
        if proxy is None or proxy.is_broken:
            manager = _MemoryManager(self._address, self._authkey or _default_authkey())
            proxy = self._proxy = _call_in_time(manager.open_memory)
        return proxy


def _default_authkey() -> bytes:
    return os.fsencode(os.environ.get(_AUTHKEY_VARIABLE, "")) or bytes(current_process().authkey)


def _check_address(address: Any) -> Address:
    match address:
        case str() if address and ("/" in address or ":" not in address):  # not "host:port"
            return address
        case [str(host), int(port)] if 0 < port < 65536:
            return host, port
    raise ValueError(f"address must be (host, port) or the path of a socket, not {address!r}.")


class _MemoryProxy(BaseProxy):
    """The standard library's kind of proxy: calls the methods of a memory in another process.

    The library keeps a connection for each thread. After Ctrl-C in a call, or a fork, the next call
    would read an answer that was meant for another (python/cpython#101320), and a server that is
    frozen would block it for ever. So here, a call that fails drops its connection.
    """

    _exposed_ = "get", "exists", "evict", "set", "wait"  # all that a client may call
    _id: str  # BaseProxy's name of the memory in the server
    _connect: Callable[[], None]  # BaseProxy's method that sets _tls.connection
    is_broken = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._tls: Any = threading.local()  # not BaseProxy's, whose connections outlive this proxy

    def __getattr__(self, method: str) -> Any:
        if method in self._exposed_:
            return lambda *arguments: self._callmethod(method, arguments)
        raise AttributeError(method)

    def _incref(self) -> None:
        """Does nothing: a memory stays as long as its server, and nobody counts its users."""

    def _callmethod(self, method: str, arguments: tuple[Any, ...] = (), _: Any = None) -> Any:
        client = self._get_connection()
        try:
            client.send((self._id, method, arguments, {}))
            if not client.poll(_SHORT_WAIT + _PATIENCE):
                raise TimeoutError("the server is frozen, or out of reach")
            kind, result = client.recv()
        except BaseException:
            # The answer may come still. No other call may read it.
            self._tls.process = None
            client.close()
            self.is_broken = True
            raise
        if kind == "#RETURN":
            return result
        raise (result if kind == "#ERROR" else RemoteError(result))  # the server's own trouble

    def _get_connection(self) -> Any:
        """Returns the connection of this thread, in this process: a fork copies it."""
        if getattr(self._tls, "process", None) != os.getpid():
            self._tls.connection = _call_in_time(self._make_connection)
            self._tls.process = os.getpid()
        return self._tls.connection

    def _make_connection(self) -> Any:
        self._connect()
        return self._tls.connection  # of the thread that makes it, for the one that will use it


class _MemoryManager(BaseManager):
    """At the server's end, holds a memory; at the client's end, makes a proxy of it.

    The library gives each connection a thread in the server, which calls the memory there. So the
    thread of a setter wakes that of a waiter, in `_Memory.set`, and each sends its answer home.
    """

    memory: Callable[[], _MemoryProxy]  # defined by `register`, below

    def __init__(self, address: Address | None, authkey: bytes) -> None:
        is_ipv6 = isinstance(address, tuple) and ":" in address[0]
        super().__init__(address, authkey, serializer="ipv6" if is_ipv6 else "pickle")

    def make_server(self) -> Server:
        server = self.get_server()
        server.create(cast(Any, None), "memory")  # or the library forgets it with its last client
        return server

    def open_memory(self) -> _MemoryProxy:
        self.connect()
        return self.memory()


# Cached: the same memory for all clients.
_MemoryManager.register("memory", functools.cache(_Memory), _MemoryProxy)


def _connect_ipv6(address: tuple[str, int], authkey: bytes) -> connection.Connection:
    """Does what the library's `Client` does, which knows IPv4 only."""
    from http.client import HTTPConnection  # the shortest way to a TCP connection of either kind

    http = HTTPConnection(*address)
    http.connect()
    client = connection.Connection(http.sock.detach())
    connection.answer_challenge(client, authkey)
    connection.deliver_challenge(client, authkey)
    return client


# The library finds the two ends of a connection under the name of a "serializer".
_ipv6 = functools.partial(connection.Listener, family="AF_INET6"), _connect_ipv6
managers.listener_client["ipv6"] = _ipv6  # type: ignore[attr-defined]  # typeshed lacks it


def _call_in_time(function: Callable[[], T]) -> T:
    """Calls `function` in a thread, since nothing else ends a connect() to a frozen server."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(_PATIENCE)


def _start_server(authkey: bytes) -> tuple[subprocess.Popen[bytes], Address]:
    """Starts a server that ends with this process. Returns it and its address."""
    if getattr(sys, "frozen", False) or not (sys.executable and os.path.isfile(__file__)):
        raise ConnectorError(
            "No server can be started from a frozen program, a zip application, or without "
            "sys.executable. Run `python -m connectors serve HOST:PORT`, and use connect()."
        )
    # A new interpreter, since a fork would hold our files and locks. -I -S: without settings.
    command = [sys.executable, "-I", "-S", __file__, "serve", "--for-creator"]
    try:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        try:
            pickle.dump(authkey, cast(IO[bytes], server.stdin))
            return server, pickle.load(cast(IO[bytes], server.stdout))
        except BaseException:  # Ctrl-C, for instance
            server.kill()
            server.communicate()
            raise
    except (OSError, EOFError) as error:
        message = f"The server process did not start with {sys.executable!r}: {error!r}."
        raise ConnectorError(message) from error


def _stop_server(server: subprocess.Popen[bytes], creator: int) -> None:
    if os.getpid() != creator:  # a forked child of it, which has a copy of everything
        return
    try:
        # To close its standard input is not enough: other children may hold that open, too.
        server.communicate(b"end", _PATIENCE)
    except subprocess.TimeoutExpired:  # it is frozen
        server.kill()
        server.communicate()


# Between processes: the medium is a directory
class FileConnector(_Base[FileKey]):
    """Keeps each value in a file of a directory, local or shared between machines.

    The directory is private to its user (mode 0700). One that exists is accepted if it belongs
    to the user and nobody else may write to it. Values survive the death of any process.

    Args:
        store_dir: The directory. If it does not exist it is created, in a parent that does;
            then `close()` removes it, with the values in it.

    Raises:
        ConnectorError: The directory cannot be created or is not private.
        TypeError: `store_dir` is not a path.
    """

    _key_type = FileKey
    _remedy = (
        "The directory must exist on this machine, belong to you, be writable for nobody else, "
        "have room, and allow hard links."
    )
    _creator: int | None = None  # the process that made the directory

    def __init__(self, store_dir: str | os.PathLike[str]) -> None:
        self._store_dir = os.fsdecode(store_dir)
        with self._explain():
            if self._store_dir:  # abspath() would take an empty path, which nobody means, for "."
                self._store_dir = os.path.abspath(self._store_dir)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._store_dir, mode=0o700)
                self._creator = os.getpid()
            self._get_medium()

    def wait(self, key: FileKey, timeout: float | None = None) -> BytesLike | None:
        # One wait instead of a row: each look notices a close(), and a directory that is gone.
        return poll(lambda: self.get(key), timeout)

    def config(self) -> dict[str, Any]:
        return {"store_dir": self._store_dir}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        # Not by __init__: where the directory is not shared, an empty one would be waited for.
        connector = cls.__new__(cls)
        connector._store_dir = config["store_dir"]
        return connector

    def close(self) -> None:
        """Ends the use, and what waits. The creator removes values and directory."""
        self._is_closed = True
        if self._creator == os.getpid():  # a forked child is not the creator
            self._creator = None
            with contextlib.suppress(FileNotFoundError):  # it is gone already
                _Directory(self._store_dir).remove()

    def _get_medium(self) -> _Directory:
        # At each use: a removed directory is no unset key, and pickles of others run code here.
        status = os.stat(self._store_dir + os.sep)  # the separator: only a directory will do
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            raise PermissionError("others may write to the directory, or own it")
        return _Directory(self._store_dir)


class _Directory(NamedTuple):
    """The values in files that are named by their keys' ids. Nobody can wake a waiter."""

    path: str

    def get(self, key_id: str) -> bytes | None:
        try:
            with open(os.path.join(self.path, key_id), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def exists(self, key_id: str) -> bool:
        return os.path.exists(os.path.join(self.path, key_id))

    def evict(self, key_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, key_id))

    def set(self, key_id: str, value: bytes) -> bool:
        """Writes the value aside, then links it to its name.

        A file system does that step whole or not at all, and refuses it where the name exists.
        """
        path = os.path.join(self.path, key_id)
        aside = f"{path}.{os.urandom(8).hex()}.partial"
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
            with open(descriptor, "wb") as file:
                file.write(value)
            os.link(aside, path)
            return True
        except FileExistsError:
            return False
        finally:
            # A consumer that has the value may have removed the directory by now.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)

    def remove(self) -> None:
        own = re.compile(r"[0-9a-f]{32}(\.\w+\.partial)?")
        closed = f"{self.path}.{os.urandom(8).hex()}.closed"
        os.rename(self.path, closed)  # so that no setter can be late
        try:
            for name in filter(own.fullmatch, os.listdir(closed)):
                os.unlink(os.path.join(closed, name))
            os.rmdir(closed)
        except OSError:  # there are files that are not its own
            os.rename(closed, self.path)


# The server's program
def _serve_creator() -> None:
    """Serves the process that started this one, until it says so or is gone."""
    for name in "SIGINT", "SIGTERM", "SIGHUP":  # they are meant for the creator, and its group
        if hasattr(signal, name):  # Windows has not all of them
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    creator = os.getppid()
    authkey = pickle.load(sys.stdin.buffer)
    try:
        server = _MemoryManager(None, authkey).make_server()
    except OSError:  # a long path of the temporary directory leaves no room for a socket's name
        server = _MemoryManager(("127.0.0.1", 0), authkey).make_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pickle.dump(server.address, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    # Two signs of its end: something to read, or nothing any more, on our standard input; and, as
    # another child of it may hold that open, another parent for this process.
    reader = threading.Thread(target=os.read, args=(0, 1), daemon=True)
    reader.start()
    while reader.is_alive() and os.getppid() == creator:
        reader.join(0.5)
    # Not at once: when a consumer has its value and closes, its producer still waits for an answer.
    time.sleep(0.2)


def main() -> None:
    """Runs the command line, `python -m connectors serve HOST:PORT`."""
    import argparse  # here: only this command needs it

    parser = argparse.ArgumentParser(
        prog="python -m connectors",
        description="A server for ManagerConnector.connect((HOST, PORT)). The environment variable "
        f"{_AUTHKEY_VARIABLE} holds the authentication key, which its clients have to know.",
    )
    parser.add_argument("command", choices=["serve"])
    where = "where to listen (default: for this machine only, on any free port)"
    parser.add_argument(
        "address", metavar="HOST:PORT", nargs="?", default="127.0.0.1:0", help=where
    )
    parser.add_argument("--for-creator", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.for_creator:
        return _serve_creator()
    authkey = os.environ.get(_AUTHKEY_VARIABLE)
    if not authkey:
        parser.error(f"set {_AUTHKEY_VARIABLE} to a secret that the server's clients know too.")
    host, _, port = arguments.address.rpartition(":")
    try:
        address = host.strip("[]") or "127.0.0.1", int(port)
        server = _MemoryManager(address, os.fsencode(authkey)).make_server()
    except (OSError, OverflowError, ValueError) as error:
        parser.error(f"cannot listen on {arguments.address}, which should be HOST:PORT: {error}")
    host, port, *_ = cast(Any, server.address)
    print(f"Serving on {host}:{port}. Ctrl-C ends it.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
