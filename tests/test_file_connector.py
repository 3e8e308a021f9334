"""FileConnector keeps values in a directory that has to be there, and cleans up what is its own.

That it is private, `test_security.py` says; what it refuses, `test_bad_input.py`.
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
from conformance import LARGE, LIMIT, in_thread, is_stored, some_bytes
from support import spawn

from connectors import ConnectorError, FileConnector, FileKey, poll


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


def test_closing_after_the_directory_was_removed_is_fine(
    connector: FileConnector, directory: Path
) -> None:
    directory.rmdir()
    connector.close()


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


def test_a_directory_that_was_there_before_stays_with_the_values(directory: Path) -> None:
    directory.mkdir(0o755)
    with FileConnector(directory) as connector:
        key = connector.put(b"value")
    with FileConnector(directory) as connector:
        assert is_stored(connector, key, b"value")
    assert directory.is_dir()


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


def test_what_a_killed_setter_left_is_removed_too(
    connector: FileConnector, directory: Path
) -> None:
    value = some_bytes(10 * LARGE)
    setter = spawn.Process(target=connector.set, args=(connector.new_key(), value))
    setter.start()
    while not list(directory.iterdir()):  # nothing is written yet
        assert setter.is_alive()
        time.sleep(0.0001)
    setter.kill()  # in the middle of it, most likely
    setter.join(LIMIT)
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


def test_waiting_costs_little_and_is_late_by_little(
    connector: FileConnector, elsewhere: Callable[..., Any]
) -> None:
    key = connector.new_key()
    waiter = in_thread(elsewhere, wait_and_measure, connector, key)
    time.sleep(0.4)
    set_at = time.monotonic()
    connector.set(key, b"value")
    there_at, work = waiter.result(LIMIT)
    assert there_at - set_at < LIMIT / 4  # 0.02 by design, on a machine with time for it
    assert work < 0.2  # a loop without a pause would need all of the time


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
