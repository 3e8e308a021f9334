"""The exercises tell right from nearly right: each candidate answer, judged by the checker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "docs"))
sys.path.insert(0, str(ROOT / "docs" / "exercises"))

import check
import hooks
import judging

EXERCISES = check.HERE
TRACK = check.track()
SOLUTIONS = EXERCISES / "solutions"
WRONG = {exercise: check.wrong_answers(exercise) for exercise in TRACK}

each_exercise = pytest.mark.parametrize("exercise", TRACK, ids=lambda exercise: exercise.name)
slow = pytest.mark.slow

Judge = Callable[[judging.Exercise, Path], judging.Outcome]


@pytest.fixture(scope="module")
def wrong_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has each wrong answer as a file."""
    folder = tmp_path_factory.mktemp("wrong")
    for exercise in TRACK:
        solution = exercise.answer(SOLUTIONS).read_text()
        (folder / exercise.name).mkdir()
        for wrong in WRONG[exercise]:
            file = folder / exercise.name / f"{wrong.name}.py"
            file.write_text(wrong.applied_to(solution))
    return folder


@pytest.fixture(scope="module")
def judge(wrong_folder: Path) -> Iterator[Judge]:
    """Has the checker judge an answer. It begins with all of them at once."""
    pool = ThreadPoolExecutor(2 * (os.cpu_count() or 1))  # since some of them wait
    found = {}
    for exercise in TRACK:
        right = [exercise.answer(EXERCISES), exercise.answer(SOLUTIONS)]
        for answer in [*right, *(wrong_folder / exercise.name).iterdir()]:
            found[answer] = pool.submit(judging.check, exercise, answer, limit=90)

    def judge(exercise: judging.Exercise, answer: Path) -> judging.Outcome:
        outcome = found[answer].result()
        if outcome.out_of_reach:
            pytest.skip(outcome.not_checked[0])
        return outcome

    yield judge
    pool.shutdown(cancel_futures=True)


# What a student reads


def test_the_track_is_numbered_without_a_gap_and_has_a_solution_for_each_number() -> None:
    names = [exercise.name for exercise in TRACK]
    numbers = [(exercise.number, int(exercise.name[:2])) for exercise in TRACK]
    first = TRACK[0].number
    assert numbers == [(number, number) for number in range(first, first + len(TRACK))]
    assert sorted(each.name for each in SOLUTIONS.iterdir() if each.is_dir()) == names
    assert all((SOLUTIONS / name / "README.md").is_file() for name in names)


@each_exercise
def test_a_readme_and_the_overview_have_what_a_student_looks_for(
    exercise: judging.Exercise,
) -> None:
    text = (exercise.tests.parent / "README.md").read_text()
    assert text.startswith(f"# {exercise.number}. ")
    [minutes] = re.findall(r"^Time: (\d+) minutes?$", text, re.MULTILINE)
    assert int(minutes) <= 40
    row = rf"^\| `{exercise.name}` \| .+ \| {minutes} \|$"
    assert re.search(row, (EXERCISES / "README.md").read_text(), re.MULTILINE)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [each for each in headings if each in ("Your task", "Run")] == ["Your task", "Run"]
    assert f"python docs/exercises/check.py {exercise.number}\n" in text
    hints = re.findall(r"<details><summary>Hint (\d+)</summary>", text)
    assert [int(number) for number in hints] == list(range(1, len(hints) + 1))
    assert hints
    assert text.count("<details>") == text.count("</details>") == len(hints)


@each_exercise
def test_the_page_for_the_teacher_has_every_exercise_with_its_mistakes(
    exercise: judging.Exercise,
) -> None:
    page = (EXERCISES.parent / "teaching.md").read_text()
    heading = (exercise.tests.parent / "README.md").read_text().partition("\n")[0]
    section = page.partition(f"##{heading}\n")[2].partition("\n### ")[0]
    assert f"*{exercise.minutes}.*" in section
    page_of_the_site = SimpleNamespace(file=SimpleNamespace(src_uri="teaching.md"))
    config = SimpleNamespace(repo_url="")
    shown = hooks.on_page_markdown(section, page_of_the_site, config, None)
    assert all(f"- {wrong.mistake} *{wrong.ask}*" in shown for wrong in WRONG[exercise])
    assert len(WRONG[exercise]) >= 3


