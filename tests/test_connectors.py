"""The three connectors of this library keep what `conformance` asks for, and a little more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import WaitableConformance
from test_manager_connector import AUTHKEY, AUTHKEY_VARIABLE, serving

from connectors import (
    ConnectorError,
    FileConnector,
    FileKey,
    InvalidKeyError,
    LocalConnector,
    LocalKey,
    ManagerConnector,
    ManagerKey,
    WaitableConnector,
)


class OwnConformance(WaitableConformance):
    """What the three promise beyond the protocols."""

    def test_is_a_context_manager(self, connector: Any) -> None:
        with connector as entered:
            assert entered is connector
            key = connector.put(b"value")
        with pytest.raises(ConnectorError):
            connector.get(key)

    def test_its_repr_tells_its_type_and_configuration(
        self, connector: WaitableConnector[Any]
    ) -> None:
        assert type(connector).__name__ in repr(connector)
        assert all(repr(value) in repr(connector) for value in connector.config().values())

    def test_says_that_it_was_closed(self, connector: WaitableConnector[Any]) -> None:
        key = connector.new_key()
        connector.close()
        with pytest.raises(ConnectorError, match="closed"):
            connector.get(key)

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_returns_its_kind_of_bytes_whatever_kind_the_value_was(
        self, connector: WaitableConnector[Any], kind: Any
    ) -> None:
        key = connector.put(kind(b"value"))
        # A file is read into memory that its reader may change.
        own = bytearray if isinstance(connector, FileConnector) else bytes
        assert type(connector.get(key)) is own
        assert type(connector.wait(key)) is own

    @pytest.mark.parametrize("value", ["text", 5, None, [1, 2]], ids=repr)
    def test_refuses_what_is_not_bytes(self, connector: WaitableConnector[Any], value: Any) -> None:
        key = connector.new_key()
        with pytest.raises(TypeError):
            connector.set(key, value)
        assert not connector.exists(key)
        with pytest.raises(TypeError):
            connector.put(value)

    @pytest.mark.parametrize("key_type", [LocalKey, FileKey, ManagerKey])
    def test_refuses_the_keys_of_the_other_kinds(
        self, connector: WaitableConnector[Any], key_type: type[Any]
    ) -> None:
        key = connector.put(b"value")
        if type(key) is key_type:
            pytest.skip("its own kind")
        with pytest.raises(InvalidKeyError, match=f"{type(key).__name__}.*{key_type.__name__}"):
            connector.get(key_type(key.id))

    @pytest.mark.parametrize(
        "name",
        [
            "../../etc/passwd",
            "/etc/passwd",
            "",
            ".",
            "..",
            "\0",
            "\n",
            "long" * 1000,
            "0" * 32 + "\n",
        ],
        ids=ascii,
    )
    def test_a_forged_key_finds_nothing(self, connector: WaitableConnector[Any], name: Any) -> None:
        key = type(connector.new_key())(name)
        with contextlib.suppress(InvalidKeyError):
            assert connector.get(key) is None
        with contextlib.suppress(InvalidKeyError):
            assert not connector.exists(key)

    @pytest.mark.parametrize(
        "name", [None, 42, b"0" * 32, Path("/etc/passwd"), ["0" * 32]], ids=repr
    )
    def test_a_key_with_another_type_of_name_is_refused(
        self, connector: WaitableConnector[Any], name: Any
    ) -> None:
        key = type(connector.new_key())(name)
        with pytest.raises(InvalidKeyError):
            connector.get(key)

    @pytest.mark.parametrize("config", [{}, {"unknown": 1}, {"name": 1, "more": 2}, None], ids=repr)
    def test_refuses_the_configuration_of_something_else(
        self, connector: WaitableConnector[Any], config: Any
    ) -> None:
        with pytest.raises(ConnectorError, match="config"):
            type(connector).from_config(config)


class TestLocalConnector(OwnConformance):
    crosses_processes = False

    @pytest.fixture
    def connector(self) -> Iterator[LocalConnector]:
        with LocalConnector() as connector:
            yield connector


class TestFileConnector(OwnConformance):
    @pytest.fixture
    def connector(self, tmp_path: Path) -> Iterator[FileConnector]:
        with FileConnector(tmp_path / "store") as connector:
            yield connector


class TestManagerConnector(OwnConformance):
    @pytest.fixture
    def connector(self) -> Iterator[ManagerConnector]:
        with ManagerConnector() as connector:
            yield connector


class TestManagerConnectorOfTheNetwork(OwnConformance):
    @pytest.fixture(scope="class", autouse=True)  # so that the other process gets the key too
    @classmethod
    def address(cls) -> Iterator[tuple[str, int]]:
        with pytest.MonkeyPatch.context() as patch, serving() as (_, address):
            patch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
            yield address

    @pytest.fixture
    def connector(self, address: tuple[str, int]) -> Iterator[ManagerConnector]:
        with ManagerConnector.connect(address) as connector:
            yield connector
