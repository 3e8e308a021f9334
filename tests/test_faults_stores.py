"""Faults of stores: they die, stop, are closed and run out of room. Whoever waits is told."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import faults
import pytest
from conformance import LARGE, LIMIT, SETTLING, in_thread
from faults import ALL_KINDS, PROMPT, SHARED_KINDS, Nursery, Opened, spawn
from processes import is_running, needs_proc, state
from test_manager_connector import eventually, serving

import connectors
from connectors import ConnectorError, FileConnector, ManagerConnector
from proxyfuture import ProxyFuture, ProxyResolveError, Store, resolve

known_key, medium, store = faults.known_key, faults.medium, faults.store
nursery, reached = faults.nursery, faults.reached


# Whoever waits is told what happened to the store


async def await_result(future: ProxyFuture[Any]) -> Any:
    return await future


WAYS_TO_WAIT: dict[str, Callable[[ProxyFuture[Any]], object]] = {
    "result": lambda future: future.result(),
    "result in time": lambda future: future.result(1000),
    "exception": lambda future: future.exception(),
    "proxy": lambda future: resolve(future.proxy()),
    "proxy in time": lambda future: resolve(future.proxy(timeout=1000)),
    "follower": lambda future: future.to_concurrent().result(),
    "await": lambda future: asyncio.run(await_result(future)),
}


class End(NamedTuple):
    """How a wait ended, and when: on a clock that all processes share."""

    way: str
    error: BaseException | None
    at: float


def end_of_wait(future: ProxyFuture[Any], way: str) -> End:
    error: BaseException | None = None
    try:
        WAYS_TO_WAIT[way](future)
    except ProxyResolveError as failure:
        error = failure.__cause__
    except Exception as failure:
        error = failure
    return End(way, error, time.monotonic())


def assert_told(ends: list[End], since: float, message: str) -> float:
    """Asserts that all waits have failed soon, and for that reason. Returns after how long."""
    for end in ends:
        with pytest.raises(ConnectorError, match=message):
            raise end.error or AssertionError(f"{end.way} did not fail")
        assert end.at - since < PROMPT
    return round(max(end.at for end in ends) - since, 3)


def meet(all_here: Barrier) -> None:
    """Called by each new process, so it has started and imported this module when all are here."""
    all_here.wait(LIMIT)


@needs_proc
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("file", "store_dir .*values' cannot be used: .*No such file"),
        ("manager", "server at .* does not answer"),
        ("network", "server at .* does not answer"),
    ],
    ids=SHARED_KINDS,
)
def test_waiters_in_threads_and_processes_learn_that_the_medium_was_destroyed(
    medium: Opened, message: str, reached: Callable[..., None]
) -> None:
    future: ProxyFuture[Any] = medium.store.future()
    all_here = spawn.Barrier(len(WAYS_TO_WAIT) + 1)
    with spawn.Pool(len(WAYS_TO_WAIT), meet, (all_here,)) as processes:
        meet(all_here)
        waiters = [in_thread(end_of_wait, future, way) for way in WAYS_TO_WAIT]
        for way in WAYS_TO_WAIT:
            waiters.append(in_thread(processes.apply, end_of_wait, (future, way)))
        time.sleep(5 * SETTLING)
        assert not any(waiter.done() for waiter in waiters)
        since = time.monotonic()
        medium.destroy()
        after = assert_told([waiter.result(LIMIT) for waiter in waiters], since, message)
    with pytest.raises(ConnectorError, match=message):
        future.set_result("too late")
    reached(waiters=len(waiters), seconds=after)
    assert len(waiters) == 14


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_waiters_learn_that_their_store_was_closed(
    store: Store, reached: Callable[..., None]
) -> None:
    future: ProxyFuture[Any] = store.future()
    waiters = [in_thread(end_of_wait, future, way) for way in WAYS_TO_WAIT for _ in range(5)]
    time.sleep(5 * SETTLING)
    assert not any(waiter.done() for waiter in waiters)
    since = time.monotonic()
    store.close()
    after = assert_told([waiter.result(LIMIT) for waiter in waiters], since, "closed")
    reached(waiters=len(waiters), seconds=after)
    assert len(waiters) == 35


# A creator that is killed leaves nothing


class Created(NamedTuple):
    """What a creator has made, and who it is."""

    creator: int
    server: int
    forked: int | None
    future: bytes


def create_and_sleep(parent: Connection, forking: bool) -> None:
    forked = None
    with faults.opened("manager", Path()) as (store, _, server):
        assert server is not None
        future: ProxyFuture[Any] = store.future()
        assert not future.done()  # so there is a connection for a forked child to inherit
        if forking:
            forked = os.fork()
        if forked != 0:
            parent.send(Created(os.getpid(), server, forked, pickle.dumps(future)))
        time.sleep(10 * LIMIT)


def start_creator(method: str, forking: bool) -> Created:
    """Starts a process that creates a store, in a process that it is forked from, or else."""
    context: Any = multiprocessing.get_context(method)
    here, there = context.Pipe()
    context.Process(target=create_and_sleep, args=(there, forking)).start()
    assert here.poll(LIMIT)
    created: Created = here.recv()
    return created


@needs_proc
@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.parametrize("forking", [False, True], ids=["alone", "its-forked-child-lives-on"])
def test_a_server_is_gone_soon_after_its_creator_was_killed(
    nursery: Nursery, method: str, forking: bool, reached: Callable[..., None]
) -> None:
    creator, server, forked, pickled = nursery(start_creator, method, forking).result(LIMIT)
    future: ProxyFuture[Any] = pickle.loads(pickled)
    directory = Path(future._store.connector.config()["address"]).parent
    assert directory.is_dir()
    waiter = in_thread(end_of_wait, future, "result")
    time.sleep(SETTLING)
    assert not waiter.done()
    try:
        since = time.monotonic()
        os.kill(creator, signal.SIGKILL)
        assert eventually(lambda: not is_running(server), limit=PROMPT)
        after = time.monotonic() - since
        assert not directory.exists()
        assert_told([waiter.result(LIMIT)], since, "does not answer")
        if forked is not None:
            assert is_running(forked)  # and does not keep the server
    finally:
        if forked is not None:
            os.kill(forked, signal.SIGKILL)
    reached(seconds=round(after, 3))


# A directory without room, or which one may not write to


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", str(mount_point)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield mount_point
    subprocess.run(["umount", "-l", str(mount_point)], check=True)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("room", [0, 200_000], ids=["no-room", "some-room"])
def test_a_producer_learns_of_a_full_disk_and_can_try_again(small_disk: Path, room: int) -> None:
    with FileConnector(small_disk / "values") as connector, Store("small", connector) as store:
        future: ProxyFuture[bytes] = store.future()
        consumer = in_thread(future.result)
        (small_disk / "ballast").write_bytes(bytes(1024 * 1024 - room))
        with pytest.raises(ConnectorError, match=r"No space left.*have room"):
            future.set_result(bytes(500_000))
        assert not future.done()
        assert not list((small_disk / "values").iterdir())
        (small_disk / "ballast").unlink()
        assert not consumer.done()
        future.set_result(b"in the second attempt")
        assert consumer.result(LIMIT) == b"in the second attempt"


@pytest.mark.timeout(30)
def test_a_consumer_learns_of_a_full_disk_if_there_is_room_to_tell_it(small_disk: Path) -> None:
    with FileConnector(small_disk / "values") as connector, Store("small", connector) as store:
        future: ProxyFuture[bytes] = store.future()
        consumer = in_thread(future.result)
        with pytest.raises(ConnectorError, match="No space left"), future:
            future.set_result(bytes(2_000_000))
        with pytest.raises(ConnectorError, match="No space left"):
            consumer.result(LIMIT)


def produce_without_room(future: ProxyFuture[bytes], limit: int) -> None:
    """Sets a result in spite of a limit on the size of files, then in keeping with it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an OSError, please, instead of death
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    with pytest.raises(ConnectorError, match=r"too large.*have room"):
        future.set_result(bytes(2 * limit))
    assert not future.done()
    future.set_result(bytes(limit // 2))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["file"])
@pytest.mark.parametrize("limit", [1_000, 1_000_000])
def test_a_producer_learns_of_a_limit_for_files_and_can_try_again(
    medium: Opened, nursery: Nursery, limit: int
) -> None:
    future: ProxyFuture[bytes] = medium.store.future()
    consumer = in_thread(future.result)
    with ProcessPoolExecutor(1, spawn) as process:
        process.submit(produce_without_room, future, limit).result(LIMIT)
    assert len(consumer.result(LIMIT)) == limit // 2
    assert len(list(medium.directory.iterdir())) == 1


NOBODY = 65534  # a user who may do nothing special


@pytest.fixture
def directory_of_nobody() -> Iterator[Path]:
    """A directory of somebody whom permissions hold back, unlike root."""
    for parent in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):
        way = [parent, *parent.parents]
        if os.geteuid() != 0 or all(part.stat().st_mode & 0o001 for part in way):
            break
    else:
        pytest.skip("root has no directory here that everybody may enter")
    with tempfile.TemporaryDirectory(dir=parent) as name:
        directory = Path(name) / "values"
        directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chmod(name, 0o711)
            os.chown(directory, NOBODY, -1)
        yield directory


def produce_without_permission(directory: Path) -> str:
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    with FileConnector(directory) as connector, Store("locked", connector) as store:
        future: ProxyFuture[str] = store.future()
        consumer = in_thread(future.result)
        directory.chmod(0o500)
        with pytest.raises(ConnectorError, match=r"Permission denied.*be writable"):
            future.set_result("first")
        assert not future.done()
        directory.chmod(0o700)
        assert not consumer.done()
        future.set_result("second")
        return consumer.result(LIMIT)


@pytest.mark.timeout(30)
def test_a_producer_learns_that_it_may_not_write_and_can_try_again(
    directory_of_nobody: Path,
) -> None:
    with ProcessPoolExecutor(1, spawn) as process:
        result = process.submit(produce_without_permission, directory_of_nobody).result(LIMIT)
    assert result == "second"


# A server that is stopped, or is none


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets connectors give up after 1 second. Half a minute is long for a test."""
    # Private; connectors read it when they connect, so this fixture has to come first.
    monkeypatch.setattr(connectors, "_PATIENCE", 1)


@pytest.fixture
def copy(medium: Opened) -> Iterator[Store]:
    """A store that has not connected to the server yet."""
    connector = ManagerConnector.from_config(medium.store.connector.config())
    with Store("copy", connector, cache_size=0) as copy:
        yield copy


@contextlib.contextmanager
def stopped(medium: Opened) -> Iterator[None]:
    assert medium.server is not None
    os.kill(medium.server, signal.SIGSTOP)
    tasks = Path(f"/proc/{medium.server}/task")
    try:
        assert eventually(lambda: all(state(task) in ("T", "") for task in tasks.iterdir()))
        yield
    finally:
        os.kill(medium.server, signal.SIGCONT)


CALLS: dict[str, Callable[[ProxyFuture[Any]], object]] = {
    "done": lambda future: future.done(),
    "set_result": lambda future: future.set_result("value"),
    "set_result, large": lambda future: future.set_result(bytes(5_000_000)),
    "result, if there": lambda future: future.result(0),
    "result, in time": lambda future: future.result(0.5),
    "proxy, in time": lambda future: resolve(future.proxy(timeout=0.5)),
    "follower": lambda future: future.to_concurrent().result(),
}


@needs_proc
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["manager", "network"])
@pytest.mark.parametrize("connected", [False, True], ids=["first-call", "later-call"])
@pytest.mark.usefixtures("little_patience")
def test_calls_to_a_stopped_server_fail_and_work_again_when_it_goes_on(
    medium: Opened, copy: Store, connected: bool, reached: Callable[..., None]
) -> None:
    futures: dict[str, ProxyFuture[Any]] = {name: copy.future() for name in CALLS}
    if connected:
        checks = [in_thread(future.done) for future in futures.values()]
        assert not any([check.result(LIMIT) for check in checks])
    with stopped(medium):
        since = time.monotonic()
        calls = [in_thread(CALLS[name], future) for name, future in futures.items()]
        for call in calls:
            error = call.exception(LIMIT)
            if isinstance(error, ProxyResolveError):
                error = error.__cause__
            assert isinstance(error, ConnectorError)
            assert "does not answer" in str(error)
        after = time.monotonic() - since
    reached(calls=len(calls), seconds=round(after, 3))
    assert after < 2 * PROMPT
    future: ProxyFuture[str] = copy.future()
    future.set_result("value")
    assert future.result(LIMIT) == "value"


@needs_proc
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["manager", "network"])
def test_a_wait_outlasts_a_pause_of_the_server(medium: Opened) -> None:
    future: ProxyFuture[str] = medium.store.future()
    waiters = [in_thread(future.result), in_thread(future.result, LIMIT)]
    time.sleep(SETTLING)
    with stopped(medium):
        setter = in_thread(future.set_result, "value")
        time.sleep(1)
        assert not setter.done()
        assert not any(waiter.done() for waiter in waiters)
    setter.result(LIMIT)
    assert [waiter.result(LIMIT) for waiter in waiters] == ["value", "value"]


# A network that goes away


def set_loopback(up: bool) -> None:
    """Switches the network of this process on or off, as `ip link set lo up` does."""
    request = struct.pack("16sH14x", b"lo", 1 if up else 0)  # IFF_UP
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def lose_the_network(patience: int) -> None:
    """Run in a network of its own: prints after how many seconds waiters were told it is gone."""
    set_loopback(up=True)
    connectors._PATIENCE = patience
    with serving() as (_, address):
        first, second = (  # two, since each has a connection now
            Store(name, ManagerConnector.connect(address)) for name in ("first", "second")
        )
        waiting = in_thread(end_of_wait, first.future(), "result")
        time.sleep(5 * SETTLING)
        since = time.monotonic()
        set_loopback(up=False)
        begins_to_wait = in_thread(end_of_wait, second.future(), "result")
        for waiter in begins_to_wait, waiting:
            end = waiter.result(2 * LIMIT)
            assert isinstance(end.error, ConnectorError), end
            assert "does not answer" in str(end.error)
            print(end.at - since, flush=True)


@pytest.mark.timeout(90)
def test_waiters_are_told_when_the_network_is_gone_also_if_they_begin_to_wait_then(
    known_key: None, reached: Callable[..., None]
) -> None:
    unshare = ["unshare", "--map-root-user", "--net"]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network can be made here: {error}")
    program = "import test_faults_stores; test_faults_stores.lose_the_network(patience=1)"
    process = subprocess.run(
        [*unshare, sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=4 * LIMIT,
    )
    assert process.stderr == ""
    began_after, waited_before = map(float, process.stdout.split())
    reached(began_after=round(began_after, 1), waited_before=round(waited_before, 1))
    assert began_after < PROMPT
    assert waited_before < 35


# A server that has no room


@needs_proc
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["network"])
def test_a_server_without_memory_and_threads_keeps_nobody_waiting(
    medium: Opened, reached: Callable[..., None]
) -> None:
    assert medium.server is not None
    size = 10_000_000
    future: ProxyFuture[bytes] = medium.store.future()
    waiters = [in_thread(future.exception) for _ in range(20)]
    time.sleep(2)  # by now they all wait
    pages = int(Path(f"/proc/{medium.server}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 7 * size
    resource.prlimit(medium.server, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    future.set_result(bytes(size))
    errors = [waiter.exception(LIMIT) for waiter in waiters]
    told = [isinstance(error, ConnectorError) for error in errors if error is not None]
    reached(served=errors.count(None), told=len(told))
    assert all(told)


@needs_proc
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["network"])
def test_a_server_hangs_up_on_a_client_for_whom_it_can_start_no_thread(
    medium: Opened, reached: Callable[..., None]
) -> None:
    assert medium.server is not None
    address = medium.store.connector.config()["address"]
    size = int(Path(f"/proc/{medium.server}/statm").read_text().split()[0]) * resource.getpagesize()
    room = 1_000_000  # much less than the stack of a thread
    resource.prlimit(medium.server, resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))
    with contextlib.ExitStack() as stack:

        def connect_and_stay() -> None:
            stack.enter_context(ManagerConnector.connect(address))

        since = time.monotonic()
        with pytest.raises(ConnectorError, match="does not answer"):
            for _ in range(50):  # the first ones may find the stack of a thread that has ended
                connect_and_stay()
                since = time.monotonic()
        after = time.monotonic() - since
    reached(seconds=round(after, 3))
    assert after < PROMPT


@needs_proc
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["manager"])
def test_who_asks_a_server_that_may_open_no_file_is_told_at_once(
    medium: Opened, reached: Callable[..., None]
) -> None:
    assert medium.server is not None
    key = medium.store.put(bytes(LARGE))
    assert medium.store.exists(key)  # so it has a connection
    few_and_most = resource.prlimit(medium.server, resource.RLIMIT_NOFILE)
    resource.prlimit(medium.server, resource.RLIMIT_NOFILE, (3, few_and_most[1]))
    since = time.monotonic()
    with pytest.raises(ConnectorError, match="does not answer"):
        medium.store.get(key)
    after = time.monotonic() - since
    reached(seconds=round(after, 3))
    assert after < PROMPT
    resource.prlimit(medium.server, resource.RLIMIT_NOFILE, few_and_most)
    assert medium.store.get(key) == bytes(LARGE)


@pytest.fixture(params=["unix-socket", "network"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """A socket with somebody behind it who is no server of ours."""
    if request.param == "network":
        listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "socket"))
        listener.listen(1)
    with listener:
        yield listener
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts


@pytest.mark.timeout(60)
@pytest.mark.parametrize("accepts", [True, False], ids=["accepts", "does-not-even-accept"])
@pytest.mark.usefixtures("little_patience")
def test_a_listener_that_never_answers_blocks_nobody_for_ever(
    listener: socket.socket, accepts: bool, reached: Callable[..., None]
) -> None:
    address = listener.getsockname()
    connector = ManagerConnector.from_config({"address": address})

    def accept() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as accepted:
            while True:
                accepted.enter_context(listener.accept()[0])

    with Store("strange", connector) as store:
        if accepts:
            in_thread(accept)
        since = time.monotonic()
        calls = [in_thread(call, store.future()) for call in CALLS.values()]
        for call in calls:
            error = call.exception(LIMIT)
            if isinstance(error, ProxyResolveError):
                error = error.__cause__
            assert isinstance(error, ConnectorError)
            assert "does not answer" in str(error)
        after = time.monotonic() - since
    reached(calls=len(calls), seconds=round(after, 3))
    assert after < 2 * PROMPT
