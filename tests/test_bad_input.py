"""Bad input is refused promptly, by the documented exception, in words that help.

The tables are the specification. A row is a sentence, the call, the exception, and words that its
message has to contain: the argument or the offending thing, and the remedy. After each refusal the
store goes on, and nothing was printed, neither by a thread of this process nor by a server.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import InvalidStateError
from contextlib import ExitStack
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any, Protocol, TypedDict

import pytest
from conformance import SETTLING

import connectors
from connectors import (
    AlreadySetError,
    ConnectorError,
    FileConnector,
    FileKey,
    InvalidKeyError,
    LocalConnector,
    LocalKey,
    ManagerConnector,
    checked_timeout,
    poll,
)
from proxyfuture import (
    Proxy,
    ProxyFuture,
    ProxyResolveError,
    SerializationError,
    Store,
    call_with_proxies,
    extract,
    is_resolved,
    resolve,
)

# Seconds within which a refusal must come, and after which a test is ended.
PROMPTLY = 5.0
LIMIT = 20.0


class Scene:
    """What a call may need: a store with something in it, and things around it."""

    def __init__(self, kind: str, directory: Path, cleanup: ExitStack) -> None:
        self.directory = directory
        self.cleanup = cleanup
        if kind == "file":
            self.connector: Any = FileConnector(directory / "store")
        else:
            self.connector = {"local": LocalConnector, "manager": ManagerConnector}[kind]()
        # Typed loosely, since the calls are to break the types.
        self.store: Any = cleanup.enter_context(Store("store", self.connector))
        self.key: Any = self.store.put("stored")
        self.future: Any = self.store.future()
        self.done: Any = self.new_future()
        self.done.set_result("result")

    # Keys, values, futures

    def key_named(self, name: object) -> Any:
        """Returns a key of this connector's type, which the connector did not make."""
        return type(self.key)(name)

    def key_of_another_kind(self) -> Any:
        return (FileKey if isinstance(self.key, LocalKey) else LocalKey)(self.key.id)

    def new_future(self, target_type: Any = None) -> Any:
        return self.store.future(target_type)

    def store_with(self, **options: Any) -> Any:
        """Returns another store with the same connector."""
        return Store("other", self.connector, **options)

    def holding(self, data: bytes) -> Any:
        """Returns a future under whose key these bytes are, whoever made them."""
        future = self.new_future()
        self.connector.set(future.key, data)
        return future

    def truncated_value(self) -> Any:
        return self.holding(self.connector.get(self.store.put(["a", "list"]))[:-5])

    def truncated_exception(self) -> Any:
        future = self.new_future()
        future.set_exception(ValueError("of the producer"))
        return self.holding(self.connector.get(future.key)[:-5])

    # Directories

    def new_directory(self, name: str, mode: int = 0o700) -> Path:
        path = self.directory / name
        path.mkdir()
        path.chmod(mode)
        return path

    def given_away(self) -> Path:
        path = self.new_directory("given away")
        os.chown(path, 12345, -1)
        return path

    def file(self) -> Path:
        path = self.directory / "a file"
        path.write_bytes(b"")
        return path

    # Addresses

    def server(self) -> str:
        """Returns the address of a server that runs."""
        address: str = self.cleanup.enter_context(ManagerConnector()).config()["address"]
        return address

    def nobody(self) -> tuple[str, int]:
        """Returns an address at which nobody listens."""
        bound = self.cleanup.enter_context(socket.socket())
        bound.bind(("127.0.0.1", 0))
        address: tuple[str, int] = bound.getsockname()
        return address

    def silent_stranger(self) -> tuple[str, int]:
        """Returns an address at which somebody listens who never answers."""
        listener = self.cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        address: tuple[str, int] = listener.getsockname()
        return address


class Row:
    def __init__(
        self, sentence: str, call: Callable[[Scene], object], error: type[Exception], *words: str
    ) -> None:
        self.sentence = sentence
        self.call = call
        self.error = error
        self.words = words


def each(*tables: list[Row]) -> pytest.MarkDecorator:
    rows = [row for table in tables for row in table]
    assert len({row.sentence for row in rows}) == len(rows), "each sentence is there once"
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.sentence) for row in rows])


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def kind() -> str:
    """The kind of connector, where it makes no difference."""
    return "local"


@pytest.fixture
def scene(kind: str, tmp_path: Path, cleanup: ExitStack, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)  # so that a name which is refused too late makes nothing elsewhere
    return Scene(kind, tmp_path, cleanup)


