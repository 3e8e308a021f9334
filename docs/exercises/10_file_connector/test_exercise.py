"""Tests of exercise 10. Read the failure first: it says what is wrong."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import exercise
import pytest
from exercise import AlreadySetError, FileConnector, InvalidKeyError
from stepping import Running, failing, full_disk, moments

BIG = 200_000  # bytes: more than any buffer holds


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "values"
    path.mkdir()
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# Keys and values


def test_a_new_key_has_no_value_yet(directory: Path) -> None:
    connector = FileConnector(directory)
    found = connector.get(connector.new_key())
    assert found is None, f"nobody has set the key, and get() found {found!r}; it must return None"


@pytest.mark.parametrize("value", [b"value", b"", b"\r\n\0", bytes(BIG)], ids=len)
def test_what_one_connector_sets_another_one_finds(directory: Path, value: bytes) -> None:
    key = FileConnector(directory).new_key()
    FileConnector(directory).set(key, value)
    found = FileConnector(directory).get(key)
    assert found is not None, "another connector for the same directory does not find the value"
    is_same = found == value
    assert is_same, (
        f"{len(value)} bytes were set, from {value[:10]!r} on, and get() found "
        f"{len(found)}, from {found[:10]!r} on"
    )


@pytest.mark.parametrize("second", [b"second", b"first"])
def test_a_key_is_set_once(directory: Path, second: bytes) -> None:
    connector = FileConnector(directory)
    key = connector.new_key()
    connector.set(key, b"first")
    try:
        FileConnector(directory).set(key, second)
    except AlreadySetError:
        pass
    else:
        pytest.fail(
            "the key was set twice, and nobody was told; raise AlreadySetError, also if the "
            "second value is equal to the first: exactly one wins"
        )
    found = connector.get(key)
    assert found == b"first", f"the first value was replaced by {found!r}; it must stay"
    assert len(names(directory)) == 1, (
        f"one value was set, and a second one refused; that left {len(names(directory))} files: "
        f"{names(directory)}"
    )


NO_KEYS = {
    "../" + "0" * 32: "a file of the parent directory",
    "/" + "0" * 32: "an absolute path",
    "": "an empty string",
    ".": "the directory itself",
    "notes.txt": "another file in the directory",
    "0" * 31: "too short",
    "0" * 33: "too long",
    "0" * 32 + ".partial": "a key with a suffix",
    "0" * 32 + "\n": "a key with a newline",
    "0" * 31 + "\n": "a newline in place of the last character",
    " " + "0" * 31: "a space in place of the first character",
    "0" * 31 + "\0": "a null character, which no file name can have",
    "A" * 32: "in capitals, which some file systems take for small letters",
    "0" * 31 + "g": "the letter after f",
    "-" + "0" * 31: "a negative number",
    "0x" + "0" * 30: "a number as Python writes it",
    "0_" * 16: "digits with underscores",
    "\u0660" * 32: "digits of another script",
}


def test_a_key_that_nobody_made_is_refused(directory: Path) -> None:
    connector = FileConnector(directory)
    (directory / "notes.txt").write_text("not a value")
    for key, what in NO_KEYS.items():
        calls = {"get": connector.get, "set": partial(connector.set, data=b"harm")}
        for method, call in {**calls, "_path": connector._path}.items():
            used = Running(partial(call, key))
            happened = used.happened(f"{method}({key!r}) waits")
            assert isinstance(used.error(""), InvalidKeyError), (
                f"{key!r} ({what}) is no key, and {method}() {happened}; it must raise "
                "InvalidKeyError, since a key is 32 characters of 0123456789abcdef and nothing else"
            )


# Every moment at which another one can come


@pytest.mark.parametrize("size", [5, BIG])
def test_a_reader_sees_nothing_or_the_whole_value(directory: Path, size: int) -> None:
    value = b"v" * size
    for moment in moments():
        connector, reader = FileConnector(directory), FileConnector(directory)
        key = connector.new_key()
        writing, reading = moment.meet(partial(connector.set, key, value), partial(reader.get, key))
        found: Any = reading.result(f"get() came {moment} in set(), and never returned")
        writing.result(f"get() came {moment} in set(), which never returned")
        is_whole = found in (None, value)
        assert is_whole, (
            f"a reader came {moment} in set(), and saw {len(found or b'')} of {size} bytes; "
            "it must see nothing, or the whole value: "
            "the file had the name of the key before all the bytes were in the file"
        )


def test_somebody_may_remove_a_value_while_it_is_read(directory: Path) -> None:
    for moment in moments():
        connector = FileConnector(directory)
        key = connector.new_key()
        connector.set(key, b"value")
        reading, _ = moment.meet(partial(connector.get, key), partial(os.unlink, directory / key))
        happened = reading.happened(f"the file was removed {moment}, and get() waits")
        assert happened in ("returned b'value'", "returned None"), (
            f"somebody removed the file {moment} in get(), which {happened}; to look whether it is "
            "there and to read it are two steps, so read, and see what comes of it"
        )


def in_a_process_of_its_own(directory: Path) -> Any:
    """Imports the file once more for a connector, which shares no memory with others then.

    As on another machine, it may have the same process number, and its counters begin anew.
    """
    spec = importlib.util.spec_from_file_location("another", exercise.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.FileConnector(directory)


@pytest.mark.parametrize("who", ["thread", "process"])
def test_of_two_that_set_a_key_one_wins(directory: Path, who: str) -> None:
    plural = {"process": "processes", "thread": "threads"}[who]
    new: Any = in_a_process_of_its_own if who == "process" else FileConnector
    for moment in moments():
        connector, other = new(directory), new(directory)
        key = connector.new_key()
        ended: list[bool] = []

        def set_there(other: Any = other, key: str = key, ended: list[bool] = ended) -> None:
            try:
                other.set(key, b"theirs")
            finally:
                ended.append(True)

        def look(ended: list[bool] = ended) -> bool:
            """Tells whether the other one ends while this one stands."""
            end = time.monotonic() + (3 if who == "process" else 0)
            while not ended and time.monotonic() < end:
                time.sleep(0.01)
            return bool(ended)

        *setters, looks = moment.meet(partial(connector.set, key, b"mine"), set_there, look)
        outcomes = []
        for setter in setters:
            error = setter.error(f"another {who} set the key {moment}, and one set() never ended")
            outcomes.append("won" if error is None else type(error).__name__)
        assert outcomes != ["won", "won"], (
            f"two {plural} set the key, and both won: the second one came {moment}; "
            "to see whether the name is free and to take it must be one step"
        )
        assert "won" in outcomes, (
            f"two {plural} set the key, and none won: one came {moment}, and they raised "
            f"{' and '.join(outcomes)}"
        )
        [loser] = [outcome for outcome in outcomes if outcome != "won"]
        assert loser == "AlreadySetError", (
            f"another {who} set the key {moment}, and the loser got {loser}; "
            "it must get AlreadySetError, and each writer needs a file of its own"
        )
        assert looks.result("it looks for ever") or who == "thread", (
            f"while one process stands {moment} in set(), set() in another one waits for it; "
            "do without a lock: who holds it may stand there for ever"
        )
        found, winner = connector.get(key), b"mine" if outcomes[0] == "won" else b"theirs"
        assert found == winner, (
            f"{winner!r} won, and get() found {found!r}: the other {who} came {moment}; "
            "each writer needs a file of its own"
        )


# A copy of a process, made by os.fork(), has the same numbers of threads, addresses of objects and
# counters. Two machines may even agree in the number of the process, and in the time.
FORKS = """
import signal, time
os.getpid = time.time = time.time_ns = time.monotonic = time.monotonic_ns = lambda: 1

