"""A connector of the right shape: what it does, and what its types say."""

import os
import random
import re
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

import exercise
import pytest
from exercise import CANDIDATES, Connector, MemoryConnector, Store, predictions
from stepping import replaced

# Whom mypy takes for a Connector[str], also where there is no mypy. Not to be read by accident.
WITH_MYPY = b64decode("UGxhaW4gV2l0aE1vcmU=").decode().split()


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
    again = connector.get(key)
    assert again == b"value", f"get() of the same key gave {found!r} first, and then {again!r}"


def test_its_arguments_have_the_names_of_the_protocol() -> None:
    connector = made()
    try:
        key = connector.put(obj=b"value")
        found = connector.get(key=key), connector.exists(key=key), connector.evict(key=key)
    except TypeError as error:
        pytest.fail(f"put(obj=...), get(key=...) and so on, as in the protocol: {error}")
    assert found == (b"value", True, None), f"get, exists and evict of a key gave {found}"


def test_what_is_not_there_is_none() -> None:
    connector = made()
    key, other = connector.put(b"value"), connector.put(b"other")
    connector.get(key)
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
    assert connector.get(other) == b"other", "evict() of one key took the value of another one"


def test_all_bytes_are_kept_until_they_are_evicted() -> None:
    connector = made()
    values = [bytes([number]) * 3 for number in range(256)]
    keys = [connector.put(value) for value in values]
    lost = [
        values[number] for number, key in enumerate(keys) if connector.get(key) != values[number]
    ]
    assert lost == [], (
        f"256 values were put, and {len(lost)} of them came back as something else, {lost[0]!r} "
        "for instance; whatever the bytes and however many, they stay until evict()"
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


def test_a_key_is_fresh_whatever_was_evicted_and_whatever_the_clock_and_the_dice_say() -> None:
    connector = made()
    clocks = {time.time: lambda: 7.0, time.time_ns: lambda: 7, time.monotonic_ns: lambda: 7}
    keys: list[Any] = []
    with replaced({**clocks, time.monotonic: lambda: 7.0, time.perf_counter_ns: lambda: 7}):
        for evicted in [], [3], [0, 1, 2, 4, 5], [7], []:  # the newest one, and all of them, too
            for _ in range(2):
                random.seed(7)
                keys.append(connector.put(b"value"))
            for number in evicted:
                connector.evict(keys[number])
    again = [keys.index(key) for position, key in enumerate(keys) if key in keys[:position]]
    assert again == [], (
        f"the key of put number {again[0] + 1} came again; a key never stood for another value, "
        "though some were evicted, the clock stands still and random.seed() was called"
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


def test_a_value_does_not_change_with_what_a_memoryview_looks_at() -> None:
    connector = made()
    buffer = bytearray(b"value")
    for view, seen in (memoryview(buffer), b"value"), (memoryview(buffer)[::2], b"vle"):
        key = connector.put(view)
        buffer[:] = b"other"
        found = connector.get(key)
        assert found == seen, (
            f"put() got a memoryview of a bytearray that said {seen!r}, which was then reused, and "
            f"get() gives {bytes(found)!r}; keep the bytes and not the view"
        )
        assert type(found) is bytes, f"get() gave a {type(found).__name__}; it must be bytes"
        buffer[:] = b"value"


def test_two_connectors_do_not_share() -> None:
    first, second = made(), made()
    key = first.put(b"value")
    assert second.get(key) is None, (
        "what was put into one connector can be got from another; is the dictionary in the class "
        "instead of in each object?"
    )


def test_a_key_of_another_connector_is_not_there() -> None:
    connector, another = made(), made()
    another.put(b"first")
    key = another.put(b"second")
    try:
        found = connector.get(key), connector.exists(key), connector.evict(key)
    except KeyError:
        pytest.fail("a key that never stood for anything here raised KeyError; there is nothing")
    assert found == (None, False, None), (
        f"get, exists and evict of a key that never stood for anything here gave {found}"
    )


def test_a_store_can_use_it() -> None:
    store: Store[Any] = Store(made())
    key = store.put([1, 2])
    assert store.get(key) == [1, 2], "a Store with this connector does not find what it has put"


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


def test_its_types_say_what_it_does() -> None:
    put, get, exists, evict = (
        get_type_hints(getattr(MemoryConnector, name)) for name in ("put", "get", "exists", "evict")
    )
    key = put.get("return", Any)
    assert key is not Any, (
        "put() has to say what a key is, and not Any or nothing: mypy checks nothing about Any"
    )
    assert accepts(put.get("obj"), bytes, bytearray, memoryview), (
        f"put() of the protocol takes any BytesLike, and yours takes {put.get('obj')}"
    )
    for name, hints in ("get", get), ("exists", exists), ("evict", evict):
        assert accepts(hints.get("key"), key), (
            f"put() returns a key of the type {key}, and {name}() takes {hints.get('key')}; "
            "it is one and the same type"
        )
    returned = get.get("return"), exists.get("return"), evict.get("return")
    assert returned in ((bytes | None, bool, type(None)), (bytes, bool, type(None))), (
        f"get, exists and evict say that they return {returned}; the protocol says what they do"
    )


def accepts(hint: Any, *types: Any) -> bool:
    """Tells whether an argument may be of each of the types. `Any` says nothing."""
    said = {hint, *get_args(hint)}
    return object in said or (Any not in said and all(each in said for each in types))


# The predictions


def mypy_takes(candidate: type) -> bool:
    return candidate.__name__ in WITH_MYPY


def test_your_predictions_are_made_before_anything_is_judged(
    record_property: Callable[[str, object], None],
) -> None:
    predicted = predictions()
    right = 0
    for candidate in CANDIDATES:
        name = candidate.__name__
        assert name in predicted, f"you made no prediction for {name}"
        both = predicted[name]
        assert [type(each) for each in both] == [bool, bool], (
            f"you predicted {both!r} for {name}; it takes two answers, True or False"
        )
        is_right = isinstance(candidate(), Connector), mypy_takes(candidate)
        right += sum(one == other for one, other in zip(both, is_right, strict=True))
    questions = 2 * len(CANDIDATES)
    record_property(
        "first try", f"At your first try, {right} of {questions} predictions were right."
    )


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_your_prediction_for_isinstance(candidate: type) -> None:
    predicted, _ = predictions()[candidate.__name__]
    says = isinstance(candidate(), Connector)
    assert predicted == says, (
        f"isinstance({candidate.__name__}(), Connector) is {says}, you said {predicted}; "
        "it looks whether the methods are there, and at nothing else"
    )


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_your_prediction_for_mypy(candidate: type) -> None:
    _, predicted = predictions()[candidate.__name__]
    accepts_it = mypy_takes(candidate)
    assert predicted == accepts_it, (
        f"mypy {'accepts' if accepts_it else 'refuses'} a {candidate.__name__} where a "
        "Connector[str] is wanted, and you said otherwise. It compares the types of each method"
    )


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_mypy_says_so(candidate: type, complaints: dict[tuple[str, int], str]) -> None:
    line = len(PROGRAM.splitlines()) + CANDIDATES.index(candidate) + 1
    complaint = complaints.get(("program", line), "")
    assert mypy_takes(candidate) == (not complaint), (
        f"{candidate.__name__} is not as it was given: mypy says {complaint or 'nothing'}"
    )