def refuse(row: Row, scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    """Checks that the call ends as the row says."""
    start = time.monotonic()
    with pytest.raises(Exception) as caught:
        row.call(scene)
    assert time.monotonic() - start < PROMPTLY
    # Exactly so: a UnicodeError for instance is a ValueError, but not one that we documented.
    assert type(caught.value) is row.error, repr(caught.value)
    message = str(caught.value)
    missing = [word for word in row.words if word not in message]
    assert not missing, f"{missing} should be in: {message}"
    assert not capfd.readouterr().err


def go_on(scene: Scene) -> None:
    """Checks that the store works, and that nothing was set by the way."""
    assert scene.store.get(scene.key) == "stored"
    assert scene.store.get(scene.store.put("another")) == "another"
    assert not scene.future.done()
    scene.future.set_result("late")
    assert scene.future.result(PROMPTLY) == "late"


# Keys

TAKES_A_KEY: dict[str, Callable[[Scene, Any], object]] = {
    "get": lambda scene, key: scene.connector.get(key),
    "exists": lambda scene, key: scene.connector.exists(key),
    "evict": lambda scene, key: scene.connector.evict(key),
    "set": lambda scene, key: scene.connector.set(key, b"value"),
    "wait": lambda scene, key: scene.connector.wait(key, 0),
    "get_batch": lambda scene, key: scene.connector.get_batch([key]),
    "Store.get": lambda scene, key: scene.store.get(key),
    "Store.exists": lambda scene, key: scene.store.exists(key),
    "Store.evict": lambda scene, key: scene.store.evict(key),
}

BAD_KEYS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "text": (lambda scene: "text", "'text'"),
    "a list": (lambda scene: ["text"], "['text']"),
    "nothing": (lambda scene: None, "None"),
    "the key of another kind": (Scene.key_of_another_kind, "Key(id="),
    "a key named by a number": (lambda scene: scene.key_named(5), "Key(id=5)"),
}

KEYS = [
    *(
        Row(
            f"{name} refuses {what} as a key",
            lambda scene, use=use, bad=bad: use(scene, bad(scene)),  # type: ignore[misc]
            InvalidKeyError,
            "key must be a ",
            shown,
            "Use a key with the kind of connector it came from",
        )
        for name, use in TAKES_A_KEY.items()
        for what, (bad, shown) in BAD_KEYS.items()
    ),
    Row(
        "get_batch refuses a key that is not in a list",
        lambda scene: scene.connector.get_batch(scene.key),
        InvalidKeyError,
        "key must be a ",
        "kind of connector it came from",
    ),
    Row(
        "a proxy of something that is no key says so when it is used",
        lambda scene: resolve(scene.store.proxy_from_key("text")),
        ProxyResolveError,
        "key must be a ",
        "'text'",
        "kind of connector it came from",
    ),
    Row(
        "a proxy of a key under which nothing is set says so when it is used",
        lambda scene: resolve(scene.store.proxy_from_key(scene.future.key)),
        ProxyResolveError,
        "TimeoutError",
        "There was nothing under",
    ),
]

PATHS = {
    "a path upwards": "../../etc/passwd",
    "an absolute path": "/etc/passwd",
    "a path to a value": "../store/" + "0" * 32,
    "the directory": ".",
    "its parent": "..",
    "the empty text": "",
    "a zero byte": "0" * 31 + "\0",
    "a line break at the end": "0" * 32 + "\n",
    "too many digits": "0" * 33,
    "an endless name": "0" * 5000,
    "other digits": "\N{ARABIC-INDIC DIGIT ZERO}" * 32,
}

FILE_KEYS = [
    Row(
        f"{name} refuses a key named by {what}",
        lambda scene, use=use, path=path: use(scene, scene.key_named(path)),  # type: ignore[misc]
        InvalidKeyError,
        "key must be a FileKey made by a FileConnector",
        repr(path),
        "kind of connector it came from",
    )
    for name, use in TAKES_A_KEY.items()
    for what, path in PATHS.items()
]

# Values

NO_BYTES = {"text": "text", "a number": 5, "a list": [1, 2], "nothing": None}

