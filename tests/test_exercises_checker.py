"""The checker of the exercises: it shows the way, and no answer can harm it or another one."""

from __future__ import annotations

import ast
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest
from support import ROOT, eventually, is_running, needs_proc

sys.path.insert(0, str(ROOT / "docs" / "exercises"))

import check
import judging

LAZY, PICKLE = (each for each in check.track() if each.number in (1, 5))
SOLUTIONS = check.HERE / "solutions"
SOLUTION = LAZY.answer(SOLUTIONS).read_text()
[NO_LOCK] = [wrong for wrong in check.wrong_answers(LAZY) if wrong.name == "no_lock"]

slow = pytest.mark.slow


def in_resolve(statement: str) -> str:
    """Returns the solution of exercise 1, with a statement before all others of `resolve`."""
    head = '        """Returns the value, after making it if it is not there yet."""\n'
    assert head in SOLUTION
    return SOLUTION.replace(head, f"{head}        {statement}\n")


def at_the_top(statement: str) -> str:
    """Returns the solution of exercise 1, with a statement before all others."""
    return f"{statement}\n{SOLUTION}"


def outcome_of(text: str, folder: Path, limit: float = 90) -> judging.Outcome:
    """Checks an answer to exercise 1, with a limit in seconds for one test."""
    answer = folder / "answer.py"
    answer.write_text(text)
    return judging.check(LAZY, answer, limit=limit)


def failure_of(text: str, folder: Path, limit: float = 90) -> judging.Failure:
    failure = outcome_of(text, folder, limit).failure
    assert failure is not None
    return failure


# What answers may do to it

IN_A_PROCESS = "subprocess.run([sys.executable, '-c', 'import proxy' + 'future'], check=True)"


@slow
@pytest.mark.parametrize(
    ("place", "statement", "said"),
    [
        (in_resolve, "import sys; sys.exit()", "sys.exit() was called"),
        (in_resolve, "import os; os._exit(0)", "The whole Python process ended here, with exit"),
        (in_resolve, "import os; os.killpg(0, 9)", "ended here, by the signal SIGKILL"),
        (in_resolve, "import ctypes; ctypes.string_at(0)", "ended here, by the signal SIGSEGV"),
        (in_resolve, "1 / 0", "ZeroDivisionError: division by zero"),
        (in_resolve, "input()", "reading from stdin"),
        (in_resolve, "x = []\n        while True: x.append(bytes(10**8))", "MemoryError"),
        (in_resolve, "raise KeyboardInterrupt", "The tests were interrupted."),
        (in_resolve, "print('x' * 10**8)", "More than 32 megabytes were printed"),
        (in_resolve, "import pytest; pytest.skip()", "The answer skips the test"),
        (at_the_top, "import pytest; pytest.skip(allow_module_level=True)", "The answer skips"),
        (at_the_top, "import helper", "An answer must not import helper: it is a single file."),
        # Where the project is installed, as for these tests, these imports would succeed.
        (at_the_top, "import proxyfuture", "must not import proxyfuture: the exercises are about"),
        (at_the_top, "import os, connectors as c", "must not import connectors"),
        (at_the_top, "from connectors import *", "must not import connectors"),
        (at_the_top, "import importlib; importlib.import_module('proxyfuture')", "must not import"),
        (in_resolve, "if False: import proxyfuture", "must not import proxyfuture"),
        (in_resolve, "exec('import ' + 'proxy' + 'future')", "must not import proxyfuture"),
        (in_resolve, f"import subprocess, sys; {IN_A_PROCESS}", "CalledProcessError"),
        (at_the_top, "#\0", "there is a NUL byte in it"),
        (at_the_top, "import sys; sys.exit()", "sys.exit() was called"),
        (at_the_top, "import os; os._exit(0)", "The whole Python process ended here, with exit"),
        (at_the_top, "def broken(:", "Python cannot read the file: invalid syntax."),
        (at_the_top, "1 / 0", "The file cannot be imported. ZeroDivisionError: division by zero"),
        (at_the_top, "import os; os.closerange(3, 100)", "The whole Python process ended here"),
    ],
)
def test_an_answer_that_breaks_off_is_reported(
    place: Callable[[str], str], statement: str, said: str, tmp_path: Path
) -> None:
    assert said in failure_of(place(statement), tmp_path).sentence