def set_it():
    try:
        connector.set(key, data)
    except Exception as error:
        return type(error).__name__
    return "won"

def at_that_line():
    copy = os.fork()
    if copy == 0:
        sys.settrace(None)
        signal.alarm(5)  # if it waits for something that the original holds
        print(set_it(), flush=True)
        os._exit(0)
    if os.waitpid(copy, 0)[1]:
        print("waited", flush=True)

print(set_it())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this test needs a system that has os.fork")
def test_a_copy_of_the_process_writes_a_file_of_its_own(directory: Path) -> None:
    for number in range(1, 100):
        key = f"{number:032x}"
        with started(FORKS, directory, key, number, b"value") as process:
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, f"set() failed:\n{errors}"
        moment, copy, original = (output.splitlines() + [""] * 3)[:3]
        if not copy:
            assert number > 1, "set() returned without running a line of exercise.py"
            return
        if copy == "waited":
            continue
        assert sorted([copy, original]) == ["AlreadySetError", "won"], (
            f"a copy of the process, made by os.fork() {moment}, set the same key; "
            f"{original} came of one and {copy} of the other, where one must win and the other get "
            "AlreadySetError: the number of a thread or an object is the same in both, and on "
            "another machine that of the process, too"
        )
        found = FileConnector(directory).get(key)
        assert found == b"value", f"one of two won, and get() found {found!r}; it must be b'value'"


