"""Checks the exercises, and shows the way through them.

    python docs/exercises/check.py                the track, and what to mend next
    python docs/exercises/check.py 8              one exercise
    python docs/exercises/check.py hint 8         a hint for it, and another one the next time
    python docs/exercises/check.py reset 8        its starter again; your answer is kept beside it
    python docs/exercises/check.py --watch        again, whenever an answer is saved
    python docs/exercises/check.py --start ~/work copies everything into a folder of your own

For a teacher, one folder or those of a whole class:

    python docs/exercises/check.py --report students/* --csv points.csv

An exercise gives ten points when all its tests pass, and none before: most tests are there for one
mistake each, so an answer with a mistake passes nearly all of them, and is wrong all the same.

It needs Python 3.11 or later and pytest, and no network. Each answer is checked in a process of its
own, with limits: one that never ends, or takes its whole process down, harms no other.
"""

from __future__ import annotations  # older ones than Python 3.7 stop here: 3.11 is needed

import argparse
import contextlib
import csv
import hashlib
import importlib.util
import io
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from judging import LIMIT, POINTS, Exercise, Failure, Outcome, check, in_parallel, is_readable

HERE = Path(__file__).resolve().parent


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


def main() -> int:
    """Runs the command line, and returns the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036  # a student's Python may be
        sys.exit(f"The exercises need Python 3.11 or later; this is {sys.version.split()[0]}.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for a terminal without our few signs
    warnings.simplefilter("ignore")  # those of the answers, which are read here
    if os.name == "nt":
        os.system("")  # has its console understand colours
    exercises = track()
    verb, exercise, options = command_line(exercises)
    try:
        if options.start:
            return start(Path(options.start))
        if exercise is not None and verb == "hint":
            return hint(exercise)
        if exercise is not None and verb == "reset":
            return reset(exercise)
        if importlib.util.find_spec("pytest") is None:
            scripts = ".venv\\Scripts\\" if os.name == "nt" else ".venv/bin/"
            print("The checks need pytest, which this Python does not have. Two lines bring it:\n")
            print(
                f"    {sys.executable} -m venv .venv\n    {scripts}python -m pip install pytest\n"
            )
            print(f"Then: {scripts}{command('')}")
            return 2
        if options.report is not None:
            return report([Path(each) for each in options.report or [HERE]], options)
        return (watch if options.watch else show)(exercise, options.limit)
    except KeyboardInterrupt:
        print()
        return 130


def command_line(exercises: list[Exercise]) -> tuple[str, Exercise | None, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        description="Checks the exercises, and shows the way through them.",
        usage="check.py [[hint | reset] NUMBER] [options]",
        epilog="Without arguments: the whole track, and what to mend in the next exercise.",
    )
    add = parser.add_argument
    add("words", nargs="*", metavar="NUMBER", help="this exercise; before it: hint, or reset")
    add("--watch", action="store_true", help="check again whenever an answer is saved")
    add("--start", metavar="FOLDER", help="copy the exercises into a folder of your own")
    add("--report", metavar="FOLDER", nargs="*", help="points for each folder of answers")
    add("--csv", metavar="FILE", type=Path, help="with --report: write the points there, too")
    add("--limit", metavar="SECONDS", type=float, default=LIMIT, help="for one test")
    options = parser.parse_args()
    verb = options.words.pop(0) if options.words[:1] in (["hint"], ["reset"]) else ""
    found = [each for each in exercises if options.words == [str(each.number)]]
    if not found and (verb or options.words):
        first, last = exercises[0].number, exercises[-1].number
        words = " ".join([verb, *options.words]).strip()
        parser.error(f"{words}? It takes the number of an exercise, from {first} to {last}.")
    if options.csv and options.report is None:
        parser.error("--csv goes with --report.")
    if not options.limit > 0:
        parser.error("--limit must be more than 0 seconds.")
    return verb, found[0] if found else None, options


# For a student: the track, and the first thing that does not hold yet


def show(chosen: Exercise | None, limit: float) -> int:
    """Checks one exercise, or goes on through the track until something is left to do."""
    exercises = track() if chosen is None else [chosen]
    passed: list[tuple[Exercise, Outcome]] = []
    out_of_reach: list[tuple[Exercise, Outcome]] = []
    current: Exercise | None = None
    outcome = Outcome()
    for exercise in exercises:
        if chosen is None and is_done(exercise):
            continue
        show_briefly(f"checking {exercise.number}. {exercise.title} ...")
        outcome = check(exercise, exercise.answer(HERE), limit=limit)
        show_briefly("")
        if outcome.first_try and exercise.name not in remembered("first try"):
            remember("first try", exercise, outcome.first_try)
        if not outcome.done and not outcome.out_of_reach:
            current = exercise
            break
        (passed if outcome.done else out_of_reach).append((exercise, outcome))
        if outcome.done:
            remember("done", exercise, fingerprint(exercise))
    if chosen is None:
        show_track(exercises, current)
    for exercise, success in passed:
        show_success(exercise, success)
    if len(passed) == 1:
        show_mistakes_of_others(passed[0][0], limit)
    for exercise, skipped in out_of_reach:
        print(f"{yellow('?')} {bold(f'{exercise.number}. {exercise.title}')}: not checked.")
        print(indented(skipped.not_checked[0]) + "\n")
    if current is not None:
        show_failure(current, outcome, command("" if chosen is None else str(current.number)))
    elif chosen is None and not out_of_reach:
        print("All exercises are done. You have built proxy futures, piece by piece.\n")
    return 1 if current else 0


def watch(chosen: Exercise | None, limit: float) -> int:
    """Shows it again whenever an answer is saved, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            seen = [fingerprint(each) for each in track()]
            if sys.stdout.isatty():
                print("\033[2J\033[3J\033[H", end="")
            show(chosen, limit)
            print(dim("Watching. Save an answer to check again; Ctrl-C ends it."), flush=True)
            while seen == [fingerprint(each) for each in track()]:
                time.sleep(0.3)
    print()
    return 0