VALUES = [
    *(
        Row(
            f"{name} refuses {what} as a value",
            lambda scene, use=use, bad=bad: use(scene, bad),  # type: ignore[misc]
            TypeError,
            "obj must be bytes",
            type(bad).__name__,
        )
        for name, use in {
            "put": lambda scene, obj: scene.connector.put(obj),
            "set": lambda scene, obj: scene.connector.set(scene.future.key, obj),
            "put_batch": lambda scene, obj: scene.connector.put_batch([obj]),
        }.items()
        for what, bad in NO_BYTES.items()
    ),
    Row(
        "put_batch refuses a value that is not in a list",
        lambda scene: scene.connector.put_batch(b"value"),
        TypeError,
        "obj must be bytes",
        "int",
    ),
    Row(
        "set refuses a second value",
        lambda scene: scene.connector.set(scene.key, b"value"),
        AlreadySetError,
        "is set already",
        "the first value stays",
    ),
]

# What is stored is damaged

READS: dict[str, tuple[Callable[[Any], object], type[Exception]]] = {
    "get": (lambda future: future._store.get(future.key), SerializationError),
    "result": (lambda future: future.result(0), SerializationError),
    "exception": (lambda future: future.exception(0), SerializationError),
    "to_concurrent": (lambda future: future.to_concurrent().result(), SerializationError),
    "a proxy": (lambda future: resolve(future.proxy()), ProxyResolveError),
}

DAMAGES: dict[str, Callable[[Scene], Any]] = {
    "a truncated value": Scene.truncated_value,
    "a truncated exception": Scene.truncated_exception,
    "an empty value": lambda scene: scene.holding(b""),
    "a value of something else": lambda scene: scene.holding(b"GET / HTTP/1.1\r\n\r\n"),
}

DAMAGED = [
    Row(
        f"{name} tells of {what}",
        lambda scene, read=read, future=future: read(future(scene)),  # type: ignore[misc]
        error,
        "bytes under",
        "Key(id=",
        "cannot be deserialized",
        "damaged, or were made by another serializer",
    )
    for name, (read, error) in READS.items()
    for what, future in DAMAGES.items()
]

# Timeouts

TAKES_A_TIMEOUT: dict[str, Callable[[Scene, Any], object]] = {
    "wait": lambda scene, timeout: scene.connector.wait(scene.future.key, timeout),
    "wait, for a key that is set,": lambda scene, timeout: scene.connector.wait(scene.key, timeout),
    "result": lambda scene, timeout: scene.future.result(timeout),
    "result, of a future whose result is in the cache,": lambda scene, timeout: (
        scene.done.result(),
        scene.done.result(timeout),
    ),
    "exception": lambda scene, timeout: scene.future.exception(timeout),
    "proxy": lambda scene, timeout: scene.future.proxy(timeout=timeout),
    "poll": lambda scene, timeout: poll(lambda: None, timeout),
    "checked_timeout": lambda scene, timeout: checked_timeout(timeout),
}

BAD_TIMEOUTS: dict[str, tuple[Any, type[Exception], str]] = {
    "of text": ("5", TypeError, "must be a number of seconds or None, not str"),
    "of a list": ([5], TypeError, "must be a number of seconds or None, not list"),
    "below zero": (-1, ValueError, "must be at least 0 seconds, not -1"),
    "that is not a number": (float("nan"), ValueError, "must be at least 0 seconds, not nan"),
}

