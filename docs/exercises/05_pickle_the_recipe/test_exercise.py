"""A proxy travels as its factory: small, at any time, and without fetching anything."""

import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import exercise
import pytest
from exercise import Fetch, Proxy, store
from stepping import Running, full_disk, moments

VALUES = ["value", "", b"", 0, None, ..., [], {"a": None}]


class Factory:
    """Makes a value. All factories count together, since copies of one are counted, too."""

    runs = 0

    def __init__(self, value: object = "value") -> None:
        self.value = value

    def __call__(self) -> Any:
        Factory.runs += 1
        return self.value


class Stuck:
    """A factory in the midst of its work."""

    begun, may_end = threading.Event(), threading.Event()

    def __call__(self) -> str:
        Stuck.begun.set()
        Stuck.may_end.wait(30)
        return "value"


class CannotTravel(Exception):
    pass


class AtHome:
    """What cannot be pickled: as a value, and as a factory."""

    def __call__(self) -> str:
        return "value"

    def __reduce__(self) -> tuple[Any, ...]:
        raise CannotTravel("I stay at home")


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


def test_fetch_reads_the_file_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(pickle.dumps([1, 2, 3]))
    fetch = Fetch(path)
    fetch()
    path.write_bytes(pickle.dumps("cake" * 1000))
    again = fetch()
    assert again == "cake" * 1000, (
        f"the file changed after it was read once, and Fetch gave {again!r} again; a factory makes "
        "the value each time, and it is the proxy that keeps it"
    )
    assert len(pickle.dumps(fetch)) < 1000, "a Fetch that was used has the value in it, and travels"