def show_track(exercises: list[Exercise], current: Exercise | None) -> None:
    print(bold("\nProxy futures, piece by piece\n"))
    width = max(len(exercise.title) for exercise in exercises)
    done = [each for each in exercises if is_done(each)]
    for exercise in exercises:
        line = f"{exercise.number:2}  {exercise.title:<{width}}   {exercise.minutes}"
        if exercise == current:
            print(f"  {yellow('▸')} {bold(line)}")
        else:
            print(f"  {green('✓')} {line}" if exercise in done else dim(f"  · {line}"))
    filled = round(len(done) / len(exercises) * 30)
    bar = green("━" * filled) + dim("━" * (30 - filled))
    print(f"\n    {bar}  {len(done)} of {len(exercises)} done\n")


def show_success(exercise: Exercise, outcome: Outcome) -> None:
    counted = f"all {outcome.passed} tests pass" if outcome.passed > 1 else "its test passes"
    print(f"{green('✓')} {bold(f'{exercise.number}. {exercise.title}')}: {counted}.")
    for reason in dict.fromkeys(outcome.not_checked):
        print(f"  {yellow('Not checked:')} {reason}")
    show_first_try(exercise)
    solution = solutions(exercise)
    if solution is not None:
        print(dim(f"  Another way to write it, and why so: {short(solution)}"))
    print()


def show_first_try(exercise: Exercise) -> None:
    """Prints how good the student's first predictions were, whatever became of them since."""
    if exercise.name in remembered("first try"):
        print(f"  {remembered('first try')[exercise.name]}")


