"""Judges one answer to one exercise: which of its tests pass, up to the first that fails.

An exercise gives ten points when all its tests pass, and none before: most tests are there for one
mistake each, so an answer with a mistake passes nearly all of them, and is wrong all the same.

The tests run in a process of its own, with limits: an answer that never ends, or takes its whole
process down, harms no other. There, this file is the program: it runs pytest, with a plugin that
keeps what happens.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import faulthandler
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

POINTS = 10  # for an exercise
LIMIT = 30.0  # seconds for one test; all tests of an exercise together have four times as long
MEGABYTES = 32  # for one file, and for all that is printed

# What an answer must not import, since the exercises are about building it.
FORBIDDEN = ("proxyfuture", "connectors")


@dataclass(frozen=True)
class Exercise:
    """One folder of the track."""

    name: str
    number: int
    title: str
    minutes: str
    tests: Path

    def answer(self, folder: Path) -> Path:
        """Returns the file in which somebody who works in `folder` writes the answer."""
        return folder / self.name / "exercise.py"

    def given(self) -> list[Path]:
        """Returns the files that the tests need: always those beside this program."""
        beside = [each for each in self.tests.parent.iterdir() if each.is_file()]
        own = [each for each in beside if not each.name.startswith(("exercise", "README", "."))]
        return [*own, Path(__file__).resolve().with_name("stepping.py")]


@dataclass
class Failure:
    """Why an answer is not right yet: a sentence, and where to look."""

    sentence: str
    test: str = ""
    place: str = ""
    code: str = ""
    steps: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    is_gap: bool = False


@dataclass
class Outcome:
    """What came out of checking one answer, up to the first failure."""

    tests: int = 0
    passed: int = 0
    running: str = ""
    ended: bool = False
    not_checked: list[str] = field(default_factory=list)
    failure: Failure | None = None
    first_try: str = ""  # what a test noted of the student's predictions

    @property
    def done(self) -> bool:
        return self.failure is None and self.passed > 0

    @property
    def out_of_reach(self) -> bool:
        """Whether no test could run here, for want of a server for instance."""
        return self.failure is None and self.passed == 0

    @property
    def begun(self) -> bool:
        """Whether there is something to judge: not while a gap comes before all else."""
        return not (self.failure and self.failure.is_gap and self.passed == 0)

    @property
    def points(self) -> int:
        return POINTS if self.done else 0


# Seen from outside: a process with limits

_running: dict[subprocess.Popen[bytes], Path] = {}


def check(exercise: Exercise, answer: Path, *, limit: float = LIMIT) -> Outcome:
    """Runs the tests of an exercise against an answer, in a process of its own.

    Args:
        exercise: Whose tests to run: always those beside this file, not those of the student.
        answer: The file to check.
        limit: Seconds for one test. All tests together have four times as long.
    """
    if not is_readable(answer):
        return Outcome(failure=Failure("There is no file exercise.py to check."))
    # All that the answer writes goes to one folder, which is gone afterwards.
    with tempfile.TemporaryDirectory(prefix="check-", ignore_cleanup_errors=True) as name:
        scratch = Path(name).resolve()
        folder = scratch / "exercise"
        for each in folder, scratch / "tmp":
            each.mkdir()
        try:
            text = answer.read_bytes()
        except OSError as error:
            return Outcome(failure=Failure(f"The file cannot be read: {error}."))
        try:
            failure = unreadable(text, exercise)
        except (RecursionError, MemoryError):
            failure = Failure("Python cannot read the file: it is nested too deeply.")
        if failure is not None:
            return Outcome(failure=failure)
        (folder / "exercise.py").write_bytes(text)
        for file in exercise.given():
            shutil.copyfile(file, folder / file.name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        for module in FORBIDDEN:  # found before one that is installed, by every child process
            refusal = f"raise ImportError({must_not_import(module)!r}, name={module!r})\n"
            (folder / f"{module}.py").write_text(refusal)
        in_time, exit_code = run_inside(scratch, limit)
        return judged(scratch, in_time, exit_code, limit)


def is_readable(answer: Path) -> bool:
    try:
        # A pipe would block its reader, and no answer has a megabyte.
        return answer.is_file() and answer.stat().st_size < 1_000_000
    except OSError:  # in a folder that is closed to us
        return False


def unreadable(text: bytes, exercise: Exercise) -> Failure | None:
    """Returns what is wrong with an answer before it runs: its syntax, or what it imports.

    An answer is one file. It has the standard library, and what its tests import as well.
    """
    if b"\0" in text:
        return Failure("Python cannot read the file: there is a NUL byte in it.")
    try:
        tree = ast.parse(text, "exercise.py")
    except SyntaxError as error:
        place = f"line {error.lineno}" if error.lineno else ""
        return Failure(
            f"Python cannot read the file: {error.msg}.", "", place, (error.text or "").strip()
        )
    tests = exercise.tests.read_text(encoding="utf-8")
    call = r"^(?:from |(?:importlib\.)?(?:__import__|import_module)\(')([\w.]+)"
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Call)):
            continue
        code = ast.unparse(node)
        names = re.findall(call, code)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in (each.partition(".")[0] for each in names):
            also = rf"^(import|from) {name}\b|importorskip\(\s*\"{name}\""
            known = name in sys.stdlib_module_names or re.search(also, tests, re.MULTILINE)
            if name in FORBIDDEN or not known:
                return Failure(must_not_import(name), "", f"line {node.lineno}", code)
    return None


def must_not_import(module: str) -> str:
    why = "the exercises are about building it" if module in FORBIDDEN else "it is a single file"
    return (
        f"An answer must not import {module}: {why}. "
        "Everything that you need is in the starter and in the standard library."
    )


def run_inside(scratch: Path, limit: float) -> tuple[bool, int]:
    """Runs this file as a program. Returns whether it ended by itself, and its exit code."""
    environment = {name: os.environ[name] for name in os.environ if "PYTEST" not in name}
    environment.update(
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",  # pytest alone, whatever else is installed
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONUTF8="1",
        PYTHONPATH=str(scratch / "exercise"),  # for the processes that a test starts
        TMPDIR=str(scratch / "tmp"),
        TEMP=str(scratch / "tmp"),  # the same for Windows
    )
    with open(scratch / "output", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(scratch), str(limit)],
            stdin=subprocess.DEVNULL,
            stdout=output,  # a file, since a pipe would be held open by whatever is left running
            stderr=output,
            cwd=scratch / "exercise",
            env=environment,
            start_new_session=os.name != "nt",  # a process group, to be ended as a whole
        )
    _running[process] = scratch
    try:
        return True, process.wait(limit * 4)
    except subprocess.TimeoutExpired:
        return False, 0
    finally:
        kill(process, scratch)
        _running.pop(process, None)


def kill(process: subprocess.Popen[bytes], scratch: Path) -> None:
    """Ends a check with all the processes that it has started.

    On Linux these are also the ones in a session of their own: their environment or their working
    directory names the folder of the check. Elsewhere it is the process group, or Windows' tree.
    """
    if not hasattr(os, "killpg"):  # Windows
        tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        with contextlib.suppress(OSError):
            subprocess.run(tree, capture_output=True, check=False)
        process.terminate()
        process.wait()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of them ended already
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for other in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is over, or somebody else's
            said = (other / "environ").read_bytes() + os.fsencode(os.readlink(other / "cwd"))
            if os.fsencode(scratch) in said:
                os.kill(int(other.name), signal.SIGKILL)


def judged(scratch: Path, in_time: bool, exit_code: int, limit: float) -> Outcome:
    """Reads what the process has written about its tests, up to where it came to an end."""
    kept: dict[str, Any] = {}
    traces = ""
    with contextlib.suppress(OSError):
        traces = (scratch / "stuck").read_text(encoding="utf-8", errors="replace")
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((scratch / "outcome").read_text(encoding="utf-8"))
    failure = kept.pop("failure", None)
    outcome = Outcome(**kept, failure=Failure(**failure) if failure else None)
    if outcome.failure is not None:
        return outcome
    if not outcome.ended:
        if traces or not in_time:
            outcome.failure = stuck(traces, scratch / "exercise" / "exercise.py", limit, in_time)
        else:
            how = f"with exit code {exit_code}: look for os._exit() or for code that kills it"
            if exit_code < 0:
                how = f"by the signal {signal.Signals(-exit_code).name}"
            outcome.failure = Failure(f"The whole Python process ended here, {how}.")
    elif not 0 < outcome.passed + len(outcome.not_checked) >= outcome.tests:
        outcome.failure = Failure("The tests were interrupted.")
    if outcome.failure:
        outcome.failure.test = outcome.running
    return outcome


def stuck(traces: str, answer: Path, limit: float, in_time: bool) -> Failure:
    """Describes an answer that did not come to an end, from the stacks of its threads."""
    allowed = f"{limit:g} seconds" if in_time else f"{limit * 4:g} seconds for all tests together"
    failure = Failure(
        f"Endless loop or deadlock: this did not end within {allowed}. "
        "What does it wait for, and who could bring that about?"
    )
    # The main thread, which runs the test, comes last; of its calls, the innermost comes first.
    for thread in reversed(traces.split("\n\n")):
        found = re.search(r'[/\\]exercise\.py", line (\d+) in (\S+)', thread)
        if found:
            locate(failure, int(found[1]), found[2], answer)
            break
    return failure


def in_parallel(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Does the work for each item, two at a time for each processor, since the tests also wait."""
    pool = ThreadPoolExecutor(2 * (os.cpu_count() or 1))
    try:
        return list(pool.map(work, items))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process, scratch in list(_running.items()):
            kill(process, scratch)
        raise
    finally:
        pool.shutdown()