TIMEOUTS = [
    Row(
        f"{name} refuses a timeout {what}",
        lambda scene, use=use, bad=bad: use(scene, bad),  # type: ignore[misc]
        error,
        "timeout",
        words,
    )
    for name, use in TAKES_A_TIMEOUT.items()
    for what, (bad, error, words) in BAD_TIMEOUTS.items()
]


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("kind", ["local", "file", "manager"])
@each(KEYS, VALUES, DAMAGED, TIMEOUTS)
def test_every_store(row: Row, scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    refuse(row, scene, capfd)
    go_on(scene)


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("kind", ["file"])
@each(FILE_KEYS)
def test_names_of_files(row: Row, scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    refuse(row, scene, capfd)
    go_on(scene)


# Configurations


def from_config(connector_type: Any, config: Any) -> Callable[[Scene], object]:
    return lambda scene: connector_type.from_config(config)


CONFIGURATIONS = [
    Row(
        f"{connector_type.__name__} refuses a configuration that {what}",
        from_config(connector_type, config),
        ConnectorError,
        f"config must be a dict with the one entry '{entry}'",
        repr(config),
        "Pass what the connector's config() returned",
    )
    for connector_type, entry in {
        LocalConnector: "name",
        FileConnector: "store_dir",
        ManagerConnector: "address",
    }.items()
    for what, config in {
        "is nothing": None,
        "is text": "text",
        "is empty": {},
        "has another entry": {"unknown": 1},
        "has one entry more": {entry: "text", "unknown": 1},
    }.items()
] + [
    Row(
        "LocalConnector refuses a configuration with a name that is a list",
        from_config(LocalConnector, {"name": ["text"]}),
        ConnectorError,
        "config",
        "name",
        "['text']",
    ),
    Row(
        "FileConnector refuses a configuration with a directory that is a number",
        from_config(FileConnector, {"store_dir": 5}),
        ConnectorError,
        "config",
        "store_dir",
        "5",
    ),
    Row(
        "ManagerConnector refuses a configuration with an address that is a number",
        from_config(ManagerConnector, {"address": 5}),
        ValueError,
        "address must be (host, port) or a Unix socket's path, not 5",
    ),
]

# Directories


def file_connector(store_dir: Any) -> Callable[[Scene], object]:
    return lambda scene: FileConnector(store_dir)


DIRECTORIES = [
    *(
        Row(
            f"a directory cannot be {what}",
            file_connector(store_dir),
            TypeError,
            "store_dir must be a path",
            type(store_dir).__name__,
        )
        for what, store_dir in {
            "a number": 5,
            "nothing": None,
            "a list": ["store"],
            "bytes": b"store",
        }.items()
    ),
    Row(
        "a directory has a name",  # or it would be the one that the process happens to be in
        file_connector(""),
        ConnectorError,
        "store_dir ''",
    ),
    Row(
        "the name of a directory has no zero byte",
        file_connector("a\0b"),
        ConnectorError,
        "store_dir",
        "a\\x00b",
        "cannot be used",
    ),
    Row(
        "the name of a directory can be encoded",
        file_connector("\ud800"),
        ConnectorError,
        "store_dir",
        "\\ud800",
        "cannot be used",
    ),
    Row(
        "the name of a directory has an end",
        file_connector("x" * 5000),
        ConnectorError,
        "store_dir",
        "cannot be used",
        "too long",
    ),
    Row(
        "a directory needs a parent",
        lambda scene: FileConnector(scene.directory / "missing" / "store"),
        ConnectorError,
        "store_dir",
        "missing/store",
        "No such file or directory",
        "must exist",
    ),
    Row(
        "a directory is not a file",
        lambda scene: FileConnector(scene.file()),
        ConnectorError,
        "store_dir",
        "a file",
        "is not a directory",
    ),
    Row(
        "a directory has no file above it",
        lambda scene: FileConnector(scene.file() / "store"),
        ConnectorError,
        "store_dir",
        "a file/store",
        "Not a directory",
    ),
    *(
        Row(
            f"a directory is refused if {who} may write to it",
            lambda scene, mode=mode: FileConnector(scene.new_directory("open", mode)),  # type: ignore[misc]
            ConnectorError,
            "store_dir",
            "open",
            "others may write to it",
            "use a directory of your own, with mode 0700",
        )
        for who, mode in {"the group": 0o770, "everybody": 0o1777}.items()
    ),
]

GIVEN_AWAY = [
    Row(
        "a directory belongs to its user",
        lambda scene: FileConnector(scene.given_away()),
        ConnectorError,
        "store_dir",
        "given away",
        "belongs to somebody else",
        "use a directory of your own, with mode 0700",
    ),
]

# Addresses, authentication keys, and the start of a server


def connect(address: Any) -> Callable[[Scene], object]:
    return lambda scene: ManagerConnector.connect(address)


def open_with(address: Any) -> Callable[[Scene], object]:
    return lambda scene: ManagerConnector(address)


def connect_with(authkey: Any) -> Callable[[Scene], object]:
    return lambda scene: ManagerConnector.connect(scene.server(), authkey)


def connect_to_a_silent_stranger(scene: Scene) -> None:
    address = scene.silent_stranger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connectors, "_PATIENCE", 1)  # half a minute is long for a test
        ManagerConnector.connect(address)


def start_in_a_missing_directory(scene: Scene) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scene.directory / "missing"))
        ManagerConnector()


def start_a_missing_program(scene: Scene) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(scene.directory / "missing"))
        ManagerConnector()


