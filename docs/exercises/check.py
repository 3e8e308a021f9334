"""Checks the exercises, and shows the way through them.

    python docs/exercises/check.py                the track, and what to mend next
    python docs/exercises/check.py 8              one exercise
    python docs/exercises/check.py --watch        again, whenever an answer is saved
    python docs/exercises/check.py --start ~/work copies everything into a folder of your own

For a teacher, one folder or those of a whole class:

    python docs/exercises/check.py --report students/* --csv points.csv

It needs Python 3.11 or later and pytest, and no network. Each answer is checked in a process of its
own, with limits: one that never ends, or takes its whole process down, harms no other.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import csv
import faulthandler
import hashlib
import importlib
import importlib.util
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

HERE = Path(__file__).resolve().parent

# Seconds for one test. The slowest one has mypy check a file, which takes a second or two.
LIMIT = 30.0

# For each exercise, however many tests it has.
POINTS = 10

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
    """What came out of checking one answer."""

    tests: int = 0
    passed: int = 0
    not_checked: list[str] = field(default_factory=list)
    failure: Failure | None = None

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
        return POINTS * self.passed // max(self.tests - len(self.not_checked), 1)


def track() -> list[Exercise]:
    """Returns the exercises in their order."""
    exercises = []
    for tests in sorted(HERE.glob("[0-9][0-9]_*/test_exercise.py")):
        text = (tests.parent / "README.md").read_text(encoding="utf-8")
        heading = re.match(r"# (\d+)\. (.+)", text)
        time_needed = re.search(r"^Time: (.+)$", text, re.MULTILINE)
        if heading and time_needed:
            number, title = int(heading[1]), heading[2].replace("`", "")
            exercises.append(Exercise(tests.parent.name, number, title, time_needed[1], tests))
    return exercises


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake that others made, as the difference to the solution."""

    name: str
    mistake: str
    fails: str
    changes: list[str]

    def applied_to(self, solution: str) -> str:
        """Returns the solution with this mistake in it."""
        for change in self.changes:
            lines = change.splitlines(keepends=True)
            old = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
            new = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
            before, *after = f"\n{solution}".split(f"\n{old}")
            if len(after) != 1:
                raise ValueError(f"{self.name}: not once in the solution:\n{old}")
            solution = f"{before}\n{new}{after[0]}"[1:]
        return solution


