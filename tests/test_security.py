"""Each statement of docs/security.md: what is dangerous, what protects, and what does not."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest
from conformance import LIMIT, in_thread
from support import (
    AUTHKEY,
    AUTHKEY_VARIABLE,
    ROOT,
    eventually,
    needs_proc,
    open_files_and_threads,
    opened,
    python,
    serving,
)

from connectors import ConnectorError, FileConnector, FileKey, InvalidKeyError, ManagerConnector
from proxyfuture import BrokenFutureError, Proxy, SerializationError, Store

KEY = AUTHKEY.encode()

Address = tuple[str, int]


class Trap(Exception):
    """An object whose pickle runs code where it is loaded. This code makes a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.directory),)

    def has_run(self) -> bool:
        return self.directory.is_dir()


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


@pytest.fixture
def trap_key(connector: FileConnector, directory: Path, trap: Trap) -> FileKey:
    """The key of a trap that was set by somebody who may write into the directory."""
    key = connector.new_key()
    (directory / key.id).write_bytes(pickle.dumps(trap))
    return key


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, Address]]:
    """The process of a server for the network, and its address."""
    with serving() as (process, address):
        yield process.pid, address


@pytest.fixture
def address(server: tuple[int, Address]) -> Address:
    return server[1]


def test_each_test_is_named_in_the_page_and_the_reverse() -> None:
    tests = {name for name in globals() if name.startswith("test_")}
    page = (ROOT / "docs" / "security.md").read_text()
    named = {word for word in page.split("`") if word.startswith("test_")}
    assert named == tests - {"test_each_test_is_named_in_the_page_and_the_reverse"}


# What is a pickle


def test_a_value_runs_code_in_its_reader(
    connector: FileConnector, trap: Trap, trap_key: FileKey
) -> None:
    Store("store", connector).get(trap_key)
    assert trap.has_run()


def test_a_value_runs_no_code_with_a_serializer_such_as_json(
    connector: FileConnector, trap: Trap, trap_key: FileKey
) -> None:
    with pytest.raises(SerializationError):
        Store("store", connector, deserializer=json.loads).get(trap_key)
    assert not trap.has_run()


def test_an_exception_runs_code_in_its_reader_whatever_the_serializer(
    connector: FileConnector, trap: Trap
) -> None:
    def to_json(obj: object) -> bytes:
        return json.dumps(obj).encode()

    store = Store("store", connector, serializer=to_json, deserializer=json.loads)
    future = store.future(str)
    future.set_exception(trap)
    assert isinstance(future.exception(), BrokenFutureError)
    assert trap.has_run()


def test_a_proxy_that_arrives_runs_code_before_it_is_used(trap: Trap) -> None:
    proxy: Proxy[str] = Proxy(lambda: "target")
    object.__setattr__(proxy, "__factory__", trap)  # by somebody who made its pickle
    arriving = pickle.dumps(proxy)
    with pytest.raises(TypeError, match="factory"):  # too late
        pickle.loads(arriving)
    assert trap.has_run()


def test_who_knows_the_key_can_run_code_in_the_server(address: Address, trap: Trap) -> None:
    with Client(address, authkey=KEY) as client:
        client.send(trap)
        assert eventually(trap.has_run)


def test_a_server_that_knows_the_key_can_run_code_in_its_clients(trap: Trap) -> None:
    with multiprocessing.connection.Listener(("127.0.0.1", 0), authkey=KEY) as listener:

        def answer() -> None:
            with listener.accept() as client:
                client.recv()
                client.send(trap)

        answering = in_thread(answer)
        with contextlib.suppress(Exception):
            ManagerConnector.connect(listener.address, KEY)
        answering.result(LIMIT)
    assert trap.has_run()


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
    with pytest.raises(ConnectorError, match="others may write"):
        FileConnector(directory)


def test_the_directory_is_looked_at_again_before_anything_is_read(
    connector: FileConnector, directory: Path, trap: Trap, trap_key: FileKey
) -> None:
    directory.chmod(0o777)
    with pytest.raises(ConnectorError, match="others may write"):
        Store("store", connector).get(trap_key)
    assert not trap.has_run()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..", "", "../store/" + "0" * 32])
def test_a_key_cannot_leave_the_directory(connector: FileConnector, name: str) -> None:
    key = FileKey(name)
    for use in connector.get, connector.evict, connector.exists, connector.wait:
        with pytest.raises(InvalidKeyError):
            use(key)
    with pytest.raises(InvalidKeyError):
        connector.set(key, b"value")


# What the ManagerConnector does about it


@pytest.mark.parametrize("folder", ["", "long" * 25], ids=["", "a path too long for a socket"])
def test_its_own_server_is_out_of_strangers_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    if folder:
        (tmp_path / folder).mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / folder))
    with ManagerConnector() as connector:
        address = connector.config()["address"]
        if isinstance(address, str) or not folder:
            private = os.stat(os.path.dirname(address))
            assert stat.S_ISSOCK(os.stat(address).st_mode)
            assert (stat.S_IMODE(private.st_mode), private.st_uid) == (0o700, os.geteuid())
        else:
            assert address[0] == "127.0.0.1"
        connector.put(b"value")


@pytest.mark.parametrize("address", [(), (":0",)], ids=["no address", "a port"])
def test_a_server_for_the_network_listens_on_the_loopback_unless_told_otherwise(
    address: tuple[str, ...],
) -> None:
    with serving(*address) as (_, (host, _)):
        assert host == "127.0.0.1"


