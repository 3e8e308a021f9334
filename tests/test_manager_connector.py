"""ManagerConnector keeps values in a server, which ends with its creator and knows its clients."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import pytest
from conformance import LARGE, LIMIT, SETTLING, bytes_waited_for, in_thread, is_stored, some_bytes
from processes import (
    children,
    is_running,
    needs_proc,
    open_files_and_threads,
    resident_memory,
    times_scheduled,
)

import connectors
from connectors import AlreadySetError, ConnectorError, ManagerConnector, ManagerKey

AUTHKEY_VARIABLE = "PROXYFUTURE_AUTHKEY"
AUTHKEY = "a key that the tests know"

spawn = multiprocessing.get_context("spawn")


def call_in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process with one thread, which can be forked without a warning."""
    with spawn.Pool(1) as pool:
        return pool.apply_async(function, arguments).get(LIMIT)


def python(*arguments: str, authkey: str | None = AUTHKEY) -> dict[str, Any]:
    """Returns `subprocess` arguments for a program that knows this key, and inherits no other."""
    environment = {name: value for name, value in os.environ.items() if name != AUTHKEY_VARIABLE}
    if authkey is not None:
        environment[AUTHKEY_VARIABLE] = authkey
    return {
        "args": [sys.executable, "-W", "error", *arguments],
        "env": environment,
        "cwd": Path(connectors.__file__).parent,
    }


