"""Tests of exercise 10. Read the failure first: it says what is wrong."""

from __future__ import annotations

import linecache
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any, Generic, TypeVar

import exercise
import pytest
from exercise import AlreadySetError, FileConnector, InvalidKeyError

T = TypeVar("T")

LIMIT = 20.0  # seconds for what takes a moment, since the machine may be busy

BIG = 2_000_000  # bytes


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "values"
    path.mkdir()
    return path


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


def test_a_key_is_set_once(directory: Path) -> None:
    connector = FileConnector(directory)
    key = connector.new_key()
    connector.set(key, b"first")
    try:
        FileConnector(directory).set(key, b"second")
    except AlreadySetError:
        pass
    else:
        pytest.fail("the key was set twice, and nobody was told; raise AlreadySetError")
    found = connector.get(key)
    assert found == b"first", f"the first value was replaced by {found!r}; it must stay"


def test_only_values_are_left_in_the_directory(directory: Path) -> None:
    connector = FileConnector(directory)
    key = connector.new_key()
    connector.set(key, b"first")
    with pytest.raises(AlreadySetError):
        connector.set(key, b"second")
    names = sorted(path.name for path in directory.iterdir())
    assert len(names) == 1, (
        f"one value was set, and a second one refused; that left {len(names)} files: {names}"
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
    "0" * 31 + "\0": "a null character, which no file name can have",
    "A" * 32: "in capitals, which some file systems take for small letters",
    "\u0660" * 32: "digits of another script",
}


def test_a_key_that_nobody_made_is_refused(directory: Path) -> None:
    connector = FileConnector(directory)
    (directory / "notes.txt").write_text("not a value")

    def check(method: str, key: str, call: Callable[[], object]) -> None:
        happened = "accepted it"
        try:
            call()
        except InvalidKeyError:
            return
        except Exception as error:
            happened = f"raised {error!r}"
        pytest.fail(
            f"{key!r} ({NO_KEYS[key]}) is no key, and {method}() {happened}; it must raise "
            "InvalidKeyError, since a key is 32 characters of 0123456789abcdef and nothing else"
        )

    for key in NO_KEYS:
        check("get", key, partial(connector.get, key))
        check("set", key, partial(connector.set, key, b"harm"))


# Every moment at which another process can come


@pytest.mark.parametrize("size", [5, BIG])
def test_a_reader_sees_nothing_or_the_whole_value(directory: Path, size: int) -> None:
    value = b"v" * size

    def moment_of_the_reader(number: int) -> str:
        connector = FileConnector(directory)
        key = connector.new_key()

        def write() -> bytes | None:
            connector.set(key, value)
            return None

        writer, reader, moment = meet(number, write, lambda: FileConnector(directory).get(key))
        found = reader.result(f"get() came {moment} in set(), and never returned")
        writer.result(f"get() came {moment} in set(), which never returned")
        is_whole = found in (None, value)
        assert is_whole, (
            f"a reader came {moment} in set(), and saw {len(found or b'')} of {size} bytes; "
            "it must see nothing, or the whole value: "
            "the file had the name of the key before all the bytes were in the file"
        )
        return moment

    for number in range(1, 100):
        if moment_of_the_reader(number) == AFTERWARDS:
            break


def test_of_two_processes_that_set_a_key_one_wins(
    directory: Path, other_process: OtherProcess
) -> None:
    check_that_one_wins(directory, "process", other_process.set)


def test_of_two_threads_that_set_a_key_one_wins(directory: Path) -> None:
    def set_there(key: str) -> str:
        try:
            FileConnector(directory).set(key, b"theirs")
        except Exception as error:
            return type(error).__name__
        return "won"

    check_that_one_wins(directory, "thread", set_there)


def check_that_one_wins(directory: Path, who: str, set_there: Callable[[str], str]) -> None:
    plural = {"process": "processes", "thread": "threads"}[who]

    def moment_of_the_other(number: int) -> str:
        connector = FileConnector(directory)
        key = connector.new_key()

        def set_here() -> str:
            try:
                connector.set(key, b"mine")
            except Exception as error:
                return type(error).__name__
            return "won"

        here, there, moment = meet(number, set_here, lambda: set_there(key))
        outcome = here.result(f"another {who} set the key {moment} in set(), which never ended")
        other = there.result(f"set() in another {who} came {moment} in this one; it never ended")
        assert [outcome, other] != ["won", "won"], (
            f"two {plural} set the key, and both won: the second one came {moment}; "
            "to see whether the name is free and to take it must be one step"
        )
        assert "won" in (outcome, other), (
            f"two {plural} set the key, and none won: one came {moment}, and they raised "
            f"{outcome} and {other}"
        )
        loser = other if outcome == "won" else outcome
        assert loser == "AlreadySetError", (
            f"another {who} set the key {moment}, and the loser got {loser}; "
            "it must get AlreadySetError, and each writer needs a file of its own"
        )
        found, winner = connector.get(key), b"mine" if outcome == "won" else b"theirs"
        assert found == winner, (
            f"{winner!r} won, and get() found {found!r}: the other {who} came {moment}; "
            "each writer needs a file of its own"
        )
        return moment

    for number in range(1, 100):
        if moment_of_the_other(number) == AFTERWARDS:
            break