SERVERS = [
    *(
        Row(
            f"an address cannot be {what}{for_what}",
            do(address),
            ValueError,
            "address must be (host, port) or a Unix socket's path",
            repr(address),
        )
        for what, address in {
            "nothing": None,
            "an empty path": "",
            "a port alone": 5000,
            "a host alone": ("localhost",),
            "a port of text": ("localhost", "5000"),
            "a port of zero": ("localhost", 0),
            "a port below zero": ("localhost", -1),
            "a port that is too high": ("localhost", 65536),
            "a port with a fraction": ("localhost", 80.5),
            "a host of bytes": (b"localhost", 5000),
            "a path of bytes": b"/tmp/socket",
            "an address of four parts": ("::1", 5000, 0, 0),
            # It is what the server prints, and would be taken for the path of a socket.
            "host and port in one": "127.0.0.1:5000",
        }.items()
        for for_what, do in {"": connect, ", also without connecting": open_with}.items()
        if (do, address) != (open_with, None)  # which starts a server
    ),
    *(
        Row(
            f"a host that is {what} does not answer",
            connect((host, 5000)),
            ConnectorError,
            "does not answer",
            repr(host),
        )
        for what, host in {
            "too long for a name": "x" * 100,
            "a dot": ".",
            "not to be encoded": "\ud800",
        }.items()
    ),
    Row(
        "a socket that is not to be encoded does not answer",
        connect("\ud800"),
        ConnectorError,
        "does not answer",
        "\\ud800",
    ),
    Row(
        "a port at which nobody listens does not answer",
        lambda scene: ManagerConnector.connect(scene.nobody()),
        ConnectorError,
        "does not answer",
        "127.0.0.1",
        "run `python -m connectors serve HOST:PORT`",
    ),
    Row(
        "a socket that does not exist does not answer",
        lambda scene: ManagerConnector.connect(str(scene.directory / "socket")),
        ConnectorError,
        "does not answer",
        "socket",
        "run `python -m connectors serve HOST:PORT`",
    ),
    Row(
        "a file that is no socket does not answer",
        lambda scene: ManagerConnector.connect(str(scene.file())),
        ConnectorError,
        "does not answer",
        "a file",
        "run `python -m connectors serve HOST:PORT`",
    ),
    Row(
        "a socket whose path is too long does not answer",
        connect("x" * 1000),
        ConnectorError,
        "does not answer",
        "run `python -m connectors serve HOST:PORT`",
    ),
    Row(
        "a stranger that is silent does not answer",
        connect_to_a_silent_stranger,
        ConnectorError,
        "does not answer",
        "127.0.0.1",
    ),
    *(
        Row(
            f"an authentication key cannot be {what}",
            connect_with(authkey),
            TypeError,
            "authkey must be bytes",
            type(authkey).__name__,
        )
        for what, authkey in {"text": "key", "a number": 5, "a list": [b"key"]}.items()
    ),
    Row(
        "an authentication key cannot be empty",  # and is not silently replaced
        connect_with(b""),
        ValueError,
        "authkey",
        "empty",
    ),
    Row(
        "an authentication key has to be the server's",
        connect_with(b"another key"),
        ConnectorError,
        "has another authentication key",
        "Pass its key to ManagerConnector.connect()",
        "PROXYFUTURE_AUTHKEY",
    ),
    Row(
        "a server needs a temporary directory",
        start_in_a_missing_directory,
        ConnectorError,
        "The server process cannot be started",
        "missing",
    ),
    Row(
        "a server needs a Python",
        start_a_missing_program,
        ConnectorError,
        "The server process cannot be started",
        "missing",
    ),
]

# Stores


class WithoutEvict:
    """Almost a connector."""

    def nothing(self, *_: object) -> None: ...

    put = get = exists = put_batch = get_batch = config = from_config = close = nothing


class NotDeferrable(WithoutEvict):
    """A connector that cannot hand out a key before its value."""

    evict = WithoutEvict.nothing


def new_store(**arguments: Any) -> Callable[[Scene], object]:
    return lambda scene: Store(**{"name": "new", "connector": scene.connector, **arguments})


STORES = [
    *(
        Row(
            f"the name of a store cannot be {what}",
            new_store(name=name),
            TypeError,
            "name must be a string",
            repr(name),
        )
        for what, name in {"nothing": None, "a number": 5, "bytes": b"name"}.items()
    ),
    Row(
        "the name of a store cannot be empty",
        new_store(name=""),
        ValueError,
        "name must not be empty",
    ),
    *(
        Row(
            f"the connector of a store cannot be {what}",
            new_store(connector=connector),
            TypeError,
            "connector must be an object with the methods of a Connector",
            repr(connector),
        )
        for what, connector in {
            "nothing": None,
            "the name of one": "file",
            "a class": LocalConnector,
            "something without evict": WithoutEvict(),
        }.items()
    ),
    *(
        Row(f"the {name} of a store cannot be {what}", new_store(**{name: bad}), TypeError, name)
        for name in ("serializer", "deserializer")
        for what, bad in {"a number": 0, "the name of one": "json", "a module": json}.items()
    ),
    *(
        Row(
            f"the cache of a store cannot have the size {size!r}",
            new_store(cache_size=size),
            error,
            "cache_size",
            "integer",
            repr(size),
        )
        for size, error in {-1: ValueError, "5": TypeError, None: TypeError, 1.5: TypeError}.items()
    ),
    Row(
        "a future needs a connector that hands out keys first",
        lambda scene: Store("new", NotDeferrable()).future(),  # type: ignore[arg-type]
        NotImplementedError,
        "NotDeferrable",
        "new_key() and set()",
        "Use, for instance, a FileConnector",
    ),
]