# Seen from inside: pytest, with a plugin that keeps what happens


def run_tests(scratch: Path, limit: float) -> None:
    """Runs the tests in this process, which ends with them, whatever the answer left running."""
    limit_resources()
    import pytest

    folder = scratch / "exercise"
    sys.path[0] = str(folder)
    recorder = Recorder(scratch, limit)
    options = ["-q", "-x", f"-c{folder}/pytest.ini", "-pno:cacheprovider", "-pno:faulthandler"]
    pytest.main([*options, str(folder / "test_exercise.py")], plugins=[recorder])
    recorder.outcome.ended = True
    recorder.save()
    os._exit(0)


def limit_resources() -> None:
    """Keeps a loop that appends, prints or forks for ever from taking the whole machine."""
    with contextlib.suppress(ImportError):  # on Windows
        import resource

        for kind, most in (
            (resource.RLIMIT_DATA, 4 << 30),  # of memory, for each process
            (resource.RLIMIT_FSIZE, MEGABYTES << 20),
            (resource.RLIMIT_NPROC, 4096),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(OSError, ValueError):  # not every system has every limit
                resource.setrlimit(kind, (most, most))


class Recorder:
    """A pytest plugin: keeps in a file what came out so far, so that no crash can undo it."""

    def __init__(self, scratch: Path, limit: float) -> None:
        self.outcome = Outcome()
        self._scratch = scratch
        self._limit = limit
        self._process = os.getpid()
        self._stuck = open(scratch / "stuck", "w", encoding="utf-8")  # noqa: SIM115  # stays open
        self._limit_from_here()

    def save(self) -> None:
        if os.getpid() == self._process:  # and not in a child that the answer forked
            text = json.dumps(asdict(self.outcome))
            (self._scratch / "outcome.new").write_text(text, encoding="utf-8")
            os.replace(self._scratch / "outcome.new", self._scratch / "outcome")

    def fail(self, failure: Failure, error: BaseException | None = None) -> None:
        """Keeps the first failure, with the last place in exercise.py that it came through."""
        for file, function, line in frames(error):
            if Path(file).name == "exercise.py":
                locate(failure, line, function, Path(file))
        self.outcome.failure = self.outcome.failure or failure
        self.save()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.outcome.tests = len(session.items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:  # the whole file
            self._skipped(report)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.outcome.running = as_words(nodeid)
        self.save()
        self._limit_from_here()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._skipped(report)
        elif report.when == "call" and self.outcome.failure is None:
            self.outcome.passed += report.passed
            self.outcome.first_try += str(dict(report.user_properties).get("first try", ""))

    def _skipped(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        file, line, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
        if Path(file).name == "exercise.py" or not reason:
            failure = Failure(
                "The answer skips the test, instead of passing it.", as_words(report.nodeid)
            )
            if line:
                locate(failure, line, "<module>", Path(file))
            self.fail(failure)
        else:
            self.outcome.not_checked.append(reason.removeprefix("Skipped: "))

    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any], report: Any
    ) -> None:
        assert call.excinfo is not None
        error = call.excinfo.value
        if type(error).__name__ == "CollectError":  # what pytest makes of a failed import
            error = error.__cause__ or error
        failure = Failure(described(error), as_words(node.nodeid))
        if report.when == "collect" and not isinstance(error, ImportError):
            failure.sentence = f"The file cannot be imported. {failure.sentence}"
        if isinstance(error, NotImplementedError):
            failure.is_gap = True
            failure.sentence = "This gap is still open."
        failure.steps = steps(report)
        failure.printed = [line[:200] for line in report.capstdout[-5000:].splitlines()[-8:]]
        self.fail(failure, error)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.fail(Failure(described(excinfo.value), self.outcome.running), excinfo.value)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.fail(Failure("The tests were interrupted.", self.outcome.running), excinfo.value)

    def _limit_from_here(self) -> None:
        # A thread of its own, in C: it ends the process even where Python itself hangs.
        faulthandler.dump_traceback_later(self._limit, file=self._stuck, exit=True)


def described(error: BaseException) -> str:
    """Returns a sentence for what went wrong in a test, or in the answer."""
    if isinstance(error, ImportError) and error.name in FORBIDDEN:
        return must_not_import(error.name)
    if isinstance(error, ImportError) and error.name == "exercise":
        return f"The tests need a name that is not there: {str(error).partition(' (')[0]}."
    if isinstance(error, SystemExit):
        return "sys.exit() was called, which ends the tests, too."
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return f"More than {MEGABYTES} megabytes were printed, or written to one file."
    try:
        text = str(error)
    except Exception:
        text = object.__repr__(error)
    if type(error).__name__ == "Failed":  # what pytest.fail() raises
        return text
    if isinstance(error, AssertionError) and text:
        # Pytest adds the values that it found, after the test's own sentence.
        return text.split("\nassert ")[0].strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def frames(error: BaseException | None) -> list[tuple[str, str, int]]:
    """Returns what an error came through: files, functions and lines, the innermost last."""
    found = []
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append((code.co_filename, code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    return found


def locate(failure: Failure, line: int, function: str, answer: Path) -> None:
    failure.place = f"line {line}" + (f", in {function}" if function != "<module>" else "")
    with contextlib.suppress(OSError, IndexError):
        failure.code = answer.read_text(errors="replace").splitlines()[line - 1].strip()


def steps(report: Any) -> list[str]:
    """Returns the lines of a test up to the one that failed, without the sentence in it."""
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", [])
    shown = [line for line in entries[0].lines if line[:1] != "E"] if entries else []
    marked = [index for index, line in enumerate(shown) if line[:1] == ">"]
    if not marked:
        return []
    failed = textwrap.dedent("\n".join([f" {shown[marked[0]][1:]}", *shown[marked[0] + 1 :]]))
    with contextlib.suppress(SyntaxError):  # the first line of a block
        [statement] = ast.parse(failed).body
        if isinstance(statement, ast.Assert):
            failed = f"assert {ast.unparse(statement.test)}"
    head = next(index for index, line in enumerate(shown) if line.endswith(":"))
    indent = len(shown[marked[0]]) - len(shown[marked[0]][1:].lstrip())
    lines = shown[head + 1 : marked[0]]
    if "pytest.fail" not in failed:
        lines.append(textwrap.indent(failed, " " * indent))
    lines = textwrap.dedent("\n".join(lines)).splitlines()
    return lines if len(lines) <= 16 else ["...", *lines[-15:]]


def as_words(test: str) -> str:
    """Makes words of a test's name: `test_exercise.py::test_it_runs[0]` is "it runs (0)"."""
    name, _, argument = test.partition("::")[2].partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words} ({argument[:-1]})" if argument else words


if __name__ == "__main__":
    run_tests(Path(sys.argv[1]), float(sys.argv[2]))
