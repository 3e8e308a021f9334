"""Where the illusion ends: every line of docs/limits.md does what stands beside it."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import re
import rlcompleter
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from support import EXAMPLES, ROOT, needs_proc, opened, run

sys.path.insert(0, str(EXAMPLES))

import limits
from connectors import ConnectorError, LocalConnector
from proxyfuture import Proxy, Store, resolve

PAGE = (ROOT / "docs" / "limits.md").read_text()


class Row(NamedTuple):
    text: str
    target: str
    line: str
    answer: str
    instead: str

    def has_a_difference(self) -> bool:
        before = re.findall(r"before Python 3\.(\d+)", self.text)
        since = re.findall(r"from Python 3\.(\d+) on", self.text)
        minor = sys.version_info.minor
        return all(minor < int(end) for end in before) and all(minor >= int(at) for at in since)


ROWS = [
    Row(row, *re.findall(r"`(.*?)`", row))
    for table in re.findall(r"^\| `t` \|(?:.*\n)\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    for row in table.splitlines()
]


def outcome(line: str, target: object, value: object) -> object:
    """Returns what a line gives for `value` under the name `p`: its result or its exception."""
    try:
        return eval(line, vars(limits), {"t": target, "p": value})
    except Exception as error:
        return type(error)


def test_the_page_has_a_line_to_try_in_each_row() -> None:
    assert len(ROWS) == len(re.findall(r"^\| `(?!t`)", PAGE, re.MULTILINE)) > 20


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.line} where t = {row.target}" for row in ROWS])
def test_a_line_shows_the_difference_and_the_way_around_it(row: Row) -> None:
    target = eval(row.target, vars(limits))
    proxy = Proxy(lambda: target)
    plain = outcome(row.line, target, target)
    if row.has_a_difference():
        assert outcome(row.line, target, proxy) == eval(row.answer, vars(limits)) != plain
    else:
        assert outcome(row.line, target, proxy) == plain
    assert outcome(row.instead, target, proxy) == plain


def test_a_class_pattern_matches() -> None:
    assert limits.kind(Proxy(lambda: "text")) == "a string"


def test_a_type_that_is_told_may_be_less_than_what_comes() -> None:
    class Derived(limits.Point):
        pass

    proxy = Proxy(lambda: Derived(1, 2), limits.Point)
    assert not isinstance(proxy, Derived)
    resolve(proxy)
    assert isinstance(proxy, Derived)


# Looking without waiting

LOOKS: dict[str, bool] = {
    "repr(p)": False,
    "logging.info(repr(p))": False,
    'f"{p!r}"': False,
    "str(p)": True,
    "print(p)": True,
    'f"{p}"': True,
    'logging.info("%r", p)': True,
    'rlcompleter.Completer({"p": p}).complete("p.u", 0)': True,
}


@pytest.mark.parametrize(("look", "waits"), LOOKS.items())
def test_a_look_at_a_proxy_waits_or_does_not(look: str, waits: bool) -> None:
    class Waits(BaseException):
        """In place of waiting."""

    def factory() -> str:
        raise Waits

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(logging.root, "level", logging.INFO)
        if waits:
            stack.enter_context(pytest.raises(Waits))
        eval(look, {"logging": logging, "rlcompleter": rlcompleter, "p": Proxy(factory)})
    assert f"`{look}`" in PAGE or "rlcompleter" in look  # which the page calls the Tab key


# Makes a proxy of a known type or not, in a module that is scanned, and says what the scan did.
SCANNED = """
import doctest, gc, io, sys, types
from proxyfuture import Proxy, is_resolved

proxy = Proxy(list, list) if sys.argv[1] == "typed" else Proxy(list)
"""
SCANS = {
    "gc": "[each for each in gc.get_objects() if isinstance(each, dict)]",
    "doctest": "doctest.DocTestFinder().find(sys.modules['__main__'])",
    "pickle": "import pickle; pickle.dumps(proxy)",
    "cloudpickle": "import cloudpickle; cloudpickle.dumps(proxy)",
    "pytest": "import pytest; pytest.main(['-qq', '--collect-only', __file__]); "
    "proxy = sys.modules['test_scanned'].proxy",
}


@pytest.mark.parametrize(
    ("scan", "waits_if_typed", "waits_otherwise"),
    [
        ("gc", False, True),
        ("doctest", True, True),
        ("pickle", False, False),
        pytest.param("cloudpickle", False, True, marks=pytest.mark.slow),
        pytest.param("pytest", True, True, marks=pytest.mark.slow),
    ],
)
def test_a_scan_of_many_objects_waits_or_does_not(
    scan: str, waits_if_typed: bool, waits_otherwise: bool, tmp_path: Path
) -> None:
    if scan not in ("gc", "doctest", "pickle"):
        pytest.importorskip(scan, reason=f"needs {scan}")
    program = tmp_path / "test_scanned.py"
    scanned = f"{SCANS[scan]}; print('waited:', is_resolved(proxy))"
    program.write_text(f"{SCANNED}\nif __name__ == '__main__':\n    {scanned}\n")
    for kind, waits in ("typed", waits_if_typed), ("untyped", waits_otherwise):
        done = run(program, kind, PYTHONPATH=str(ROOT))
        assert f"waited: {waits}" in done.stdout, done.stderr


@needs_proc
@pytest.mark.slow
def test_a_list_that_is_extended_by_its_own_proxy_never_ends() -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 << 28, 2 << 28))\n"
    program = "from proxyfuture import Proxy\nnumbers = [1]\np = Proxy(lambda: numbers)\n"
    assert "MemoryError" in run("-c", limited + program + "p.extend(p)").stderr
    assert run("-c", program + "p.extend(list(p)); print(p)").stdout == "[1, 1]\n"


# Runs a cell, or asks for completions, with a proxy `p` of a known type, and says what it did.
IN_IPYTHON = """
import contextlib, io, sys
from IPython.core.interactiveshell import InteractiveShell
from proxyfuture import Proxy, is_resolved

