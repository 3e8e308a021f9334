"""After the last test nothing may be left: no process, no temporary directory, no thread.

And in CI nothing may be left out for want of a package or a program.
"""

from __future__ import annotations

import copyreg
import gc
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest
from processes import children, command

# Seconds for what is ending anyway: a server looks twice a second whether its creator lives.
ENDING = 5.0

# One of each serves all that this process starts, until it ends. They are multiprocessing's.
SERVANTS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def child_processes() -> list[str]:
    """Returns the id and the command of each child process, also of one nobody has waited for.

    Where there is no /proc that lists them, there seem to be none.
    """
    lines = [f"{child} ({command(child) or 'ended, but not waited for'})" for child in children()]
    return [line for line in lines if not any(servant in line for servant in SERVANTS)]


def threads_that_hold_up_the_exit() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]


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


@pytest.fixture(scope="session", autouse=True)
def no_garbage_is_collected_while_semaphores_are_counted() -> Iterator[None]:
    """Garbage may hold semaphores, such as those of a pool, until Python happens to collect it.

    While multiprocessing's resource tracker is told of one semaphore, it cannot be told that
    others are gone: it warns, and counts them as leaked (python/cpython#109593).
    """
    one_at_a_time = threading.RLock()

    def undisturbed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            with one_at_a_time:
                was_enabled = gc.isenabled()
                gc.disable()
                try:
                    return function(*arguments)
                finally:
                    if was_enabled:
                        gc.enable()

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in "ensure_running", "getfd", "register", "unregister":
            function = getattr(multiprocessing.resource_tracker, name)
            patch.setattr(multiprocessing.resource_tracker, name, undisturbed(function))
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_interrupts() -> None:
    """In a shell's background job it would be ignored, also by the processes that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def exceptions_pickle_as_python_has_it() -> Iterator[None]:
    """Whoever imports Dask has them pickled by tblib from then on: not for the other tests."""
    with mock.patch.dict(copyreg.dispatch_table):
        yield


@pytest.fixture(scope="session", autouse=True)
def no_semaphore_is_leaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails if multiprocessing's resource tracker has something to complain about in the end.

    It would say so on the standard error, after the last test, when nobody listens any more.
    """
    complaints = tmp_path_factory.mktemp("resource_tracker") / "complaints"
    standard_error = os.dup(2)
    with complaints.open("wb") as file:
        os.dup2(file.fileno(), 2)
    multiprocessing.resource_tracker.ensure_running()
    os.dup2(standard_error, 2)
    os.close(standard_error)
    yield
    gc.collect()  # what is garbage now is not leaked
    # The tracker speaks when it ends, which is when nobody is left to use it. There is no public
    # way to end the two, and CPython's own tests of multiprocessing do it like this.
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
    multiprocessing.resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
    if complaint := complaints.read_text():
        pytest.fail(complaint, pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind(
    no_semaphore_is_leaked: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Gives the tests a temporary directory of their own, and looks around when they are done.

    Of their own, so that other programs that use the library meanwhile are not blamed on them.
    Its name is short: the path of a Unix socket has about a hundred characters at most.
    """
    # Pytest and multiprocessing clean up theirs later, so they have to be elsewhere.
    tmp_path_factory.getbasetemp()
    multiprocessing.util.get_temp_dir()

    with (
        tempfile.TemporaryDirectory(prefix="t-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(tempfile, "tempdir", directory)
        patch.setenv("TMPDIR", directory)  # for the processes that tests start

        def left() -> list[str]:
            """Returns a sentence for each kind of thing that is there still."""
            kinds = {
                "child processes": child_processes(),
                "temporary files": [str(path) for path in Path(directory).glob("proxyfuture-*")],
                "threads that are no daemons": threads_that_hold_up_the_exit(),
            }
            return [
                f"The tests left {kind} behind: {', '.join(things)}."
                for kind, things in kinds.items()
                if things
            ]

        yield
        end = time.monotonic() + ENDING
        while left() and time.monotonic() < end:
            time.sleep(0.05)
        if complaints := left():
            pytest.fail("\n".join(complaints), pytrace=False)
