"""A proxy travels as its factory: small, at any time, and without fetching anything."""

import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import exercise
import pytest
from exercise import Fetch, Proxy, store


class Factory:
    """Makes a text. All factories count together, since copies of one are counted, too."""

    runs = 0

    def __call__(self) -> str:
        Factory.runs += 1
        return "value"


def sent(proxy: Any) -> bytes:
    """Returns a proxy's pickle, or fails with a sentence."""
    try:
        return pickle.dumps(proxy)
    except Exception as error:
        if was_raised_in_the_answer(error):
            raise
        recipe = proxy.__reduce__()
        assert is_recipe(recipe), (
            f"__reduce__ returned {recipe!r}; it must return a function and a tuple of its "
            "arguments. A tuple of one has a comma: (argument,)"
        )
        pytest.fail(
            f"pickle.dumps(proxy) failed with {type(error).__name__}: {error}. "
            "Everything that __reduce__ returns has to be able to travel"
        )


def was_raised_in_the_answer(error: BaseException) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename == exercise.__file__ for frame, _ in frames)


def is_recipe(found: object) -> bool:
    return isinstance(found, tuple) and len(found) >= 2 and isinstance(found[1], tuple)


def received(data: bytes) -> Any:
    """Returns what comes out of a pickle, or fails with a sentence."""
    try:
        return pickle.loads(data)
    except Exception as error:
        if isinstance(error, OSError):
            pytest.fail(
                f"pickle.loads() failed with {type(error).__name__}: {error}. "
                "A proxy must arrive even where its value cannot be had"
            )
        raise


def test_fetch_reads_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(pickle.dumps([1, 2, 3]))
    value = Fetch(path)()
    assert value == [1, 2, 3], f"the file holds a pickled [1, 2, 3], and Fetch gave {value!r}"


def test_making_a_fetch_reads_nothing(tmp_path: Path) -> None:
    try:
        Fetch(tmp_path / "no such file")
    except OSError:
        pytest.fail("Fetch(path) read the file at once; only the call, Fetch(path)(), must")


def test_a_stored_value_comes_back(tmp_path: Path) -> None:
    proxy = store([1, 2, 3], tmp_path)
    assert type(proxy) is Proxy, f"store() must return a Proxy, not a {type(proxy).__name__}"
    assert proxy == [1, 2, 3], "the proxy is not equal to the value that was stored"


def test_two_values_are_two_files(tmp_path: Path) -> None:
    first, _ = store("first", tmp_path), store("second", tmp_path)
    assert first == "first", (
        "after store('first') and store('second') in one folder, the proxy of the first one gives "
        "the second; each value needs a file of its own"
    )


def test_values_that_are_gone_have_files_of_their_own(tmp_path: Path) -> None:
    # Each list is gone after its call, and the next one may lie at the same place in memory.
    proxies = [store([number], tmp_path) for number in range(20)]
    numbers = [proxy.pop() for proxy in proxies]
    assert numbers == list(range(20)), (
        f"[0] to [19] were stored one after the other, and their proxies hold {numbers}; "
        "an id() or an address comes again once its object is gone"
    )


def test_a_proxy_leaves_without_fetching(tmp_path: Path) -> None:
    before = Factory.runs
    sent(Proxy(Factory()))
    assert Factory.runs == before, (
        "pickle.dumps(proxy) ran the factory; a proxy must be able to leave before its value exists"
    )


def test_a_proxy_arrives_as_a_proxy_without_fetching() -> None:
    before = Factory.runs
    copy = received(sent(Proxy(Factory())))
    assert type(copy) is Proxy, f"a Proxy left, and a {type(copy).__name__} arrived"
    assert Factory.runs == before, (
        "pickle.loads() ran the factory; the value must be fetched at the first use, and not on "
        "arrival"
    )
    try:
        value = copy.upper()
    except Exception as error:
        value = repr(error)
    assert value == "VALUE", f"proxy.upper() of the proxy that arrived gave {value!r}, not 'VALUE'"


def test_the_cake_stays_at_home(tmp_path: Path) -> None:
    cake = "cake" * 1_000_000
    proxy = store(cake, tmp_path)
    size = len(sent(proxy))
    assert size < 1000, f"the pickle of a proxy has {size:,} bytes; its recipe has a hundred"
    len(proxy)  # resolves it
    size = len(sent(proxy))
    assert size < 1000, (
        f"once its value is there, the pickle of a proxy has {size:,} bytes: the cake travels. "
        "The recipe is enough, resolved or not"
    )


def test_a_proxy_arrives_where_its_file_is_missing(tmp_path: Path) -> None:
    proxy = store("value", tmp_path)
    data = sent(proxy)
    for file in tmp_path.iterdir():
        file.unlink()
    copy = received(data)
    try:
        text = copy.upper()
    except FileNotFoundError:
        return
    pytest.fail(f"its file is gone, and the proxy that arrived gave {text!r}; where was it kept?")


def test_another_process_with_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "here/values", "there":
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    data = sent(store("value", Path("values")))  # a folder named from where one stands
    program = (
        "import pickle, sys\n"
        "proxy = pickle.loads(sys.stdin.buffer.read())\n"
        "try:\n"
        "    print(proxy.upper())\n"
        "except FileNotFoundError as error:\n"
        "    print('FileNotFoundError:', error.filename)\n"
    )
    modules = str(Path(exercise.__file__).parent)
    other = subprocess.run(
        [sys.executable, "-c", program],
        input=data,
        capture_output=True,
        cwd=tmp_path / "there",
        env={**os.environ, "PYTHONPATH": modules},
        timeout=25,
    )
    outcome = (other.stdout or other.stderr).decode().strip().rpartition("\n")[2]
    assert "FileNotFoundError" not in outcome, (
        "the proxy went to a process with another working directory, and using it there gave "
        f"{outcome!r}: it looked in that other directory. In store(), before the proxy leaves, "
        "make the path one from the root"
    )
    assert outcome == "VALUE", (
        f"the proxy went to another process, and proxy.upper() gave {outcome!r} there, not 'VALUE'"
    )
