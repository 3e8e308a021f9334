"""ManagerConnector keeps values in a server, which ends with its creator and knows its clients.

What becomes of waits when a server dies or is frozen, `test_faults.py` says.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipapp
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import LIMIT, SETTLING, in_thread, is_stored
from support import (
    AUTHKEY,
    AUTHKEY_VARIABLE,
    ROOT,
    call_in_new_process,
    eventually,
    in_forked_child,
    is_running,
    needs_fork,
    needs_proc,
    open_files_and_threads,
    python,
    resident_memory,
    servers,
    serving,
)

from connectors import ConnectorError, ManagerConnector

REMEDY = "connectors serve"

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def connector() -> Iterator[ManagerConnector]:
    """One that nobody closes or breaks."""
    with ManagerConnector() as connector:
        yield connector


def run(*arguments: str, authkey: str | None = AUTHKEY, **options: Any) -> Any:
    """Runs a Python program to its end."""
    options = {"capture_output": True, "text": True, "timeout": LIMIT, **options}
    return subprocess.run(**{**python(*arguments, authkey=authkey), **options})


def put_and_get(connector: ManagerConnector) -> bool:
    values = [f"{os.getpid()} {number}".encode() for number in range(200)]
    return all(is_stored(connector, connector.put(value), value) for value in values)


# Copies


def own_answers_after_fork(connector: ManagerConnector) -> tuple[bool, bool, object]:
    """Tells whether parent and child get their own answers, and what another thread waited for."""
    key = connector.new_key()
    waiter = in_thread(connector.wait, key)
    time.sleep(SETTLING)
    connector.put(b"value")  # so there is a second connection, which is idle at the fork
    child = in_thread(in_forked_child, put_and_get, connector)
    parent = put_and_get(connector)
    connector.set(key, b"awaited")
    return parent, child.result(LIMIT), waiter.result(LIMIT)


@needs_fork
def test_parent_and_forked_child_get_their_own_answers_while_a_thread_waits(
    connector: ManagerConnector, elsewhere: Call
) -> None:
    assert elsewhere(own_answers_after_fork, connector) == (True, True, b"awaited")


# The server ends with its creator


@needs_proc
@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "nobody-holds-it"])
def test_the_server_and_its_directory_end_with_the_connector(is_closed: bool) -> None:
    before = servers()
    connector = ManagerConnector()
    (server,) = servers() - before
    directory = Path(connector.config()["address"]).parent
    assert directory.stat().st_mode & 0o777 == 0o700
    if is_closed:
        connector.close()
    del connector
    gc.collect()
    assert not is_running(server)
    assert not directory.exists()


CREATOR = """
import os, signal, sys
from pathlib import Path
from connectors import ManagerConnector

connector = ManagerConnector()
assert connector.get(connector.put(b"value")) == b"value"
print("done", flush=True)
"""


@needs_proc
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        pytest.param("1 / 0", 1, id="fails"),
        pytest.param("os._exit(0)", 0, id="exits-at-once"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", -9, id="is-killed"),
    ],
)
def test_however_the_creator_ends_the_server_and_all_temporary_files_go_too(
    ending: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = "print(*[f.read_text() for f in Path('/proc/self/task').glob('*/children')], flush=True)"
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("TMPDIR", directory)
        creator = run("-c", f"{CREATOR}\n{tell}\n{ending}")
        assert creator.returncode == status
        assert ("Error" in creator.stderr) is (status == 1)
        server = int(creator.stdout.split()[-1])
        assert eventually(lambda: not is_running(server), limit=5)
        assert not os.listdir(directory)


INTERRUPTED = """
import signal
from connectors import ManagerConnector

for number in signal.SIGTERM, signal.SIGHUP:
    signal.signal(number, signal.default_int_handler)
