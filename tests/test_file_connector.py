"""FileConnector keeps values in a directory that is private, and cleans up what is its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import random
import resource
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import LARGE, LIMIT, SETTLING, in_thread, is_stored, some_bytes

from connectors import AlreadySetError, ConnectorError, FileConnector, FileKey, InvalidKeyError

spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory that does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def connector(directory: Path) -> Iterator[FileConnector]:
    """The connector that creates the directory."""
    with FileConnector(directory) as connector:
        yield connector


def call_in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process with one thread, which can be forked without a warning."""
    with spawn.Pool(1) as pool:
        return pool.apply_async(function, arguments).get(LIMIT)


# The directory is private


@pytest.fixture(params=[0o000, 0o022, 0o077], ids="umask-{:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_directory_and_values_are_private_to_the_user(directory: Path) -> None:
    with FileConnector(directory) as connector:
        connector.put(b"value")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert [stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()] == [0o600]


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o770, 0o777, 0o1777], ids="{:o}".format)
def test_refuses_a_directory_that_others_may_write_to(directory: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(ConnectorError, match=f"{directory}.*others may write.*0700"):
        FileConnector(directory)
    assert directory.is_dir()


def test_refuses_to_go_on_when_others_may_write(connector: FileConnector, directory: Path) -> None:
    key = connector.put(b"value")
    directory.chmod(0o777)
    with pytest.raises(ConnectorError, match="others may write"):
        connector.get(key)
    with pytest.raises(ConnectorError, match="others may write"):
        connector.put(b"value")


def test_a_copy_refuses_a_directory_that_others_may_write_to(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    copy = FileConnector.from_config({"store_dir": str(directory)})
    with pytest.raises(ConnectorError, match="others may write"):
        copy.put(b"value")
    assert not list(directory.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_refuses_a_directory_of_somebody_else(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, -1)
    with pytest.raises(ConnectorError, match="belongs to somebody else"):
        FileConnector(directory)


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755], ids="{:o}".format)
def test_accepts_a_directory_of_the_user_that_others_can_only_read(
    directory: Path, mode: int
) -> None:
    directory.mkdir()
    directory.chmod(mode)
    with FileConnector(directory) as connector:
        assert is_stored(connector, connector.put(b"value"), b"value")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "../store/" + "0" * 32, "", ".", "\0", "0" * 31, "A" * 32]
)
def test_a_key_names_no_path_outside_the_directory(
    connector: FileConnector, tmp_path: Path, name: str
) -> None:
    key = FileKey(name)
    uses: list[Callable[[], object]] = [
        lambda: connector.get(key),
        lambda: connector.exists(key),
        lambda: connector.evict(key),
        lambda: connector.set(key, b"value"),
        lambda: connector.wait(key, 0),
    ]
    for use in uses:
        with pytest.raises(InvalidKeyError):
            use()
    assert [path.name for path in tmp_path.rglob("*")] == ["store"]


# The directory has to be there


def test_a_missing_parent_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="missing"):
        FileConnector(tmp_path / "missing" / "store")
    assert not list(tmp_path.iterdir())


def test_refuses_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(ConnectorError, match=f"{file}.*not a directory"):
        FileConnector(file)


def test_a_relative_directory_stays_the_same_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with FileConnector("store") as connector:
        key = connector.put(b"value")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert is_stored(connector, key, b"value")
        assert is_stored(pickle.loads(pickle.dumps(connector)), key, b"value")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda connector, key: connector.get(key), id="get"),
        pytest.param(lambda connector, key: connector.exists(key), id="exists"),
        pytest.param(lambda connector, key: connector.evict(key), id="evict"),
        pytest.param(lambda connector, key: connector.set(key, b"value"), id="set"),
        pytest.param(lambda connector, key: connector.put(b"value"), id="put"),
        pytest.param(lambda connector, key: connector.wait(key), id="wait"),
    ],
)
def test_unpickling_creates_nothing_and_use_says_what_is_wrong(
    directory: Path, use: Callable[[FileConnector, FileKey], object]
) -> None:
    with FileConnector(directory) as connector:
        pickled = pickle.dumps((connector, connector.new_key()))
    copy, key = pickle.loads(pickled)
    assert not directory.exists()
    with pytest.raises(ConnectorError, match=f"{directory}.*must exist on this machine"):
        use(copy, key)
    assert not directory.exists()