def test_all_is_written_in_the_directory(directory: Path) -> None:
    written: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and listening:
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and flags & (os.O_WRONLY | os.O_RDWR):
                written.append(os.path.realpath(os.fsdecode(path)))

    listening = True
    sys.addaudithook(hook)
    FileConnector(directory).set("0" * 32, b"value")
    listening = False
    inside = os.path.realpath(directory) + os.sep
    paths = [path for path in written if not (path + os.sep).startswith(inside)]
    assert not paths, (
        f"set() wrote the file {paths[0]}, which is outside of the connector's directory; there it "
        "may be on another disk, and os.link() and os.replace() work on one disk only"
    )


# Processes that die


DIES_IN_A_WRITE = """
from stepping import full_disk
with full_disk(int(sys.argv[4]), lambda: os._exit(1)):
    connector.set(key, data)
"""

STANDS_BEFORE_A_LINE = """
def at_that_line():
    sys.stdin.read()  # until it is killed

connector.set(key, data)
"""


def test_a_process_that_is_killed_before_any_line_leaves_no_part(directory: Path) -> None:
    for number in range(1, 100):
        key = f"{number:032x}"
        with started(STANDS_BEFORE_A_LINE, directory, key, number, b"v" * BIG) as process:
            reading = Running(process.stdout.readline)
            reading.ended()  # a process needs time to start
            moment = reading.result("set() in another process did not end").strip()
            process.kill()
            assert process.stderr.read() == "", "set() failed in another process"
        if not moment:
            assert number > 1, "set() returned without running a line of exercise.py"
            return
        check_what_is_left(directory, key, moment)


@pytest.mark.parametrize("part", [1, BIG - 1])
def test_a_process_that_dies_while_it_writes_leaves_no_part(directory: Path, part: int) -> None:
    key = "0" * 32
    with started(DIES_IN_A_WRITE, directory, key, part, b"v" * BIG) as process:
        _, errors = process.communicate(timeout=60)
    assert errors == "", f"set() failed:\n{errors}"
    check_what_is_left(directory, key, f"after {part} of {BIG} bytes")


def check_what_is_left(directory: Path, key: str, moment: str) -> None:
    connector = FileConnector(directory)
    found = connector.get(key)
    is_whole = found in (None, b"v" * BIG)
    assert is_whole, (
        f"a process was killed in set(), {moment}, and left {len(found or b'')} of {BIG} bytes "
        "under the key; it must leave nothing, or the whole value"
    )
    if found is None:
        sets = Running(partial(connector.set, key, b"next"))
        happened = sets.happened(
            f"a process was killed in set(), {moment}, and now nobody can set the key"
        )
        assert happened == "returned None", (
            f"a process was killed in set(), {moment}; the key has no value, and still nobody else "
            f"can set it: the next set() {happened}. The next process may have the same number"
        )
        assert connector.get(key) == b"next", f"after a crash, {moment}, the key cannot be set"


# What the system refuses


