"""What the tests of the exercises share: threads that stop between two lines, time that runs fast,
a standard library that fails, and values that tell apart what is usually the same.

Such tests do not start a thousand threads and hope for bad luck. They make it:

    for moment in moments():  # before the first line of `one`, before its second line, ...
        lazy = Lazy(factory)
        one, other = moment.meet(lazy.resolve, lazy.resolve)  # `other` runs while `one` stands
        assert one.result("...") is other.result(f"a thread came {moment}, and waits for ever")
"""

from __future__ import annotations

import _thread
import builtins
import errno
import linecache
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from itertools import count
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Generic, TypeVar

import pytest

T = TypeVar("T")

LIMIT = 10.0  # seconds for what takes a moment, since the machine may be busy

_sleep, _monotonic, _allocate_lock = time.sleep, time.monotonic, threading.Lock
_speed = 1.0  # see fast_time()
_stepping: dict[int, Stepping[Any]] = {}  # by the identifiers of their threads


@cache
def is_answer(file: str | None) -> bool:
    """Tells whether a file is the student's: one beside this file that is no test."""
    path = Path(file or "").resolve()
    is_beside = path.parent == Path(__file__).resolve().parent and path.suffix == ".py"
    return is_beside and path.name not in ("stepping.py", "test_exercise.py")


# Threads


class Running(Generic[T]):
    """A call in a thread of its own, so that what blocks does not block the tests.

    waiter = Running(lambda: connector.wait(key))
    assert not waiter.ended(0.3), "wait() returned, though nothing was set"
    connector.set(key, b"value")
    assert waiter.result("the value came, and nobody woke the waiter") == b"value"
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._values: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        __tracebackhide__ = True
        try:
            self._values.append(self._call())
        except BaseException as error:
            self._error = error

    def ended(self, seconds: float = LIMIT) -> bool:
        """Waits some seconds at most, and tells whether the call has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self, deadlock: str) -> T:
        """Returns what the call returned, raises what it raised, or fails with the sentence."""
        __tracebackhide__ = True
        if (error := self.error(deadlock)) is not None:
            raise error
        return self._values[0]

    def error(self, deadlock: str) -> BaseException | None:
        """Returns what the call raised, `None` for nothing, or fails with the sentence."""
        __tracebackhide__ = True
        if not self.ended():
            pytest.fail(f"deadlock: {deadlock}", pytrace=False)
        return self._error

    def happened(self, deadlock: str) -> str:
        """Returns what came out in words, `returned 3` for instance."""
        __tracebackhide__ = True
        error = self.error(deadlock)
        return f"raised {error!r}" if error is not None else f"returned {self._values[0]!r}"


class Stepping(Running[T]):
    """A thread that can stop between any two lines of the student's file. Many can at a time.

    waiter = Stepping(lambda: connector.wait(key), stop_before=3)  # its third line
    waiter.settle()  # stands there now, or has ended, or sleeps
    connector.set(key, b"value")  # meanwhile
    waiter.go()
    """

    def __init__(self, call: Callable[[], T], stop_before: int = 0) -> None:
        self._stop_before = stop_before
        self._lines = 0
        self._go: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeps = self._is_over = False
        self.stands = False
        self.place = ""  # the last line, in words
        self.steps = 0  # lines of the student and calls of anything; one that sleeps makes none
        super().__init__(call)

    def _run(self) -> None:
        __tracebackhide__ = True
        _stepping[threading.get_ident()] = self
        sys.setprofile(self._count)
        sys.settrace(self._trace)
        try:
            super()._run()
        finally:
            sys.settrace(None)
            sys.setprofile(None)
            del _stepping[threading.get_ident()]
            self._is_over = True
            self._news.put(None)

    def _count(self, *_: Any) -> None:
        self.steps += 1

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not is_answer(frame.f_code.co_filename):
            return None
        if event == "line":
            self.steps += 1
            self._lines += 1
            code = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            self.place = f"line {frame.f_lineno} (`{code}`)"
            if self._lines == self._stop_before:
                self.stands = True
                self._news.put(None)
                self._go.get()
        return self._trace

    def settle(self) -> bool:
        """Waits until the thread stands, sleeps or has ended. Tells whether it stands."""
        seen, quiet, end = 0, 0, _monotonic() + 1
        while not (self.stands or self._sleeps or self._is_over):
            if self._lines and _monotonic() > end:  # it polls
                break
            try:
                self._news.get(timeout=0.01)
            except queue.Empty:  # it may sleep on something else than a lock, a socket for instance
                if _monotonic() > end + LIMIT:
                    break
                quiet = quiet + 1 if self._lines and self.steps == seen else 0
                seen = self.steps
                if quiet == 10:
                    break
        return self.stands

    @contextmanager
    def sleeping(self) -> Iterator[None]:
        """Notes that the thread sleeps meanwhile."""
        self._sleeps = True
        self._news.put(None)
        try:
            yield
        finally:
            self._sleeps = False

    def go(self) -> None:
        """Lets the thread run on, to its end."""
        self._stop_before = 0
        self.stands = False
        self._go.put(None)

    def steps_during(self, something: Callable[[], object]) -> int:
        """Returns how many steps the thread makes meanwhile. One that sleeps makes none."""
        before = self.steps
        something()
        return self.steps - before