@contextlib.contextmanager
def serving(*address: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """Runs `python -m connectors serve`, and returns the process and the address it prints."""
    program = python("-m", "connectors", "serve", *address)
    with subprocess.Popen(
        **program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        printed = re.search(r"\S+:\d+", server.stdout.readline())
        assert printed
        host, _, port = printed[0].rpartition(":")
        try:
            yield server, (host.strip("[]"), int(port))
        finally:
            server.kill()


@pytest.fixture
def connector() -> Iterator[ManagerConnector]:
    """The connector that creates the server."""
    with ManagerConnector() as connector:
        yield connector


@pytest.fixture(params=["unix-socket", "network"])
def connector_anywhere(request: pytest.FixtureRequest) -> Iterator[tuple[ManagerConnector, int]]:
    """A connector and the process id of its server, which is of either kind."""
    if request.param == "network":
        with (
            serving() as (server, address),
            ManagerConnector.connect(address, AUTHKEY.encode()) as connector,
        ):
            yield connector, server.pid
    else:
        before = children()
        with ManagerConnector() as connector:
            (server_id,) = children() - before
            yield connector, server_id


def eventually(condition: Callable[[], bool], limit: float = LIMIT) -> bool:
    """Tells whether the condition becomes true."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# Child processes use copies


def answer(connector: ManagerConnector, question: ManagerKey, reply: ManagerKey) -> None:
    value = connector.wait(question, LIMIT)
    assert value is not None
    connector.set(reply, value[::-1])


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests left threads
def test_children_of_every_kind_can_use_a_copy(connector: ManagerConnector, method: str) -> None:
    question, reply = connector.new_key(), connector.new_key()
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=answer, args=(connector, question, reply))
    child.start()
    time.sleep(SETTLING)
    connector.set(question, b"value")
    assert connector.wait(reply, LIMIT) == b"eulav"
    child.join(LIMIT)
    assert child.exitcode == 0


def put_and_get(connector: ManagerConnector, text: str) -> bool:
    values = [f"{text} {number}".encode() for number in range(200)]
    return all(is_stored(connector, connector.put(value), value) for value in values)


def own_answers_after_fork() -> tuple[bool, bool, object]:
    """Tells whether parent and child get their own answers, and what another thread waited for."""
    with ManagerConnector() as connector:
        key = connector.new_key()
        waiter = in_thread(connector.wait, key)
        time.sleep(SETTLING)
        connector.put(b"value")  # so there is a second connection, which is idle at the fork
        child = os.fork()
        if child == 0:
            signal.alarm(int(LIMIT))  # ends the child, should it block
            try:
                os._exit(0 if put_and_get(connector, "child") else 1)
            finally:
                os._exit(2)  # the child must not go on with the parent's work
        parent = put_and_get(connector, "parent")
        _, status = os.waitpid(child, 0)
        connector.set(key, b"awaited")
        return parent, status == 0, waiter.result(LIMIT)


def test_parent_and_forked_child_get_their_own_answers_while_a_thread_waits() -> None:
    assert call_in_new_process(own_answers_after_fork) == (True, True, b"awaited")


def value_after_child_closed() -> object:
    with ManagerConnector() as connector:
        key = connector.put(b"value")
        if os.fork() == 0:
            try:
                connector.close()
            finally:
                os._exit(0)
        os.wait()
        copy: ManagerConnector = pickle.loads(pickle.dumps(connector))  # which has to connect
        return copy.get(key)


def test_a_forked_child_that_closes_it_leaves_the_server_alone() -> None:
    assert call_in_new_process(value_after_child_closed) == b"value"


def test_a_copy_that_is_closed_leaves_the_server_alone(connector: ManagerConnector) -> None:
    key = connector.put(b"value")
    copies = [
        pickle.loads(pickle.dumps(connector)),
        ManagerConnector.from_config(connector.config()),
        ManagerConnector.connect(connector.config()["address"]),
        ManagerConnector(connector.config()["address"]),
    ]
    for copy in copies:
        assert copy.get(key) == b"value"
        copy.close()
    call_in_new_process(ManagerConnector.close, connector)
    assert connector.get(key) == b"value"


def test_unpickling_needs_no_server_and_use_says_what_is_wrong() -> None:
    with ManagerConnector() as connector:
        pickled = pickle.dumps((connector, connector.new_key()))
    copy, key = pickle.loads(pickled)
    for use in (copy.get, copy.exists, copy.wait):
        with pytest.raises(ConnectorError, match=r"does not answer.*connectors serve"):
            use(key)


# The server ends with its creator


@needs_proc
def test_close_ends_the_server_and_removes_its_directory() -> None:
    before = children()
    connector = ManagerConnector()
    (server,) = children() - before
    directory = Path(connector.config()["address"]).parent
    assert directory.is_dir()
    connector.close()
    assert not is_running(server)
    assert not directory.exists()


@needs_proc
def test_a_connector_that_nobody_holds_takes_its_server_along() -> None:
    before = children()
    connector = ManagerConnector()
    (server,) = children() - before
    connector.put(b"value")
    del connector
    gc.collect()
    assert not is_running(server)


CREATOR = """
import os, signal, sys
from pathlib import Path
from connectors import ManagerConnector

connector = ManagerConnector()
connector.put(b"value")
(server,) = [file.read_text() for file in Path("/proc/self/task").glob("*/children")]
print(server, connector.config()["address"], flush=True)
"""


@needs_proc
@pytest.mark.parametrize(
    ("ending", "status", "complaint"),
    [
        pytest.param("", 0, "", id="returns"),
        pytest.param("sys.exit(3)", 3, "", id="exits"),
        pytest.param("1 / 0", 1, "ZeroDivisionError", id="fails"),
        pytest.param("os._exit(0)", 0, "", id="exits-at-once"),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", -15, "", id="is-terminated"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", -9, "", id="is-killed"),
    ],
)
def test_however_the_creator_ends_the_server_and_its_directory_go_too(
    ending: str, status: int, complaint: str
) -> None:
    creator = subprocess.run(
        **python("-c", CREATOR + ending), capture_output=True, text=True, timeout=LIMIT
    )
    assert creator.returncode == status
    assert complaint in creator.stderr
    assert complaint or not creator.stderr
    server, address = creator.stdout.split()
    assert eventually(lambda: not is_running(int(server)), limit=5)
    assert not Path(address).parent.exists()


@pytest.mark.parametrize("in_a_block", [False, True])
def test_ctrl_c_leaves_the_server_to_the_creator(in_a_block: bool) -> None:
    program = """
from connectors import ManagerConnector

def work(connector):
    key = connector.put(b"value")
    try:
        print("ready", flush=True)
        connector.wait(connector.new_key())
    finally:
        print(connector.get(key), flush=True)

"""
    if in_a_block:
        program += "with ManagerConnector() as connector:\n    work(connector)"
    else:
        program += "work(ManagerConnector())"
    with subprocess.Popen(
        **python("-c", program),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,  # as a shell starts a program in the foreground
    ) as creator:
        assert creator.stdout is not None
        assert creator.stdout.readline() == "ready\n"
        os.killpg(creator.pid, signal.SIGINT)
        output, errors = creator.communicate(timeout=LIMIT)
    assert output == "b'value'\n"
    assert errors.endswith("KeyboardInterrupt\n")
    assert creator.returncode == -signal.SIGINT


def test_a_server_that_cannot_start_is_a_connector_error_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = tmp_path / ("long" * 30)  # for the path of a Unix socket
    too_long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(too_long))
    with pytest.raises(ConnectorError):
        ManagerConnector()
    assert not list(too_long.iterdir())


def test_a_start_that_is_broken_off_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", None)  # as in a program that embeds Python
    with pytest.raises(TypeError):
        ManagerConnector()
    assert not list(tmp_path.iterdir())


# Who does not know the authentication key stays outside


@pytest.fixture
def known_key(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The key of this process, which new connectors use."""
    monkeypatch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
    return AUTHKEY.encode()


def test_the_key_is_no_part_of_what_travels(known_key: bytes) -> None:
    process_key = bytes(multiprocessing.current_process().authkey)
    with (
        ManagerConnector() as creator,
        ManagerConnector.connect(creator.config()["address"], known_key) as connected,
    ):
        for connector in (creator, connected):
            travelling = pickle.dumps((connector, connector.new_key(), connector.config()))
            shown = repr((connector, connector.config())).encode()
            for secret in (known_key, process_key):
                for form in (secret, secret.hex().encode(), repr(secret).encode()[2:-1]):
                    assert form not in travelling
                    assert form not in shown


@needs_proc
def test_the_key_is_not_in_the_command_line_of_the_server(known_key: bytes) -> None:
    before = children()
    with ManagerConnector():
        (server,) = children() - before
        command_line = Path(f"/proc/{server}/cmdline").read_bytes()
    assert known_key not in command_line
    assert known_key.hex().encode() not in command_line


def test_the_directory_of_the_socket_is_private(connector: ManagerConnector) -> None:
    assert Path(connector.config()["address"]).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "authkey", [b"another key", AUTHKEY.encode() + b"!", AUTHKEY.encode()[:-1]]
)
def test_another_key_is_refused_with_the_remedy(known_key: bytes, authkey: bytes) -> None:
    with ManagerConnector() as connector:
        with pytest.raises(ConnectorError, match=AUTHKEY_VARIABLE):
            ManagerConnector.connect(connector.config()["address"], authkey)
        assert connector.get(connector.put(b"value")) == b"value"


GETTER = """
import pickle, sys
connector, key = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(connector.get(key))
"""


def test_a_program_without_a_common_parent_needs_the_key_in_its_environment(
    known_key: bytes,
) -> None:
    with ManagerConnector() as connector:
        pickled = pickle.dumps((connector, connector.put(b"value")))
        knows, does_not_know, has_another = (
            subprocess.run(
                **python("-c", GETTER, authkey=authkey),
                input=pickled,
                capture_output=True,
                timeout=LIMIT,
            )
            for authkey in (AUTHKEY, None, "another key")
        )
    assert (knows.returncode, knows.stdout, knows.stderr) == (0, b"value", b"")
    for program in (does_not_know, has_another):
        assert program.returncode == 1
        last_line = program.stderr.splitlines()[-1].decode()
        assert "ConnectorError" in last_line
        assert AUTHKEY_VARIABLE in last_line


@pytest.mark.parametrize("authkey", ["text", 1, ["key"]], ids=repr)
def test_a_key_that_is_not_bytes_is_refused(connector: ManagerConnector, authkey: Any) -> None:
    with pytest.raises(TypeError, match="authkey"):
        ManagerConnector.connect(connector.config()["address"], authkey)


def test_the_key_may_be_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environb, AUTHKEY_VARIABLE.encode(), b"\xff not UTF-8 \xfe")
    with ManagerConnector() as connector:
        assert connector.get(connector.put(b"value")) == b"value"