def show_mistakes_of_others(exercise: Exercise, limit: float) -> None:
    """Prints three wrong answers, with the test that finds each of them."""
    folder = solutions(exercise)
    wrong = sorted(wrong_answers(exercise), key=lambda each: len("".join(each.changes)))
    wrong = random.Random(exercise.name).sample(wrong[:8], min(3, len(wrong)))  # short ones
    if folder is None or not wrong:
        return
    show_briefly("checking mistakes that others made ...")
    solution = (folder / "exercise.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch, f"{each.name}.py") for each in wrong]
        for each, file in zip(wrong, files, strict=True):
            file.write_text(each.applied_to(solution), encoding="utf-8")
        found = in_parallel(lambda file: check(exercise, file, limit=limit).failure, files)
    show_briefly("")
    print(bold("  Mistakes that others made, each with the test that finds it"))
    print("  (- is in the project's answer, + is what somebody wrote instead)\n")
    for each, failure in zip(wrong, found, strict=True):
        print(indented(f"{each.mistake} {each.ask}"))
        changed = "         ...\n".join(each.changes).splitlines()
        code = textwrap.dedent("\n".join(line[1:] for line in changed)).split("\n")
        for mark, line in zip((line[:1] or " " for line in changed), code, strict=True):
            style = {"-": red, "+": green}.get(mark, dim)
            print(f"    {dim('│')} {style(f'{mark} {line}')}")
        print(f"    {red('✗')} {failure.test if failure else 'none of them'}\n")


def show_failure(exercise: Exercise, outcome: Outcome, again: str) -> None:
    """Prints one failure: the sentence first, then where it comes from, then what to do."""
    failure = outcome.failure or Failure("")
    answer = exercise.answer(HERE)
    print(f"{yellow('▸')} {bold(f'{exercise.number}. {exercise.title}')}", end="")
    if not outcome.begun:
        print(f"\n\n{bold(indented(f'The next gap to fill: {failure.place}.'))}\n")
        print(f"    read   {short(exercise.tests.parent / 'README.md')}")
        print(f"    write  {short(answer)}")
        print(f"    run    {again}\n")
        return
    before = outcome.passed + len(outcome.not_checked)
    print(dim(f"   test {before + 1} of {outcome.tests}") if outcome.tests else "")
    show_first_try(exercise)
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
    print(dim(f"  Stuck? {command(f'hint {exercise.number}')}\n"))


def hint(exercise: Exercise) -> int:
    """Prints the next hint. After the last one it begins again."""
    pages = [exercise.tests.with_name(name) for name in (".hints.md", "README.md")]
    text = next(page for page in pages if page.is_file()).read_text(encoding="utf-8")
    hints = re.findall(r"<summary>Hint \d+</summary>\n(.+?)</details>", text, re.DOTALL)
    if not hints:
        print(f"There are no hints for {exercise.number}. {exercise.title}")
        return 0
    seen = int(remembered("hints").get(exercise.name, "0")) % len(hints)
    remember("hints", exercise, str(seen + 1))
    print(bold(f"\n  {exercise.title}, hint {seen + 1} of {len(hints)}"))
    print(textwrap.indent(hints[seen].rstrip(), "  ") + "\n")
    return 0


def reset(exercise: Exercise) -> int:
    """Gives the starter back, and keeps the answer under another name."""
    answer, starter = exercise.answer(HERE), exercise.tests.with_name(".starter.py")
    if starter.is_file():
        text = starter.read_bytes()
    else:  # in a clone
        committed = ["git", "show", f"HEAD:./{exercise.name}/exercise.py"]
        try:
            text = subprocess.run(committed, cwd=HERE, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            print(f"There is no starter here for {exercise.number}. {exercise.title}")
            return 2
    if answer.exists():
        names = (answer.with_name(f"exercise_{number}.py") for number in itertools.count(1))
        aside = next(each for each in names if not each.exists())
        answer.rename(aside)
        print(f"Your answer is now {short(aside)}")
    answer.write_bytes(text)
    print(f"The starter is {short(answer)}")
    return 0


def start(folder: Path) -> int:
    """Copies what a student needs into a folder. Answers that are there already stay."""
    for exercise in track():
        if "raise NotImplementedError" not in exercise.answer(HERE).read_text(encoding="utf-8"):
            print(f"{short(exercise.answer(HERE))} is no starter any more: its gaps are filled.")
            print(f"Get it back with {command(f'reset {exercise.number}')}")
            return 2
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"There can be no folder {folder}: {error}.")
        return 2
    for program in "check.py", "judging.py":
        shutil.copy(HERE / program, folder)
    (folder / "README.md").write_text(fitting(HERE / "README.md"), encoding="utf-8")
    kept = 0
    for exercise in track():
        target = folder / exercise.name
        target.mkdir(exist_ok=True)
        for file in exercise.given():
            shutil.copy(file, target if file.parent != HERE else folder)
        # The hints go where no editor shows them all at once.
        page, heading, hints = fitting(exercise.tests.with_name("README.md")).partition("## Hints")
        (target / ".hints.md").write_text(hints, encoding="utf-8")
        page += f"{heading}\n\n`python check.py hint {exercise.number}` shows one at a time.\n"
        (target / "README.md").write_text(page, encoding="utf-8")
        shutil.copy(exercise.answer(HERE), target / ".starter.py")
        if (target / "exercise.py").exists():
            kept += 1
        else:
            shutil.copy(exercise.answer(HERE), target / "exercise.py")
    if not (folder / ".progress.json").exists():
        (folder / ".progress.json").write_text(json.dumps({"clone": {"path": str(HERE)}}))
    if kept:
        print(f"{kept} answers that were in {folder} already are as they were.")
    print(f"Begin with {quoted(folder / 'README.md')}, and run")
    print(f"    python {quoted(folder / 'check.py')}")
    return 0


def fitting(page: Path) -> str:
    """Returns a page whose paths are those of a clone, with the paths of a folder of one's own."""
    return page.read_text(encoding="utf-8").replace("docs/exercises/", "")


# What is remembered from one run to the next: which answers passed, by what was in the files


def remembered(kind: str) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return dict(json.loads((HERE / ".progress.json").read_text()).get(kind, {}))
    return {}


def remember(kind: str, exercise: Exercise, value: str) -> None:
    kept = {each: remembered(each) for each in ("done", "hints", "clone", "first try")}
    kept[kind][exercise.name] = value
    with contextlib.suppress(OSError):  # a folder that one may only read
        (HERE / ".progress.json").write_text(json.dumps(kept, indent=1))


def is_done(exercise: Exercise) -> bool:
    return remembered("done").get(exercise.name, "") == fingerprint(exercise)


def fingerprint(exercise: Exercise) -> str:
    with contextlib.suppress(OSError):
        files = [*sorted(exercise.given()), exercise.answer(HERE)]
        return hashlib.sha256(b"\0".join(each.read_bytes() for each in files)).hexdigest()
    return "missing"


# Solutions, and the wrong answers beside them


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake that others made, as the difference to the solution."""

    name: str
    mistake: str
    ask: str  # the question that leads to it
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


def solutions(exercise: Exercise) -> Path | None:
    """Returns the folder with the solution: that of the clone, also for a folder of one's own."""
    clone = remembered("clone").get("path", "")
    folders = [root / "solutions" / exercise.name for root in (HERE, Path(clone))]
    return next((folder for folder in folders if folder.is_dir()), None)


def wrong_answers(exercise: Exercise) -> list[WrongAnswer]:
    """Returns the mistakes that are kept beside the solution of an exercise."""
    folder = solutions(exercise)
    page = folder / "wrong_answers.md" if folder else HERE / "no such page"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    form = (
        r"\A(\w+)\n\n(\S.+)\n\nAsk: (\S[^\n]+\?)\n\n"
        r"Fails: (?:`` (.+) ``|`([^`]+)`)\n\n```diff\n(.+)```\Z"
    )
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        parts = re.match(form, section.strip(), re.DOTALL)
        if parts is None:
            raise ValueError(f"{page}: this section has another form:\n{section}")
        name, mistake, ask, long, short, diff = parts.groups()
        changes = re.split(r"```\s+```diff\n", diff)
        found.append(WrongAnswer(name, mistake, ask, long or short, changes))
    return found


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
    names = [Path(os.path.abspath(folder)).name for folder in folders]  # also that of a link
    names = [str(f) if names.count(n) > 1 else n for f, n in zip(folders, names, strict=True)]

    # Answers that are the same byte for byte are checked once: the starters that nobody touched.
    places = [answers_in(folder, exercises) for folder in folders]
    keys = [[(each, content(each.answer(place))) for each in exercises] for place in places]
    files = {
        key: key[0].answer(place) for place, row in zip(places, keys, strict=True) for key in row
    }
    count = iter(range(1, len(files) + 1))

    def check_one(key: tuple[Exercise, bytes]) -> Outcome:
        outcome = check(key[0], files[key], limit=options.limit)
        show_briefly(f"checked {next(count)} of {len(files)} answers")
        return outcome

    outcomes = dict(zip(files, in_parallel(check_one, list(files)), strict=True))
    show_briefly("")
    table = {
        name: {key[0]: outcomes[key] for key in row} for name, row in zip(names, keys, strict=True)
    }
    print_report(exercises, table)
    if options.csv:
        write_csv(options.csv, exercises, table)
        print(f"The points are in {quoted(options.csv)} as well.")
    return 0


def answers_in(folder: Path, exercises: list[Exercise]) -> Path:
    """Returns where the answers are in what a student handed in: maybe a clone, or one deeper."""
    deeper = [
        each for form in ("docs/exercises", "*/", "*/docs/exercises") for each in folder.glob(form)
    ]
    for place in [folder, *sorted(deeper)]:
        if any((place / exercise.name).is_dir() for exercise in exercises):
            return place
    return folder


def content(answer: Path) -> bytes:
    """Returns a fingerprint of a file that may be missing, or be no file at all."""
    if is_readable(answer):
        with contextlib.suppress(OSError):
            return hashlib.sha256(answer.read_bytes()).digest()
    return os.fsencode(answer)


def print_report(exercises: list[Exercise], table: dict[str, dict[Exercise, Outcome]]) -> None:
    width = max(map(len, table))
    print(f"\n  {'':{width}}", *(bold(f"{each.number:5}") for each in exercises), bold("   total"))
    notes: dict[tuple[int, str], list[str]] = {}  # whom each of them concerns
    for name, outcomes in table.items():
        total = sum(outcome.points for outcome in outcomes.values())
        print(f"  {name:{width}}", *map(cell, outcomes.values()), f"{total:7}")
        for exercise, outcome in outcomes.items():
            notes.setdefault((exercise.number, remark(outcome)), []).append(name)
    print(f"\n  {POINTS} points for an exercise whose tests all pass. Without points:")
    print("  12/15 the first 12 of 15 tests pass   · a gap is open   ! there is nothing to test")
    print("  ? cannot be checked here\n")
    for (number, text), who in sorted(notes.items()):
        if not text:
            continue
        print(indented(f"{number:2}  {text}", "  ", "      "))
        print(dim(indented(", ".join(who), "      ", "      ")))
    print()


def cell(outcome: Outcome) -> str:
    if outcome.done:
        return green(f"{outcome.points:5}")
    if outcome.out_of_reach or not outcome.begun:
        return dim("    ?" if outcome.out_of_reach else "    ·")
    return yellow(f"{f'{outcome.passed}/{outcome.tests}':>5}") if outcome.tests else red("    !")


def remark(outcome: Outcome) -> str:
    """Returns what a teacher should read about an answer, if there is something."""
    notes = [f"not checked: {reason}" for reason in dict.fromkeys(outcome.not_checked)]
    if outcome.failure and outcome.begun:
        # Without addresses and random keys, so that the same mistake gets the same sentence.
        text = re.sub(r" at 0x[0-9a-f]+", "", outcome.failure.sentence)
        notes.insert(0, re.sub(r"\b[0-9a-f]{32}\b", "...", text))
    return " ".join("; ".join(notes).split())


def write_csv(
    file: Path, exercises: list[Exercise], table: dict[str, dict[Exercise, Outcome]]
) -> None:
    with file.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        writer = csv.writer(stream)
        writer.writerow(["folder", *(exercise.name for exercise in exercises), "points", "remarks"])
        for name, outcomes in table.items():
            points = [outcome.points for outcome in outcomes.values()]
            remarks = [
                f"{exercise.number} ({outcome.passed}/{outcome.tests}): {remark(outcome)}"
                for exercise, outcome in outcomes.items()
                if remark(outcome)
            ]
            writer.writerow([name, *points, sum(points), " | ".join(remarks)])


# How it looks


def indented(text: str, first: str = "    ", rest: str = "    ") -> str:
    lines = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, 92, initial_indent=first, subsequent_indent=rest)
    return "\n".join(lines)


def short(path: Path) -> str:
    """Returns a path as one would type it here."""
    with contextlib.suppress(ValueError):  # on another drive of Windows
        relative = os.path.relpath(path)
        return quoted(path if relative.startswith(os.path.join("..", "..")) else Path(relative))
    return quoted(path)


def quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def command(words: str) -> str:
    """Returns what one types to call this program."""
    return f"python {short(Path(__file__).resolve())} {words}".rstrip()


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