def wrong_answers(exercise: Exercise) -> list[WrongAnswer]:
    """Returns the mistakes that are kept beside the solution of an exercise."""
    page = HERE / "solutions" / exercise.name / "wrong_answers.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    form = r"\A(\w+)\n\n(\S.+)\n\nFails: (?:`` (.+) ``|`([^`]+)`)\n\n```diff\n(.+)```\Z"
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        parts = re.match(form, section.strip(), re.DOTALL)
        if parts is None:
            raise ValueError(f"{page}: this section has another form:\n{section}")
        changes = re.split(r"```\s+```diff\n", parts[5])
        found.append(WrongAnswer(parts[1], parts[2], parts[3] or parts[4], changes))
    return found


def main() -> int:
    """Runs the command line, and returns the exit code."""
    options = command_line()
    if options.inside:
        run_tests(Path(options.inside), options.all_tests, options.limit)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for a terminal without our few signs
    try:
        if options.start:
            return start(Path(options.start))
        if importlib.util.find_spec("pytest") is None:
            print("The checks need pytest: python -m pip install pytest")
            return 2
        if options.report is not None:
            return report([Path(each) for each in options.report or [HERE]], options)
        if options.watch:
            return watch(options)
        return show(options)
    except KeyboardInterrupt:
        print()
        return 130


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Checks the exercises, and shows the way through them.",
        epilog="Without arguments: the whole track, and what to mend in the next exercise.",
    )
    add = parser.add_argument
    add("number", nargs="?", type=int, help="check this exercise only")
    add("--watch", action="store_true", help="check again whenever an answer is saved")
    add("--start", metavar="FOLDER", help="copy the exercises into a folder of your own")
    add("--report", metavar="FOLDER", nargs="*", help="points for each folder of answers")
    add("--csv", metavar="FILE", type=Path, help="with --report: write the points there, too")
    add("--limit", metavar="SECONDS", type=float, default=LIMIT, help="for one test")
    add("--inside", help=argparse.SUPPRESS)  # how this program starts itself for one check
    add("--all-tests", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    numbers = [exercise.number for exercise in track()]
    if options.number is not None and options.number not in numbers:
        parser.error(f"there is no exercise {options.number}; they go from 1 to {max(numbers)}.")
    if options.csv and options.report is None:
        parser.error("--csv goes with --report.")
    if not options.limit > 0:
        parser.error("--limit must be more than 0 seconds.")
    return options


# For a student: the track, and the first thing that does not hold yet


def show(options: argparse.Namespace) -> int:
    """Checks one exercise, or goes on through the track until something is left to do."""
    exercises, progress = track(), Progress(HERE / ".progress.json")
    if options.number is not None:
        exercises = [each for each in exercises if each.number == options.number]
    current: Exercise | None = None
    outcome = Outcome()
    passed_now = []
    out_of_reach = []
    for exercise in exercises:
        if options.number is None and progress.is_done(exercise):
            continue
        show_briefly(f"checking {exercise.number}. {exercise.title} ...")
        outcome = check(exercise, exercise.answer(HERE), limit=options.limit)
        show_briefly("")
        if outcome.out_of_reach:
            out_of_reach.append((exercise, outcome))
            continue
        if not outcome.done:
            current = exercise
            break
        progress.add(exercise)
        passed_now.append((exercise, outcome))
    if options.number is None:
        show_track(exercises, progress, current)
    for exercise, passed in passed_now:
        show_success(exercise, passed)
    for exercise, skipped in out_of_reach:
        print(f"{yellow('?')} {bold(f'{exercise.number}. {exercise.title}')}: not checked.")
        print(indented(skipped.not_checked[0]) + "\n")
    if current is not None:
        show_failure(current, outcome, command(options.number))
    elif options.number is None and not out_of_reach:
        print("All exercises are done. You have built proxy futures from an empty file.\n")
    return 1 if current else 0


def watch(options: argparse.Namespace) -> int:
    """Shows it again whenever an answer is saved, until Ctrl-C."""

    def saved() -> list[object]:
        found: list[object] = []
        for exercise in track():
            with contextlib.suppress(OSError):  # some editors take the file away for a moment
                status = exercise.answer(HERE).stat()
                found.append((exercise.name, status.st_mtime_ns, status.st_size))
        return found

    with contextlib.suppress(KeyboardInterrupt):
        while True:
            seen = saved()
            if sys.stdout.isatty():
                print("\033[2J\033[3J\033[H", end="")
            show(options)
            print(dim("Watching. Save an answer to check again; Ctrl-C ends it."), flush=True)
            while saved() == seen:
                time.sleep(0.3)
    print()
    return 0


class Progress:
    """Remembers which answers passed, by what was in the files: a changed one counts anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(file.read_text())
            self._passed = kept if isinstance(kept, dict) else {}

    def is_done(self, exercise: Exercise) -> bool:
        return self._passed.get(exercise.name, "") == self._fingerprint(exercise)

    def add(self, exercise: Exercise) -> None:
        self._passed[exercise.name] = self._fingerprint(exercise)
        with contextlib.suppress(OSError):  # a folder that one may only read
            self._file.write_text(json.dumps(self._passed, indent=1))

    def _fingerprint(self, exercise: Exercise) -> str:
        with contextlib.suppress(OSError):
            both = exercise.tests.read_bytes() + exercise.answer(HERE).read_bytes()
            return hashlib.sha256(both).hexdigest()
        return "missing"


def show_track(exercises: list[Exercise], progress: Progress, current: Exercise | None) -> None:
    print(bold("\nProxy futures from an empty file\n"))
    width = max(len(exercise.title) for exercise in exercises)
    for exercise in exercises:
        line = f"{exercise.number:2}  {exercise.title:<{width}}   {exercise.minutes}"
        if exercise == current:
            print(f"  {yellow('▸')} {bold(line)}")
        elif progress.is_done(exercise):
            print(f"  {green('✓')} {line}")
        else:
            print(dim(f"  · {line}"))
    done = sum(progress.is_done(exercise) for exercise in exercises)
    filled = round(done / len(exercises) * 30)
    print(
        f"\n    {green('━' * filled)}{dim('━' * (30 - filled))}  {done} of {len(exercises)} done\n"
    )


def show_success(exercise: Exercise, outcome: Outcome) -> None:
    counted = f"all {outcome.passed} tests pass"
    print(f"{green('✓')} {bold(f'{exercise.number}. {exercise.title}')}: {counted}.")
    for reason in outcome.not_checked:
        print(f"  {yellow('Not checked:')} {reason}")
    if (solution := HERE / "solutions" / exercise.name).is_dir():
        print(dim(f"  To compare with yours: {short(solution)}"))
    print()


def show_failure(exercise: Exercise, outcome: Outcome, again: str) -> None:
    """Prints one failure: the sentence first, then where it comes from, then what to do."""
    failure = outcome.failure or Failure("")
    answer, readme = exercise.answer(HERE), exercise.tests.parent / "README.md"
    print(f"{yellow('▸')} {bold(f'{exercise.number}. {exercise.title}')}", end="")
    if not outcome.begun:
        print(f"\n\n{bold(indented(f'The next gap to fill: {failure.place}.'))}\n")
        print(f"    read   {short(readme)}")
        print(f"    write  {short(answer)}")
        print(f"    run    {again}\n")
        return
    before = outcome.passed + len(outcome.not_checked)
    print(dim(f"   test {before + 1} of {outcome.tests}") if outcome.tests else "")
    if failure.test:
        print(f"\n  {red('✗')} {failure.test}")
    print(f"\n{bold(indented(failure.sentence))}\n")
    for heading, lines in (
        (f"{short(answer)}, {failure.place}", [failure.code] if failure.code else []),
        ("What the test did", failure.steps),
        ("What was printed", failure.printed),
    ):
        if lines:
            print(dim(f"    {heading}"))
            for line in lines:
                print(f"    {dim('│')} {line}")
            print()
    print(dim(f"  Hints are at the end of {short(readme)}\n"))


# For a teacher: points for many folders


def report(folders: list[Path], options: argparse.Namespace) -> int:
    """Prints the points of each folder, and what there is to say about its answers."""
    for folder in folders:
        if not folder.is_dir():
            print(f"{folder} is not a folder. Name folders that hold 01_lazy_value and so on.")
            return 2
    if options.csv:
        try:
            with options.csv.open("a"):  # now, and not after all the work
                pass
        except OSError as error:
            print(f"The points cannot be written: {error}.")
            return 2
    exercises = track()
    folders = [each.resolve() for each in folders]
    names = [each.name for each in folders]
    names = [str(f) if names.count(n) > 1 else n for f, n in zip(folders, names, strict=True)]

    # Answers that are the same byte for byte are checked once: the starters that nobody touched.
    answers = [(each, each.answer(answers_in(folder))) for folder in folders for each in exercises]
    distinct = {(each.name, content(answer)): (each, answer) for each, answer in answers}
    outcomes: dict[tuple[str, bytes], Outcome] = {}

    def check_one(key: tuple[str, bytes]) -> None:
        exercise, answer = distinct[key]
        outcomes[key] = check(exercise, answer, all_tests=True, limit=options.limit)

    with each_of(check_one, list(distinct)) as steps:
        for count, _ in enumerate(steps, 1):
            show_briefly(f"checked {count} of {len(distinct)} answers")
    show_briefly("")

    table = []
    for folder in folders:
        keys = [(each.name, content(each.answer(answers_in(folder)))) for each in exercises]
        table.append([outcomes[key] for key in keys])
    print_report(exercises, names, table)
    if options.csv:
        write_csv(options.csv, exercises, names, table)
        print(f"The points are in {options.csv} as well.")
    return 0


def answers_in(folder: Path) -> Path:
    """Returns where the answers are in what a student handed in: maybe the whole clone."""
    clone = folder / "docs" / "exercises"
    return clone if clone.is_dir() else folder


def content(answer: Path) -> bytes:
    """Returns a fingerprint of a file that may be missing, or be no file at all."""
    if is_readable(answer):
        with contextlib.suppress(OSError):
            return hashlib.sha256(answer.read_bytes()).digest()
    return os.fsencode(answer)


def is_readable(answer: Path) -> bool:
    try:
        # A pipe would block its reader, and no answer has a megabyte.
        return answer.is_file() and answer.stat().st_size < 1_000_000
    except OSError:  # in a folder that is closed to us
        return False


@contextlib.contextmanager
def each_of(work: Callable[[Any], None], items: Sequence[Any]) -> Iterator[Iterator[None]]:
    """Does the work for each item, as many at a time as there are processors."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield pool.map(work, items)
    except BaseException:
        for process in list(_running):
            kill(process)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def print_report(exercises: list[Exercise], names: list[str], table: list[list[Outcome]]) -> None:
    width = max(len(name) for name in [*names, "points of"])
    possible = possible_points(table)
    print(f"\n  {'':{width}}", *(bold(f"{each.number:3}") for each in exercises), bold("   total"))
    for name, outcomes in zip(names, table, strict=True):
        total = sum(outcome.points for outcome in outcomes)
        print(f"  {name:{width}}", *map(cell, outcomes), f"{total:4} / {possible}")
    legend = "· a gap is open   ! no answer to check   ? cannot be checked here"
    print(dim(f"\n  Up to {POINTS} points each.   {legend}\n"))
    for name, outcomes in zip(names, table, strict=True):
        for exercise, outcome in zip(exercises, outcomes, strict=True):
            if text := remark(outcome):
                print(indented(f"{bold(name)} {exercise.number}: {text}", "  ", "      "))
    print()


def possible_points(table: list[list[Outcome]]) -> int:
    """Returns how many points there are, without exercises that cannot be checked here."""
    columns = list(zip(*table, strict=True))
    return POINTS * sum(not any(each.out_of_reach for each in column) for column in columns)


def cell(outcome: Outcome) -> str:
    if outcome.done:
        return green(f"{outcome.points:3}")
    if not outcome.begun:
        return dim("  ·")
    if outcome.out_of_reach:
        return dim("  ?")
    if outcome.tests == 0:
        return red("  !")
    return yellow(f"{outcome.points:3}")


def remark(outcome: Outcome) -> str:
    """Returns what a teacher should read about an answer, if there is something."""
    if not outcome.begun:
        return ""
    notes = [f"not checked: {reason}" for reason in outcome.not_checked]
    if failure := outcome.failure:
        notes.insert(0, failure.sentence + (f" ({failure.place})" if failure.place else ""))
    return " ".join("; ".join(notes).split())


def write_csv(
    file: Path, exercises: list[Exercise], names: list[str], table: list[list[Outcome]]
) -> None:
    with file.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        writer = csv.writer(stream)
        heads = [exercise.name for exercise in exercises]
        writer.writerow(["folder", *heads, "points", "of", "remarks"])
        for name, outcomes in zip(names, table, strict=True):
            remarks = [
                f"{exercise.number}: {text}"
                for exercise, outcome in zip(exercises, outcomes, strict=True)
                if (text := remark(outcome))
            ]
            points = [outcome.points for outcome in outcomes]
            writer.writerow(
                [name, *points, sum(points), possible_points(table), " | ".join(remarks)]
            )


def start(folder: Path) -> int:
    """Copies what a student needs into a folder. Answers that are there already stay."""
    for exercise in track():
        if "raise NotImplementedError" not in exercise.answer(HERE).read_text(encoding="utf-8"):
            print(f"{short(exercise.answer(HERE))} is no starter any more: its gaps are filled.")
            print("Take a fresh clone, or get the starters back with `git restore docs/exercises`.")
            return 2
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"There can be no folder {folder}: {error}.")
        return 2
    shutil.copy(__file__, folder / "check.py")
    shutil.copy(HERE / "stepping.py", folder)
    copy_page(HERE / "README.md", folder)
    kept = 0
    for exercise in track():
        target = folder / exercise.name
        target.mkdir(exist_ok=True)
        shutil.copy(exercise.tests, target)
        copy_page(exercise.tests.with_name("README.md"), target)
        if (target / "exercise.py").exists():
            kept += 1
        else:
            shutil.copy(exercise.answer(HERE), target / "exercise.py")
    if kept:
        print(f"{kept} answers that were in {folder} already are as they were.")
    print(f"Begin with {folder / 'README.md'}, and run python {folder / 'check.py'}")
    return 0


def copy_page(page: Path, folder: Path) -> None:
    """Copies a page on which the commands are those for a clone, and makes them fit."""
    text = page.read_text(encoding="utf-8").replace(
        "python docs/exercises/check.py", "python check.py"
    )
    (folder / page.name).write_text(text, encoding="utf-8")


# One check, seen from outside: a process with limits


_running: set[subprocess.Popen[bytes]] = set()


def check(
    exercise: Exercise, answer: Path, *, all_tests: bool = False, limit: float = LIMIT
) -> Outcome:
    """Runs the tests of an exercise against an answer, in a process of its own.

    Args:
        exercise: Whose tests to run: always those beside this file, not those of the student.
        answer: The file to check.
        all_tests: Whether to go on after the first failure.
        limit: Seconds for one test. All tests together have four times as long.
    """
    if not is_readable(answer):
        return Outcome(failure=Failure(f"There is no file {short(answer)} to check."))
    # All that the answer writes goes to one folder, which is gone afterwards.
    with tempfile.TemporaryDirectory(prefix="check-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        for part in "exercise", "tmp":
            (scratch / part).mkdir()
        try:
            shutil.copyfile(answer, scratch / "exercise" / "exercise.py")
        except OSError as error:
            return Outcome(failure=Failure(f"The file cannot be read: {error}."))
        shutil.copyfile(exercise.tests, scratch / "exercise" / "test_exercise.py")
        shutil.copyfile(HERE / "stepping.py", scratch / "exercise" / "stepping.py")
        (scratch / "exercise" / "pytest.ini").write_text("[pytest]\n")
        for module in FORBIDDEN:  # found before one that is installed, by every child process
            text = f"raise ImportError({forbidden_sentence(module)!r}, name={module!r})\n"
            (scratch / "exercise" / f"{module}.py").write_text(text)
        in_time, exit_code = run_inside(scratch, all_tests, limit)
        return judged(scratch, answer, in_time, exit_code, limit)


def run_inside(scratch: Path, all_tests: bool, limit: float) -> tuple[bool, int]:
    """Runs this program once more. Returns whether it ended by itself, and its exit code."""
    environment = {name: os.environ[name] for name in os.environ if "PYTEST" not in name}
    environment |= {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # pytest alone, whatever else is installed
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(scratch / "exercise"),  # for the processes that a test starts
        "TMPDIR": str(scratch / "tmp"),
    }
    arguments = ["--inside", str(scratch), "--limit", str(limit)]
    with open(scratch / "output", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, *arguments, *(["--all-tests"] if all_tests else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,  # a file, since a pipe would be held open by whatever is left running
            stderr=output,
            cwd=scratch / "exercise",
            env=environment,
            start_new_session=True,  # a process group, to be ended as a whole
        )
    _running.add(process)
    try:
        return True, process.wait(limit * 4)
    except subprocess.TimeoutExpired:
        return False, 0
    finally:
        kill(process)
        _running.discard(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a check with all the processes that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of them ended already
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def judged(scratch: Path, answer: Path, in_time: bool, exit_code: int, limit: float) -> Outcome:
    """Reads what the process has written about its tests, up to where it came to an end."""
    outcome = Outcome()
    running = ""
    ended = False
    failed = set()
    passed = set()
    for event in events(scratch / "events"):
        kind, test = event["kind"], event.get("test", "")
        if kind == "collected":
            outcome.tests = event["count"]
        elif kind == "running":
            running = test
        elif kind == "passed":
            passed.add(test)
        elif kind == "not checked":
            outcome.not_checked.append(event["reason"])
        elif kind == "failed":
            failed.add(test)
            outcome.failure = outcome.failure or Failure(**event["failure"])
        elif kind == "ended":
            ended = True
    outcome.passed = len(passed - failed)
    passed_or_not_checked = outcome.passed + len(outcome.not_checked)
    if not ended:
        text = read(scratch / "stuck")
        if text or not in_time:
            failure = stuck(text, answer, limit, in_time)
        else:
            failure = Failure(f"The whole Python process ended here, {cause(exit_code)}.")
        failure.test = as_words(running)
        outcome.failure = outcome.failure or failure
    elif outcome.failure is None and not 0 < passed_or_not_checked >= outcome.tests:
        outcome.failure = Failure("The tests were interrupted.", test=as_words(running))
    return outcome


def events(file: Path) -> Iterator[dict[str, Any]]:
    for line in read(file).splitlines():
        with contextlib.suppress(ValueError):  # the last one, if the process died on it
            yield json.loads(line)


def read(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8", errors="replace")
    return ""


def stuck(traces: str, answer: Path, limit: float, in_time: bool) -> Failure:
    """Describes an answer that did not come to an end, from the stacks of its threads."""
    allowed = f"{limit:g} seconds" if in_time else f"{limit * 4:g} seconds for all tests together"
    failure = Failure(
        f"Endless loop or deadlock: this did not end within {allowed}. "
        "What does it wait for, and who could bring that about?"
    )
    # The main thread, which runs the test, comes last; of its calls, the innermost comes first.
    for thread in reversed(traces.split("\n\n")):
        if found := re.search(r'/exercise\.py", line (\d+) in (\S+)', thread):
            locate(failure, int(found[1]), found[2], answer)
            break
    return failure


def cause(exit_code: int) -> str:
    if exit_code < 0:
        with contextlib.suppress(ValueError):
            return f"by the signal {signal.Signals(-exit_code).name}"
    return f"with exit code {exit_code}: look for os._exit() or for code that kills its process"


# One check, seen from inside: pytest, with a plugin that writes down what happens


def run_tests(scratch: Path, all_tests: bool, limit: float) -> None:
    """Runs the tests in this process, which ends with them, whatever the answer left running."""
    limit_resources()
    import pytest

    folder = scratch / "exercise"
    sys.path[0] = str(folder)
    recorder = Recorder(scratch, limit)
    if recorder.imports_well(folder / "exercise.py"):
        options = ["-q", f"-c{folder}/pytest.ini", "-pno:cacheprovider", "-pno:faulthandler"]
        if not all_tests:
            options.append("--exitfirst")
        pytest.main([*options, str(folder / "test_exercise.py")], plugins=[recorder])
    recorder.write("ended")
    os._exit(0)


def limit_resources() -> None:
    """Keeps a loop that appends, prints or forks for ever from taking the whole machine."""
    for kind, most in (
        (resource.RLIMIT_DATA, 4 << 30),  # of memory, for each process
        (resource.RLIMIT_FSIZE, 32 << 20),
        (resource.RLIMIT_NPROC, 4096),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):  # not every system has every limit
            resource.setrlimit(kind, (most, most))


class Recorder:
    """A pytest plugin: writes a line for everything that happens, so that no crash can undo it."""

    def __init__(self, scratch: Path, limit: float) -> None:
        # Open as long as this process lives.
        self._events: IO[str] = open(scratch / "events", "w", encoding="utf-8")  # noqa: SIM115
        self._stuck: IO[str] = open(scratch / "stuck", "w", encoding="utf-8")  # noqa: SIM115
        self._limit = limit

    def write(self, kind: str, **values: Any) -> None:
        self._events.write(json.dumps({"kind": kind, **values}) + "\n")
        self._events.flush()

    def fail(self, failure: Failure, test: str = "") -> None:
        self.write("failed", test=test, failure=asdict(failure))

    def imports_well(self, answer: Path) -> bool:
        """Imports the answer, which may do anything, and tells whether it went well."""
        self._limit_from_here()
        try:
            text = answer.read_bytes()
            tree = ast.parse(text, "exercise.py")
            if found := forbidden_import(tree):
                node, module = found
                line = text.decode(errors="replace").splitlines()[node.lineno - 1].strip()
                sentence = forbidden_sentence(module)
                self.fail(Failure(sentence, place=f"line {node.lineno}", code=line))
                return False
            importlib.import_module("exercise")
            return True
        except SyntaxError as error:
            sentence = f"Python cannot read the file: {error.msg}."
            code = (error.text or "").strip()
            self.fail(Failure(sentence, place=f"line {error.lineno}", code=code))
        except ModuleNotFoundError:
            return True  # the tests fail in the same way, or know that one can do without
        except SystemExit:
            self.fail(
                located(
                    Failure("sys.exit() was called, which ends the tests, too."), sys.exc_info()[1]
                )
            )
        except BaseException as error:
            what = f"The file cannot be imported. {described(error)}"
            self.fail(located(Failure(what), error))
        return False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.write("collected", count=len(session.items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:  # the whole file
            self._skipped(report)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.write("running", test=nodeid)
        self._limit_from_here()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.write("passed", test=report.nodeid)
        elif report.skipped:
            self._skipped(report)

    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any], report: Any
    ) -> None:
        assert call.excinfo is not None
        error = call.excinfo.value
        if type(error).__name__ == "CollectError":  # what pytest makes of a failed import
            error = error.__cause__ or error
        failure = Failure(described(error), test=as_words(node.nodeid))
        if isinstance(error, NotImplementedError):
            failure.is_gap = True
            failure.sentence = "This gap is still open."
        located(failure, error)
        failure.steps = steps(node, error)
        failure.printed = getattr(report, "capstdout", "").splitlines()[-8:]
        self.fail(failure, node.nodeid)

    def _skipped(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "it was skipped"
        reason = reason.removeprefix("Skipped: ")
        self.write("not checked", test=report.nodeid, reason=reason)

    def _limit_from_here(self) -> None:
        # A thread of its own, in C: it ends the process even where Python itself hangs.
        faulthandler.dump_traceback_later(self._limit, file=self._stuck, exit=True)


def forbidden_import(tree: ast.AST) -> tuple[ast.stmt | ast.expr, str] | None:
    """Returns the first import of a module that an answer must not use, with its name."""
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module)):
                names = [module]
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="__import__" | "import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                names = [module]
            case _:
                continue
        for name in names:
            if name.partition(".")[0] in FORBIDDEN:
                return node, name
    return None


def forbidden_sentence(module: str) -> str:
    return (
        f"An answer must not import {module}: the exercises are about building it. "
        "Everything that you need is in the starter and in the standard library."
    )


def described(error: BaseException) -> str:
    """Returns a sentence for what went wrong in a test, or in the answer."""
    if isinstance(error, ImportError) and error.name in FORBIDDEN:
        return forbidden_sentence(error.name)
    if isinstance(error, ImportError) and error.name == "exercise":
        return f"The tests need a name that is not there: {str(error).partition(' (')[0]}."
    if isinstance(error, SystemExit):
        return "sys.exit() was called, which ends the tests, too."
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


def located(failure: Failure, error: BaseException | None) -> Failure:
    """Adds the last place in exercise.py that the error came through."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        code = trace.tb_frame.f_code
        if Path(code.co_filename).name == "exercise.py":
            locate(failure, trace.tb_lineno, code.co_name, Path(code.co_filename))
        trace = trace.tb_next
    return failure


def locate(failure: Failure, line: int, function: str, answer: Path) -> None:
    failure.place = f"line {line}" + (f", in {function}" if function != "<module>" else "")
    with contextlib.suppress(OSError, IndexError):
        failure.code = answer.read_text(errors="replace").splitlines()[line - 1].strip()


def steps(node: pytest.Item | pytest.Collector, error: BaseException) -> list[str]:
    """Returns the lines of a test up to the one that failed, without the sentence in it."""
    function = getattr(node, "function", None)
    trace = error.__traceback__
    while trace is not None and function is not None:
        if trace.tb_frame.f_code is function.__code__:
            break
        trace = trace.tb_next
    if trace is None or function is None:
        return []
    lines = Path(function.__code__.co_filename).read_text().splitlines()
    tree = ast.parse("\n".join(lines))
    statements = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.stmt)
        and each.lineno <= trace.tb_lineno <= (each.end_lineno or each.lineno)
    ]
    test = next(each for each in statements if isinstance(each, ast.FunctionDef))
    failed = statements[-1]  # the innermost
    shown = lines[test.body[0].lineno - 1 : failed.lineno - 1]
    if isinstance(failed, ast.Assert):
        shown.append(" " * failed.col_offset + f"assert {ast.unparse(failed.test)}")
    elif "pytest.fail" not in lines[failed.lineno - 1]:
        shown += lines[failed.lineno - 1 : failed.end_lineno]
    shown = textwrap.dedent("\n".join(shown)).splitlines()
    return shown if len(shown) <= 16 else ["...", *shown[-15:]]


# How it looks


def as_words(test: str) -> str:
    """Makes words of a test's name: `test_exercise.py::test_it_runs[0]` is "it runs (0)"."""
    name, _, argument = test.partition("::")[2].partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words} ({argument[:-1]})" if argument else words


def indented(text: str, first: str = "    ", rest: str = "    ") -> str:
    lines = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, 92, initial_indent=first, subsequent_indent=rest)
    return "\n".join(lines)


def short(path: Path) -> str:
    """Returns a path as one would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("../..") else relative


def command(number: int | None) -> str:
    """Returns what one types to check the same again."""
    program = f"python {short(Path(__file__).resolve())}"
    return program if number is None else f"{program} {number}"


def show_briefly(text: str) -> None:
    """Shows a line that the next one replaces; only on a terminal."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def _style(code: int) -> Callable[[str], str]:
    def styled(text: str) -> str:
        colourful = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        if not (text and colourful) or os.environ.get("TERM") == "dumb":
            return text
        return f"\033[{code}m{text}\033[0m"

    return styled


bold, dim, red, green, yellow = map(_style, (1, 2, 31, 32, 33))


if __name__ == "__main__":
    sys.exit(main())
