import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance import WaitableConformance

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))
from sqlite_connector import SqliteConnector


class TestSqliteConnector(WaitableConformance):
    @pytest.fixture
    def connector(self, tmp_path: Path) -> Iterator[SqliteConnector]:
        connector = SqliteConnector(tmp_path / "values.sqlite")
        yield connector
        connector.close()
