"""The examples, run as a reader would run them: as programs, from a clone of the project."""

import ast
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

import foo_bar
from connectors import FileConnector, ManagerConnector
from proxyfuture import ProxyFuture, ProxyResolveError, Store

EXAMPLES = Path(foo_bar.__file__).parent

Machines = Sequence[ProcessPoolExecutor]

SOURCES = {
    "shapes.py": (
        "class Square:\n"
        "    def area(self): return side(self) * side(self)\n"
        "def side(square):\n"
        "    # Comments do not count: side(square)\n"
        "    return square.side\n"
        "def twice(): ...\n"
    ),
    "package/drawing.py": (
        "def draw(shape):\n"
        "    twice()\n"
        "    shape.draw(); print(side(shape))\n"
        "def twice(): ...\n"
        "draw(Square())\n"
        "draw(Square())\n"
        "def print(): ...\n"
    ),
}
# Not `twice`, which has two definitions, and not `print`, which could be the builtin.
EXPECTED = [
    (3, "side", 2, "shapes.py:3"),
    (2, "Square", 4, "shapes.py:1"),
    (2, "draw", 4, "package/drawing.py:1"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the two files above, and one that nobody can parse."""
    directory = tmp_path / "project"
    for name, source in SOURCES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(source)
    (directory / "broken.py").write_text("def broken(:\n")
    return directory


def run(*arguments: object, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
    )


def table(output: str) -> list[tuple[int, str, int, str]]:
    """Returns the rows of the table that foo_bar.py prints."""
    rows = re.findall(r"^ *(\d+)  (\w+) +(\d+)  (\S+:\d+)$", output, re.MULTILINE)
    return [(int(calls), name, int(lines), place) for calls, name, lines, place in rows]


def test_hello_prints_the_value() -> None:
    program = run(EXAMPLES / "hello.py")
    assert (program.stdout, program.stderr, program.returncode) == ("value\n", "", 0)


def test_client_prints_what_bar_made_of_the_data_of_foo() -> None:
    program = run(EXAMPLES / "client.py")
    assert (program.stderr, program.returncode) == ("", 0)
    assert program.stdout == "There are 17984 primes below 200000. Gauss estimated 18036.\n"


@pytest.mark.parametrize("example", ["hello.py", "client.py", "foo_bar.py"])
def test_an_example_finds_the_modules_from_any_directory(example: str, tmp_path: Path) -> None:
    # -I: neither the current directory nor PYTHONPATH can be what makes it work.
    arguments = [json.__path__[0]] if example == "foo_bar.py" else []
    program = run("-I", EXAMPLES / example, *arguments, directory=tmp_path)
    assert (program.stderr, program.returncode) == ("", 0)


@pytest.mark.parametrize("first", ["foo", "bar"])
@pytest.mark.parametrize("connector", ["file", "manager"])
@pytest.mark.parametrize("start_method", multiprocessing.get_all_start_methods())
def test_foo_bar_joins_the_calls_with_the_definitions(
    project: Path, start_method: str, connector: str, first: str
) -> None:
    options = "--start-method", start_method, "--connector", connector, "--first", first
    program = run(EXAMPLES / "foo_bar.py", *options, project)
    assert (program.stderr, program.returncode) == ("", 0)
    assert sorted(table(program.stdout)) == sorted(EXPECTED)


def test_foo_bar_agrees_with_the_syntax_tree_about_a_real_package() -> None:
    package = Path(json.__path__[0])
    trees = {file: ast.parse(file.read_bytes()) for file in package.rglob("*.py")}
    definitions = [
        (node.name, f"{file.relative_to(package)}:{node.lineno}")
        for file, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    names = Counter(name for name, _ in definitions)
    calls = Counter(
        node.func.id
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    expected = {(calls[name], name, at) for name, at in definitions if names[name] == 1}

    found = table(run(EXAMPLES / "foo_bar.py", package).stdout)

    assert [row[0] for row in found] == sorted(
        (row[0] for row in expected if row[0]), reverse=True
    )[:10]
    assert {(count, name, place) for count, name, _, place in found} <= expected


def test_foo_bar_counts_the_files_that_it_skipped(project: Path) -> None:
    assert "3 files, of which 1 do not parse." in run(EXAMPLES / "foo_bar.py", project).stdout


def test_foo_bar_draws_both_processes_in_80_columns_of_plain_characters(project: Path) -> None:
    output = run(EXAMPLES / "foo_bar.py", project).stdout
    assert output.isascii()
    assert max(map(len, output.splitlines())) <= 80
    assert re.search(r"^foo  *=*>+$", output, re.MULTILINE)
    assert re.search(r"^bar  *=*\.*#+$", output, re.MULTILINE)


def test_foo_bar_compares_its_time_with_the_ideal() -> None:
    output = run(EXAMPLES / "foo_bar.py", Path(json.__path__[0])).stdout
    match = re.search(
        r"together it took (.*) s,\n(.*) times the ideal, (.*) s\.$", output, re.I | re.M
    )
    assert match is not None
    took, ratio, ideal = map(float, match.groups())
    assert 0 < ideal <= took
    assert ratio == pytest.approx(took / ideal, rel=0.3)  # all three are rounded


def test_foo_bar_explains_its_options() -> None:
    program = run(EXAMPLES / "foo_bar.py", "--help")
    assert program.returncode == 0
    for option in ("directory", "--first", "--connector", "--start-method"):
        assert option in program.stdout


@pytest.mark.parametrize(
    ("name", "problem"), [("missing", "is not a directory"), ("empty", "holds no Python file")]
)
def test_foo_bar_needs_a_directory_with_python_files(
    name: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    program = run(EXAMPLES / "foo_bar.py", tmp_path / name)
    assert (program.stdout, program.returncode) == ("", 2)
    assert program.stderr == f"foo_bar.py: {tmp_path / name} {problem}.\n"


# A producer that fails


@pytest.fixture
def machines() -> Iterator[Machines]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as one, ProcessPoolExecutor(1, context) as other:
        yield one, other


@pytest.fixture(params=["file", "manager"])
def store(request: pytest.FixtureRequest, machines: Machines, tmp_path: Path) -> Iterator[Store]:
    # After the machines, so that it is closed before them and no test can hang there.
    connector = FileConnector(tmp_path / "store") if request.param == "file" else ManagerConnector()
    with Store("test", connector) as store:
        yield store


def failing_foo(future: ProxyFuture[foo_bar.Index], files: Sequence[Path]) -> foo_bar.FooReport:
    with future:
        raise RuntimeError("No index today")


def dying_foo(future: ProxyFuture[foo_bar.Index], files: Sequence[Path]) -> foo_bar.FooReport:
    with future:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("This process is dead.")


@pytest.mark.parametrize("first", ["foo", "bar"])
def test_bar_gets_the_error_of_a_foo_that_fails(
    machines: Machines, store: Store, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foo_bar, "foo", failing_foo)
    running_foo, running_bar = foo_bar.start_both(machines, store, [], first)
    with pytest.raises(RuntimeError, match="No index today"):
        running_foo.result(timeout=30)
    with pytest.raises(ProxyResolveError, match="No index today"):
        running_bar.result(timeout=30)


@pytest.mark.parametrize("first", ["foo", "bar"])
def test_bar_gets_an_error_when_the_process_of_foo_is_killed(
    machines: Machines, store: Store, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foo_bar, "foo", dying_foo)
    running_foo, running_bar = foo_bar.start_both(machines, store, [], first)
    with pytest.raises(BrokenProcessPool):
        running_foo.result(timeout=30)
    with pytest.raises(ProxyResolveError, match="BrokenProcessPool"):
        running_bar.result(timeout=30)


def test_bar_gets_an_error_when_foo_cannot_even_be_sent(
    machines: Machines, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foo_bar, "foo", lambda *_: None)  # a lambda cannot be pickled
    running_foo, running_bar = foo_bar.start_both(machines, store, [])
    with pytest.raises(Exception, match="lambda"):
        running_foo.result(timeout=30)
    with pytest.raises(ProxyResolveError, match="lambda"):
        running_bar.result(timeout=30)


def test_an_error_in_foo_reaches_the_user_of_the_program(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "docs" / "examples"
    copy.mkdir(parents=True)
    for module in ("connectors.py", "proxyfuture.py"):
        shutil.copy(EXAMPLES.parents[1] / module, tmp_path)
    text = (EXAMPLES / "foo_bar.py").read_text()
    # A line of foo, in a copy of the project, becomes one that fails.
    start = "    started = time.monotonic()\n        index, skipped"
    assert text.count(start) == 1
    (copy / "foo_bar.py").write_text(text.replace(start, f"    raise OSError('disk')\n    {start}"))
    program = run(copy / "foo_bar.py", project)
    assert program.returncode == 1
    assert program.stderr.endswith("OSError: disk\n")
