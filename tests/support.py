"""The room for what the tests share: stores of every kind, programs, servers, and deaths.

`conformance.py` stands alone, since others copy it. What it has is not repeated here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conformance import LIMIT, another_process

import connectors
from connectors import (
    BytesLike,
    DeferrableConnector,
    FileConnector,
    LocalConnector,
    ManagerConnector,
)
from proxyfuture import Store

ROOT = Path(connectors.__file__).parent
EXAMPLES = ROOT / "docs" / "examples"

# "network" is a ManagerConnector that did not start its server, and reaches it through TCP.
SHARED_KINDS = ["file", "manager", "network"]
KINDS = ["local", *SHARED_KINDS]
# "polled" is somebody else's connector, which has no `wait`.
ALL_KINDS = [*KINDS, "polled"]

# Seconds within which a death is to be known to those who wait.
PROMPT = 5.0

AUTHKEY_VARIABLE = "PROXYFUTURE_AUTHKEY"
AUTHKEY = "a key that the tests know"

spawn = multiprocessing.get_context("spawn")

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs a /proc that lists tasks"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")


# Stores of every kind


class Opened(NamedTuple):
    """An open store and what there is to break of it."""

    store: Store
    directory: Path
    server: int | None

    def destroy(self) -> None:
        """Takes the medium away under the store."""
        if self.server is None:
            shutil.rmtree(self.directory)
        else:
            os.kill(self.server, signal.SIGKILL)
            address = self.store.connector.config()["address"]
            if isinstance(address, str):  # a socket's path, which the server cannot remove now
                shutil.rmtree(Path(address).parent)


@contextlib.contextmanager
def opened(kind: str, parent: Path, cache_size: int = 0) -> Iterator[Opened]:
    """Opens a store, without a cache unless told otherwise: each reader asks the connector."""
    directory, server = parent / "values", None
    with contextlib.ExitStack() as stack:
        connector: DeferrableConnector[Any]
        match kind:
            case "local":
                connector = LocalConnector()
            case "file":
                connector = FileConnector(directory)
            case "manager":
                before = servers()
                connector = ManagerConnector()
                server = next(iter(servers() - before), None)
            case "network":
                process, address = stack.enter_context(serving())
                connector, server = ManagerConnector.connect(address), process.pid
            case _:
                connector = PlainDeferrableConnector(str(directory))
        store = stack.enter_context(Store(f"{kind} of the tests", connector, cache_size=cache_size))
        yield Opened(store, directory, server)


class PlainConnector:
    """A connector as somebody else may write it: the right shape, and nothing inherited."""

    _values: dict[tuple[str, int], bytes] = {}  # noqa: RUF012 (meant to be shared)

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_closed = False

    def put(self, obj: BytesLike) -> int:
        key = len(self._values)
        self._values[self.name, key] = bytes(obj)
        return key

    def get(self, key: int) -> bytes | None:
        return self._values.get((self.name, key))

    def exists(self, key: int) -> bool:
        return (self.name, key) in self._values

    def evict(self, key: int) -> None:
        self._values.pop((self.name, key), None)

    def config(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PlainConnector:
        return cls(**config)

    def close(self) -> None:
        self.is_closed = True


class PlainDeferrableConnector(PlainConnector):
    """It has keys that are filled later, but nobody is woken."""

    _count = 0

    def new_key(self, obj: BytesLike | None = None) -> int:
        self._count -= 1
        return self._count

    def set(self, key: int, obj: BytesLike) -> None:
        self._values[self.name, key] = bytes(obj)


# Programs and servers


def python(*arguments: str, authkey: str | None = AUTHKEY) -> dict[str, Any]:
    """Returns `subprocess` arguments for a program that knows this key, and inherits no other."""
    environment = {name: value for name, value in os.environ.items() if name != AUTHKEY_VARIABLE}
    if authkey is not None:
        environment[AUTHKEY_VARIABLE] = authkey
    return {
        "args": [sys.executable, "-W", "error", *arguments],
        "env": environment,
        "cwd": ROOT,
    }


@contextlib.contextmanager
def serving(*address: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """Runs `python -m connectors serve`, and returns the process and the address it prints."""
    program = python("-m", "connectors", "serve", *address)
    with subprocess.Popen(
        **program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        printed = re.search(r"\S+:\d+", server.stdout.readline())
        assert printed
        host, _, port = printed[0].rpartition(":")
        try:
            yield server, (host.strip("[]"), int(port))
        finally:
            server.kill()


def run(
    *arguments: object, cwd: Path = ROOT, typed: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a Python program to its end, and returns what it printed."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, AUTHKEY_VARIABLE: AUTHKEY, **environment},
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
    )


def call_in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process of its own, a daemon, which has a single thread."""
    with another_process() as call:
        return call(function, *arguments)


def in_forked_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a forked child of this process, and returns what it returned there."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():  # Python warns of a fork while other threads run
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(int(LIMIT))  # ends the child, should it block
        try:
            os.write(writable, pickle.dumps(function(*arguments)))
        finally:
            os._exit(0)  # the child must not go on with the parent's work
    os.close(writable)
    with open(readable, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(answer)


def servers() -> set[int]:
    """Returns the ids of the servers that this process's connectors have started."""
    return {child for child in children() if "--for-creator" in command(child)}


def eventually(condition: Callable[[], bool], limit: float = LIMIT) -> bool:
    """Tells whether the condition becomes true."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    """Returns a port that nobody uses, and that no outgoing connection will get meanwhile."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


# What /proc tells about processes. One that ends while it is looked at has nothing to tell.


def children() -> set[int]:
    """Returns the ids of the processes that this one started, if they are known."""
    listings = Path("/proc/self/task").glob("*/children")
    return {int(child) for listing in listings for child in _read(listing).split()}


def command(process_id: int) -> str:
    """Returns a process's command line, or none once it is over."""
    return _read(Path(f"/proc/{process_id}/cmdline")).replace("\0", " ").strip()


def is_running(process_id: int) -> bool:
    state = _read(Path(f"/proc/{process_id}/stat")).rpartition(")")[2].strip()[:1]
    return state not in ("Z", "")  # a zombie is over


def open_files_and_threads(process_id: int) -> tuple[int, int]:
    process = Path(f"/proc/{process_id}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


def resident_memory(process_id: int) -> int:
    pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextlib.contextmanager
def interrupted_after(delay: float) -> Iterator[None]:
    """Interrupts the main thread, as Ctrl-C does."""
    main = threading.main_thread().ident or 0
    interrupt = threading.Timer(delay, signal.pthread_kill, (main, signal.SIGINT))
    interrupt.start()
    try:
        yield
    finally:
        interrupt.join()