# Connecting


@pytest.mark.parametrize(
    "address",
    [None, 5, ("localhost",), ("localhost", "80"), ("localhost", 0), ("localhost", 70000), (1, 2)],
    ids=repr,
)
def test_refuses_what_is_no_address(address: Any) -> None:
    with pytest.raises(ValueError, match="address"):
        ManagerConnector.connect(address)


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        yield bound.getsockname()[1]


@pytest.mark.timeout(LIMIT)
def test_connecting_to_nobody_fails_promptly(unused_port: int, tmp_path: Path) -> None:
    for address in (("127.0.0.1", unused_port), str(tmp_path / "nobody"), "x" * 1000):
        with pytest.raises(ConnectorError, match="does not answer"):
            ManagerConnector.connect(address)


def test_a_connector_of_an_address_connects_at_its_first_use(tmp_path: Path) -> None:
    connector = ManagerConnector(str(tmp_path / "nobody"))
    key = connector.new_key()
    with pytest.raises(ConnectorError, match="does not answer"):
        connector.get(key)


@contextlib.contextmanager
def stranger(conversation: Callable[[socket.socket], object]) -> Iterator[tuple[str, int]]:
    """Listens for one client, and has a conversation with it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                conversation(client)

        served = in_thread(serve)
        yield listener.getsockname()
        served.result(LIMIT)


@pytest.mark.timeout(2 * LIMIT)
@pytest.mark.parametrize(
    "conversation",
    [
        pytest.param(lambda client: client.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"), id="ssh"),
        pytest.param(lambda client: client.sendall(b"220 mail ESMTP\r\n"), id="smtp"),
        pytest.param(lambda client: client.sendall(bytes(100)), id="zeros"),
        pytest.param(lambda client: client.sendall(b"\xff" * 100), id="ones"),
        pytest.param(lambda client: client.sendall(b"\0\0\0\5hello"), id="greeting"),
        pytest.param(
            lambda client: client.sendall(b"\0\0\0\x14#CHALLENGE#too short!"), id="forger"
        ),
        pytest.param(lambda client: None, id="hangs-up"),
        pytest.param(lambda client: client.recv(1000), id="waits-for-a-request"),
    ],
)
def test_connecting_to_a_server_for_something_else_fails(
    conversation: Callable[[socket.socket], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Private, but half a minute is long for a test.
    monkeypatch.setattr(connectors, "_PATIENCE", 1)
    with stranger(conversation) as address, pytest.raises(ConnectorError):
        ManagerConnector.connect(address)


def test_a_server_that_knows_the_key_but_speaks_something_else_is_a_connector_error(
    known_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors, "_PATIENCE", 1)
    with BaseManager(("127.0.0.1", 0), known_key, ctx=spawn) as manager:
        address: Any = manager.address
        with ManagerConnector.connect(address) as connector, pytest.raises(ConnectorError):
            connector.put(b"value")


def test_clients_that_speak_something_else_do_not_disturb_the_server() -> None:
    with serving() as (server, address):
        for request in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 1000, b""):
            with socket.create_connection(address) as client, contextlib.suppress(OSError):
                client.sendall(request)
        with ManagerConnector.connect(address, AUTHKEY.encode()) as connector:
            assert connector.get(connector.put(b"value")) == b"value"
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=LIMIT)
    assert not errors


# python -m connectors serve

WAITER = """
import ast, pickle, sys
from connectors import ManagerConnector

