"""Each statement of docs/security.md: what is dangerous, what protects, and what does not."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest
from conformance import LIMIT, in_thread
from processes import children, needs_proc
from test_manager_connector import AUTHKEY, AUTHKEY_VARIABLE, eventually, python, serving

from connectors import (
    ConnectorError,
    FileConnector,
    FileKey,
    InvalidKeyError,
    ManagerConnector,
)
from proxyfuture import BrokenFutureError, Proxy, SerializationError, Store

KEY = AUTHKEY.encode()


class Trap(Exception):
    """An object whose pickle runs code where it is loaded. This code makes a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.directory),)


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "the trap was here")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def connector(directory: Path) -> Iterator[FileConnector]:
    with FileConnector(directory) as connector:
        yield connector


# Who can write into a store can run code in its readers


def test_a_value_runs_code_in_its_reader(
    connector: FileConnector, directory: Path, trap: Trap
) -> None:
    key = connector.new_key()
    (directory / key.id).write_bytes(pickle.dumps(trap))  # by whoever may write there
    Store("store", connector).get(key)
    assert trap.directory.is_dir()


def test_a_value_runs_no_code_with_a_serializer_such_as_json(
    connector: FileConnector, directory: Path, trap: Trap
) -> None:
    key = connector.new_key()
    (directory / key.id).write_bytes(pickle.dumps(trap))
    with pytest.raises(SerializationError):
        Store("store", connector, deserializer=json.loads).get(key)
    assert not trap.directory.exists()


def test_an_exception_runs_code_in_its_reader_whatever_the_serializer(
    connector: FileConnector, trap: Trap
) -> None:
    def to_json(obj: object) -> bytes:
        return json.dumps(obj).encode()

    store = Store("store", connector, serializer=to_json, deserializer=json.loads)
    future = store.future(str)
    future.set_exception(trap)
    assert isinstance(future.exception(), BrokenFutureError)
    assert trap.directory.is_dir()


def test_a_proxy_that_arrives_runs_code_before_it_is_used(trap: Trap) -> None:
    proxy: Proxy[str] = Proxy(lambda: "target")
    object.__setattr__(proxy, "__factory__", trap)  # by whoever made its pickle
    arriving = pickle.dumps(proxy)
    with pytest.raises(TypeError, match="factory"):  # too late
        pickle.loads(arriving)
    assert trap.directory.is_dir()


def test_who_knows_the_key_can_run_code_in_the_server(trap: Trap) -> None:
    with serving() as (_, address), Client(address, authkey=KEY) as client:
        client.send(trap)
        assert eventually(trap.directory.is_dir)


# What the FileConnector does about it


def test_the_directory_and_its_files_are_private(connector: FileConnector, directory: Path) -> None:
    connector.put(b"value")
    (file,) = directory.iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777], ids="{:o}".format)
