"""Real programs, as the page tells: notebooks, servers, queues, pools, and libraries of data."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis_server
from support import AUTHKEY, AUTHKEY_VARIABLE, EXAMPLES, ROOT, eventually, free_port, run

from proxyfuture import Proxy, extract

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = (ROOT / "docs" / "real_programs.md").read_text()
REAL = EXAMPLES / "real"

redis_url = redis_server.redis_url


# What the lines on the page call things

NAMES = {"np": "numpy", "pd": "pandas", "pl": "polars", "pa": "pyarrow", "pc": "pyarrow.compute"}
NAMES |= {"nx": "networkx", "plt": "matplotlib.pyplot"}
PARTS = {
    "celery": "celery.utils.saferepr",
    "sentry_sdk": "sentry_sdk.serializer",
    "matplotlib": "matplotlib.colors",
}
PARTS |= {"PIL": "PIL.ImageOps"} | NAMES
FROM = {"Ridge": "sklearn.linear_model", "jsonable_encoder": "fastapi.encoders"}
FROM |= {"Any": "typing", "Path": "pathlib", "Point": "limits"}


def found(name: str) -> Any:
    """Imports what a line of the page calls by its usual name."""
    needed = FROM.get(name, PARTS.get(name, name))
    pytest.importorskip(needed.partition(".")[0], reason=f"needs {needed.partition('.')[0]}")
    if name in FROM:
        return getattr(importlib.import_module(FROM[name]), name)
    importlib.import_module(PARTS.get(name, name))
    return sys.modules[NAMES.get(name, name)]


class Names(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        if name in ("Part", "Whole"):
            attrs = pytest.importorskip("attrs", reason="needs attrs")
            self[name] = attrs.make_class(name, ["size" if name == "Part" else "part"])
        else:
            self[name] = found(name)
        return self[name]


# Notebooks


def executed(*cells: str, timeout: int = 60) -> list[list[str]]:
    """Runs a notebook, and returns what stands below each cell: texts, or the names of errors."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        interrupt_on_timeout=True,
        allow_errors=True,
        resources={"metadata": {"path": str(ROOT)}},
    )
    client.execute()
    below = []
    for cell in notebook.cells:
        outputs = cell["outputs"]
        below.append([each.get("ename") or each["data"]["text/plain"] for each in outputs])
    return below


A_FUTURE = """
from connectors import LocalConnector
from proxyfuture import Store

class MyData:
    def __repr__(self):
        return "the data"

store = Store("notebook", LocalConnector())
future = store.future(MyData)
p = future.proxy()
"""


def test_a_notebook_shows_a_typed_proxy_without_waiting() -> None:
    shown = executed(A_FUTURE, "p", "future.set_result(MyData())", "str(p)", "p")
    assert "unresolved" in shown[1][0]
    assert shown[4] == ["the data"]


def test_interrupting_the_kernel_ends_a_wait_and_the_proxy_can_be_used_later() -> None:
    shown = executed(A_FUTURE, "p.attribute", "future.set_result(MyData())", "str(p)", timeout=5)
    assert shown[1] == ["KeyboardInterrupt"]
    assert shown[3] == ["'the data'"]


A_POOL = """
import signal, time
from concurrent.futures import ProcessPoolExecutor
from connectors import ManagerConnector
from proxyfuture import Store

store = Store("notebook", ManagerConnector())
future = store.future(str)
p = future.proxy()
pool = ProcessPoolExecutor(
    1, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
)
working = pool.submit(time.sleep, 8)
done = pool.submit(future.set_result, "the data")  # by the same worker, afterwards
"""


def test_an_interrupt_spares_the_producer_in_a_pool_that_ignores_it() -> None:
    shown = executed(A_POOL, "p.upper()", "working.result(60)", "p.upper()", timeout=5)
    assert shown[1] == ["KeyboardInterrupt"]
    assert shown[2] == []  # no error of the worker
    assert shown[3] == ["'THE DATA'"]


# Programs that look

LOOKS = re.findall(r"^\| `(.+)` \| (.*?) ?\| (.*?) ?\| (.*?) ?\|$", PAGE, re.MULTILINE)
LOOKS = [look for look in LOOKS if set(look[1:]) <= {"waits", "only text waits", "shows it"}]
assert len(LOOKS) == 8


class MyData:
    pass


@pytest.mark.parametrize(
    ("look", "own", "others", "untyped"), LOOKS, ids=[look for look, *_ in LOOKS]
)
def test_a_look_at_a_proxy_waits_or_does_not_as_the_page_says(
    look: str, own: str, others: str, untyped: str
) -> None:
    class Waits(BaseException):
        """In place of waiting."""

    def waits(kind: type | None) -> bool:
        asked = []

        def factory() -> Any:
            asked.append(True)
            raise Waits

        with contextlib.suppress(Waits):
            eval(look, {}, Names(p=Proxy(factory, kind)))
        return bool(asked)

    others_wait = {"waits": (str, dict, list), "only text waits": (str,), "shows it": ()}[others]
    assert waits(MyData) == (own == "waits")
    assert [kind for kind in (str, dict, list) if waits(kind)] == [*others_wait]
    assert waits(None) == (untyped == "waits")


