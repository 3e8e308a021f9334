"""Bad input is refused promptly, by the documented exception, in words that help.

The table is the specification: under the name of each public callable, wrong calls of it, the
exception, and words that its message has to contain: the argument or the offending thing, and the
remedy. Nothing is set by the way, the store goes on, and nothing is printed.

What is wrong but no argument stands elsewhere: closed stores, serializers that fail and damaged
values in test_store.py.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import InvalidStateError
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# Typed loosely, since the calls are to break the types.
connectors: Any = importlib.import_module("connectors")
proxyfuture: Any = importlib.import_module("proxyfuture")

PROMPTLY = 5.0  # seconds within which a refusal must come


class Scene:
    """What a call may need: connectors of each kind, a store with something in it."""

    def __init__(self, directory: Path, cleanup: ExitStack) -> None:
        self.directory = directory
        self.cleanup = cleanup
        self.local: Any = connectors.LocalConnector()
        self.file: Any = cleanup.enter_context(open_directory(directory / "values"))
        self.manager: Any = cleanup.enter_context(open_manager())
        self.store: Any = proxyfuture.Store("store", self.local)
        self.key: Any = self.store.put("stored")
        self.future: Any = self.store.future()
        self.done: Any = self.store.future()
        self.done.set_result("result")
        (directory / "a file").write_bytes(b"")

    @property
    def address(self) -> Any:
        """The address of a server that runs."""
        return self.manager.config()["address"]

    def nobody(self) -> Any:
        """Returns an address at which nobody listens."""
        bound = self.cleanup.enter_context(socket.socket())
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()

    def of_mode(self, mode: int) -> Path:
        """Returns a directory with these permissions."""
        path = self.directory / f"mode {mode:o}"
        path.mkdir()
        path.chmod(mode)
        return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as cleanup:
        yield Scene(tmp_path_factory.mktemp("scene"), cleanup)


AlreadySetError, ConnectorError = connectors.AlreadySetError, connectors.ConnectorError
InvalidKeyError, ProxyResolveError = connectors.InvalidKeyError, proxyfuture.ProxyResolveError
open_directory, open_manager = connectors.FileConnector, connectors.ManagerConnector
resolve = proxyfuture.resolve
SERVE = "python -m connectors serve HOST:PORT"


# What is wrong


class WithoutEvict:
    """Almost a connector."""

    def __repr__(self) -> str:
        return "without evict"

    def nothing(self, *_: object) -> None: ...

    put = get = exists = config = from_config = close = nothing


class NotDeferrable(WithoutEvict):
    """A connector that cannot hand out a key before its value."""

    evict = WithoutEvict.nothing


Call = Callable[[Scene], object]
Row = tuple[Call, type[Exception], *tuple[str, ...]]


def each(call: Callable[..., object], error: type[Exception], words: str, *wrong: Any) -> list[Row]:
    """Returns a row for each wrong argument, which the message shows, after these words."""
    return [(lambda scene, it=it: call(scene, it), error, words, repr(it)[:1000]) for it in wrong]


def bad_keys(call: Callable[[Scene, Any], object]) -> list[Row]:
    wrong = "text", ["unhashable"], connectors.FileKey("0" * 32)
    return each(call, InvalidKeyError, "key must be a LocalKey made by a LocalConnector", *wrong)


def bad_values(call: Callable[[Scene, Any], object]) -> list[Row]:
    return [
        (lambda scene: call(scene, "text"), TypeError, "obj must be bytes", "str"),
        (lambda scene: call(scene, 5), TypeError, "obj must be bytes", "int"),
    ]


def bad_timeouts(call: Callable[[Scene, Any], object]) -> list[Row]:
    return [
        *each(call, TypeError, "timeout must be a number of seconds or None", "5"),
        *each(call, ValueError, "timeout must be at least 0 seconds", -1, float("nan")),
    ]


def bad_types(call: Callable[[Scene, Any], object]) -> list[Row]:
    # The last is a class by name, which isinstance() refuses: so would set_result, too late.
    wrong = "int", (int, str), list[int], int | str, Any
    return each(call, TypeError, "target_type must be a class", *wrong)


def bad_proxies(call: Callable[[Any], object]) -> list[Row]:
    return [
        (lambda scene: call(5), TypeError, "proxy must be a Proxy", "int"),
        (lambda scene: call(scene.done), TypeError, "proxy must be a Proxy", "ProxyFuture"),
    ]


def bad_addresses(call: Callable[[Any], object]) -> list[Row]:
    return each(
        lambda scene, address: call(address),
        *(ValueError, "address must be (host, port) or"),
        *("", 5000, ("::1", 5000, 0, 0), (b"localhost", 5000)),
        *(("localhost", port) for port in ("5000", 0, 65536)),
        "127.0.0.1:5000",  # what the server prints would be taken for the path of a socket
    )


def open_store(scene: Scene, **arguments: Any) -> Any:
    return proxyfuture.Store(**{"name": "new", "connector": scene.local, **arguments})


def start_a_missing_program(scene: Scene) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(scene.directory / "missing"))
        open_manager()


TABLE: dict[str, list[Row]] = {
    # connectors.py
    "checked_timeout": bad_timeouts(lambda s, timeout: connectors.checked_timeout(timeout)),
    "poll": bad_timeouts(lambda s, timeout: connectors.poll(lambda: None, timeout)),
    "LocalConnector.get": bad_keys(lambda s, key: s.local.get(key)),
    "LocalConnector.exists": bad_keys(lambda s, key: s.local.exists(key)),
    "LocalConnector.evict": bad_keys(lambda s, key: s.local.evict(key)),
    "LocalConnector.get_batch": bad_keys(lambda s, key: s.local.get_batch([key])),
    "LocalConnector.put": bad_values(lambda s, obj: s.local.put(obj)),
    "LocalConnector.put_batch": [
        *bad_values(lambda s, obj: s.local.put_batch([obj])),
        (lambda s: s.local.put_batch(b"value"), TypeError, "obj must be bytes", "int"),
    ],
    "LocalConnector.set": [
        *bad_keys(lambda s, key: s.local.set(key, b"value")),
        *bad_values(lambda s, obj: s.local.set(s.future.key, obj)),
        (lambda s: s.local.set(s.key, b"value"), AlreadySetError, "is set already", "only once"),
    ],
    "LocalConnector.wait": [
        *bad_keys(lambda s, key: s.local.wait(key, 0)),
        *bad_timeouts(lambda s, timeout: s.local.wait(s.future.key, timeout)),
    ],
    "FileConnector": [
        (lambda s: open_directory(5), TypeError, "int"),
        # An empty name would be the directory that the process happens to be in.
        (lambda s: open_directory(""), ConnectorError, "''", "cannot be used"),
        (lambda s: open_directory("a\0b"), ConnectorError, "a\\x00b", "cannot be used"),
        (lambda s: open_directory("x" * 5000), ConnectorError, "too long"),
        (
            lambda s: open_directory(s.directory / "missing" / "values"),
            *(ConnectorError, "missing/values", "No such file or directory", "must exist"),
        ),
        (lambda s: open_directory(s.directory / "a file"), ConnectorError, "Not a directory"),
        (lambda s: open_directory(s.of_mode(0o770)), ConnectorError, "others may write to"),
        (lambda s: open_directory(s.of_mode(0o1777)), ConnectorError, "others may write to"),
    ],
    # No key names a path outside of the directory.
    "FileConnector.get": each(
        lambda s, name: s.file.get(connectors.FileKey(name)),
        *(InvalidKeyError, "key must be a FileKey made by a FileConnector"),
        *("../../etc/passwd", "", "\N{ARABIC-INDIC DIGIT ZERO}" * 32),
    ),
    "ManagerConnector": [
        *bad_addresses(open_manager),
        (start_a_missing_program, ConnectorError, "The server process did not start", "missing"),
    ],
    "ManagerConnector.connect": [
        *bad_addresses(open_manager.connect),
        # None would start a server.
        *each(lambda s, it: open_manager.connect(it), ValueError, "address must be", None),
        *each(
            lambda s, address: open_manager.connect(address),
            *(ConnectorError, SERVE, "missing/socket", __file__, "x" * 1000, (".", 5000)),
        ),
        (lambda s: open_manager.connect(s.nobody()), ConnectorError, "127.0.0.1", "refused", SERVE),
        (lambda s: open_manager.connect(s.address, "key"), TypeError, "authkey must be bytes"),
        # An empty key is not silently replaced.
        (lambda s: open_manager.connect(s.address, b""), ValueError, "authkey must not be empty"),
        (
            lambda s: open_manager.connect(s.address, b"another key"),
            *(ConnectorError, "authentication key", SERVE),
        ),
    ],
    # proxyfuture.py
    "Store": [
        *each(lambda s, it: open_store(s, name=it), TypeError, "name must be a string", None),
        (lambda s: open_store(s, name=""), ValueError, "name must not be empty"),
        *each(
            lambda s, it: open_store(s, connector=it),
            *(TypeError, "connector must have the methods of a Connector, not"),
            *("file", connectors.LocalConnector, WithoutEvict()),
        ),
        *each(
            lambda s, it: open_store(s, serializer=it),
            *(TypeError, "serializer must be callable with one argument", 0, json),
        ),
        *each(
            lambda s, it: open_store(s, deserializer=it),
            *(TypeError, "deserializer must be callable with one argument", 0, json),
        ),
        *each(
            lambda s, it: open_store(s, cache_size=it),
            *(TypeError, "cache_size must be an integer", 1.5, None),
        ),
        (lambda s: open_store(s, cache_size=-1), ValueError, "cache_size must be 0 or a positive"),
    ],
    "Store.future": [
        *bad_types(lambda s, it: s.store.future(it)),
        (
            lambda s: open_store(s, connector=NotDeferrable()).future(),
            *(NotImplementedError, "NotDeferrable", "lacks new_key() or set()", "FileConnector"),
        ),
    ],
    "Store.proxy_from_key": [
        *bad_types(lambda s, it: s.store.proxy_from_key(s.key, target_type=it)),
        (
            lambda s: resolve(s.store.proxy_from_key("text")),
            *(ProxyResolveError, "key must be a LocalKey", "'text'"),
        ),
        (
            lambda s: resolve(s.store.proxy_from_key(s.future.key)),
            *(ProxyResolveError, "TimeoutError", "nothing was set under LocalKey"),
        ),
    ],
    "Store.get": bad_keys(lambda s, key: s.store.get(key)),
    "Store.exists": bad_keys(lambda s, key: s.store.exists(key)),
    "Store.evict": bad_keys(lambda s, key: s.store.evict(key)),
    "ProxyFuture.proxy": [
        *bad_timeouts(lambda s, timeout: s.future.proxy(timeout=timeout)),
        (lambda s: s.future.proxy(1), TypeError, "positional argument"),
    ],
    "ProxyFuture.result": [
        *bad_timeouts(lambda s, timeout: s.future.result(timeout)),
        *bad_timeouts(lambda s, timeout: (s.done.result(), s.done.result(timeout))),
        (
            lambda s: s.future.result(0.01),
            *(TimeoutError, "nothing was set under LocalKey", "0.01 seconds"),
        ),
    ],
    "ProxyFuture.exception": bad_timeouts(lambda s, timeout: s.future.exception(timeout)),
    "ProxyFuture.set_result": [
        (
            lambda s: s.store.future(int).set_result("text"),
            *(TypeError, "obj must be a int, as the future was told, not a str"),
        ),
        (
            lambda s: s.done.set_result("another"),
            *(InvalidStateError, "ProxyFuture", "is done already", "once"),
        ),
    ],
    "ProxyFuture.set_exception": each(
        lambda s, it: s.future.set_exception(it),
        *(TypeError, "exc must be an instance of an exception class", ValueError, "text"),
    ),
    "Proxy": [
        *bad_types(lambda s, it: proxyfuture.Proxy(int, it)),
        (lambda s: proxyfuture.Proxy(5), TypeError, "factory must be callable", "5"),
        (
            lambda s: resolve(proxyfuture.Proxy(lambda argument: argument)),
            *(ProxyResolveError, "missing 1 required positional argument: 'argument'"),
        ),
        (
            lambda s: type("Subclass", (proxyfuture.Proxy,), {}),
            *(TypeError, "Proxy cannot be subclassed", "factory"),
        ),
    ],
    "extract": bad_proxies(proxyfuture.extract),
    "resolve": bad_proxies(proxyfuture.resolve),
    "is_resolved": bad_proxies(proxyfuture.is_resolved),
    "call_with_proxies": [
        (lambda s: proxyfuture.call_with_proxies(5, s.done), TypeError, "not callable"),
        (lambda s: proxyfuture.call_with_proxies(), TypeError, "argument: 'fn'"),
    ],
}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        pytest.param(call, error, words, id=f"{name}: {error.__name__}: {' ... '.join(words)[:90]}")
        for name, rows in TABLE.items()
        for call, error, *words in rows
    ],
)
def test_wrong_arguments_are_refused(
    call: Call,
    error: type[Exception],
    words: list[str],
    scene: Scene,
    capfd: pytest.CaptureFixture[str],
) -> None:
    start = time.monotonic()
    with pytest.raises(Exception) as caught:
        call(scene)
    assert time.monotonic() - start < PROMPTLY
    # Exactly so: a UnicodeError for instance is a ValueError, but not one that we documented.
    assert type(caught.value) is error, repr(caught.value)
    message = str(caught.value)
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} should be in: {message}"
    assert not capfd.readouterr().err
    assert not scene.future.done()
    assert scene.store.get(scene.key) == "stored"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a directory away"
)
def test_a_directory_of_somebody_else_is_refused(scene: Scene) -> None:
    path = scene.of_mode(0o700)
    os.chown(path, 12345, -1)
    with pytest.raises(ConnectorError, match="belong"):
        open_directory(path)


def test_the_table_names_every_public_callable() -> None:
    """A new function or method needs rows, or a reason why it can take nothing wrong."""
    takes_nothing_wrong = {
        # its argument is a hint, or what config() returned
        *("LocalConnector", "new_key", "config", "from_config", "close"),
        # any object can be stored, if it can be serialized
        *("Store.put", "Store.proxy", "Store.close"),
        # they take nothing; and a ProxyFuture is made by Store.future
        *("ProxyFuture", "ProxyFuture.done", "ProxyFuture.to_concurrent"),
        # the command line: see test_two_programs.py
        "main",
    }
    inherited = {name.partition(".")[2] for name in TABLE if name.startswith("LocalConnector.")}
    public = set()
    for module in connectors, proxyfuture:
        for name, value in vars(module).items():
            # What another module made is not this one's; Protocols, keys and errors take anything.
            is_own = getattr(value, "__module__", "") == module.__name__ and callable(value)
            if not is_own or name.startswith("_") or getattr(value, "_is_protocol", False):
                continue
            if not isinstance(value, type):
                public.add(name)
            elif not issubclass(value, tuple | Exception):
                public.add(name)
                members = {member for member in dir(value) if not member.startswith("_")}
                is_connector = issubclass(value, connectors.Connector)
                common = inherited | takes_nothing_wrong if is_connector else set()
                public |= {f"{name}.{member}" for member in members - common}
    assert public - takes_nothing_wrong - set(TABLE) == set()