def test_fetch_lets_errors_arrive(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no pickle")
    for path, error in (tmp_path / "no such file", FileNotFoundError), (tmp_path, OSError):
        try:
            value = Fetch(path)()
        except error:
            continue
        pytest.fail(f"{path} cannot be read, and Fetch gave {value!r} in place of the error")
    try:
        value = Fetch(tmp_path / "broken")()
    except pickle.UnpicklingError:
        return
    pytest.fail(f"the file holds no pickle, and Fetch gave {value!r} in place of the error")


def test_a_stored_value_comes_back(tmp_path: Path) -> None:
    proxy = store([1, 2, 3], tmp_path)
    assert type(proxy) is Proxy, f"store() must return a Proxy, not a {type(proxy).__name__}"
    assert proxy == [1, 2, 3], "the proxy is not equal to the value that was stored"
    for value in VALUES:
        proxy = store(value, tmp_path)
        assert proxy == value, f"the proxy of {value!r} is not equal to it; any value may be stored"


def test_two_values_are_two_files(tmp_path: Path) -> None:
    first, _ = store("first", tmp_path), store("second", tmp_path)
    assert first == "first", (
        "after store('first') and store('second') in one folder, the proxy of the first one gives "
        "the second; each value needs a file of its own"
    )


def test_the_value_is_in_the_file_and_nowhere_else(tmp_path: Path) -> None:
    value = [1, 2, 3]
    proxy = store(value, tmp_path)
    value.append(4)
    assert len(proxy) == 3, (
        "[1, 2, 3] was stored, then its owner appended a 4, and the proxy has it as well; "
        "store() must return a proxy that fetches what is in the file"
    )
    folder = tmp_path / "another"
    folder.mkdir()
    proxy = store([1, 2, 3], folder)
    for file in folder.iterdir():
        file.unlink()
    try:
        length = len(proxy)
    except FileNotFoundError:
        return
    pytest.fail(
        f"its file is gone before the first use, and the proxy has {length} items; where were they?"
    )


def test_values_that_are_gone_have_files_of_their_own(tmp_path: Path) -> None:
    # Each list is gone after its call, and the next one may lie at the same place in memory.
    for count in 20, 1000:
        proxies = [store([number], tmp_path) for number in range(count)]
        numbers = [proxy.pop() for proxy in proxies]
        wrong = [number for number in range(count) if numbers[number] != number]
        assert wrong == [], (
            f"[0] to [{count - 1}] were stored one after the other, and the proxies of "
            f"{wrong[:10]} hold other values; an id() comes again once its object is gone, and a "
            "short random name sooner or later"
        )


def test_the_files_of_equal_values_are_two(tmp_path: Path) -> None:
    for _ in range(2):
        store("same", tmp_path)
    files = len(list(tmp_path.iterdir()))
    assert files == 2, (
        f"'same' was stored twice, and the folder has {files} file; each of the two owners may "
        "throw the file away"
    )


def test_a_name_does_not_come_again(tmp_path: Path) -> None:
    store("first", tmp_path)
    files = set(tmp_path.iterdir())
    second = store("second", tmp_path)
    for file in files:
        file.unlink()
    store("third", tmp_path)
    assert second == "second", (
        "first, second were stored, the file of the first one was thrown away, and the third one "
        "got the name of the second, whose value is lost"
    )


def test_two_threads_choose_two_names(tmp_path: Path) -> None:
    for number, moment in enumerate(moments()):
        folder = tmp_path / str(number)
        folder.mkdir()
        one, other = moment.meet(
            lambda folder=folder: store("one", folder),  # type: ignore[misc]
            lambda folder=folder: store("other", folder),  # type: ignore[misc]
        )
        for value, thread in ("one", one), ("other", other):
            proxy = thread.result(f"a thread stored {value!r} {moment}, and waits for ever")
            assert proxy == value, (
                f"one thread stopped {moment}, and another one stored its value meanwhile; then "
                f"the proxy of {value!r} had the value of the other; between looking for a free "
                "name and using it, others do the same"
            )


def test_another_process_chooses_other_names(tmp_path: Path) -> None:
    # Two machines can have one folder, and the same process number, time and random seed.
    program = (
        "import os, random, sys, time\n"
        "from pathlib import Path\n"
        "import exercise\n"
        "os.getpid = lambda: 7\n"
        "time.time, time.time_ns = lambda: 7.0, lambda: 7\n"
        "time.monotonic_ns = time.perf_counter_ns = lambda: 7\n"
        "random.seed(7)\n"
        "exercise.store(sys.argv[1], Path(sys.argv[2]))\n"
    )
    for value in "one", "other":
        subprocess.run(
            [sys.executable, "-c", program, value, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(Path(exercise.__file__).parent)},
            check=True,
            timeout=25,
        )
    values = sorted(pickle.loads(file.read_bytes()) for file in tmp_path.iterdir())
    assert values == ["one", "other"], (
        "two processes on two machines, with the same number, time and random seed, stored 'one' "
        f"and 'other' in one folder, and it holds {values}; which names does nobody else choose?"
    )


def test_what_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    try:
        store(["cake" * 1000, AtHome()], tmp_path)
    except CannotTravel:
        pass
    else:
        pytest.fail("the value cannot be pickled, and store() hid the error that says so")
    left = [file.name for file in tmp_path.iterdir()]
    assert left == [], f"the value could not be pickled, and store() left {left} in the folder"
    try:
        with full_disk():
            store("value", tmp_path)
    except OSError:
        return
    pytest.fail("the disk was full, and store() hid the error that says so")


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
    time.sleep(0.3)
    assert Factory.runs == before, (
        "the factory ran a moment after the proxy had arrived, though nobody used it"
    )
    try:
        value = copy.upper()
    except Exception as error:
        value = repr(error)
    assert value == "VALUE", f"proxy.upper() of the proxy that arrived gave {value!r}, not 'VALUE'"


def test_many_can_fetch(tmp_path: Path) -> None:
    proxy = store([1, 2, 3], tmp_path)
    data = sent(proxy)
    try:
        lengths = [len(each) for each in (received(data), proxy, received(data))]
    except FileNotFoundError:
        pytest.fail("two copies and the proxy itself were used, and only the first found its file")
    assert lengths == [3, 3, 3], (
        f"two copies of [1, 2, 3] and the proxy itself have {lengths} items"
    )


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


def test_a_proxy_leaves_while_it_is_fetched() -> None:
    proxy = Proxy(Stuck())
    Running(lambda: len(proxy))
    assert Stuck.begun.wait(10)
    leaving = Running(lambda: sent(proxy))
    try:
        leaving.result("pickle.dumps(proxy) waits for a thread that makes the value")
    finally:
        Stuck.may_end.set()


def test_a_resolved_proxy_travels_as_its_factory_whatever_its_value_is() -> None:
    for value in VALUES:
        proxy = Proxy(Factory(value))
        assert proxy == value  # resolves it
        copy = received(sent(proxy))
        before = Factory.runs
        assert copy == value, f"the proxy of {value!r} that arrived is not equal to it"
        assert Factory.runs == before + 1, (
            f"a resolved proxy of {value!r} travelled, and using it there ran the factory "
            f"{Factory.runs - before} times; it travels as its factory, however small its value "
            "is, and is fetched once"
        )


def test_a_factory_that_cannot_travel_is_an_error() -> None:
    proxy = Proxy(AtHome())
    for _ in range(2):
        try:
            data = pickle.dumps(proxy)
        except CannotTravel:
            assert len(proxy) == 5  # resolves it
            continue
        pytest.fail(
            "the factory cannot be pickled and says so, but pickle.dumps(proxy) made "
            f"{len(data)} bytes without it"
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