def test_a_copy_of_the_process_writes_a_file_of_its_own(directory: Path) -> None:
    # In a copy made by os.fork(), threads have the same numbers, and objects the same addresses.
    for number in range(1, 100):
        key = f"{number:032x}"
        forked = run(FORKS_BEFORE_A_LINE, directory, key, number)
        assert forked.returncode == 0, f"set() failed:\n{forked.stderr}"
        moment, copy, original = (forked.stdout.splitlines() + [""] * 3)[:3]
        if not moment:
            assert number > 1, "set() returned without running a line of exercise.py"
            return
        if copy == "waited":
            continue
        assert sorted([copy, original]) == ["AlreadySetError", "won"], (
            f"a copy of the process, made by os.fork() just before {moment}, set the same key; "
            f"{original} came of one and {copy} of the other, where one must win and the other get "
            "AlreadySetError: the number of a thread or an object is the same in both"
        )
        found = FileConnector(directory).get(key)
        assert found == b"value", f"one of two won, and get() found {found!r}; it must be b'value'"


def test_all_is_written_in_the_directory(directory: Path) -> None:
    done = run(TELLS_WHERE_IT_WRITES, directory, "0" * 32)
    assert done.returncode == 0, f"set() failed:\n{done.stderr}"
    paths = done.stdout.splitlines()
    assert not paths, (
        f"set() wrote the file {paths[0]}, which is outside of the connector's directory; there it "
        "may be on another disk, and os.link() and os.replace() work on one disk only"
    )


# Processes that die


def test_a_process_that_is_killed_before_any_line_leaves_no_part(directory: Path) -> None:
    for number in range(1, 100):
        key = f"{number:032x}"
        killed = run(KILLED_BEFORE_A_LINE, directory, key, number)
        if killed.returncode == 0:
            assert number > 1, "set() returned without running a line of exercise.py"
            return
        assert killed.returncode < 0, f"set() failed:\n{killed.stderr}"
        check_what_is_left(directory, key, f"just before line {killed.stdout}")