def asleep(call: Callable[[], T]) -> Stepping[T]:
    """Begins a call, and gives it the time to fall asleep."""
    running = Stepping(call)
    running.settle()
    return running


class Moment:
    """A moment at which threads meet. In a sentence, it says where the threads stand."""

    def __init__(self, *lines: int) -> None:
        self._lines = lines
        self._words: list[str] = []
        self.reached = 0  # how many of the first threads came to their lines

    def meet(self, *calls: Callable[[], T]) -> list[Stepping[T]]:
        """Begins the calls one by one: first those that stop, then those that run to their end.

        Each one begins when the one before stands, has ended, or sleeps. Then those that stand go
        on, the first one first. So what comes out does not depend on how fast the machine is.
        """
        lines = [*self._lines, *[0] * len(calls)]
        threads = []
        for position, call in enumerate(calls):
            threads.append(thread := Stepping(call, lines[position]))
            if thread.settle():
                self.reached += self.reached == position
                self._words.append(f"just before {thread.place}")
            else:
                thread.go()
        for thread in threads:
            if thread.stands:
                thread.go()
                thread.settle()
        return threads

    def __str__(self) -> str:
        return " and ".join(self._words) or "after its last line"


def moments(stopped: int = 1, lines: int = 40) -> Iterator[Moment]:
    """Goes through the moments at which threads can meet. See the beginning of this file.

    With `stopped=2`, two threads stop, each before each of its lines, and the others run then:

        for moment in moments(stopped=2):
            connector, key = ...
            one, other, setter = moment.meet(wait, wait, set_value)

    Args:
        stopped: How many of the threads stop.
        lines: How many of the lines of each thread are tried, in a loop for instance.
    """
    numbers = [1] * stopped
    while True:
        yield (moment := Moment(*numbers))
        # One that never came to its line has no further ones: on with the next line of another.
        last = min(moment.reached, stopped - 1)
        if moment.reached <= last:
            numbers[last:] = [lines] * (stopped - last)
        while last >= 0 and numbers[last] >= lines:
            last -= 1
        if last < 0:
            return
        numbers[last] += 1
        numbers[last + 1 :] = [1] * (stopped - last - 1)


# Time


@contextmanager
def fast_time(factor: float = 500, wall_clock_jumps: float = 0) -> Iterator[None]:
    """Has all waits and clocks of what is made meanwhile run faster, so that an hour is soon over.

    with fast_time():
        lazy = Lazy(slow_factory)
        ...  # who gives up after a minute, gives up now

    Args:
        factor: How many times faster.
        wall_clock_jumps: How many seconds `time.time()` jumps at each call, as if somebody set
            the clock of the computer. `time.monotonic()` never jumps.
    """
    global _speed
    begin, jumps = time.time(), count()
    _speed = factor
    try:
        with replaced(
            {
                time.monotonic: lambda: _monotonic() * factor,
                time.perf_counter: lambda: _monotonic() * factor,
                time.time: lambda: begin + _monotonic() * factor + next(jumps) * wall_clock_jumps,
            }
        ):
            yield
    finally:
        _speed = 1.0


class Lock:
    """As `threading.Lock`, and tells the thread that sleeps on it that it does."""

    def __init__(self) -> None:
        self._lock = _allocate_lock()
        self.release, self.locked = self._lock.release, self._lock.locked
        self._at_fork_reinit = getattr(self._lock, "_at_fork_reinit", None)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        if not blocking:
            return False
        seconds = timeout / _speed if timeout > 0 else timeout
        with asleep_for(seconds):
            return self._lock.acquire(True, seconds)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def sleep(seconds: float) -> None:
    """As `time.sleep()`, and tells the thread that it sleeps."""
    with asleep_for(seconds / _speed):
        _sleep(seconds / _speed)


def asleep_for(seconds: float) -> AbstractContextManager[None]:
    thread = _stepping.get(threading.get_ident())
    is_long = seconds > 0.1 or seconds == -1  # who sleeps for a moment goes on by itself
    return thread.sleeping() if thread and is_long else nullcontext()


# A standard library that fails


@contextmanager
def failing(function: Callable[..., Any], error: BaseException, at: int = 1) -> Iterator[None]:
    """Has a function of the standard library raise an error at its call of that number, 0: at each.

    with failing(os.link, PermissionError(errno.EPERM, "no links here")):
        connector.set(key, b"value")
    """
    calls = count(1)

    def replacement(*arguments: Any, **options: Any) -> Any:
        if at in (next(calls), 0):
            raise error
        return function(*arguments, **options)

    with replaced({function: replacement}):
        yield