@slow
@pytest.mark.parametrize("statement", ["while True: pass", "with self._lock: self._lock.acquire()"])
def test_an_answer_that_never_ends_is_reported_with_its_line(
    statement: str, tmp_path: Path
) -> None:
    answer = in_resolve(statement)
    found = failure_of(answer, tmp_path, limit=4)
    assert "Endless loop or deadlock: this did not end within" in found.sentence
    assert found.test == "resolve returns what the factory makes"
    line = answer.splitlines().index(f"        {statement}") + 1
    assert (found.place, found.code) == (f"line {line}, in resolve", statement)


@slow
def test_an_answer_that_stops_its_process_is_reported(tmp_path: Path) -> None:
    # Nobody inside can do anything any more.
    answer = at_the_top("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    said = failure_of(answer, tmp_path, limit=1).sentence
    assert "this did not end within 4 seconds for all tests together" in said


@slow
@pytest.mark.parametrize(
    "statement",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()",
        "import atexit, time; atexit.register(time.sleep, 1000)",
        "import os; os.fork()",
        "import os; os.chdir('/')",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ],
)
def test_what_a_right_answer_leaves_running_does_not_hold_it_up(
    statement: str, tmp_path: Path
) -> None:
    outcome = outcome_of(at_the_top(statement), tmp_path)
    assert outcome.failure is None
    assert outcome.passed == outcome.tests > 0


@slow
@needs_proc
@pytest.mark.parametrize(
    "options", ["", ", start_new_session=True", ", start_new_session=True, env={}"]
)
def test_processes_that_an_answer_started_end_with_the_check(options: str, tmp_path: Path) -> None:
    note = tmp_path / "process"
    left = f"import subprocess; p = subprocess.Popen(['/bin/sleep', '1000']{options})"
    answer = at_the_top(f"{left}; open({str(note)!r}, 'w').write(str(p.pid))")
    assert outcome_of(answer, tmp_path).done
    assert eventually(lambda: not is_running(int(note.read_text())))


@slow
def test_what_an_answer_prints_is_shown_to_its_author(tmp_path: Path) -> None:
    answer = in_resolve("print('the value is', self._value); return 'nonsense'")
    [printed] = failure_of(answer, tmp_path).printed
    assert printed.startswith("the value is <object object at")


def test_nothing_is_left_in_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    left = "open('a file', 'w'); import tempfile; tempfile.mkdtemp(); 1 / 0"
    assert failure_of(at_the_top(left), tmp_path)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [lambda file: None, os.mkdir, os.mkfifo, lambda file: file.write_bytes(bytes(2_000_000))],
    ids=["missing", "folder", "pipe", "enormous"],
)
def test_what_is_no_file_with_an_answer_is_reported(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "exercise.py")
    failure = judging.check(LAZY, tmp_path / "exercise.py").failure
    assert failure is not None
    assert "There is no file" in failure.sentence


# What a student sees


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a student's own, in which the track has only exercises 1 and 5."""
    folder = tmp_path / "work"
    run(check.HERE / "check.py", "--start", folder)
    (folder / ".progress.json").unlink()  # as where nobody knows the clone, and its solutions
    for each in check.track():
        if each not in (LAZY, PICKLE):
            shutil.rmtree(folder / each.name)
    return folder


