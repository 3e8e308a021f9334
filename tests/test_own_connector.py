"""The connectors of the examples keep every promise, and a page shows what a wrong one is told."""

from __future__ import annotations

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
    @pytest.fixture
    def connector(self, tmp_path: Path) -> Iterator[LargeValueConnector]:
        files = FileConnector(tmp_path / "values")
        connector = LargeValueConnector(ManagerConnector(), files)
        yield connector
        connector.close()

    def test_a_value_that_was_evicted_or_came_second_leaves_no_file(
        self, connector: LargeValueConnector, tmp_path: Path
    ) -> None:
        key = connector.put(b"value")
        with pytest.raises(AlreadySetError):
            connector.set(key, b"second")
        assert len(list((tmp_path / "values").iterdir())) == 1
        connector.evict(key)
        assert list((tmp_path / "values").iterdir()) == []


# What the SQLite connector promises beyond


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "values.sqlite"


def test_its_creator_removes_the_database_and_what_a_killed_setter_left(path: Path) -> None:
    connector = SqliteConnector(path)
    key = connector.put(b"value")
    path.with_name(f"{path.name}-journal").touch()
    SqliteConnector(path).close()
    pickle.loads(pickle.dumps(connector)).close()
    assert connector.get(key) == b"value"
    connector.close()
    assert list(path.parent.iterdir()) == []


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


# What the page shows of a connector that is wrong


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The connector's file in a folder with all that it and its test need."""
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
    return tmp_path / "docs" / "examples" / "sqlite_connector.py"


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(folder)}
    environment.pop("CI", None)  # with it, pytest tells more
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
    )
    return done.stdout


@pytest.mark.slow
def test_mypy_says_what_the_page_shows_of_a_missing_method(copy: Path) -> None:
    copy.write_text(re.sub(r"    def wait\(.*\n.*\n", "", copy.read_text()))
    printed = run(copy.parent, "mypy", "--strict", copy.name)
    assert printed == (EXAMPLES / "sqlite_connector_mypy.txt").read_text()


@pytest.mark.slow
def test_the_conformance_suite_says_what_the_page_shows_of_a_broken_promise(copy: Path) -> None:
    text = copy.read_text().replace("INSERT INTO", "INSERT OR REPLACE INTO")
    copy.write_text(text.replace(" ON CONFLICT DO NOTHING", ""))
    test = "tests/test_own_connector.py"
    printed = run(copy.parents[2], "pytest", "-q", "--tb=no", test, "-k", "is_set_once")
    failures = [line for line in printed.splitlines() if line.startswith("FAILED")]
    assert failures == (EXAMPLES / "sqlite_connector_pytest.txt").read_text().splitlines()
