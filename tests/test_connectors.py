"""The three connectors of this library keep what `conformance` asks for, and a little more."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import LIMIT, SETTLING, WaitableConformance, copies, in_thread, is_stored, uses
from support import AUTHKEY, in_forked_child, needs_fork, opened, serving

from connectors import (
    ConnectorError,
    DeferrableConnector,
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

    def test_is_a_context_manager_and_says_that_it_was_closed(self, fresh_connector: Any) -> None:
        with fresh_connector as entered:
            assert entered is fresh_connector
            key = fresh_connector.put(b"value")
        with pytest.raises(ConnectorError, match="was closed"):
            fresh_connector.get(key)

    def test_its_repr_tells_its_type_and_configuration(
        self, connector: WaitableConnector[Any]
    ) -> None:
        assert type(connector).__name__ in repr(connector)
        assert all(repr(value) in repr(connector) for value in connector.config().values())

    def test_returns_bytes_of_any_kind_as_bytes(self, connector: WaitableConnector[Any]) -> None:
        key = connector.put(bytearray(b"value"))
        assert type(connector.get(key)) is type(connector.wait(key)) is bytes

    @pytest.mark.parametrize("value", ["text", 5, None, [1, 2]], ids=repr)
    def test_refuses_what_is_not_bytes(self, connector: WaitableConnector[Any], value: Any) -> None:
        key = connector.new_key()
        with pytest.raises(TypeError, match="bytes"):
            connector.set(key, value)
        assert not connector.exists(key)
        with pytest.raises(TypeError, match="bytes"):
            connector.put(value)

    @pytest.mark.parametrize("key_type", [LocalKey, FileKey, ManagerKey])
    def test_refuses_the_keys_of_the_other_kinds(
        self, connector: WaitableConnector[Any], key_type: type[Any]
    ) -> None:
        key = connector.put(b"value")
        if type(key) is not key_type:
            with pytest.raises(InvalidKeyError, match=f"{type(key).__name__}.*{key_type.__name__}"):
                connector.get(key_type(key.id))

    @pytest.mark.parametrize(
        "name",
        ["../../etc/passwd", "", "\0", "A" * 32, "0" * 32 + "\n", None, b"0" * 32],
        ids=ascii,
    )
    def test_refuses_a_forged_key(self, connector: WaitableConnector[Any], name: Any) -> None:
        for use in uses(connector, type(connector.new_key())(name)):
            with pytest.raises(InvalidKeyError):
                use()


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
    @pytest.fixture(scope="class")
    @classmethod
    def connector(cls) -> Iterator[ManagerConnector]:
        with ManagerConnector() as connector:
            yield connector

    @pytest.fixture
    def fresh_connector(self) -> Iterator[ManagerConnector]:
        with ManagerConnector() as connector:
            yield connector


@pytest.mark.slow  # all but the way there is the same
class TestManagerConnectorOfTheNetwork(OwnConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def connector(cls) -> Iterator[ManagerConnector]:
        with pytest.MonkeyPatch.context() as patch, serving() as (_, address):
            # Not by the environment, since a process of the "forkserver" has an older one.
            patch.setattr(multiprocessing.current_process(), "authkey", AUTHKEY.encode())
            with ManagerConnector.connect(address) as connector:
                yield connector

    @pytest.fixture
    def fresh_connector(self, connector: ManagerConnector) -> Iterator[ManagerConnector]:
        with ManagerConnector.from_config(connector.config()) as another:
            yield another


def values_after_a_forked_child_closed(kind: str, directory: Path) -> tuple[object, object]:
    with opened(kind, directory) as (store, _, _):
        connector: Any = store.connector
        key, unset = connector.put(b"value"), connector.new_key()
        waiter = in_thread(connector.wait, unset)
        time.sleep(SETTLING)
        in_forked_child(connector.close)
        copy = pickle.loads(pickle.dumps(connector))  # which has to connect
        copy.set(unset, b"awaited")
        return copy.get(key), waiter.result(LIMIT)


@needs_fork
@pytest.mark.parametrize("kind", ["local", "file", "manager"])
def test_a_forked_child_that_closes_it_leaves_the_parent_alone(
    kind: str, tmp_path: Path, elsewhere: Callable[..., Any]
) -> None:
    values = elsewhere(values_after_a_forked_child_closed, kind, tmp_path)
    assert values == (b"value", b"awaited")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["file", "manager"])
def test_the_creator_ends_the_waits_in_other_processes_and_a_copy_ends_nothing(
    kind: str, tmp_path: Path, elsewhere: Callable[..., Any]
) -> None:
    with opened(kind, tmp_path) as (store, _, _):
        connector: Any = store.connector
        waiter = in_thread(elsewhere, type(connector).wait, connector, connector.new_key())
        key = connector.put(b"value")
        for copy in copies(connector):
            assert is_stored(copy, key, b"value")
            copy.close()
        time.sleep(2 * SETTLING)
        assert not waiter.done()
        assert is_stored(connector, key, b"value")
    with pytest.raises(ConnectorError):
        waiter.result(LIMIT)


@pytest.mark.parametrize(
    ("kind", "remedy"), [("file", "must exist on this machine"), ("manager", "connectors serve")]
)
def test_a_copy_arrives_also_where_there_is_nothing_and_each_use_names_the_remedy(
    kind: str, remedy: str, tmp_path: Path
) -> None:
    with opened(kind, tmp_path) as (store, _, _):
        connector: Any = store.connector
        pickled = pickle.dumps((connector, connector.new_key()))
    copy, key = pickle.loads(pickled)
    for use in (lambda: copy.put(b"value"), *uses(copy, key)):
        with pytest.raises(ConnectorError, match=remedy):
            use()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "method", [name for name in dir(DeferrableConnector) if not name.startswith("_")]
)
def test_a_class_that_inherits_and_forgets_a_method_gets_an_error(method: str) -> None:
    forgetful: Any = type("Forgetful", (DeferrableConnector,), {})()
    arguments = {"config": 0, "close": 0, "set": 2}.get(method, 1)
    with pytest.raises(NotImplementedError):
        getattr(forgetful, method)(*[b"key", b"value"][:arguments])