@contextmanager
def full_disk(
    room: int = 2,
    error: Callable[[], BaseException] = lambda: OSError(errno.ENOSPC, "No space left on device"),
) -> Iterator[None]:
    """Has each file that is opened meanwhile take some bytes, and then raise an error.

    with full_disk(), pytest.raises(OSError):
        connector.set(key, b"value")  # writes b"va", and no more
    """
    real_open, real_write = builtins.open, os.write

    class File:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._file = real_open(*arguments, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def __enter__(self) -> File:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def write(self, data: Any) -> int:
            if len(data) <= room:
                return int(self._file.write(data))
            self._file.write(data[:room])
            self._file.flush()
            raise error()

    def write(descriptor: int, data: Any) -> int:
        if len(data) <= room:
            return real_write(descriptor, data)
        real_write(descriptor, data[:room])
        raise error()

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opens = File if set("wxa+") & set(mode) else real_open
        return opens(file, mode, *arguments, **options)

    with replaced({real_open: opened, real_write: write}):
        yield


def replace(replacements: dict[Any, Any]) -> list[tuple[ModuleType, str, Any]]:
    """Replaces functions wherever the standard library and the student's file have them.

    Returns:
        What was there: the modules, the names, and the functions.
    """
    changed = []
    for module_name, module in list(sys.modules.items()):
        is_standard = module_name.partition(".")[0] in sys.stdlib_module_names
        if is_standard or is_answer(getattr(module, "__file__", None)):
            for name, value in list(vars(module).items()):
                for original, replacement in replacements.items():
                    if value is original:
                        changed.append((module, name, value))
                        setattr(module, name, replacement)
    return changed


@contextmanager
def replaced(replacements: dict[Any, Any]) -> Iterator[None]:
    """Replaces functions, as `replace()` does, and puts them back."""
    changed = replace(replacements)
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


# From here on, who sleeps on a lock, and on whatever is made of locks, tells that it sleeps. So the
# tests know when to go on.
replace(
    {
        threading.Lock: Lock,
        _thread.allocate_lock: Lock,
        threading.RLock: threading._PyRLock,  # type: ignore[attr-defined]  # made of Locks
        time.sleep: sleep,
    }
)


def entries(thing: object) -> int:
    """Counts what is in a collection, and in the collections in it. What grows for ever, leaks.

    before = entries(vars(connector))
    """
    if isinstance(thing, str | bytes) or not isinstance(thing, Collection):
        return 0
    inner = list(thing.values()) if isinstance(thing, Mapping) else list(thing)
    return len(inner) + sum(entries(each) for each in inner)


# Tests that are tested themselves


def failure_of(tests: ModuleType, subject: Callable[..., Any]) -> BaseException | None:
    """Runs a student's tests on what is under test. Returns their first failure, if there is one.

    It fails itself where a test is none: one that hangs, or skips.
    """
    __tracebackhide__ = True
    found = [value for name, value in vars(tests).items() if name.startswith("test")]
    assert found, "there is no function in exercise.py whose name begins with test_"
    for test in found:
        running = Running(partial(test, subject))
        if not running.ended(1.5 * LIMIT):
            pytest.fail(
                "your test hangs, and a test that hangs tells nobody anything; call what may "
                "block as in `Running(call).result('a sentence')`, which has a limit",
                pytrace=False,
            )
        error = running.error("")
        if isinstance(error, NotImplementedError):
            raise error
        assert not isinstance(error, pytest.skip.Exception), "your test skips; it has to judge"
        if error is not None:
            return error
    return None


# Values


class Announced:
    """What a `Particular` says that it is."""


class Particular:
    """A value that answers each question in its own words, also those that seem the same.

    particular = Particular()
    assert (str(particular), repr(particular)) == ("str", "repr")
    assert (particular == 1, particular != 1) == ("==", "!=")
    assert type(particular) is Particular and particular.__class__ is Announced
    """

    def __str__(self) -> str:
        return "str"

    def __repr__(self) -> str:
        return "repr"

    def __format__(self, specification: str) -> str:
        return f"format {specification}"

    @property  # type: ignore[misc]  # to say something else than type() is what it is for
    def __class__(self) -> type:
        return Announced

    def __eq__(self, other: object) -> Any:
        return "=="

    def __ne__(self, other: object) -> Any:
        return "!="

    def __lt__(self, other: object) -> str:
        return "<"

    def __le__(self, other: object) -> str:
        return "<="

    def __gt__(self, other: object) -> str:
        return ">"

    def __ge__(self, other: object) -> str:
        return ">="

    def __hash__(self) -> int:
        return 7

    def __iter__(self) -> Iterator[str]:  # a generator: it has send() and close()
        yield "one"
        yield "two"

    def __add__(self, other: object) -> str:
        return "+"

    def __iadd__(self, other: object) -> Any:  # so Python goes on with __add__
        return NotImplemented