class MyData: pass

look, kind = sys.argv[1:]
shell = InteractiveShell.instance()
target_type = None if kind == "unknown" else eval(kind)
proxy = shell.user_ns["p"] = Proxy(target_type or MyData, target_type)
with contextlib.redirect_stdout(io.StringIO()):
    shell.complete("p.") if look == "Tab" else shell.run_cell(look)
print("waits" if is_resolved(proxy) else "does not wait")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("look", "kind", "waits"),
    [
        *(("p", kind, False) for kind in ("MyData", "str", "int", "bytes", "range")),
        *(("p", kind, True) for kind in ("dict", "list", "set", "ValueError", "unknown")),
        *((look, "MyData", True) for look in ("p?", "%whos", "Tab")),
        *((look, "unknown", False) for look in ("print(repr(p))", "1")),
    ],
)
def test_in_ipython(look: str, kind: str, waits: bool, tmp_path: Path) -> None:
    pytest.importorskip("IPython", reason="needs IPython")
    program = subprocess.run(
        [sys.executable, "-c", IN_IPYTHON, look, kind],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert program.stdout.strip() == ("waits" if waits else "does not wait"), program.stderr


def test_the_session_on_the_page_goes_as_shown() -> None:
    [session] = re.findall(r"```console\n\$ python3 -i \S+\n(.*?)```", PAGE, re.DOTALL)
    typed = re.findall(r"^>>> (.*\n)", session, re.MULTILINE)
    answers = re.findall(r"^(?!>>> ).*\n", session, re.MULTILINE)
    program = subprocess.run(
        [sys.executable, "-I", "-i", limits.__file__],
        input="".join(typed),
        capture_output=True,  # the prompts are on the other channel
        text=True,
        timeout=60,
    )
    assert program.stdout == "".join(answers) == "False\nTrue\n"


# Stores and connectors


def test_a_store_whose_serializer_is_a_lambda_is_another_one_after_each_unpickling() -> None:
    # The copies are made as by `cloudpickle`, which takes lambdas.
    with Store("limits", LocalConnector(), str.encode) as store:
        assert copy.copy(store) is store
    with Store("limits", LocalConnector(), lambda text: text.encode()) as store:
        assert copy.copy(store) is not store


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("wakes", [True, False])
def test_setting_a_large_value_blocks_until_a_frozen_server_wakes_or_dies(
    wakes: bool, tmp_path: Path
) -> None:
    with opened("manager", tmp_path) as medium, ThreadPoolExecutor(1) as executor:
        assert medium.server is not None
        executor.submit(medium.store.put, b"small").result(60)  # the thread has a connection now
        os.kill(medium.server, signal.SIGSTOP)
        setting = executor.submit(medium.store.put, bytes(10_000_000))
        with pytest.raises(TimeoutError):
            setting.result(3)
        if wakes:
            os.kill(medium.server, signal.SIGCONT)
            assert setting.exception(60) is None
        else:
            medium.destroy()
            assert isinstance(setting.exception(60), ConnectorError)


IN_AN_INTERPRETER = """
import sys
from concurrent.futures import InterpreterPoolExecutor

def work(path, directory):
    import asyncio, sys
    sys.path[:] = path
    from connectors import FileConnector, ManagerConnector
    from proxyfuture import Store

    def fails(function, *arguments):
        try:
            function(*arguments)
        except RuntimeError as error:
            return "daemon threads" in str(error)

    async def awaited(future):
        return await future

    with Store("limits", FileConnector(directory)) as store, ManagerConnector() as manager:
        future = store.future(int)
        future.set_result(3)
        failed = fails(manager.put, b"value"), fails(future.to_concurrent)
        failed += fails(asyncio.run, awaited(future)),
        return future.result(60) + future.proxy(), *failed

if __name__ == "__main__":
    with InterpreterPoolExecutor(1) as pool:
        print(pool.submit(work, sys.path, sys.argv[1]).result(60))
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters' pools came with Python 3.14")
def test_in_a_pool_of_interpreters_a_file_connector_works(tmp_path: Path) -> None:
    program = [sys.executable, "-c", IN_AN_INTERPRETER, str(tmp_path / "values")]
    printed = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert printed.stdout == "(6, True, True, True)\n", printed.stderr