# Serializers and deserializers


def failing(_: object) -> Any:
    raise RuntimeError("the reason")


SERIALIZERS = [
    *(
        Row(
            f"a serializer cannot return {what}",
            lambda scene, bad=bad: scene.store_with(serializer=lambda _: bad).put("value"),  # type: ignore[misc]
            SerializationError,
            "serializer must return bytes",
            type(bad).__name__,
            "json.dumps(obj).encode()",
        )
        for what, bad in NO_BYTES.items()
    ),
    Row(
        "the result of a future needs a serializer that returns bytes",
        lambda scene: scene.store_with(serializer=json.dumps).future().set_result("value"),
        SerializationError,
        "serializer must return bytes",
        "str",
        "json.dumps(obj).encode()",
    ),
    Row(
        "a serializer that fails is quoted",
        lambda scene: scene.store_with(serializer=failing).put(["value"]),
        SerializationError,
        "list",
        "cannot be serialized",
        "the reason",
    ),
    Row(
        "a deserializer that fails is quoted",
        lambda scene: scene.store_with(deserializer=failing).get(scene.key),
        SerializationError,
        "bytes under",
        "cannot be deserialized",
        "the reason",
        "made by another serializer",
    ),
    Row(
        "what cannot be pickled is named by put",
        lambda scene: scene.store.put(letter for letter in "text"),
        SerializationError,
        "generator",
        "cannot be serialized",
    ),
    Row(
        "what cannot be pickled is named by proxy",
        lambda scene: scene.store.proxy(letter for letter in "text"),
        SerializationError,
        "generator",
        "cannot be serialized",
    ),
    Row(
        "what cannot be pickled is named by set_result, and the future stays pending",
        lambda scene: scene.future.set_result(letter for letter in "text"),
        SerializationError,
        "generator",
        "cannot be serialized",
    ),
]

# Futures and proxies


class OnlyForCheckers(Protocol):
    """A protocol that isinstance() cannot take."""

    def method(self) -> None: ...


class Movie(TypedDict):
    title: str


NO_CLASSES: dict[str, Any] = {
    "the name of one": "int",
    "a value": 5,
    "a list of integers": list[int],
    "one of two": int | str,
    "two in a tuple": (int, str),
    # Classes by name, which isinstance() refuses: so would set_result, far from the mistake.
    "anything": Any,
    "a protocol for checkers": OnlyForCheckers,
    "a typed dict": Movie,
}

TARGET_TYPES = [
    Row(
        f"{name} refuses {what} as the target type",
        lambda scene, use=use, bad=bad: use(scene, bad),  # type: ignore[misc]
        TypeError,
        "target_type must be a class",
        bad.__name__ if isinstance(bad, type) else repr(bad),
    )
    for name, use in {
        "future": Scene.new_future,
        "proxy_from_key": lambda scene, bad: scene.store.proxy_from_key(scene.key, target_type=bad),
        "Proxy": lambda scene, bad: Proxy(int, bad),
    }.items()
    for what, bad in NO_CLASSES.items()
]


class ReprFails(Exception):
    """An exception that cannot be shown, for a reason that Python's `hasattr` swallows."""

    def __repr__(self) -> str:
        raise AttributeError("from __repr__")


def fail_without_words() -> None:
    raise ReprFails


def positional(number: int) -> int:
    return number