def run(*arguments: object, code: int = 0) -> str:
    """Runs a program that ends with an exit code, and returns what it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


def solve(folder: Path, *exercises: judging.Exercise) -> None:
    for exercise in exercises:
        shutil.copy(exercise.answer(SOLUTIONS), exercise.answer(folder))


def test_without_arguments_it_shows_the_track_and_where_to_begin(folder: Path) -> None:
    shown = run(folder / "check.py", code=1)
    assert "▸  1  A lazy value" in shown
    assert "·  5  Pickle the recipe" in shown
    assert "0 of 2 done" in shown
    assert "The next gap to fill: line 17, in __init__." in shown
    assert "01_lazy_value/README.md" in shown
    assert "check.py\n" in shown


def test_the_next_gap_is_named_before_anything_can_pass(folder: Path) -> None:
    answer = PICKLE.answer(folder)
    gap = '"""Returns what makes this proxy again: a function, and a tuple of its arguments."""'
    head, _, rest = answer.read_text().partition(gap)
    filled = rest.replace("raise NotImplementedError", "return Proxy, (self._lazy.factory,)", 1)
    answer.write_text(head + gap + filled)
    shown = run(folder / "check.py", 5, code=1)
    place = re.search(r"The next gap to fill: line (\d+), in __init__\.", shown)
    assert place is not None
    assert "NotImplementedError" in answer.read_text().splitlines()[int(place[1]) - 1]
    assert "check.py 5\n" in shown


@slow
def test_the_score_of_the_first_predictions_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    run(check.HERE / "check.py", "--start", folder)
    [predicting] = [each for each in check.track() if each.number == 2]
    right = predicting.answer(SOLUTIONS).read_text()
    wrong = right.replace('"len(proxy)": False', '"len(proxy)": True')
    assert wrong != right
    for text, code in (wrong, 1), (right, 0):
        predicting.answer(folder).write_text(text)
        shown = run(folder / "check.py", 2, code=code)
        assert "At your first try, 9 of 10 predictions were right." in shown


def test_what_is_done_is_ticked_until_it_is_changed(folder: Path) -> None:
    solve(folder, LAZY)
    shown = run(folder / "check.py", code=1)
    assert "✓  1  A lazy value" in shown
    assert "▸  5  Pickle the recipe" in shown
    assert "1 of 2 done" in shown
    assert re.search(r"1\. A lazy value: all \d+ tests pass", shown)
    solve(folder, PICKLE)
    run(folder / "check.py")
    answer = LAZY.answer(folder)
    answer.write_text(answer.read_text().replace("if not self.is_resolved():", "if True:"))
    shown = run(folder / "check.py", code=1)
    assert "▸  1  A lazy value" in shown
    assert "the factory ran 3 times for 3 uses; it must run once" in shown


@slow
def test_who_is_done_sees_three_mistakes_of_others_and_the_tests_that_find_them(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "work"
    run(check.HERE / "check.py", "--start", folder)
    solve(folder, LAZY)
    shown = run(folder / "check.py", 1)
    assert f"solutions/{LAZY.name}\n" in shown
    tests = (folder / LAZY.name / "test_exercise.py").read_text()
    found = re.findall(r"✗ ([\w ]*\w)", shown)
    assert len(found) == 3
    assert all(f"def test_{name.replace(' ', '_')}(" in tests for name in found)


@slow
def test_an_exercise_that_cannot_be_checked_here_holds_nobody_up(folder: Path) -> None:
    skipping = "import pytest\npytest.skip('this needs a server', allow_module_level=True)\n"
    (LAZY.answer(folder).parent / "test_exercise.py").write_text(skipping)
    shown = run(folder / "check.py", code=1)
    assert "? 1. A lazy value: not checked.\n    this needs a server\n" in shown
    assert "▸  5  Pickle the recipe" in shown
    solve(folder, PICKLE)
    assert re.search(r"^  work +\?    10 +10$", run(folder / "check.py", "--report"), re.M)


def test_without_pytest_it_says_how_to_get_it(folder: Path) -> None:
    shown = run("-S", folder / "check.py", code=2)
    assert "-m venv .venv\n    .venv/bin/python -m pip install pytest\n" in shown


def test_an_old_python_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for program in "check.py", "judging.py":
        ast.parse((check.HERE / program).read_text(), feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit, match=r"^The exercises need Python 3\.11 or later"):
        check.main()


@slow
def test_it_works_where_python_lacks_what_windows_has_not(folder: Path, tmp_path: Path) -> None:
    solve(folder, LAZY)
    windows = tmp_path / "windows.py"
    windows.write_text(WITHOUT_UNIX)
    launcher = tmp_path / "python"  # for the process in which the answer is checked
    launcher.write_text(LAUNCHER.format(python=sys.executable, windows=windows))
    launcher.chmod(0o700)
    shown = run(windows, folder / "check.py", code=1)
    assert re.search(r"1\. A lazy value: all \d+ tests pass", shown)


# It takes names away, and runs another program in the same process.
WITHOUT_UNIX = """
import os, runpy, signal, sys
class NoResource:
    def find_spec(self, name, *_):
        if name == "resource":
            raise ModuleNotFoundError("No module named 'resource'", name=name)
