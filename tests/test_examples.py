"""The examples, run as a reader would run them: as programs, from a clone of the project."""

import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from conformance import LIMIT
from support import EXAMPLES, ROOT, opened, run

sys.path.insert(0, str(EXAMPLES))

import client
import content_connector
import foo_bar
from connectors import LocalConnector
from proxyfuture import ProxyFuture, ProxyResolveError, Store

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
    ("2", "Square", "4", "shapes.py:1"),
    ("2", "draw", "4", "package/drawing.py:1"),
    ("3", "side", "2", "shapes.py:3"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the files above."""
    directory = tmp_path / "project"
    for name, source in SOURCES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(source)
    return directory


def steady(output: str) -> str:
    """Returns what a program prints without what differs from run to run and machine to machine."""
    output = re.sub(r"^(calls .*\n)(?:.*\d\n)+", r"\1ROWS\n", output, flags=re.MULTILINE)
    output = re.sub(r"^(foo|bar|) +[=.#]*([●↓]?)", r"\1 \2", output, flags=re.MULTILINE)
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
    program = run("-I", EXAMPLES / f"{name}.py", cwd=tmp_path)
    assert (program.stderr, program.returncode) == ("", 0)
    assert steady(program.stdout) == steady((EXAMPLES / f"{name}.txt").read_text())


def test_the_content_connector_keeps_equal_values_once() -> None:
    with Store("by-content", content_connector.ContentConnector(), cache_size=0) as store:
        key = store.put("value")
        assert store.put("value") == key
        assert store.get(key) == "value"
        store.evict(key)
        assert not store.exists(key)


# foo_bar.py, the long one


@pytest.mark.parametrize(
    "options",
    [
        "",
        pytest.param("--start-method=fork --first=foo", marks=pytest.mark.slow),
        pytest.param("--start-method=forkserver --connector=file", marks=pytest.mark.slow),
        pytest.param("--start-method=spawn --connector=manager", marks=pytest.mark.slow),
    ],
)
def test_foo_bar_joins_the_calls_with_the_definitions_and_draws_both_processes(
    project: Path, options: str
) -> None:
    encoding, dot, arrow = ("ascii", "o", "v") if "file" in options else ("utf-8", "●", "↓")
    program = run(EXAMPLES / "foo_bar.py", *options.split(), project, PYTHONIOENCODING=encoding)
    output = program.stdout
    assert (program.stderr, program.returncode) == ("", 0)
    rows = re.findall(r"^ *(\d+)  (\w+) +(\d+)  (\S+:\d+)$", output, re.MULTILINE)
    assert sorted(rows) == EXPECTED
    assert "an index of 4 files." in output
    assert max(map(len, output.splitlines())) <= 80
    lanes = rf"^foo  [ =]*{dot}\n *{arrow}\nbar  [ =.#]*  .* s$"
    assert len(re.findall(lanes, output, re.MULTILINE)) == 2
    [overlapped, serial] = re.findall(r"([\d.]+) s(?= instead|\.)", output)[-2:]
    assert re.findall(r"^bar .* ([\d.]+) s$", output, re.MULTILINE) == [serial, overlapped]


# A producer that fails


def failing_foo(future: ProxyFuture[foo_bar.Index], files: Sequence[Path]) -> None:
    with future:
        raise RuntimeError("No index today")


def dying_foo(future: ProxyFuture[foo_bar.Index], files: Sequence[Path]) -> None:
    with future:
        os.kill(os.getpid(), signal.SIGKILL)


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
    foo: object,
    error: type[Exception],
    message: str,
    first: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foo_bar, "foo", foo)
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context) as one,
        ProcessPoolExecutor(1, context) as other,
        opened("file", tmp_path) as medium,  # the last, so that no wait outlasts the test
    ):
        running_foo, running_bar = foo_bar.start_both((one, other), medium.store, [], first)
        with pytest.raises(error, match=message):
            running_foo.result(LIMIT)
        with pytest.raises(ProxyResolveError, match=message):
            running_bar.result(LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "line"),
    [
        ("foo_bar.py", "started = time.monotonic()\n        index = index_of"),
        ("client.py", "data = MyData("),
    ],
)
def test_an_error_in_foo_reaches_the_user_of_the_program(
    example: str, line: str, project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "docs" / "examples"
    copy.mkdir(parents=True)
    for module in ("connectors.py", "proxyfuture.py"):
        shutil.copy(ROOT / module, tmp_path)
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
    with Store("test", LocalConnector()) as store:
        primes: ProxyFuture[client.MyData] = store.future()
        with pytest.raises(TypeError):
            client.foo(primes)
        with pytest.raises(ProxyResolveError, match="TypeError"):
            client.bar(primes.proxy(timeout=LIMIT))