@pytest.mark.parametrize(
    "folder", [path.parent for path in sorted(EXERCISES.glob("*/suspect.py"))], ids=lambda p: p.name
)
def test_a_suspect_and_what_is_right_pass_the_test_that_the_page_shows(folder: Path) -> None:
    [code] = re.findall(
        r"```python\n(.*?^def test_.+?)```", (folder / "README.md").read_text(), re.M | re.DOTALL
    )
    program = (
        f"{code}\nimport relatives, suspect\n"
        "test = next(value for name, value in list(globals().items()) if name[:5] == 'test_')\n"
        "for each in suspect.__dict__[test.__code__.co_varnames[0]], relatives.Right, "
        "relatives.RightInItsOwnWay:\n    test(each)\nprint('passed')\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{EXERCISES}"}
    command = [sys.executable, "-B", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "passed\n", done.stderr


def test_only_the_first_failure_is_shown_as_on_the_page(tmp_path: Path) -> None:
    copied = tmp_path / "docs" / "exercises"
    shutil.copytree(EXERCISES, copied, ignore=shutil.ignore_patterns("solutions", ".*"))
    [exercise] = [each for each in TRACK if each.number == 1]
    [forgets] = [wrong for wrong in WRONG[exercise] if wrong.name == "forgets"]
    answer = forgets.applied_to(exercise.answer(SOLUTIONS).read_text())
    exercise.answer(copied).write_text(answer)
    command = [sys.executable, "docs/exercises/check.py", "1"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert shown.stdout == (SOLUTIONS / exercise.name / "wrong_forgets.txt").read_text()


# What the checker says


@slow
@each_exercise
def test_a_starter_fails_at_its_first_gap(judge: Judge, exercise: judging.Exercise) -> None:
    outcome = judge(exercise, exercise.answer(EXERCISES))
    assert outcome.failure is not None
    assert outcome.failure.is_gap, outcome.failure
    assert outcome.points == 0
    assert not outcome.begun


@slow
@each_exercise
def test_a_solution_passes(judge: Judge, exercise: judging.Exercise) -> None:
    outcome = judge(exercise, exercise.answer(SOLUTIONS))
    assert outcome.failure is None
    assert outcome.not_checked == []
    assert outcome.passed == outcome.tests > 0
    assert outcome.points == judging.POINTS


@slow
@pytest.mark.parametrize(
    ("exercise", "wrong"),
    [
        pytest.param(exercise, wrong, id=f"{exercise.name}-{wrong.name}")
        for exercise in TRACK
        for wrong in WRONG[exercise]
    ],
)
def test_a_wrong_answer_fails_with_the_failure_meant_for_it(
    judge: Judge, wrong_folder: Path, exercise: judging.Exercise, wrong: check.WrongAnswer
) -> None:
    assert len(wrong.fails) > 10
    outcome = judge(exercise, wrong_folder / exercise.name / f"{wrong.name}.py")
    assert outcome.failure is not None, "this wrong answer passes"
    assert wrong.fails in outcome.failure.sentence
    assert outcome.points == 0


@slow
@pytest.mark.parametrize("folder", [EXERCISES, SOLUTIONS], ids=["starters", "solutions"])
def test_mypy_finds_the_types_complete(folder: Path, tmp_path: Path) -> None:
    # Side by side and each with a name of its own, so that mypy has to start only once.
    shutil.copy(EXERCISES / "stepping.py", tmp_path)
    for exercise in TRACK:
        shutil.copy(exercise.answer(folder), tmp_path / f"exercise_{exercise.name}.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "Success" in done.stdout, done.stdout + done.stderr