with ManagerConnector.connect(ast.literal_eval(sys.argv[1])) as connector:
    key = connector.new_key()
    print(pickle.dumps(key).hex(), flush=True)
    print(connector.wait(key))
"""

SETTER = """
import ast, pickle, sys
from connectors import ManagerConnector

with ManagerConnector.connect(ast.literal_eval(sys.argv[1])) as connector:
    connector.set(pickle.loads(bytes.fromhex(sys.argv[2])), b"from another program")
"""


@pytest.mark.parametrize("address", [(), ("127.0.0.1:0",), (":0",), ("localhost:0",)], ids=repr)
def test_serve_connects_separate_programs(address: tuple[str, ...]) -> None:
    with (
        serving(*address) as (_, actual),
        subprocess.Popen(
            **python("-c", WAITER, repr(actual)), stdout=subprocess.PIPE, text=True
        ) as waiter,
    ):
        assert waiter.stdout is not None
        key = waiter.stdout.readline().strip()
        subprocess.run(**python("-c", SETTER, repr(actual), key), check=True, timeout=LIMIT)
        output, _ = waiter.communicate(timeout=LIMIT)
    assert output == "b'from another program'\n"


def test_serve_speaks_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with serving("[::1]:0") as (_, address):
        assert address[0] == "::1"
        with ManagerConnector.connect(address, AUTHKEY.encode()) as connector:
            assert connector.get(connector.put(b"value")) == b"value"


@pytest.mark.parametrize("waiting", [False, True], ids=["idle", "a-client-waits"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_serve_ends_silently(number: signal.Signals, status: int, waiting: bool) -> None:
    with serving() as (server, address):
        connector = ManagerConnector.connect(address, AUTHKEY.encode())
        if waiting:
            waiter = in_thread(connector.wait, connector.new_key())
            time.sleep(SETTLING)
        server.send_signal(number)
        _, errors = server.communicate(timeout=LIMIT)
        assert server.returncode == status
        assert not errors
        if waiting:
            with pytest.raises(ConnectorError):
                waiter.result(LIMIT)
        connector.close()


def command(*arguments: str, authkey: str | None = AUTHKEY) -> subprocess.CompletedProcess[str]:
    program = python("-m", "connectors", *arguments, authkey=authkey)
    return subprocess.run(**program, capture_output=True, text=True, timeout=LIMIT)


@pytest.mark.parametrize("authkey", [None, ""])
def test_serve_without_a_key_tells_which_variable_to_set(authkey: str | None) -> None:
    ended = command("serve", authkey=authkey)
    assert ended.returncode == 2
    assert not ended.stdout
    assert AUTHKEY_VARIABLE in ended.stderr.splitlines()[-1]


def test_serve_tells_that_its_port_is_in_use() -> None:
    with serving() as (_, (host, port)):
        ended = command("serve", f"{host}:{port}")
    assert ended.returncode == 2
    assert re.search(f"{host}:{port}.*in use", ended.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "address", ["nonsense", "127.0.0.1:nonsense", "127.0.0.1:99999", "127.0.0.1:-1", ""], ids=repr
)
def test_serve_tells_what_is_wrong_with_an_address(address: str) -> None:
    ended = command("serve", address)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert re.search(r"HOST:PORT|port", ended.stderr.splitlines()[-1])


def test_the_command_line_explains_itself() -> None:
    assert "serve" in command("--help").stdout
    explanation = command("serve", "--help", authkey=None)
    assert explanation.returncode == 0
    assert AUTHKEY_VARIABLE in explanation.stdout
    assert "HOST:PORT" in explanation.stdout
    assert command().returncode == 2


# Nobody waits for ever


@needs_proc
def test_waits_end_when_the_server_dies(connector_anywhere: tuple[ManagerConnector, int]) -> None:
    connector, server = connector_anywhere
    waits = [(connector.new_key(), timeout) for timeout in (None, 1000) for _ in range(3)]
    waiters = [in_thread(connector.wait, *wait) for wait in waits]
    time.sleep(SETTLING)
    os.kill(server, signal.SIGKILL)
    for waiter in waiters:
        with pytest.raises(ConnectorError, match="does not answer"):
            waiter.result(LIMIT)
    with pytest.raises(ConnectorError, match="does not answer"):
        connector.put(b"value")


def test_a_wait_in_a_child_ends_when_the_creator_closes(connector: ManagerConnector) -> None:
    waiter = in_thread(call_in_new_process, connector.wait, connector.new_key())
    time.sleep(1)  # which starting a process takes
    assert not waiter.done()
    connector.close()
    with pytest.raises(ConnectorError, match="does not answer"):
        waiter.result(LIMIT)


def test_a_connector_reaches_a_new_server_at_the_address_of_the_old_one() -> None:
    with serving() as (_, address):
        connector = ManagerConnector.connect(address, AUTHKEY.encode())
        keys = [connector.new_key() for _ in range(3)]
        waiters = [in_thread(connector.wait, key) for key in keys]
        for key, waiter in zip(keys, waiters, strict=True):
            connector.set(key, b"value")
            waiter.result(LIMIT)  # now there are several connections, all to the old server
    with pytest.raises(ConnectorError):
        connector.put(b"value")
    with serving(f"{address[0]}:{address[1]}"), connector:
        assert connector.get(connector.put(b"value")) == b"value"


# Every call gets its own answer


def put_on_and_on(connector: ManagerConnector) -> None:
    while True:
        connector.put(b"another value")


def wait_in_vain(connector: ManagerConnector) -> None:
    connector.wait(connector.new_key())


def answers_after_interrupts(connector: ManagerConnector) -> None:
    """Interrupts calls at all sorts of moments, and looks at the next call's answer."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    key = connector.put(b"value")
    for number in range(100):
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, random.Random(number).uniform(1e-5, 3e-3))
            # In functions: an interrupt at a loop's end would escape this `with` in Python 3.13.0.
            (put_on_and_on if number % 2 else wait_in_vain)(connector)
        assert connector.get(key) == b"value"
        assert connector.exists(connector.new_key()) is False