def test_a_directory_to_which_others_may_write_is_refused(directory: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(ConnectorError, match="others may write"):
        FileConnector(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_that_belongs_to_somebody_else_is_refused(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, -1)
    with pytest.raises(ConnectorError, match="belongs to somebody else"):
        FileConnector(directory)


def test_the_directory_is_looked_at_again_before_anything_is_read(
    connector: FileConnector, directory: Path, trap: Trap
) -> None:
    store = Store("store", connector)
    key = connector.new_key()
    (directory / key.id).write_bytes(pickle.dumps(trap))
    directory.chmod(0o777)
    with pytest.raises(ConnectorError, match="others may write"):
        store.get(key)
    assert not trap.directory.exists()


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "..", "", "0" * 31 + "\0", "../store/" + "0" * 32]
)
def test_a_key_cannot_leave_the_directory(
    connector: FileConnector, tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    key = FileKey(name)
    uses: list[Callable[[], object]] = [
        lambda: connector.get(key),
        lambda: connector.set(key, b"value"),
        lambda: connector.evict(key),
        lambda: connector.exists(key),
        lambda: connector.wait(key, 0),
    ]
    for use in uses:
        with pytest.raises(InvalidKeyError):
            use()
    assert (tmp_path / "outside").read_bytes() == b"outside"


# What the ManagerConnector does about it


def test_the_server_listens_on_a_unix_socket_in_a_private_directory() -> None:
    with ManagerConnector() as connector:
        address = Path(connector.config()["address"])
        assert address.is_socket()
        assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700
        assert address.parent.stat().st_uid == os.geteuid()


@pytest.mark.parametrize("address", [(), (":0",)], ids=["no address", "a port"])
def test_a_server_for_the_network_listens_on_the_loopback_unless_told_otherwise(
    address: tuple[str, ...],
) -> None:
    with serving(*address) as (_, (host, _)):
        assert host == "127.0.0.1"


def test_who_does_not_know_the_key_stays_outside() -> None:
    with serving() as (_, address):
        for another in (b"another key", KEY + b"!", KEY[:-1]):
            with pytest.raises(ConnectorError, match="another authentication key"):
                ManagerConnector.connect(address, another)


def test_the_server_loads_no_pickle_before_the_client_has_proven_the_key(trap: Trap) -> None:
    message = pickle.dumps(trap)
    with serving() as (_, address):
        with socket.create_connection(address) as stranger, contextlib.suppress(OSError):
            stranger.settimeout(LIMIT)
            stranger.sendall(len(message).to_bytes(4, "big") + message)
            while stranger.recv(1000):  # until the server hangs up
                pass
        with ManagerConnector.connect(address, KEY) as connector:
            connector.put(b"value")
    assert not trap.directory.exists()


def test_the_client_loads_no_pickle_before_the_server_has_proven_the_key(trap: Trap) -> None:
    message = pickle.dumps(trap)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def impersonate() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(len(message).to_bytes(4, "big") + message)
                client.recv(1000)

        impostor = in_thread(impersonate)
        with pytest.raises(ConnectorError):
            ManagerConnector.connect(listener.getsockname(), KEY)
        impostor.result(LIMIT)
    assert not trap.directory.exists()


@needs_proc
def test_the_key_is_in_no_pickle_configuration_text_or_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
    process_key = bytes(multiprocessing.current_process().authkey)
    before = children()
    with ManagerConnector() as creator:
        (server,) = children() - before
        with ManagerConnector.connect(creator.config()["address"], KEY) as connected:
            with pytest.raises(ConnectorError) as refusal:
                ManagerConnector.connect(creator.config()["address"], KEY + b"!")
            shown = [str(refusal.value).encode(), Path(f"/proc/{server}/cmdline").read_bytes()]
            for connector in (creator, connected):
                store = Store("store", connector)
                future: Any = store.future()
                shown.append(pickle.dumps((connector, store, future, future.proxy())))
                shown.append(repr((connector, connector.config(), store, future)).encode())
    for secret in (KEY, process_key):
        for form in (secret, secret.hex().encode(), repr(secret)[2:-1].encode()):
            assert not any(form in text for text in shown)


def test_a_stranger_who_is_silent_is_disconnected() -> None:
    # The limit is half a minute, which is long for a test: so the server gets another one.
    program = "import connectors; connectors._PATIENCE = 1; connectors.main()"
    with subprocess.Popen(
        **python("-c", program, "serve"), stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        printed = re.search(r"127.0.0.1:(\d+)", server.stdout.readline())
        assert printed
        with socket.create_connection(("127.0.0.1", int(printed[1]))) as stranger:
            stranger.settimeout(LIMIT)
            assert stranger.recv(1000)  # the challenge, to which there will be no answer
            with contextlib.suppress(ConnectionResetError):
                assert stranger.recv(1000) == b""
        server.send_signal(signal.SIGINT)


# What they do not do


@contextlib.contextmanager
def overheard(server: tuple[str, int]) -> Iterator[tuple[tuple[str, int], bytearray]]:
    """Passes one connection on to the server, and keeps all that travels over it."""
    heard = bytearray()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                heard.extend(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def connect_through() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(server) as behind:
            answers = in_thread(pass_on, behind, client)
            pass_on(client, behind)
            answers.result(LIMIT)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        through = in_thread(connect_through)
        yield listener.getsockname(), heard
        through.result(LIMIT)


def test_values_travel_in_the_clear_over_the_network_and_the_key_does_not() -> None:
    with serving() as (_, server), overheard(server) as (address, heard):
        with ManagerConnector.connect(address, KEY) as connector:
            connector.put(b"nothing that anybody should know")
        assert eventually(lambda: b"nothing that anybody should know" in heard)
        assert KEY not in heard
        assert b"CHALLENGE" in heard  # enough to try out keys that somebody might have chosen


def test_a_client_can_evict_the_values_of_others() -> None:
    with ManagerConnector() as owner:
        key = owner.put(b"value")
        with ManagerConnector.connect(owner.config()["address"]) as other:
            other.evict(key)
        assert not owner.exists(key)


@needs_proc
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no such file")
def test_the_user_can_read_the_key_in_the_environment_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
    before = children()
    with ManagerConnector() as connector:
        connector.put(b"value")
        (server,) = children() - before
        environment = Path(f"/proc/{server}/environ")
        assert KEY.hex().encode() in environment.read_bytes()
        assert stat.S_IMODE(environment.stat().st_mode) == 0o400  # the user, and nobody else


def test_the_directories_above_are_not_looked_at(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with FileConnector(above / "store") as connector:
        connector.put(b"value")