FUTURES = [
    *(
        Row(
            f"set_exception refuses {what}",
            lambda scene, bad=bad: scene.future.set_exception(bad),  # type: ignore[misc]
            TypeError,
            "exc must be an instance of an exception class",
            repr(bad),
        )
        for what, bad in {"a class": ValueError, "text": "text", "nothing": None}.items()
    ),
    Row(
        "set_result refuses what is not of the target type",
        lambda scene: scene.new_future(int).set_result("text"),
        TypeError,
        "obj must be a",
        "int",
        "as the future was told",
        "str",
    ),
    Row(
        "a result is set once",
        lambda scene: scene.done.set_result("another"),
        InvalidStateError,
        "ProxyFuture",
        "is done already",
        "once",
    ),
    Row(
        "an exception is not set after a result",
        lambda scene: scene.done.set_exception(ValueError()),
        InvalidStateError,
        "ProxyFuture",
        "is done already",
        "once",
    ),
    Row(
        "result tells what it waited for, and how long",
        lambda scene: scene.future.result(0.01),
        TimeoutError,
        "There was nothing under",
        "LocalKey",
        "0.01 seconds",
    ),
    Row(
        "exception tells what it waited for, and how long",
        lambda scene: scene.future.exception(0),
        TimeoutError,
        "There was nothing under",
        "LocalKey",
        "0 seconds",
    ),
    Row(
        "a proxy tells what it waited for, and how long",
        lambda scene: resolve(scene.future.proxy(timeout=0.01)),
        ProxyResolveError,
        "There was nothing under",
        "LocalKey",
        "0.01 seconds",
    ),
]

PROXIES = [
    *(
        Row(
            f"{function.__name__} refuses {what}",
            lambda scene, function=function, thing=thing: function(thing(scene)),  # type: ignore[misc]
            TypeError,
            "proxy must be a Proxy",
            shown,
        )
        for function in (extract, resolve, is_resolved)
        for what, thing, shown in [
            ("a number", lambda scene: 5, "int"),
            ("nothing", lambda scene: None, "NoneType"),
            ("a future", lambda scene: scene.done, "ProxyFuture"),
            ("the class of all proxies", lambda scene: Proxy, "type"),
        ]
    ),
    *(
        Row(
            f"a factory cannot be {what}",
            lambda scene, bad=bad: Proxy(bad),  # type: ignore[misc]
            TypeError,
            "factory must be callable without arguments",
            repr(bad),
        )
        for what, bad in {"a value": 5, "text": "text", "nothing": None}.items()
    ),
    Row(
        "a factory has no arguments",
        lambda scene: resolve(Proxy(positional)),  # type: ignore[arg-type]
        ProxyResolveError,
        "factory",
        "missing 1 required positional argument: 'number'",
    ),
    Row(
        "a factory that fails is quoted",
        lambda scene: resolve(Proxy(lambda: failing(None))),
        ProxyResolveError,
        "factory",
        "RuntimeError('the reason')",
    ),
    Row(
        "a factory that fails in a way that cannot be shown passes for no answer",
        lambda scene: hasattr(Proxy(fail_without_words), "attribute"),
        ProxyResolveError,
        "factory",
        "ReprFails",
    ),
    *(
        Row(
            f"call_with_proxies cannot call {what}",
            lambda scene, thing=thing: call_with_proxies(thing(scene), print),  # type: ignore[misc]
            TypeError,
            "fn must be callable",
            shown,
        )
        for what, thing, shown in [
            ("a number", lambda scene: 5, "5"),
            ("nothing", lambda scene: None, "None"),
            ("a future, when the arguments are the wrong way round", lambda s: s.done, "ProxyFu"),
        ]
    ),
    Row(
        "call_with_proxies needs a function",
        lambda scene: call_with_proxies(),  # type: ignore[call-arg]
        TypeError,
        "missing 1 required positional argument: 'fn'",
    ),
    *(
        Row(
            f"poll cannot attempt {what}",
            lambda scene, bad=bad: poll(bad, 0),  # type: ignore[misc]
            TypeError,
            "attempt must be callable",
            repr(bad),
        )
        for what, bad in {"a value": b"value", "nothing": None}.items()
    ),
]


