"""The connector that a page builds keeps every promise, and the page shows all of it."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance import WaitableConformance

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

from connectors import ConnectorError
from sqlite_connector import SqliteConnector

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "connectors.md").read_text()


class TestSqliteConnector(WaitableConformance):
    @pytest.fixture
    def connector(self, tmp_path: Path) -> Iterator[SqliteConnector]:
        connector = SqliteConnector(tmp_path / "values.sqlite")
        yield connector
        connector.close()


# What it promises beyond


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "values.sqlite"


def test_its_creator_removes_the_database_and_what_a_killed_setter_left(path: Path) -> None:
    connector = SqliteConnector(path)
    connector.put(b"value")
    journal = path.with_name(f"{path.name}-journal")
    journal.touch()
    connector.close()
    assert list(path.parent.iterdir()) == []


def test_nobody_else_removes_the_database(path: Path) -> None:
    connector = SqliteConnector(path)
    key = connector.put(b"value")
    SqliteConnector(path).close()
    pickle.loads(pickle.dumps(connector)).close()
    assert connector.get(key) == b"value"
    connector.close()


def test_a_forked_child_does_not_remove_the_database(path: Path) -> None:
    program = """
import os, sys
from sqlite_connector import SqliteConnector
connector = SqliteConnector(sys.argv[1])
if os.fork() == 0:
    connector.close()
    os._exit(0)
os.wait()
print(connector.exists(connector.put(b"value")))
connector.close()
"""
    # In a process of its own, with one thread, which can be forked without a warning.
    assert run(EXAMPLES, "-c", program, str(path)) == "True\n"


def test_closing_it_again_does_not_remove_the_database_of_a_successor(path: Path) -> None:
    connector = SqliteConnector(path)
    connector.close()
    successor = SqliteConnector(path)
    connector.close()
    assert path.exists()
    successor.close()


def test_the_database_is_private(path: Path) -> None:
    connector = SqliteConnector(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connector.close()


def test_a_database_that_is_gone_is_an_error_and_not_an_empty_one(path: Path) -> None:
    connector = SqliteConnector(path)
    key = connector.put(b"value")
    path.unlink()
    with pytest.raises(ConnectorError, match=f"{path}.* cannot be used"):
        connector.get(key)
    assert not path.exists()


def test_a_value_has_at_most_a_gigabyte(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) == 1_000_000_000
    connection.close()


# What the page shows


def test_the_page_shows_all_of_it_in_order() -> None:
    listings = re.findall(r'^--8<-- "docs/examples/sqlite_connector.py:(\d+):(\d+)"$', PAGE, re.M)
    ranges = [(int(first), int(last)) for first, last in listings]
    lines = (EXAMPLES / "sqlite_connector.py").read_text().splitlines()
    shown = [line for first, last in ranges for line in lines[first - 1 : last] if line]
    preamble = next(number for number, line in enumerate(lines) if line.startswith("sys.path"))
    assert shown == [line for line in lines[preamble + 1 :] if line]
    assert [lines[first - 1].partition(",")[0].strip() for first, _ in ranges] == [
        "import contextlib",
        "# Step 1",
        "# Step 2",
        "# Step 3",
        "# Step 4: travel",
        "def greet(name: str) -> str:",
    ]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with all that the connector and its test need."""
    for name in (
        "connectors.py",
        "proxyfuture.py",
        "docs/connectors.md",
        "docs/examples/sqlite_connector.py",
        "tests/conformance.py",
        "tests/test_own_connector.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(folder)}
    environment.pop("CI", None)  # with it, pytest tells more
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.stderr == ""
    return done.stdout


def test_the_example_prints_what_the_page_shows(copy: Path) -> None:
    printed = run(copy / "docs" / "examples", "sqlite_connector.py")
    assert printed == (EXAMPLES / "sqlite_connector.txt").read_text()


def test_mypy_says_what_the_page_shows_of_a_missing_method(copy: Path) -> None:
    file = copy / "docs" / "examples" / "sqlite_connector.py"
    without_wait = re.sub(r"    def wait\(.*\n.*\n", "", file.read_text())
    assert without_wait != file.read_text()
    file.write_text(without_wait)
    printed = run(file.parent, "-m", "mypy", "--strict", "sqlite_connector.py")
    assert printed == (EXAMPLES / "sqlite_connector_mypy.txt").read_text()


def test_the_conformance_suite_says_what_the_page_shows_of_a_broken_promise(copy: Path) -> None:
    file = copy / "docs" / "examples" / "sqlite_connector.py"
    text = file.read_text()
    overwriting = text.replace("INSERT INTO", "INSERT OR REPLACE INTO").replace(
        " ON CONFLICT DO NOTHING", ""
    )
    assert overwriting != text
    file.write_text(overwriting)
    test = "tests/test_own_connector.py"
    printed = run(copy, "-m", "pytest", "-q", "--tb=no", test, "-k", "is_set_once")
    failures = [line for line in printed.splitlines() if line.startswith("FAILED")]
    assert failures == (EXAMPLES / "sqlite_connector_pytest.txt").read_text().splitlines()
