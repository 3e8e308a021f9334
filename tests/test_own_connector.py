"""The connectors of the examples keep every promise, and a page shows how one is built."""

from __future__ import annotations

import ast
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance import WaitableConformance

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

from connectors import AlreadySetError, ConnectorError, FileConnector, ManagerConnector
from large_values import LargeValueConnector
from sqlite_connector import SqliteConnector

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"


class TestSqliteConnector(WaitableConformance):
    @pytest.fixture
    def connector(self, tmp_path: Path) -> Iterator[SqliteConnector]:
        connector = SqliteConnector(tmp_path / "values.sqlite")
        yield connector
        connector.close()


@pytest.mark.slow
class TestLargeValueConnector(WaitableConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def connector(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeValueConnector]:
        files = FileConnector(tmp_path_factory.mktemp("large") / "values")
        connector = LargeValueConnector(ManagerConnector(), files)
        yield connector
        connector.close()

    @pytest.fixture
    def fresh_connector(self, tmp_path: Path) -> Iterator[LargeValueConnector]:
        files = FileConnector(tmp_path / "values")
        connector = LargeValueConnector(ManagerConnector(), files)
        yield connector
        connector.close()

    def test_a_value_that_was_evicted_or_came_second_leaves_no_file(
        self, fresh_connector: LargeValueConnector, tmp_path: Path
    ) -> None:
        key = fresh_connector.put(b"value")
        with pytest.raises(AlreadySetError):
            fresh_connector.set(key, b"second")
        assert len(list((tmp_path / "values").iterdir())) == 1
        fresh_connector.evict(key)
        assert list((tmp_path / "values").iterdir()) == []


# What the SQLite connector promises beyond


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


# What the page shows


def test_the_page_shows_all_of_it_in_order() -> None:
    page = (ROOT / "docs" / "connectors.md").read_text()
    shown = re.findall(r'^--8<-- "docs/examples/sqlite_connector.py:([\w.]+)"$', page, re.M)
    tree = ast.parse((EXAMPLES / "sqlite_connector.py").read_text())
    assert shown == list(definitions(tree))


def definitions(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "SqliteConnector":
            for part in node.body:
                match part:
                    case (
                        ast.FunctionDef(name)
                        | ast.Assign([ast.Name(name)])
                        | ast.AnnAssign(ast.Name(name))
                    ):
                        yield f"SqliteConnector.{name}"
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with all that the connectors and their test need."""
    for name in (
        "connectors.py",
        "proxyfuture.py",
        "docs/examples/large_values.py",
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


@pytest.mark.slow
def test_mypy_says_what_the_page_shows_of_a_missing_method(copy: Path) -> None:
    file = copy / "docs" / "examples" / "sqlite_connector.py"
    without_wait = re.sub(r"    def wait\(.*\n.*\n", "", file.read_text())
    assert without_wait != file.read_text()
    file.write_text(without_wait)
    printed = run(file.parent, "-m", "mypy", "--strict", "sqlite_connector.py")
    assert printed == (EXAMPLES / "sqlite_connector_mypy.txt").read_text()


@pytest.mark.slow
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
