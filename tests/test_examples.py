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
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from conformance import LIMIT
from support import AUTHKEY, AUTHKEY_VARIABLE, EXAMPLES, eventually, opened, serving

sys.path.insert(0, str(EXAMPLES))

import client
import content_connector
import foo_bar
from connectors import LocalConnector
from proxyfuture import ProxyFuture, ProxyResolveError, Store

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
    "broken.py": "def broken(:\n",
    "old.py": r"'\d'",  # of which Python warns
}
# Not `twice`, which has two definitions, and not `print`, which could be the builtin.
EXPECTED = [
    (2, "Square", 4, "shapes.py:1"),
    (2, "draw", 4, "package/drawing.py:1"),
    (3, "side", 2, "shapes.py:3"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the files above."""
    directory = tmp_path / "project"
    for name, source in SOURCES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(source)
    return directory


def run(*arguments: object, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env={**os.environ, AUTHKEY_VARIABLE: AUTHKEY},
    )


def table(output: str) -> list[tuple[int, str, int, str]]:
    """Returns the rows of the table that foo_bar.py prints."""
    rows = re.findall(r"^ *(\d+)  (\w+) +(\d+)  (\S+:\d+)$", output, re.MULTILINE)
    return [(int(calls), name, int(lines), place) for calls, name, lines, place in rows]


def steady(output: str) -> str:
    """Returns what a program prints without what differs from run to run and machine to machine."""
    output = re.sub(r"^(calls .*\n)(?:.*\d\n)+", r"\1ROWS\n", output, flags=re.MULTILINE)
    output = re.sub(r"^(foo|bar) +=+\.*([>#]+)$", r"\1 =\2", output, flags=re.MULTILINE)
    output = re.sub(r"^(foo|bar) =([>#])\2*$", r"\1 =\2", output, flags=re.MULTILINE)
    output = re.sub(r"\b[0-9a-f]{32}\b", "KEY", output)
    output = re.sub(r"^/\S+$", "DIRECTORY", output, flags=re.MULTILINE)
    output = re.sub(r"^\d+ bytes", "FEW bytes", output, flags=re.MULTILINE)
    return re.sub(r" *\d+\.\d+", " SECONDS", output)


# The examples whose output the pages show. One of them reads much.
SHOWN = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "foo_bar" else [])
    for name in sorted(program.stem for program in EXAMPLES.glob("*.py"))
    if (EXAMPLES / f"{name}.txt").exists()
]


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_prints_what_the_pages_show_from_any_directory(
    name: str, tmp_path: Path
) -> None:
    # -I: neither the current directory nor PYTHONPATH can be what makes it work.
    program = run("-I", EXAMPLES / f"{name}.py", directory=tmp_path)
    assert (program.stderr, program.returncode) == ("", 0)
    assert steady(program.stdout) == steady((EXAMPLES / f"{name}.txt").read_text())


def test_the_content_connector_keeps_equal_values_once() -> None:
    with Store("by-content", content_connector.ContentConnector(), cache_size=0) as store:
        key = store.put("value")
        assert store.put("value") == key
        assert store.get(key) == "value"
        store.evict(key)
        assert not store.exists(key)
        assert store.get(key, default="gone") == "gone"


@pytest.mark.slow
def test_two_machines_share_a_future_through_a_server_and_a_file(tmp_path: Path) -> None:
    file, script = tmp_path / "future.pickle", EXAMPLES / "two_machines.py"
    with serving() as (_, (host, port)), ThreadPoolExecutor() as threads:
        consumer = threads.submit(run, script, "bar", f"{host}:{port}", file)
        assert eventually(file.exists)
        producer = run(script, "foo", file)
    assert (producer.stdout, producer.stderr, producer.returncode) == ("", "", 0)
    assert consumer.result().stdout == (EXAMPLES / "client.txt").read_text()
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_size < 250


def test_two_machines_explains_itself() -> None:
    program = run(EXAMPLES / "two_machines.py")
    assert (program.stdout, program.returncode) == ("", 1)
    for words in ("PROXYFUTURE_AUTHKEY", "bar HOST:PORT future.pickle", "foo future.pickle"):
        assert words in program.stderr


# foo_bar.py, the long one


def test_foo_bar_joins_the_calls_with_the_definitions_and_draws_both_processes(
    project: Path,
) -> None:
    program = run(EXAMPLES / "foo_bar.py", project)
    output = program.stdout
    assert (program.stderr, program.returncode) == ("", 0)
    assert sorted(table(output)) == EXPECTED
    assert "4 files, of which 1 do not parse." in output
    # In 80 columns of plain characters.
    assert output.isascii()
    assert max(map(len, output.splitlines())) <= 80
    assert re.search(r"^foo  *=*>+$", output, re.MULTILINE)
    assert re.search(r"^bar  *=*\.*#+$", output, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["foo", "bar"])
@pytest.mark.parametrize("connector", ["file", "manager"])
@pytest.mark.parametrize("start_method", multiprocessing.get_all_start_methods())
def test_foo_bar_does_so_with_each_option(
    project: Path, start_method: str, connector: str, first: str
) -> None:
    options = "--start-method", start_method, "--connector", connector, "--first", first
    program = run(EXAMPLES / "foo_bar.py", *options, project)
    assert (program.stderr, program.returncode) == ("", 0)
    assert sorted(table(program.stdout)) == EXPECTED


@pytest.mark.slow
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

    most = sorted((row[0] for row in expected if row[0]), reverse=True)[:10]
    assert [row[0] for row in found] == most
    assert {(count, name, place) for count, name, _, place in found} <= expected


@pytest.mark.slow
def test_foo_bar_compares_its_time_with_the_ideal() -> None:
    output = run(EXAMPLES / "foo_bar.py").stdout
    match = re.search(
        r"together it took (.*) s,\n(.*) times the ideal, (.*) s\.$", output, re.I | re.M
    )
    assert match is not None
    took, ratio, ideal = map(float, match.groups())
    assert 0 < ideal <= took
    rounded = 0.005  # by so much at most, each of the three
    tolerance = rounded * (1 + ideal + ratio + rounded)
    assert ratio * ideal == pytest.approx(took, abs=tolerance)


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


def test_bar_tells_how_long_it_waited() -> None:
    with ThreadPoolExecutor() as thread, Store("test", LocalConnector()) as store:
        future: ProxyFuture[foo_bar.Index] = store.future()
        running = thread.submit(foo_bar.bar, future.proxy(timeout=60), [])
        time.sleep(0.2)  # by now bar has counted, or else it tells of a shorter wait
        passed = time.monotonic()
        future.set_result({})
        report = running.result(timeout=60)
    assert report.started <= report.counted
    assert passed <= report.received <= report.finished


# A producer that fails


@pytest.fixture
def machines() -> Iterator[Machines]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as one, ProcessPoolExecutor(1, context) as other:
        yield one, other


@pytest.fixture(params=["file", "manager"])
def store(request: pytest.FixtureRequest, machines: Machines, tmp_path: Path) -> Iterator[Store]:
    # After the machines, so that it is closed before them and no test can hang there.
    with opened(request.param, tmp_path) as medium:
        yield medium.store


def failing_foo(future: ProxyFuture[foo_bar.Index], files: Sequence[Path]) -> foo_bar.FooReport:
    with future:
        raise RuntimeError("No index today")


def dying_foo(future: ProxyFuture[foo_bar.Index], files: Sequence[Path]) -> foo_bar.FooReport:
    with future:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("This process is dead.")


@pytest.mark.slow
@pytest.mark.parametrize("first", ["foo", "bar"])
@pytest.mark.parametrize(
    ("foo", "error", "message"),
    [
        (failing_foo, RuntimeError, "No index today"),
        (dying_foo, BrokenProcessPool, "BrokenProcessPool|terminated abruptly"),
        (lambda *_: None, Exception, "lambda"),  # which cannot be pickled
    ],
    ids=["fails", "is-killed", "cannot-be-sent"],
)
def test_bar_gets_an_error_when_foo(
    machines: Machines,
    store: Store,
    foo: object,
    error: type[Exception],
    message: str,
    first: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foo_bar, "foo", foo)
    running_foo, running_bar = foo_bar.start_both(machines, store, [], first)
    with pytest.raises(error, match=message):
        running_foo.result(LIMIT)
    with pytest.raises(ProxyResolveError, match=message):
        running_bar.result(LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "line"),
    [
        ("foo_bar.py", "started = time.monotonic()\n        index, skipped"),
        ("client.py", "data = MyData("),
    ],
)
def test_an_error_in_foo_reaches_the_user_of_the_program(
    example: str, line: str, project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "docs" / "examples"
    copy.mkdir(parents=True)
    for module in ("connectors.py", "proxyfuture.py"):
        shutil.copy(EXAMPLES.parents[1] / module, tmp_path)
    text = (EXAMPLES / example).read_text()
    # A line of foo, in a copy of the project, becomes one that fails.
    assert text.count(line) == 1
    (copy / example).write_text(text.replace(line, f"raise OSError('disk')\n        {line}"))
    program = run(copy / example, *([project] if example == "foo_bar.py" else []))
    assert program.returncode == 1
    assert program.stderr.endswith("OSError: disk\n")
    assert "exception calling callback" not in program.stderr  # which would be logged


def test_bar_gets_the_error_of_a_foo_without_help_from_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "is_prime", "no function")
    monkeypatch.setattr(foo_bar, "index_of_definitions", "no function")
    with Store("test", LocalConnector()) as store:
        primes: ProxyFuture[client.MyData] = store.future()
        index: ProxyFuture[foo_bar.Index] = store.future()
        with pytest.raises(TypeError):
            client.foo(primes)
        with pytest.raises(TypeError):
            foo_bar.foo(index, [])
        with pytest.raises(ProxyResolveError, match="TypeError"):
            client.bar(primes.proxy(timeout=LIMIT))
        with pytest.raises(ProxyResolveError, match="TypeError"):
            foo_bar.bar(index.proxy(timeout=LIMIT), [])