with ManagerConnector() as connector:
    key = connector.put(b"value")
    try:
        print("ready", flush=True)
        connector.wait(connector.new_key())
    finally:
        print(connector.get(key), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_group_of_the_creator_leaves_the_server_to_the_creator(
    number: signal.Signals,
) -> None:
    program = {**python("-c", INTERRUPTED), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # In a group of its own, as a shell starts a program in the foreground.
    with subprocess.Popen(**program, process_group=0, text=True) as creator:
        assert creator.stdout is not None
        assert creator.stdout.readline() == "ready\n"
        os.killpg(creator.pid, number)
        output, errors = creator.communicate(timeout=LIMIT)
    assert output == "b'value'\n"
    assert errors.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("times", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_a_consumer_that_closes_at_once_leaves_its_producer_the_time_for_an_answer(
    elsewhere: Call, times: int
) -> None:
    for _ in range(times):
        with ManagerConnector() as connector:
            key = connector.new_key()
            producer = in_thread(elsewhere, ManagerConnector.set, connector, key, b"value")
            assert connector.wait(key, LIMIT) == b"value"
        producer.result(LIMIT)


# It works wherever a program works, or says at once what does


@pytest.mark.parametrize("way", ["script", "standard input"])
@pytest.mark.parametrize("folder", ["temporary", "x" * 150], ids=["", "long TMPDIR"])
def test_works_in_a_program_without_a_main_guard(
    way: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, script = tmp_path / folder, tmp_path / "script.py"
    directory.mkdir()
    script.write_text(CREATOR)
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run(str(script)) if way == "script" else run("-", input=CREATOR)
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert not list(directory.iterdir())


def use_own_connector() -> tuple[bool, bool]:
    with ManagerConnector() as connector:
        return multiprocessing.current_process().daemon, put_and_get(connector)


def test_works_in_a_daemonic_worker(elsewhere: Call) -> None:
    assert elsewhere(use_own_connector) == (True, True)


@pytest.mark.parametrize(("name", "value"), [("frozen", True), ("executable", None)])
def test_says_at_once_that_there_is_no_interpreter_to_run_the_server(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, name, value, raising=False)
    with pytest.raises(ConnectorError, match=r"\bconnect\("):
        ManagerConnector()


def test_says_at_once_that_a_zip_application_cannot_start_the_server(tmp_path: Path) -> None:
    folder, application = tmp_path / "folder", tmp_path / "application.pyz"
    folder.mkdir()
    shutil.copy(ROOT / "connectors.py", folder)
    (folder / "__main__.py").write_text(CREATOR)
    zipapp.create_archive(folder, application)
    assert re.search(r"ConnectorError.*\bconnect\(", run(str(application), cwd=tmp_path).stderr)


# Only those who know the authentication key come in


GETTER = """
import pickle, sys
connector, key = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(connector.get(key))
"""


@pytest.mark.parametrize("authkey", [AUTHKEY, None])
def test_a_program_without_a_common_parent_needs_the_key_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, authkey: str | None
) -> None:
    monkeypatch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
    with ManagerConnector() as connector:
        pickled = pickle.dumps((connector, connector.put(b"value")))
        program = run("-c", GETTER, authkey=authkey, input=pickled, text=False)
    if authkey == AUTHKEY:
        assert (program.stdout, program.stderr) == (b"value", b"")
    else:
        assert re.search(b"ConnectorError.* key", program.stderr)


# Connecting


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.6\r\n", bytes(100), b"\0\0\0\5hello", b""], ids=repr
)
def test_connecting_to_a_server_for_something_else_fails(words: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connecting = in_thread(ManagerConnector.connect, listener.getsockname(), b"key")
        client, _ = listener.accept()
        with client:
            client.sendall(words)
            client.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectorError):
                connecting.result(LIMIT)


# python -m connectors serve


ANSWERING = """
import sys
from connectors import ManagerConnector, ManagerKey

address, question, reply = eval(sys.argv[1])
connector = ManagerConnector.connect(address)
connector.set(ManagerKey(reply), connector.wait(ManagerKey(question))[::-1])
"""


@pytest.mark.slow
def test_serve_connects_programs_of_different_pythons() -> None:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    others = [str(found) for found in root.glob("3.1[1-9].*/bin/python3")]
    if not others:
        pytest.skip("needs another Python from pyenv")
    with serving() as (_, address), ManagerConnector.connect(address, AUTHKEY.encode()) as here:
        for other in others:
            question, reply = here.new_key(), here.new_key()
            program = python("-c", ANSWERING, repr((address, question.id, reply.id)))
            program["args"][0] = other
            with subprocess.Popen(**program):
                here.set(question, b"12" * 50_000)
                assert here.wait(reply, LIMIT) == b"21" * 50_000


def test_serve_takes_an_address_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with serving("[::1]:0") as (_, address):
        assert address[0] == "::1"
        with ManagerConnector.connect(address, AUTHKEY.encode()) as connector:
            assert put_and_get(connector)


def test_serve_ends_what_waits_at_ctrl_c_and_says_nothing_of_it_or_of_clients_for_another() -> None:
    with serving() as (server, address):
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, b""):
            with socket.create_connection(address) as client, contextlib.suppress(OSError):
                client.sendall(request)
        connector = ManagerConnector.connect(address, AUTHKEY.encode())
        waiter = in_thread(connector.wait, connector.new_key())
        time.sleep(SETTLING)
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=LIMIT)
        assert (server.returncode, errors) == (0, "")
        with pytest.raises(ConnectorError, match=REMEDY):
            waiter.result(LIMIT)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("nonsense", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("{taken}", "{taken}.*in use"),
    ],
)
def test_serve_tells_why_it_cannot(address: str, complaint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        program = run("-m", "connectors", "serve", address.format(taken=taken))
    assert (program.returncode, program.stdout) == (2, "")
    assert re.search("error: .*" + complaint.format(taken=taken), program.stderr)
    assert "Traceback" not in program.stderr


def test_a_connector_reaches_a_new_server_at_the_address_of_the_old_one() -> None:
    with serving() as (_, address):
        connector = ManagerConnector.connect(address, AUTHKEY.encode())
        assert in_thread(put_and_get, connector).result(LIMIT)  # on a connection of its own
    with pytest.raises(ConnectorError, match=REMEDY):
        connector.put(b"value")
    with serving(f"{address[0]}:{address[1]}"), connector:
        assert put_and_get(connector)


# Every call gets its own answer


def put_on_and_on(connector: ManagerConnector) -> None:
    while True:
        connector.put(b"another value")


def answers_after_interrupts(connector: ManagerConnector, times: int) -> None:
    """Interrupts calls at all sorts of moments, and looks at the next call's answer."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    key = connector.put(b"value")
    for number in range(times):
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, random.Random(number).uniform(1e-5, 3e-3))
            # In a function: an interrupt at a loop's end would escape this `with` in Python 3.13.0.
            put_on_and_on(connector)
        assert connector.get(key) == b"value"
        assert connector.exists(connector.new_key()) is False


@pytest.mark.parametrize("times", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_after_an_interrupt_every_call_gets_its_own_answer(
    connector: ManagerConnector, times: int
) -> None:
    call_in_new_process(answers_after_interrupts, connector, times)


# Nothing is left behind in the server


@needs_proc
def test_waits_given_up_and_evicted_values_leave_nothing_behind_in_the_server() -> None:
    before_server = servers()
    with ManagerConnector() as connector:
        (server,) = servers() - before_server
        awaited = connector.new_key()
        waiter = in_thread(connector.wait, awaited)

        def use(times: int) -> int:
            """Returns how much memory the server has then."""
            for _ in range(times):
                assert connector.wait(connector.new_key(), 0) is connector.wait(awaited, 0) is None
                connector.evict(connector.put(bytes(2000)))
            return resident_memory(server)

        before, threads = use(300), open_files_and_threads(server)
        assert use(500) - before < 400_000
        assert open_files_and_threads(server) <= threads
        connector.set(awaited, b"value")
        assert waiter.result(LIMIT) == b"value"
