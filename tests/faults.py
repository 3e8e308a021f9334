"""What the tests of faults share: stores of every kind, and a process that may be mistreated.

A test module takes the fixtures by assigning them: `nursery = faults.nursery`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from processes import children
from test_manager_connector import AUTHKEY, AUTHKEY_VARIABLE, serving
from test_store import PlainDeferrableConnector

from connectors import DeferrableConnector, FileConnector, LocalConnector, ManagerConnector
from proxyfuture import Store

# "network" is a ManagerConnector that did not start its server, and reaches it through TCP.
SHARED_KINDS = ["file", "manager", "network"]
KINDS = ["local", *SHARED_KINDS]
# "polled" is somebody else's connector, which has no `wait`.
ALL_KINDS = [*KINDS, "polled"]

# Within so many seconds of a death, whoever waits is to know of it.
PROMPT = 5.0

spawn = multiprocessing.get_context("spawn")
fork = multiprocessing.get_context("fork")


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


@contextlib.contextmanager
def opened(kind: str, parent: Path) -> Iterator[Opened]:
    """Opens a store that has no cache, so that each reader asks the connector."""
    directory, server = parent / "values", None
    with contextlib.ExitStack() as stack:
        connector: DeferrableConnector[Any]
        match kind:
            case "local":
                connector = LocalConnector()
            case "file":
                connector = FileConnector(directory)
            case "manager":
                before = children()
                connector = ManagerConnector()
                (server,) = children() - before
            case "network":
                process, address = stack.enter_context(serving())
                connector, server = ManagerConnector.connect(address), process.pid
            case _:
                connector = PlainDeferrableConnector(str(directory))
        store = stack.enter_context(Store(f"{kind} of faults", connector, cache_size=0))
        yield Opened(store, directory, server)


@pytest.fixture
def medium(kind: str, tmp_path: Path, known_key: None) -> Iterator[Opened]:
    """A store of the kind that a test is parametrized with, and its medium."""
    with opened(kind, tmp_path) as medium:
        yield medium


@pytest.fixture
def store(medium: Opened) -> Store:
    return medium.store


@pytest.fixture(scope="module")
def known_key() -> Iterator[None]:
    """One authentication key for all servers and processes of a module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
        yield


Nursery = Callable[..., Future[Any]]


@pytest.fixture(scope="module")
def nursery(known_key: None) -> Iterator[Nursery]:
    """Calls functions, one after the other, in a process that has a single thread.

    There, children can be forked, which is quick, and left in any state.
    """
    with ProcessPoolExecutor(1, spawn) as executor:
        process = executor.submit(os.getpid).result()
        yield executor.submit
        os.kill(process, signal.SIGKILL)  # after a failed test it may be blocked for ever


@pytest.fixture
def reached(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Reports the figures that a test reached, to whoever wants to know more than "passed"."""

    def report(**figures: object) -> None:
        for name, figure in figures.items():
            record_property(name, figure)
            print(f"reached: {name} = {figure}")

    return report