def refusals() -> dict[str, tuple[BaseException, Callable[[BaseException], list[Any]]]]:
    """Returns errors by their names, each with what raises it."""
    full = OSError(errno.ENOSPC, "No space left on device")
    no_links = PermissionError(errno.EPERM, "Operation not permitted")

    def in_a_write(error: BaseException) -> list[Any]:
        return [full_disk(2, lambda: error)]

    def at_the_end(error: BaseException) -> list[Any]:
        return [failing(step, error, 0) for step in (os.link, os.rename, os.replace)]

    return {
        "the disk is full": (full, in_a_write),
        "the file system has no links, and lets nobody rename": (no_links, at_the_end),
        "Ctrl-C while it writes": (KeyboardInterrupt(), in_a_write),
        "Ctrl-C at the last step": (KeyboardInterrupt(), at_the_end),
    }


@pytest.mark.parametrize("why", refusals())
def test_what_fails_is_not_called_set_and_leaves_nothing(directory: Path, why: str) -> None:
    error, faults = refusals()[why]
    connector = FileConnector(directory)
    key = connector.new_key()
    with ExitStack() as stack:
        for fault in faults(error):
            stack.enter_context(fault)
        sets = Running(partial(connector.set, key, b"value"))
        happened = sets.happened(f"{why}, and set() does not end")
    if sets.error("") is None and connector.get(key) == b"value":
        return  # it found a way
    assert sets.error("") is error, (
        f"{why}, and set() {happened}; the key has no value: let the error {error!r} go on"
    )
    assert names(directory) == [], f"{why}, and set() left {names(directory)}; take it away again"
    connector.set(key, b"value")


def test_where_links_fail_a_value_that_is_there_stays(directory: Path) -> None:
    connector = FileConnector(directory)
    key = connector.new_key()
    connector.set(key, b"first")
    with failing(os.link, PermissionError(errno.EPERM, "Operation not permitted"), 0):
        happened = Running(partial(connector.set, key, b"second")).happened("set() does not end")
    assert (happened[:6], connector.get(key)) == ("raised", b"first"), (
        f"the file system refuses links, a key was set, and another set() {happened}; now get() "
        f"finds {connector.get(key)!r}; to replace is not exclusive, so an error is better"
    )


def test_a_file_that_cannot_be_read_is_not_called_unset(directory: Path) -> None:
    connector = FileConnector(directory)
    key = connector.new_key()
    connector.set(key, b"value")
    error = OSError(errno.EIO, "Input/output error")
    with failing(open, error, 0), failing(os.open, error, 0):
        reads = Running(partial(connector.get, key))
        happened = reads.happened("get() does not end")
    assert reads.error("") is error, (
        f"there is a value, the disk cannot read it, and get() {happened}; a consumer would wait "
        "for a value that is there: only FileNotFoundError says that nothing is set"
    )


# How the tests do it

PROGRAM = """
import linecache, os, sys
os.getpid = lambda number=int(sys.argv[6]): number  # that of the tests, as on another machine
sys.path.insert(0, sys.argv[1])
import exercise

connector, key, data = exercise.FileConnector(sys.argv[2]), sys.argv[3], eval(sys.argv[5])
lines = 0

def trace(frame, event, argument):
    global lines
    if frame.f_code.co_filename != exercise.__file__:
        return None
    if event == "line":
        lines += 1
        if lines == int(sys.argv[4]):
            code = linecache.getline(exercise.__file__, frame.f_lineno).strip()
            print(f"just before line {frame.f_lineno} (`{code}`)", flush=True)
            at_that_line()
    return trace

def at_that_line():
    pass

sys.settrace(trace)
"""


def started(
    program: str, directory: Path, key: str, number: int, data: bytes
) -> subprocess.Popen[str]:
    """Starts a program that has a connector, and does something at a line or after some bytes."""
    value = f"{data[:1]!r} * {len(data)}" if len(set(data)) == 1 else repr(data)
    folder = Path(exercise.__file__).parent
    # -B: a file that a killed process was about to write in __pycache__ is not what we look for.
    command = [sys.executable, "-B", "-c", PROGRAM + program]
    return subprocess.Popen(
        [*command, *map(str, (folder, directory, key, number, value, os.getpid()))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
