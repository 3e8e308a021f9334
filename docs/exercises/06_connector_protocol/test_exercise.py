"""A connector of the right shape: what it does, and what its types say."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import exercise
import pytest
from exercise import CANDIDATES, Connector, MemoryConnector, Store, predictions


def made() -> Any:
    """Returns a connector, which type checkers need not know here."""
    return MemoryConnector()


def test_it_has_the_shape_of_a_connector() -> None:
    connector = made()
    missing = [name for name in ("put", "get", "exists", "evict") if not hasattr(connector, name)]
    assert missing == [], f"MemoryConnector has no {' and no '.join(missing)}; Connector has"
    assert isinstance(connector, Connector), "isinstance() does not take it for a Connector"


def test_it_does_not_inherit() -> None:
    made()
    assert Connector not in MemoryConnector.__mro__, (
        "MemoryConnector inherits from Connector; a protocol is satisfied by the shape alone"
    )


def test_what_was_put_can_be_got() -> None:
    connector = made()
    key = connector.put(b"value")
    found = connector.get(key)
    assert found == b"value", f"put(b'value') and then get() of its key gave {found!r}"
    assert connector.exists(key) is True, "exists() of a key that has a value must be True"


def test_what_is_not_there_is_none() -> None:
    connector = made()
    key = connector.put(b"value")
    connector.evict(key)
    try:
        found = connector.get(key)
    except KeyError:
        pytest.fail("get() of an evicted key raised KeyError; it must return None")
    assert found is None, f"get() of an evicted key gave {found!r}; it must return None"
    assert connector.exists(key) is False, "exists() of an evicted key must be False"
    try:
        connector.evict(key)
    except KeyError:
        pytest.fail(
            "evict() of an evicted key raised KeyError; there is nothing to do, and no harm"
        )


def test_empty_bytes_are_a_value() -> None:
    connector = made()
    key = connector.put(b"")
    assert connector.exists(key) is True, "exists() says False for a key with the value b''"
    assert connector.get(key) == b"", f"put(b'') and then get() gave {connector.get(key)!r}"


def test_each_put_has_a_key_of_its_own() -> None:
    connector = made()
    first, second = connector.put(b"same"), connector.put(b"same")
    assert first != second, (
        f"two puts of the same bytes gave the same key, {first!r}; to evict one of them "
        "would take the other's value as well"
    )


def test_a_key_is_not_used_again() -> None:
    connector = made()
    first, second = connector.put(b"first"), connector.put(b"second")
    connector.evict(first)
    third = connector.put(b"third")
    assert connector.get(second) == b"second", (
        f"first, second = put, put; evict(first); third = put. The key of the third, {third!r}, "
        "is that of the second, whose value is lost"
    )
    assert connector.get(first) is None, (
        "a key that was evicted stands for a new value; its old owner would read what is not his"
    )


def test_a_value_does_not_change_with_its_bytearray() -> None:
    connector = made()
    buffer = bytearray(b"value")
    key = connector.put(buffer)
    buffer[:] = b"other"
    found = connector.get(key)
    assert found == b"value", (
        f"put() got a bytearray that said b'value', which was then reused, and get() gives "
        f"{bytes(found)!r}; keep the bytes and not the buffer"
    )
    assert type(found) is bytes, f"get() gave a {type(found).__name__}; it must be bytes"


def test_two_connectors_do_not_share() -> None:
    first, second = made(), made()
    key = first.put(b"value")
    assert second.get(key) is None, (
        "what was put into one connector can be got from another; is the dictionary in the class "
        "instead of in each object?"
    )


def test_a_store_can_use_it() -> None:
    store: Store[Any] = Store(made())
    key = store.put([1, 2])
    assert store.get(key) == [1, 2], "a Store with this connector does not find what it has put"


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_your_prediction_for_isinstance(candidate: type) -> None:
    assert candidate.__name__ in predictions(), f"you made no prediction for {candidate.__name__}"
    predicted, _ = predictions()[candidate.__name__]
    says = isinstance(candidate(), Connector)
    assert predicted == says, (
        f"isinstance({candidate.__name__}(), Connector) is {says}, you said {predicted}; "
        "it looks whether the methods are there, and at nothing else"
    )


# What mypy says, which reads the program and does not run it.

PROGRAM = """
from typing import TypeVar
from exercise import Connector, MemoryConnector, Store, Plain, WithoutEvict, WithText, WithMore

T = TypeVar("T")

def keys_of(connector: Connector[T]) -> list[T]:
    return [connector.put(b"value")]

keys_of(MemoryConnector())
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], str]:
    """Returns mypy's complaints about the exercise and a program that uses it, by line."""
    if find_spec("mypy") is None:
        pytest.skip("the types, since mypy is not installed (python -m pip install mypy)")
    program = PROGRAM
    for candidate in CANDIDATES:
        program += f"{candidate.__name__.lower()}: Connector[str] = {candidate.__name__}()\n"
    folder = tmp_path_factory.mktemp("mypy")
    (folder / "program.py").write_text(program)
    (folder / "exercise.py").write_text(Path(exercise.__file__).read_text())
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "exercise.py", "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "MYPY_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), f"mypy cannot work: {done.stderr or done.stdout}"
    found = re.findall(r"^(\w+)\.py:(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    first_ones: dict[tuple[str, int], str] = {}
    for file, line, text in found:
        first_ones.setdefault((file, int(line)), text)
    return first_ones


def test_mypy_finds_no_mistake_in_the_file(complaints: dict[tuple[str, int], str]) -> None:
    made()
    about_exercise = [
        f"exercise.py, line {line}: {text}"
        for (file, line), text in complaints.items()
        if file == "exercise"
    ]
    assert about_exercise == [], f"mypy says about {about_exercise[0]}"


def test_mypy_takes_it_for_a_connector(complaints: dict[tuple[str, int], str]) -> None:
    made()
    line = PROGRAM.splitlines().index("keys_of(MemoryConnector())") + 1
    complaint = complaints.get(("program", line), "")
    assert not complaint, (
        f"mypy does not take MemoryConnector for a Connector[KeyT]: {complaint}. Do all its "
        "methods have the types of the protocol, and one and the same type of key?"
    )


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_your_prediction_for_mypy(candidate: type, complaints: dict[tuple[str, int], str]) -> None:
    _, predicted = predictions()[candidate.__name__]
    line = len(PROGRAM.splitlines()) + CANDIDATES.index(candidate) + 1
    complaint = complaints.get(("program", line), "")
    assert predicted == (not complaint), (
        f"mypy {'refuses' if complaint else 'accepts'} a {candidate.__name__} where a "
        f"Connector[str] is wanted, and you said otherwise. {complaint}"
    )