def test_a_wait_ends_when_the_directory_is_removed(
    connector: FileConnector, directory: Path
) -> None:
    waiter = in_thread(connector.wait, connector.new_key())
    time.sleep(SETTLING)
    directory.rmdir()
    with pytest.raises(ConnectorError, match=f"{directory}"):
        waiter.result(LIMIT)


def test_the_last_look_of_a_wait_notices_a_directory_that_is_gone(
    connector: FileConnector, tmp_path: Path
) -> None:
    here, elsewhere = connector.config()["store_dir"], tmp_path / "elsewhere"
    for timeout in 0.1, 0.2, 0.4:  # of the looks in between, each 50th would notice, too
        in_time = False
        while not in_time:  # on a busy machine the wait may be over first
            end = time.monotonic() + timeout
            waiter = in_thread(connector.wait, connector.new_key(), timeout)
            time.sleep(timeout * 0.9)
            os.rename(here, elsewhere)
            in_time = time.monotonic() < end
            error = waiter.exception(LIMIT)
            os.rename(elsewhere, here)
        with pytest.raises(ConnectorError, match="No such file"):
            raise error or AssertionError("no error")


def test_a_wait_in_another_process_ends_when_the_creator_closes(connector: FileConnector) -> None:
    waiter = in_thread(call_in_new_process, connector.wait, connector.new_key())
    time.sleep(1)  # which starting a process takes
    assert not waiter.done()
    connector.close()
    with pytest.raises(ConnectorError):
        waiter.result(LIMIT)


# The creator cleans up, its own things only


def test_the_creator_removes_values_and_directory(
    connector: FileConnector, directory: Path, tmp_path: Path
) -> None:
    connector.put_batch([b"first", b"second"])
    assert len(list(directory.iterdir())) == 2
    connector.close()
    assert not list(tmp_path.iterdir())


def test_a_foreign_file_stays_and_its_directory(connector: FileConnector, directory: Path) -> None:
    foreign = [
        directory / name
        for name in [
            "notes.txt",
            "notes.txt.partial",
            "0" * 31,
            "0" * 33,
            "0" * 32 + ".txt",
            "A" * 32,
        ]
    ]
    for file in foreign:
        file.write_text("not a value")
    connector.put(b"value")
    connector.close()
    assert set(directory.iterdir()) == set(foreign)


def test_a_foreign_directory_stays(connector: FileConnector, directory: Path) -> None:
    (directory / ("0" * 32)).mkdir()
    connector.close()
    assert (directory / ("0" * 32)).is_dir()


def test_a_directory_that_was_there_before_stays_with_everything_in_it(directory: Path) -> None:
    directory.mkdir()
    (directory / "notes.txt").write_text("not a value")
    with FileConnector(directory) as connector:
        key = connector.put(b"value")
    assert len(list(directory.iterdir())) == 2
    with FileConnector(directory) as connector:
        assert is_stored(connector, key, b"value")


def test_closing_after_the_directory_was_removed_is_fine(
    connector: FileConnector, directory: Path
) -> None:
    directory.rmdir()
    connector.close()


def test_a_copy_removes_nothing(connector: FileConnector, directory: Path) -> None:
    key = connector.put(b"value")
    copies = [
        pickle.loads(pickle.dumps(connector)),
        FileConnector.from_config(connector.config()),
        FileConnector(directory),
    ]
    for copy in copies:
        assert is_stored(copy, key, b"value")
        copy.close()
    assert is_stored(connector, key, b"value")


def close_in_forked_child(directory: Path) -> bool:
    with FileConnector(directory) as connector:
        key = connector.put(b"value")
        if os.fork() == 0:
            try:
                connector.close()
            finally:
                os._exit(0)  # the child must not go on with the parent's work
        os.wait()
        return is_stored(connector, key, b"value")