def test_after_an_interrupt_every_call_gets_its_own_answer(connector: ManagerConnector) -> None:
    call_in_new_process(answers_after_interrupts, connector)


def wait_for_ctrl_c(connector: ManagerConnector) -> object:
    key = connector.put(b"value")
    threading.Timer(SETTLING, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        connector.wait(connector.new_key())
    return connector.get(key)


def test_ctrl_c_ends_a_wait_and_nothing_else(connector: ManagerConnector) -> None:
    assert call_in_new_process(wait_for_ctrl_c, connector) == b"value"


@pytest.fixture
def default_timeout() -> Iterator[None]:
    """Some programs give all their sockets a timeout, which makes them non-blocking inside."""
    socket.setdefaulttimeout(LIMIT)
    yield
    socket.setdefaulttimeout(None)


@pytest.mark.usefixtures("default_timeout")
def test_a_default_timeout_of_the_programs_sockets_disturbs_no_call(
    connector: ManagerConnector,
) -> None:
    for size in [1, LARGE] * 10:
        key, value = connector.new_key(), some_bytes(size)
        waiter = in_thread(connector.wait, key, LIMIT)
        connector.set(key, value)
        assert waiter.result(LIMIT) == connector.get(key) == value


@needs_proc
@pytest.mark.usefixtures("default_timeout")
def test_a_default_timeout_of_the_programs_sockets_lets_the_server_sleep() -> None:
    before_server = children()
    with ManagerConnector() as connector:
        (server,) = children() - before_server
        connector.put(b"value")

        def turns() -> int:
            return sum(map(times_scheduled, Path(f"/proc/{server}/task").iterdir()))

        def turns_in_two_seconds() -> int:
            before = turns()
            time.sleep(2)
            return turns() - before

        # Twice a second it looks whether its creator lives. To poll for clients would take 20 more.
        assert eventually(lambda: turns_in_two_seconds() < 12)


def test_more_threads_than_connections_are_kept_get_their_own_answers(
    connector: ManagerConnector,
) -> None:
    threads = [in_thread(put_and_get, connector, f"thread {number}") for number in range(30)]
    assert all([thread.result(LIMIT) for thread in threads])


# Who leaves, leaves nothing behind in the server


@needs_proc
def test_clients_killed_while_they_wait_leave_nothing_behind(
    connector_anywhere: tuple[ManagerConnector, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    connector, server = connector_anywhere
    monkeypatch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
    if isinstance(connector.config()["address"], str):
        monkeypatch.delenv(AUTHKEY_VARIABLE)
    key = connector.put(b"value")
    before = open_files_and_threads(server)
    unset = connector.new_key()
    clients = [spawn.Process(target=connector.wait, args=(unset,)) for _ in range(3)]
    for client in clients:
        client.start()
    _, threads_before = before
    assert eventually(lambda: open_files_and_threads(server)[1] == threads_before + len(clients))
    for client in clients:
        client.kill()
        client.join(LIMIT)
    assert eventually(lambda: open_files_and_threads(server) == before)
    assert connector.get(key) == b"value"


@needs_proc
def test_waits_that_time_out_leave_nothing_behind(
    connector_anywhere: tuple[ManagerConnector, int],
) -> None:
    connector, server = connector_anywhere
    connector.put(b"value")
    before = open_files_and_threads(server)
    for _ in range(200):
        assert connector.wait(connector.new_key(), 0.0001) is None
    connector.put(b"value")
    assert eventually(lambda: open_files_and_threads(server) == before)


@needs_proc
@pytest.mark.parametrize("others_wait", [False, True], ids=["alone", "others-wait-too"])
def test_waits_that_time_out_take_no_memory_of_the_server(
    connector_anywhere: tuple[ManagerConnector, int], others_wait: bool
) -> None:
    connector, server = connector_anywhere
    key = connector.new_key()
    if others_wait:
        waiter = in_thread(connector.wait, key)
        time.sleep(SETTLING)

    def abandon(times: int) -> None:
        for _ in range(times):
            assert connector.wait(key, 0.0001) is None

    abandon(500)
    before = resident_memory(server)
    abandon(1000)
    assert resident_memory(server) - before < 400_000
    connector.set(key, b"value")
    if others_wait:
        assert waiter.result(LIMIT) == b"value"


def threads_left_by_waits_during_forks() -> tuple[int, int]:
    before_server = children()
    with ManagerConnector() as connector:
        (server,) = children() - before_server
        connector.put(b"value")
        _, before = open_files_and_threads(server)
        forked = []
        for _ in range(5):
            waiter = in_thread(connector.wait, connector.new_key(), 3 * SETTLING)
            time.sleep(SETTLING)
            forked.append(os.fork())
            if forked[-1] == 0:
                time.sleep(LIMIT)
                os._exit(0)
            waiter.result(LIMIT)
        eventually(lambda: open_files_and_threads(server)[1] <= before, limit=3)
        _, after = open_files_and_threads(server)
        for child in forked:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return before, after


@needs_proc
def test_waits_that_time_out_leave_nothing_behind_when_children_were_forked_meanwhile() -> None:
    before, after = call_in_new_process(threads_left_by_waits_during_forks)
    assert after <= before


@needs_proc
@pytest.mark.parametrize("size", [1, 60_000, LARGE])
def test_a_client_that_is_stopped_while_it_waits_holds_up_nobody(
    connector_anywhere: tuple[ManagerConnector, int],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    connector, _ = connector_anywhere
    if not isinstance(connector.config()["address"], str):
        monkeypatch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
    key, value = connector.new_key(), some_bytes(size)
    with spawn.Pool(1) as pool:
        process_id = pool.apply(os.getpid)
        stopped = pool.apply_async(bytes_waited_for, (connector, key))
        time.sleep(5 * SETTLING)
        os.kill(process_id, signal.SIGSTOP)
        waiter = in_thread(connector.wait, key)
        time.sleep(SETTLING)
        try:
            in_thread(connector.set, key, value).result(LIMIT / 2)
            assert (waiter.result(LIMIT / 2) == value) is True
        finally:
            os.kill(process_id, signal.SIGCONT)
        assert (stopped.get(LIMIT) == value) is True


# Large values


def put_more_than_open_files() -> bool:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
    values = [some_bytes(100_000 + number) for number in range(200)]
    with ManagerConnector() as connector:
        keys = connector.put_batch(values)
        return all(map(is_stored, [connector] * len(keys), keys, values))


def test_keeps_more_large_values_than_a_process_may_open_files_by_default() -> None:
    assert call_in_new_process(put_more_than_open_files)


def complaint_without_open_files() -> str:
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ManagerConnector() as connector:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
        try:
            connector.put(b"value")
        except ConnectorError as error:
            return str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))
        return "nothing"


def test_who_may_not_open_another_file_is_told_so() -> None:
    assert "Too many open files" in call_in_new_process(complaint_without_open_files)


def complaint_without_memory() -> str:
    with ManagerConnector() as connector:
        key = connector.put(some_bytes(50_000_000))
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + 20_000_000, resource.RLIM_INFINITY))
        try:
            connector.get(key)
        except ConnectorError as error:
            return str(error)
        return "nothing"


