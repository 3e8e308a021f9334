"""The examples, run as a reader would run them: as programs, from a clone of the project."""

import ast
import asyncio
import json
import multiprocessing
import os
import pickle
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

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

import client
import content_connector
import foo_bar
from connectors import FileConnector, LocalConnector, ManagerConnector
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


def steady(output: str) -> str:
    """Returns what a program prints without what differs from run to run and machine to machine."""
    output = re.sub(r"^(calls .*\n)(?:.*\d\n)+", r"\1ROWS\n", output, flags=re.MULTILINE)
    output = re.sub(r"^(foo|bar) +=+\.*([>#]+)$", r"\1 =\2", output, flags=re.MULTILINE)
    output = re.sub(r"^(foo|bar) =([>#])\2*$", r"\1 =\2", output, flags=re.MULTILINE)
    output = re.sub(r"\b[0-9a-f]{32}\b", "KEY", output)
    output = re.sub(r"^/\S+$", "DIRECTORY", output, flags=re.MULTILINE)
    output = re.sub(r"^\d+ bytes", "FEW bytes", output, flags=re.MULTILINE)
    return re.sub(r" *\d+\.\d+", " SECONDS", output)


# The examples whose output the pages show.
SHOWN = sorted(
    program.stem for program in EXAMPLES.glob("*.py") if program.with_suffix(".txt").exists()
)


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_prints_what_the_pages_show(name: str) -> None:
    program = run(EXAMPLES / f"{name}.py")
    assert (program.stderr, program.returncode) == ("", 0)
    assert steady(program.stdout) == steady((EXAMPLES / f"{name}.txt").read_text())


def test_what_differs_from_run_to_run_is_all_that_may_differ() -> None:
    shown = (EXAMPLES / "foo_bar.txt").read_text()
    assert "ROWS" in steady(shown)
    for words in ("calls", "=  works", "waits for it", "bar =#", "One after the other", "ideal"):
        assert words in steady(shown)
    assert steady("There are 17984 primes") == "There are 17984 primes"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server, whose key is in the environment of what the test starts."""
    monkeypatch.setenv("PROXYFUTURE_AUTHKEY", "a long secret, the same everywhere")
    command = [sys.executable, "-m", "connectors", "serve", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=EXAMPLES.parents[1]
    ) as program:
        assert program.stdout is not None
        [address] = re.findall(r"Serving on (\S+)\. ", program.stdout.readline())
        yield address
        program.kill()


def test_two_machines_share_a_future_through_a_server_and_a_file(
    server: str, tmp_path: Path
) -> None:
    file, script = tmp_path / "future.pickle", EXAMPLES / "two_machines.py"
    bar: list[str | Path] = [sys.executable, script, "bar", server, file]
    with subprocess.Popen(bar, stdout=subprocess.PIPE, text=True) as consumer:
        try:
            end = time.monotonic() + 60
            while not file.exists() and time.monotonic() < end:
                time.sleep(0.01)
            producer = run(script, "foo", file)
            printed, _ = consumer.communicate(timeout=60)
        finally:
            consumer.kill()
    assert (producer.stdout, producer.stderr, producer.returncode) == ("", "", 0)
    assert printed == (EXAMPLES / "client.txt").read_text()
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_size < 250


def test_two_machines_explains_itself() -> None:
    program = run(EXAMPLES / "two_machines.py")
    assert (program.stdout, program.returncode) == ("", 1)
    for words in ("PROXYFUTURE_AUTHKEY", "bar HOST:PORT future.pickle", "foo future.pickle"):
        assert words in program.stderr


def test_the_content_connector_keeps_every_promise_of_a_connector() -> None:
    with Store("by-content", content_connector.ContentConnector()) as store:
        key, same = store.put("value"), store.put("value")
        assert key == same
        assert store.exists(key)
        assert store.connector.get_batch(store.connector.put_batch([b"a", b"b"])) == [b"a", b"b"]
        assert pickle.loads(pickle.dumps(store)) is store
        elsewhere = content_connector.ContentConnector.from_config(store.connector.config())
        assert not elsewhere.exists(key)
        store.evict(key)
        assert not store.exists(key)
        assert store.get(key, default="gone") == "gone"
        kept = store.put("other")
    assert store.connector.get(kept) is None


@pytest.mark.parametrize("example", ["hello.py", "client.py", "failing.py", "foo_bar.py"])
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
    output = run(EXAMPLES / "foo_bar.py", Path(asyncio.__path__[0])).stdout
    match = re.search(
        r"together it took (.*) s,\n(.*) times the ideal, (.*) s\.$", output, re.I | re.M
    )
    assert match is not None
    took, ratio, ideal = map(float, match.groups())
    assert 0 < ideal <= took
    rounded = 0.005  # by so much at most, each of the three
    tolerance = rounded * (1 + ideal + ratio + rounded)
    assert ratio * ideal == pytest.approx(took, abs=tolerance)


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


def test_foo_bar_starts_the_processes_before_it_takes_the_time(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed: list[Machines] = []
    monkeypatch.setattr(foo_bar, "warm_up", lambda machines, store: warmed.append(machines))
    monkeypatch.setattr(sys, "argv", ["foo_bar.py", str(project)])
    foo_bar.main()
    assert [len(machines) for machines in warmed] == [2]


def test_foo_bar_ignores_warnings_about_the_code_that_it_reads(tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text(r"def digits(): return '\d'")
    index, skipped = foo_bar.index_of_definitions([file])  # the tests take warnings for errors
    assert (list(index), skipped) == (["digits"], 0)


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
            client.bar(primes.proxy(timeout=30))
        with pytest.raises(ProxyResolveError, match="TypeError"):
            foo_bar.bar(index.proxy(timeout=30), [])