def test_a_forked_child_removes_nothing(directory: Path) -> None:
    assert call_in_new_process(close_in_forked_child, directory)
    assert not directory.exists()


def test_setters_cannot_keep_the_creator_from_cleaning_up(tmp_path: Path) -> None:
    stop = threading.Event()

    def put_many(connector: FileConnector) -> None:
        with contextlib.suppress(ConnectorError):
            while not stop.is_set():
                connector.put(b"value")

    for number in range(10):
        directory = tmp_path / f"store {number}"
        connector = FileConnector(directory)
        setters = [in_thread(put_many, FileConnector(directory)) for _ in range(2)]
        connector.close()
        stop.set()
        for setter in setters:
            setter.result(LIMIT)
        assert not directory.exists()
        stop.clear()


# Values are complete, or not there


def test_a_value_whose_setter_was_killed_is_complete_or_not_there(
    connector: FileConnector, directory: Path
) -> None:
    value = some_bytes(10 * LARGE)
    for _ in range(20):  # until one was killed in the middle of it, most likely the first
        key = connector.new_key()
        setter = spawn.Process(target=connector.set, args=(key, value))
        setter.start()
        while not list(directory.iterdir()):  # nothing is written yet
            assert setter.is_alive()
            time.sleep(0.0001)
        setter.kill()
        setter.join(LIMIT)
        if connector.get(key) is None:
            break
        assert is_stored(connector, key, value)
        connector.evict(key)
    assert not connector.exists(key)
    assert len(list(directory.iterdir())) == 1  # a part of the value
    connector.set(key, b"value")
    assert is_stored(connector, key, b"value")
    connector.close()
    assert not directory.exists()


def test_a_value_needs_one_file(connector: FileConnector, directory: Path) -> None:
    key = connector.put(b"value")
    with pytest.raises(AlreadySetError):
        connector.set(key, b"value")
    assert len(list(directory.iterdir())) == 1


def set_without_room(connector: FileConnector, key: FileKey) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    with pytest.raises(ConnectorError, match="have room"):
        connector.set(key, bytes(2000))


def test_a_value_that_finds_no_room_leaves_nothing_behind(
    connector: FileConnector, directory: Path
) -> None:
    key = connector.new_key()
    call_in_new_process(set_without_room, connector, key)
    assert not list(directory.iterdir())
    connector.set(key, b"value")
    assert is_stored(connector, key, b"value")


# Waiting is polling


def wait_and_measure(connector: FileConnector, key: FileKey) -> tuple[float, float]:
    """Returns when the value was there, and how many seconds of work it took to wait for it."""
    start = time.process_time()
    assert connector.wait(key, LIMIT)
    return time.monotonic(), time.process_time() - start


@pytest.mark.parametrize("seconds", [0.1, 2])
def test_waiting_costs_little_and_is_late_by_little(
    connector: FileConnector, seconds: float
) -> None:
    key = connector.new_key()
    with spawn.Pool(1) as pool:
        pool.apply(wait_and_measure, (connector, connector.put(b"value")))  # the process is ready
        waiter = pool.apply_async(wait_and_measure, (connector, key))
        time.sleep(seconds)
        set_at = time.monotonic()
        connector.set(key, b"value")
        there_at, work = waiter.get(LIMIT)
    assert there_at - set_at < LIMIT / 4  # 0.02 by design, on a machine with time for it
    assert work < 0.05 + seconds / 4  # a loop without a pause would need all of them


def test_whoever_uses_it_while_it_closes_is_told_so_and_not_of_a_missing_directory(
    tmp_path: Path,
) -> None:
    def use(connector: FileConnector) -> None:
        key = connector.new_key()
        while True:
            connector.exists(key)

    for number in range(50):
        connector = FileConnector(tmp_path / str(number))
        user = in_thread(use, connector)
        time.sleep(random.Random(number).uniform(0, 0.002))
        connector.close()
        with pytest.raises(ConnectorError, match="was closed"):
            user.result(LIMIT)