sys.modules.pop("resource", None)
sys.meta_path.insert(0, NoResource())
sys.executable = os.path.join(os.path.dirname(__file__), "python")
del os.killpg, os.setsid, os.fork, signal.SIGKILL
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""

LAUNCHER = """#!/bin/sh
case "$1" in
    *judging.py) exec "{python}" "{windows}" "$@" ;;
    *) exec "{python}" "$@" ;;
esac
"""


@slow
def test_watching_checks_again_when_an_answer_is_saved(folder: Path) -> None:
    command = [sys.executable, str(folder / "check.py"), "--watch", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:

        def shown() -> str:
            assert watching.stdout is not None
            return "".join(takewhile(lambda line: "Watching" not in line, watching.stdout))

        try:
            assert "The next gap to fill" in shown()
            solve(folder, LAZY)
            assert re.search(r"all \d+ tests pass", shown())
            watching.send_signal(signal.SIGINT)
            assert watching.wait(30) == 0
        finally:
            watching.kill()


def test_a_folder_to_start_with_is_complete_and_has_no_solutions(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    run(check.HERE / "check.py", "--start", folder)
    assert not (folder / "solutions").exists()
    assert not list(folder.rglob("wrong_*"))
    assert (folder / "stepping.py").exists()
    for page in folder.rglob("README.md"):
        named = re.findall(r"^python (\S+)", page.read_text(), re.MULTILINE)
        assert all((folder / path).exists() for path in named if not path.startswith("-"))
        assert "docs/" not in page.read_text().replace(".io/docs/", "")
    assert "Two things have to be remembered" not in (folder / LAZY.name / "README.md").read_text()


def test_hints_come_one_at_a_time(folder: Path) -> None:
    first, second, third, again = (run(folder / "check.py", "hint", 1) for _ in range(4))
    assert "hint 1 of 3\n\n  Two things have to be remembered" in first
    assert "hint 2 of 3" in second
    assert "hint 3 of 3" in third
    assert again == first


def test_a_reset_gives_the_starter_back_and_keeps_the_answer(folder: Path) -> None:
    starter = LAZY.answer(folder).read_text()
    for _ in range(2):
        solve(folder, LAZY)
        run(folder / "check.py", "reset", 1)
        assert LAZY.answer(folder).read_text() == starter
    kept = sorted(LAZY.answer(folder).parent.glob("exercise_*.py"))
    assert [each.read_text() for each in kept] == [SOLUTION, SOLUTION]


def test_paths_with_a_blank_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "my work"
    assert f'python "{folder}/check.py"' in run(check.HERE / "check.py", "--start", folder)
    shown = run(folder / "check.py", "1", code=1)
    assert re.search(r'write  "\S*/my work/01_lazy_value/exercise\.py"', shown)  # as seen from here


def test_starting_again_keeps_the_answers(folder: Path) -> None:
    solve(folder, LAZY)
    (LAZY.answer(folder).parent / "README.md").unlink()
    assert "2 answers that were in" in run(check.HERE / "check.py", "--start", folder)
    assert LAZY.answer(folder).read_text() == SOLUTION
    assert (LAZY.answer(folder).parent / "README.md").exists()


def test_filled_starters_are_not_handed_out(folder: Path, tmp_path: Path) -> None:
    solve(folder, LAZY)
    shown = run(folder / "check.py", "--start", tmp_path / "another", code=2)
    assert "01_lazy_value/exercise.py is no starter any more: its gaps are filled." in shown
    assert not (tmp_path / "another").exists()


# What a teacher sees


@slow
def test_a_report_has_the_points_of_everybody_whatever_one_of_them_did(
    folder: Path, tmp_path: Path
) -> None:
    right = SOLUTION, PICKLE.answer(SOLUTIONS).read_text()
    answers = {
        "anna": right,
        "bert": (in_resolve("while True: pass"), None),
        "carla": (in_resolve("import os; os._exit(0)"), "import proxyfuture\n"),
        "dora": (LAZY.answer(check.HERE).read_text(), PICKLE.answer(check.HERE).read_text()),
        "emil": (NO_LOCK.applied_to(SOLUTION), "assert 0, object()"),
        "fred": (SOLUTION, "assert 0, object()  # nearly the same"),
        "zoe/docs/exercises": right,  # a whole clone
        "yves/my folder": right,
    }
    students = tmp_path / "students"
    for name, texts in answers.items():
        for exercise, text in zip((LAZY, PICKLE), texts, strict=True):
            if text is not None:
                answer = exercise.answer(students / name)
                answer.parent.mkdir(parents=True)
                answer.write_text(text)
    # The tests of a student do not count.
    (students / "emil" / LAZY.name / "test_exercise.py").write_text("def test_all(): pass\n")

    (students / "link").symlink_to(students / "anna")

    table = tmp_path / "points.csv"
    options = "--csv", table, "--limit", 15
    shown = run(folder / "check.py", "--report", *sorted(students.iterdir()), *options)
    points = dict(re.findall(r"^  (\w+) +(\S+ +\S+ +\d+)$", shown, re.MULTILINE))
    [(before, tests)] = re.findall(r"emil +(\d+)/(\d+)", shown)
    assert {name: row.split() for name, row in points.items()} == {
        "anna": ["10", "10", "20"],
        "bert": [f"1/{tests}", "!", "0"],
        "carla": [f"1/{tests}", "!", "0"],
        "dora": ["·", "·", "0"],
        "emil": [f"{before}/{tests}", "!", "0"],
        "fred": ["10", "!", "10"],
        "link": ["10", "10", "20"],
        "yves": ["10", "10", "20"],
        "zoe": ["10", "10", "20"],
    }
    notes = re.sub(r"\s+", " ", shown)
    assert re.search(r"1 Endless loop or deadlock: [^✗]*? bert 1 The whole", notes)
    assert "5 There is no file exercise.py to check. bert " in notes
    assert "cannot be imported. <object object> emil, fred" in notes, "each note once"
    assert "5 An answer must not import proxyfuture" in notes
    assert NO_LOCK.fails in notes

    with table.open(newline="") as file:
        rows = {row["folder"]: row for row in csv.DictReader(file)}
    assert {name: row["points"] for name, row in rows.items()} == {
        name: row.split()[-1] for name, row in points.items()
    }
    assert (rows["anna"]["01_lazy_value"], rows["anna"]["remarks"]) == ("10", "")
    assert f"1 ({before}/{tests}): " in rows["emil"]["remarks"]


def test_a_report_that_cannot_be_made_is_refused_before_the_work(folder: Path) -> None:
    shown = run(folder / "check.py", "--report", "--csv", folder, code=2)
    assert "The points cannot be written: " in shown
    shown = run(folder / "check.py", "--report", folder / "nobody", code=2)
    assert "nobody is not a folder." in shown