@pytest.mark.parametrize("part", [1, BIG // 2, BIG - 1])
def test_a_process_that_is_killed_while_it_writes_leaves_no_part(
    directory: Path, part: int
) -> None:
    key = "0" * 32
    killed = run(KILLED_IN_A_WRITE, directory, key, part)
    assert killed.returncode != 0, f"set() returned after {part} of {BIG} bytes, with no room left"
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
        try:
            Running(lambda: connector.set(key, b"next")).result(
                f"a process was killed in set(), {moment}, and now nobody can set the key"
            )
        except AlreadySetError:
            pytest.fail(
                f"a process was killed in set(), {moment}; the key has no value, "
                "and still nobody else can set it"
            )
        assert connector.get(key) == b"next", f"after a crash, {moment}, the key cannot be set"


# How the tests do it


class Running(Generic[T]):
    """A call in a thread of its own, so that what blocks does not block the tests."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: Future[T] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        __tracebackhide__ = True
        try:
            self._outcome.set_result(self._call())
        except BaseException as error:
            self._outcome.set_exception(error)

    def ended(self, seconds: float = LIMIT) -> bool:
        return bool(wait([self._outcome], seconds).done)

    def result(self, deadlock: str) -> T:
        __tracebackhide__ = True
        if not self.ended():
            pytest.fail(f"deadlock: {deadlock}", pytrace=False)
        if error := self._outcome.exception():
            raise error
        return self._outcome.result()


AFTERWARDS = "after its last line"


def meet(
    number: int, first: Callable[[], T], second: Callable[[], T]
) -> tuple[Running[T], Running[T], str]:
    """Runs `first` and, just before the line of that number in it, `second`.

    So each moment at which two can meet comes up, on fast machines and on slow ones. `first`
    goes on when `second` has ended, or waits for something that `first` holds. If `first` has
    fewer lines, `second` runs after it.

    Returns:
        Both, and the moment of their meeting as words.
    """
    go, begun = threading.Event(), threading.Event()
    lines = 0
    moment = AFTERWARDS

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines, moment
        if frame.f_code.co_filename != exercise.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == number:
                code = linecache.getline(exercise.__file__, frame.f_lineno).strip()
                moment = f"just before line {frame.f_lineno} (`{code}`)"
                go.set()
                begun.wait(LIMIT)
                other.ended(3)
        return trace

    def traced() -> T:
        sys.settrace(trace)
        try:
            return first()
        finally:
            sys.settrace(None)
            go.set()

    def on_its_turn() -> T:
        go.wait(LIMIT)
        begun.set()
        return second()

    other = Running(on_its_turn)
    one = Running(traced)
    begun.wait(LIMIT)
    return one, other, moment


# Each program gets the folder of exercise.py and the directory as arguments.

SETS_WHAT_IT_READS = """
import sys
sys.path.insert(0, sys.argv[1])
from exercise import FileConnector
connector = FileConnector(sys.argv[2])
for line in sys.stdin:
    try:
        connector.set(line.strip(), b"theirs")
        print("won", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""

KILLED_BEFORE_A_LINE = f"""
import linecache, os, signal, sys
sys.path.insert(0, sys.argv[1])
import exercise

lines = 0

def trace(frame, event, argument):
    global lines
    if frame.f_code.co_filename != exercise.__file__:
        return None
    if event == "line":
        lines += 1
        if lines == int(sys.argv[4]):
            code = linecache.getline(exercise.__file__, frame.f_lineno).strip()
            print(f"{{frame.f_lineno}} (`{{code}}`)", end="", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    return trace

connector = exercise.FileConnector(sys.argv[2])
sys.settrace(trace)
connector.set(sys.argv[3], b"v" * {BIG})
"""

FORKS_BEFORE_A_LINE = """
import linecache, os, signal, sys
sys.path.insert(0, sys.argv[1])
import exercise

lines = 0
data = b"value"

def set_it():
    try:
        connector.set(sys.argv[3], data)
    except Exception as error:
        return type(error).__name__
    return "won"

def trace(frame, event, argument):
    global lines
    if frame.f_code.co_filename != exercise.__file__:
        return None
    if event == "line":
        lines += 1
        if lines == int(sys.argv[4]):
            code = linecache.getline(exercise.__file__, frame.f_lineno).strip()
            print(f"line {frame.f_lineno} (`{code}`)", flush=True)
            copy = os.fork()
            if copy == 0:
                sys.settrace(None)
                signal.alarm(5)  # if it waits for something that the original holds
                print(set_it(), flush=True)
                os._exit(0)
            if os.waitpid(copy, 0)[1]:
                print("waited", flush=True)
    return trace

connector = exercise.FileConnector(sys.argv[2])
sys.settrace(trace)
outcome = set_it()
sys.settrace(None)
if lines >= int(sys.argv[4]):
    print(outcome)
"""

TELLS_WHERE_IT_WRITES = """
import os, sys
sys.path.insert(0, sys.argv[1])
import exercise
connector = exercise.FileConnector(sys.argv[2])
written = []

def hook(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes)) and flags & (os.O_WRONLY | os.O_RDWR):
            written.append(os.path.realpath(os.fsdecode(path)))

sys.addaudithook(hook)
connector.set(sys.argv[3], b"value")
inside = os.path.realpath(sys.argv[2]) + os.sep
print(*(path for path in written if not (path + os.sep).startswith(inside)), sep="\\n", end="")
"""

# The kernel kills a process that lets a file grow over its limit, in the middle of the write.
KILLED_IN_A_WRITE = f"""
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
import exercise
connector = exercise.FileConnector(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
connector.set(sys.argv[3], b"v" * {BIG})
"""


def command(program: str, directory: Path, *arguments: object) -> list[str]:
    folder = Path(exercise.__file__).parent
    # -B: a file that a killed process was about to write in __pycache__ is not what we look for.
    return [sys.executable, "-B", "-c", program, *map(str, (folder, directory, *arguments))]


def run(program: str, directory: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command(program, directory, *arguments), capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        pytest.fail("deadlock: set() in another process did not end", pytrace=False)


class OtherProcess:
    """A process that sets the keys that it is told to."""

    def __init__(self, process: subprocess.Popen[str], stdin: IO[str], stdout: IO[str]) -> None:
        self.process = process
        self._stdin = stdin
        self._stdout = stdout

    def set(self, key: str) -> str:
        self._stdin.write(key + "\n")
        self._stdin.flush()
        return self._stdout.readline().strip()


@pytest.fixture
def other_process(directory: Path) -> Iterator[OtherProcess]:
    with subprocess.Popen(
        command(SETS_WHAT_IT_READS, directory),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        other = OtherProcess(process, process.stdin, process.stdout)
        # The first one takes the time that the process needs to start.
        assert other.set(FileConnector(directory).new_key()) == "won"
        yield other
        process.kill()