@pytest.mark.timeout(LIMIT)
@each(
    CONFIGURATIONS,
    DIRECTORIES,
    SERVERS,
    STORES,
    SERIALIZERS,
    TARGET_TYPES,
    FUTURES,
    PROXIES,
)
def test_everything_else(row: Row, scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    refuse(row, scene, capfd)
    go_on(scene)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@each(GIVEN_AWAY)
def test_directories_of_others(row: Row, scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    refuse(row, scene, capfd)
    go_on(scene)


# A client that is authenticated and sends nonsense, as another version of this library might

NONSENSE = {
    "no pickle": b"GET / HTTP/1.1\r\n\r\n",
    "another message": pickle.dumps("message"),
    "an unknown method": pickle.dumps((("unknown", "name"), None, False)),
    "a name that is a list": pickle.dumps((("get", ["name"]), None, False)),
    "a file that does not come": pickle.dumps((("set", "name"), None, True)),
}


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("message", NONSENSE.values(), ids=NONSENSE)
def test_the_server_disconnects_who_sends_nonsense(
    message: bytes,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cleanup: ExitStack,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PROXYFUTURE_AUTHKEY", "known to this test")
    scene = Scene("manager", tmp_path, cleanup)
    address = scene.connector.config()["address"]
    with Client(address, authkey=b"known to this test") as client:
        client.send_bytes(message)
        if message != NONSENSE["a file that does not come"]:  # which the server waits for
            with pytest.raises(EOFError):
                client.recv_bytes()
    time.sleep(SETTLING)
    go_on(scene)
    assert not capfd.readouterr().err


# What is closed

CLOSED_USES: dict[str, tuple[Callable[[Scene], object], type[Exception]]] = {
    # the connector
    "get": (lambda scene: scene.connector.get(scene.key), ConnectorError),
    "exists": (lambda scene: scene.connector.exists(scene.key), ConnectorError),
    "evict": (lambda scene: scene.connector.evict(scene.key), ConnectorError),
    "put": (lambda scene: scene.connector.put(b"value"), ConnectorError),
    "put_batch": (lambda scene: scene.connector.put_batch([b"value"]), ConnectorError),
    "get_batch": (lambda scene: scene.connector.get_batch([scene.key]), ConnectorError),
    "new_key": (lambda scene: scene.connector.new_key(), ConnectorError),
    "set": (lambda scene: scene.connector.set(scene.future.key, b"value"), ConnectorError),
    "wait": (lambda scene: scene.connector.wait(scene.future.key), ConnectorError),
    "wait for a key that was set": (lambda scene: scene.connector.wait(scene.key), ConnectorError),
    # the store
    "Store.get": (lambda scene: scene.store.get(scene.key), ConnectorError),
    "Store.exists": (lambda scene: scene.store.exists(scene.key), ConnectorError),
    "Store.evict": (lambda scene: scene.store.evict(scene.key), ConnectorError),
    "Store.put": (lambda scene: scene.store.put("value"), ConnectorError),
    "Store.proxy": (lambda scene: scene.store.proxy("value"), ConnectorError),
    "Store.future": (lambda scene: scene.store.future(), ConnectorError),
    "a proxy of a key": (
        lambda scene: resolve(scene.store.proxy_from_key(scene.key)),
        ProxyResolveError,
    ),
    # a future
    "result": (lambda scene: scene.future.result(), ConnectorError),
    "result of a done future": (lambda scene: scene.done.result(), ConnectorError),
    "exception": (lambda scene: scene.future.exception(), ConnectorError),
    "done": (lambda scene: scene.future.done(), ConnectorError),
    "set_result": (lambda scene: scene.future.set_result("value"), ConnectorError),
    "set_exception": (lambda scene: scene.future.set_exception(ValueError()), ConnectorError),
    "to_concurrent": (lambda scene: scene.future.to_concurrent().result(), ConnectorError),
    "a proxy of a future": (lambda scene: resolve(scene.future.proxy()), ProxyResolveError),
    "a with block": (lambda scene: scene.future.__exit__(None, None, None), ConnectorError),
}

CLOSED = [
    Row(f"{name} tells that it is closed", use, error, "was closed", "Open a new one to go on")
    for name, (use, error) in CLOSED_USES.items()
]


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("kind", ["local", "file", "manager"])
@pytest.mark.parametrize("close", ["store", "connector"])
@each(CLOSED)
def test_what_is_closed(
    row: Row, close: str, scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    (scene.store if close == "store" else scene.connector).close()
    refuse(row, scene, capfd)


def test_the_tables_name_every_public_callable() -> None:
    """A new function or method needs a row, or a reason why it can take nothing wrong."""
    sentences = " ".join(
        row.sentence
        for row in [*KEYS, *VALUES, *TIMEOUTS, *TARGET_TYPES, *FUTURES, *PROXIES, *CLOSED]
    )
    takes_nothing = {"config", "close", "from_config"}  # from_config: see CONFIGURATIONS
    public = {"extract", "resolve", "is_resolved", "call_with_proxies", "checked_timeout", "poll"}
    for holder in (ManagerConnector, Store, ProxyFuture):
        public |= {name for name in dir(holder) if not name.startswith("_")} - takes_nothing
    assert not {name for name in public if name not in sentences} - {"connect"}