def test_a_server_for_the_network_does_not_start_without_a_key() -> None:
    refused = subprocess.run(
        **python("-m", "connectors", "serve", authkey=None), capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert AUTHKEY_VARIABLE in refused.stderr


def test_who_does_not_know_the_key_stays_outside(address: Address) -> None:
    for another in (b"another key", KEY + b"!", KEY[:-1]):
        with pytest.raises(ConnectorError, match="authentication key"):
            ManagerConnector.connect(address, another)


def test_the_server_loads_no_pickle_before_the_client_has_proven_the_key(
    address: Address, trap: Trap
) -> None:
    message = pickle.dumps(trap)
    with socket.create_connection(address) as stranger, contextlib.suppress(OSError):
        stranger.settimeout(LIMIT)
        stranger.sendall(len(message).to_bytes(4, "big") + message)
        while stranger.recv(1000):  # until the server hangs up
            pass
    with ManagerConnector.connect(address, KEY) as connector:
        connector.put(b"value")
    assert not trap.has_run()


def test_the_client_loads_no_pickle_before_the_server_has_proven_the_key(trap: Trap) -> None:
    message, over = pickle.dumps(trap), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def impersonate() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(len(message).to_bytes(4, "big") + message)
                over.wait(LIMIT)

        impostor = in_thread(impersonate)
        with pytest.raises(ConnectorError):
            ManagerConnector.connect(listener.getsockname(), KEY)
        over.set()
        impostor.result(LIMIT)
    assert not trap.has_run()


def test_the_server_refuses_calls_of_anything_but_the_five_methods_of_its_memory(
    address: Address,
) -> None:
    with Client(address, authkey=KEY) as client:
        client.send((None, "debug_info", (), {}))
        memory, _, _ = client.recv()[1].strip().partition(":")
    with Client(address, authkey=KEY) as client:
        client.send((None, "accept_connection", ("curious",), {}))
        client.recv()
        for method in "__init__", "__reduce__", "__class__", "__dict__", "__setattr__":
            client.send((memory, method, (), {}))
            kind, text = client.recv()
            assert kind == "#TRACEBACK"
            assert "is not in exposed=" in text
            assert all(f"'{name}'" in text for name in ("get", "exists", "evict", "set", "wait"))


@needs_proc
def test_the_key_is_in_no_pickle_text_or_command_line_nor_in_the_environment_of_its_own_server(
    server: tuple[int, Address], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(AUTHKEY_VARIABLE, raising=False)
    shown = [Path(f"/proc/{server[0]}/cmdline").read_bytes()]
    with (
        opened("manager", tmp_path) as (own, _, own_server),
        Store("connected", ManagerConnector.connect(server[1], KEY)) as connected,
    ):
        for file in "cmdline", "environ":
            shown.append(Path(f"/proc/{own_server}/{file}").read_bytes())
        for store in own, connected:
            things: Any = store.connector, store, (future := store.future(str)), future.proxy()
            shown += [pickle.dumps(things), repr((things, store.connector.config())).encode()]
        with pytest.raises(ConnectorError) as refusal:
            ManagerConnector.connect(server[1], KEY + b"!")
        shown.append(str(refusal.value).encode())
    for secret in KEY, bytes(multiprocessing.current_process().authkey):
        for form in secret, secret.hex().encode(), repr(secret)[2:-1].encode():
            assert not any(form in text for text in shown)


# What they do not do


def test_values_travel_in_the_clear_over_the_network_and_the_key_does_not(address: Address) -> None:
    heard = bytearray()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                heard.extend(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def relay() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(address) as behind:
            answers = in_thread(pass_on, behind, client)
            pass_on(client, behind)
            answers.result(LIMIT)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(5):  # more than it takes
            in_thread(relay)
        with ManagerConnector.connect(listener.getsockname(), KEY) as connector:
            connector.put(b"nothing that anybody should know")
        listener.shutdown(socket.SHUT_RDWR)  # which ends accept()
    assert b"nothing that anybody should know" in heard
    assert KEY not in heard
    assert b"CHALLENGE" in heard  # enough to try out keys that somebody might have chosen


def test_a_client_can_evict_the_values_of_others(address: Address) -> None:
    connect = ManagerConnector.connect
    with connect(address, KEY) as owner, connect(address, KEY) as other:
        key = owner.put(b"value")
        other.evict(key)
        assert not owner.exists(key)


def test_a_client_can_end_the_server() -> None:
    with serving() as (process, address), Client(address, authkey=KEY) as client:
        client.send((None, "shutdown", (), {}))
        assert process.wait(LIMIT) == 0


@needs_proc
def test_a_stranger_who_says_nothing_costs_the_server_a_thread_until_it_leaves(
    server: tuple[int, Address],
) -> None:
    def threads() -> int:
        return open_files_and_threads(server[0])[1]

    with ManagerConnector.connect(server[1], KEY) as connector:
        before = threads()
        with contextlib.ExitStack() as strangers:
            for _ in range(10):
                strangers.enter_context(socket.create_connection(server[1]))
            assert eventually(lambda: threads() >= before + 10)
            assert connector.get(connector.put(b"for a client")) == b"for a client"
        assert eventually(lambda: threads() <= before)


@needs_proc
def test_the_user_can_read_the_key_in_the_environment_of_a_program_that_got_it_there(
    server: tuple[int, Address],
) -> None:
    environment = Path(f"/proc/{server[0]}/environ")
    assert KEY in environment.read_bytes()
    assert stat.S_IMODE(environment.stat().st_mode) == 0o400  # the user, and nobody else


def test_the_directories_above_are_not_looked_at(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with FileConnector(above / "store") as connector:
        connector.put(b"value")