@needs_proc
def test_who_has_no_room_for_a_large_value_is_told_so() -> None:
    assert "no room for 50000000 bytes" in call_in_new_process(complaint_without_memory)


@needs_proc
def test_a_large_value_is_read_where_it_is_and_nobody_can_change_it_for_others(
    connector: ManagerConnector,
) -> None:
    key = connector.put(some_bytes(LARGE))
    before = open_files_and_threads(os.getpid())
    value = connector.get(key)
    assert isinstance(value, memoryview)
    assert value == some_bytes(LARGE)
    if not value.readonly:
        value[:] = bytes(LARGE)
    again = connector.get(key)
    connector.evict(key)
    assert (again == some_bytes(LARGE)) is True
    del value, again
    assert open_files_and_threads(os.getpid()) == before


@needs_proc
def test_an_evicted_large_value_takes_no_memory(
    connector_anywhere: tuple[ManagerConnector, int],
) -> None:
    connector, server = connector_anywhere
    connector.put(b"value")
    before = open_files_and_threads(server)
    for _ in range(20):
        connector.evict(connector.put(some_bytes(LARGE)))
    assert eventually(lambda: open_files_and_threads(server) == before)
    assert resident_memory(server) < 20 * LARGE


@needs_proc
@pytest.mark.usefixtures("known_key")
@pytest.mark.parametrize("too_late", [False, True], ids=["evicted-by-another", "set-too-late"])
def test_a_large_value_that_is_not_stored_takes_no_memory_while_its_setter_does_nothing(
    connector_anywhere: tuple[ManagerConnector, int], too_late: bool
) -> None:
    connector, server = connector_anywhere
    key, value = connector.new_key(), bytes(10 * LARGE)
    with ManagerConnector.connect(connector.config()["address"]) as another:
        if too_late:
            another.set(key, b"value")
        assert connector.exists(key) is another.exists(key)  # now each has its connection
        files, memory = open_files_and_threads(server), resident_memory(server)
        if too_late:
            with pytest.raises(AlreadySetError):
                connector.set(key, value)
        else:
            connector.set(key, value)
            another.evict(key)
        assert eventually(lambda: open_files_and_threads(server) == files)
        assert eventually(lambda: resident_memory(server) < memory + len(value) // 2)
