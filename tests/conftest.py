"""After the last test nothing may be left: no process, no directory of a server, no thread.

And in CI nothing may be left out for want of a package or a program.
"""

from __future__ import annotations

import copyreg
import gc
import multiprocessing.util
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest
from conformance import another_process
from support import AUTHKEY_VARIABLE, children, command, eventually

# Seconds for what is ending anyway: a server looks twice a second whether its creator lives.
ENDING = 5.0

# One of each serves all that this process starts, until it ends. They are multiprocessing's.
SERVANTS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


# A test is skipped with a reason that begins with "needs" where a package or a program is missing.
# A bare machine has few of them. CI has to have them all, so there it fails.

ReportT = TypeVar("ReportT", pytest.CollectReport, pytest.TestReport)


def failed_for_want(report: ReportT) -> ReportT:
    if report.skipped and "Skipped: needs" in str(report.longrepr) and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"In CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return failed_for_want((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return failed_for_want((yield))


@pytest.fixture(scope="module", autouse=True)
def exceptions_pickle_as_python_has_it() -> Iterator[None]:
    """Importing Dask has them pickled by tblib from then on: not for the other tests."""
    with mock.patch.dict(copyreg.dispatch_table):
        yield


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Callable[..., Any]]:
    """Calls a function in another process, which is a daemon and has one thread."""
    with another_process() as call:
        yield call


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Gives the tests a temporary directory of their own, and looks around when they are done.

    Its name is short: the path of a Unix socket has about a hundred characters at most.
    """
    # In a shell's background job, Ctrl-C would be ignored, also by what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Pytest and multiprocessing clean up theirs later, so they have to be elsewhere.
    tmp_path_factory.getbasetemp()
    multiprocessing.util.get_temp_dir()
    with (
        tempfile.TemporaryDirectory(prefix="t-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(tempfile, "tempdir", directory)
        patch.setenv("TMPDIR", directory)  # for the processes that tests start
        patch.delenv(AUTHKEY_VARIABLE, raising=False)
        yield
        gc.collect()  # a server ends with the connector that nobody holds
        eventually(lambda: not left_behind(directory), ENDING)
        if complaints := left_behind(directory):
            pytest.fail("\n".join(complaints), pytrace=False)


def left_behind(directory: str) -> list[str]:
    """Returns a sentence for each kind of thing that is there still."""
    commands = {child: command(child) or "ended, but not waited for" for child in children()}
    threads = {thread for thread in threading.enumerate() if not thread.daemon}
    kinds: dict[str, object] = {
        "child processes": [it for it in commands.items() if not any(x in it[1] for x in SERVANTS)],
        "directories of servers": list(Path(directory).glob("pymp-*")),
        "threads that are no daemons": threads - {threading.main_thread()},
    }
    return [f"The tests left {kind} behind: {things}." for kind, things in kinds.items() if things]


# The files in the order in which one would explain the system. What is not named comes last.
ORDER = """
    future proxy limits store exceptions security bad_input connectors local_connector
    file_connector manager_connector faults own_connector copies platforms size examples patterns
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = {f"test_{name}": place for place, name in enumerate(ORDER.split())}
    items.sort(key=lambda item: names.get(item.path.stem, len(names)))