def test_a_debugger_waits_for_the_proxies_among_the_variables_that_it_shows() -> None:
    pytest.importorskip("debugpy", reason="needs debugpy")
    program = (
        "import debugpy, pathlib, sys\n"
        "sys.path.append(str(pathlib.Path(debugpy.__file__).parent / '_vendored' / 'pydevd'))\n"
        "from _pydevd_bundle.pydevd_xml import get_variable_details\n"
        "from proxyfuture import Proxy, is_resolved\n"
        "proxy, in_a_list = Proxy(list, list), Proxy(list, list)\n"
        "get_variable_details(proxy), get_variable_details([in_a_list])\n"
        "print(is_resolved(proxy), is_resolved(in_a_list))\n"
    )
    shown = run("-W", "ignore", "-c", program)
    assert shown.stdout == "True False\n", shown.stderr


# Servers, queues and pools


@contextlib.contextmanager
def running(*command: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=REAL,
        env={**os.environ, AUTHKEY_VARIABLE: AUTHKEY, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_request_to_one_worker_waits_for_what_another_worker_sets() -> None:
    pytest.importorskip("gunicorn", reason="needs gunicorn")
    port = free_port()

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    options = "--preload", "--workers", 2, "--bind", f"127.0.0.1:{port}"
    server = running("gunicorn", *options, "web_application:application")
    with server, ThreadPoolExecutor() as threads:
        assert eventually(lambda: is_open(port))
        waiting = threads.submit(get, "/")
        assert get("/set").startswith("set by worker")
        assert waiting.result(60).startswith("Hello by worker")


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_two_celery_tasks_overlap_and_share_a_future(redis_url: str, tmp_path: Path) -> None:
    pytest.importorskip("celery", reason="needs Celery")
    program = """
import sys
from celery_application import application, bar, foo
from connectors import FileConnector
from proxyfuture import Store

with Store("celery", FileConnector(sys.argv[1])) as store:
    future = store.future(list)
    running = bar.delay(future), foo.delay(future)
    print(running[0].get(timeout=60))
"""
    options = "--app", "celery_application", "worker", "--concurrency", 2, "--loglevel", "INFO"
    with running("celery", *options, BROKER=redis_url, C_FORCE_ROOT="1"):
        client = run("-c", program, tmp_path / "values", cwd=REAL, BROKER=redis_url)
    assert client.stdout == "6\n", client.stderr


def test_a_typed_proxy_passes_other_pools() -> None:
    for package in "joblib", "multiprocess":
        pytest.importorskip(package, reason=f"needs {package}")
    program = run(REAL / "other_pools.py")
    finished = re.findall(r"^(\w+): 6 after", program.stdout, re.MULTILINE)
    assert finished == ["with_joblib", "with_multiprocess"], program.stderr


@pytest.mark.parametrize("options", ["-O", "-I", "-S", "-OO -I -S"])
def test_a_program_runs_with_options_of_python_and_from_standard_input(options: str) -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + (
        "from connectors import ManagerConnector\nfrom proxyfuture import Store\n"
        "with Store('s', ManagerConnector()) as store:\n"
        "    future = store.future(str)\n    future.set_result('value')\n"
        "    print(future.proxy())\n"
    )
    command = [sys.executable, *options.split()]
    for arguments, typed in (["-c", program], ""), (["-"], program):
        done = subprocess.run(
            [*command, *arguments], input=typed, capture_output=True, text=True, timeout=60
        )
        assert done.stdout == "value\n", done.stderr


# Data


class Row(NamedTuple):
    sees: str
    target: str
    line: str
    instead: str


def rows(heading: str) -> list[list[str]]:
    [table] = re.findall(rf"^\| {heading} .*\n\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    lines = table.splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


DIFFERENT = [Row(cells[0], *(cell.strip("`") for cell in cells[1:])) for cells in rows("you see")]
THE_SAME = [Row("", cells[1].strip("`"), cells[2].strip("`"), "") for cells in rows("library")]


def outcome(line: str, target: Any, value: Any, names: Names) -> str:
    names |= {"t": target, "p": value, "extract": extract, "URL": "http://localhost"}
    try:
        return repr(eval(line, {}, names))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "svg")
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.mark.filterwarnings("ignore")  # of libraries about each other and about dates
@pytest.mark.parametrize("row", DIFFERENT, ids=lambda row: row.line)
def test_a_line_differs_as_the_page_says_and_extract_mends_it(row: Row) -> None:
    names = Names()
    target = eval(row.target, {}, names)
    proxy = Proxy(lambda: target)
    plain = outcome(row.line, target, target, names)
    assert not re.match(r"\w+Error: ", plain), plain
    seen = outcome(row.line, target, proxy, names)
    expected = re.findall("`(.*?)`", row.sees)[0]
    if row.sees.startswith("no error"):
        assert seen == expected != plain
    else:
        assert expected in seen
    assert outcome(row.instead, target, proxy, names) == plain


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", THE_SAME, ids=lambda row: row.line)
def test_a_line_takes_a_proxy_as_it_is(row: Row) -> None:
    names = Names()
    target = eval(row.target, {}, names)
    plain = outcome(row.line, target, target, names)
    assert not re.match(r"\w+Error: ", plain), plain
    assert outcome(row.line, target, Proxy(lambda: target), names) == plain
