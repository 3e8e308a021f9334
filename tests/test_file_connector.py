"""FileConnector keeps values in a directory that has to be there, and cleans up what is its own.

That it is private, `test_security.py` says.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import LARGE, LIMIT, SETTLING, in_thread, is_stored, some_bytes
from support import in_forked_child, needs_fork, spawn

from connectors import ConnectorError, FileConnector, FileKey, poll

USES: list[Callable[[FileConnector, FileKey], object]] = [
    lambda connector, key: connector.put(b"value"),
    lambda connector, key: connector.get(key),
    lambda connector, key: connector.exists(key),
    lambda connector, key: connector.evict(key),
    lambda connector, key: connector.set(key, b"value"),
    lambda connector, key: connector.wait(key),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory that does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def connector(directory: Path) -> Iterator[FileConnector]:
    """The connector that creates the directory."""
    with FileConnector(directory) as connector:
        yield connector


# The directory has to be there


def test_a_missing_parent_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="missing"):
        FileConnector(tmp_path / "missing" / "store")
    assert not list(tmp_path.iterdir())


def test_refuses_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(ConnectorError, match=f"{file}.*Not a directory"):
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


def test_unpickling_creates_nothing_and_use_says_what_is_wrong(directory: Path) -> None:
    with FileConnector(directory) as connector:
        pickled = pickle.dumps((connector, connector.new_key()))
    for use in USES:
        copy, key = pickle.loads(pickled)
        with pytest.raises(ConnectorError, match=f"{directory}.*must exist on this machine"):
            use(copy, key)
        assert not directory.exists()


def test_closing_after_the_directory_was_removed_is_fine(
    connector: FileConnector, directory: Path
) -> None:
    directory.rmdir()
    connector.close()


def test_a_wait_in_another_process_ends_when_the_creator_closes(
    connector: FileConnector, elsewhere: Callable[..., Any]
) -> None:
    waiter = in_thread(elsewhere, FileConnector.wait, connector, connector.new_key())
    time.sleep(2 * SETTLING)
    assert not waiter.done()
    connector.close()
    with pytest.raises(ConnectorError):
        waiter.result(LIMIT)


# The creator cleans up, its own things only


def test_the_creator_removes_values_and_directory(connector: FileConnector, tmp_path: Path) -> None:
    connector.put(b"value")
    connector.close()
    assert not list(tmp_path.iterdir())


def test_foreign_files_stay_and_their_directory(connector: FileConnector, directory: Path) -> None:
    names = ["notes.txt", "notes.txt.partial", "0" * 31, "0" * 33, "0" * 32 + ".txt", "A" * 32]
    for name in names:
        (directory / name).write_text("not a value")
    connector.put(b"value")
    connector.close()
    assert {file.name for file in directory.iterdir()} == set(names)


@pytest.mark.parametrize("mode", [0o700, 0o755], ids="{:o}".format)
def test_a_directory_that_was_there_before_stays_with_the_values(
    directory: Path, mode: int
) -> None:
    directory.mkdir(mode)
    with FileConnector(directory) as connector:
        key = connector.put(b"value")
    with FileConnector(directory) as connector:
        assert is_stored(connector, key, b"value")
    assert directory.is_dir()


def test_a_copy_removes_nothing(connector: FileConnector, directory: Path) -> None:
    key = connector.put(b"value")
    for copy in (pickle.loads(pickle.dumps(connector)), FileConnector(directory)):
        assert is_stored(copy, key, b"value")
        copy.close()
    assert is_stored(connector, key, b"value")


def close_in_forked_child(directory: Path) -> bool:
    with FileConnector(directory) as connector:
        key = connector.put(b"value")
        in_forked_child(connector.close)
        return is_stored(connector, key, b"value")


@needs_fork
def test_a_forked_child_removes_nothing(directory: Path, elsewhere: Callable[..., Any]) -> None:
    assert elsewhere(close_in_forked_child, directory)
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
    connector.set(key, b"value")
    assert is_stored(connector, key, b"value")
    connector.close()
    assert not directory.exists()


# Waiting is polling


def test_a_poll_looks_often_at_first_and_after_hours_still_every_15_ms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, pauses = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    assert poll(lambda: None, 60) is None
    assert pauses[0] < 0.001
    assert max(pauses) == 0.015
    assert now == pytest.approx(60)


def wait_and_measure(connector: FileConnector, key: FileKey) -> tuple[float, float]:
    """Returns when the value was there, and how many seconds of work it took to wait for it."""
    start = time.process_time()
    assert connector.wait(key, LIMIT)
    return time.monotonic(), time.process_time() - start


@pytest.mark.parametrize("seconds", [0.1, pytest.param(3, marks=pytest.mark.slow)])
def test_waiting_costs_little_and_is_late_by_little(
    connector: FileConnector, elsewhere: Callable[..., Any], seconds: float
) -> None:
    key = connector.new_key()
    waiter = in_thread(elsewhere, wait_and_measure, connector, key)
    time.sleep(seconds)
    set_at = time.monotonic()
    connector.set(key, b"value")
    there_at, work = waiter.result(LIMIT)
    assert there_at - set_at < LIMIT / 4  # 0.02 by design, on a machine with time for it
    assert work < 0.05 + seconds / 4  # a loop without a pause would need all of them


def test_a_thread_that_uses_it_while_it_closes_is_told_so_and_not_of_a_missing_directory(
    tmp_path: Path,
) -> None:
    def use(connector: FileConnector) -> None:
        key = connector.new_key()
        while True:
            connector.exists(key)

    for number in range(30):
        connector = FileConnector(tmp_path / str(number))
        user = in_thread(use, connector)
        time.sleep(random.Random(number).uniform(0, 0.002))
        connector.close()
        with pytest.raises(ConnectorError, match="was closed"):
            user.result(LIMIT)
