"""Two processes, a value that one makes for the other, and a picture of who waited for whom.

`foo` parses Python files and makes an index of the functions and classes in them. `bar` counts the
calls in these files. For most of them it needs no index; in the last third, it counts only what is
in the index. Both run one after the other, and then at the same time:

    python docs/examples/foo_bar.py
    python docs/examples/foo_bar.py --first foo --connector file path/to/a/project
"""

import argparse
import ast
import builtins
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from concurrent.futures import Executor, Future, InvalidStateError, ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from sysconfig import get_path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from connectors import ConnectorError, FileConnector, ManagerConnector
from proxyfuture import ProxyFuture, Store, resolve


class Definition(NamedTuple):
    name: str
    lines: int
    file: Path
    line: int


Index = dict[str, list[Definition]]


class FooReport(NamedTuple):
    started: float  # on a clock that all processes share, as all times here
    indexed: float


class BarReport(NamedTuple):
    table: list[tuple[int, Definition]]
    started: float
    counted: float
    received: float
    finished: float


Reports = tuple[FooReport, BarReport]


def foo(future: ProxyFuture[Index], files: Sequence[Path]) -> FooReport:
    """Produces the index."""
    with future:  # Should this fail, bar gets the error instead of waiting for ever.
        started = time.monotonic()
        index = index_of_definitions(files)
        indexed = time.monotonic()
        future.set_result(index)
        return FooReport(started, indexed)


def bar(index: Index, files: Sequence[Path]) -> BarReport:
    """Consumes the index. What it gets is a proxy, of which it needs to know nothing."""
    started = time.monotonic()
    free = 2 * len(files) // 3
    calls = count_calls(files[:free])
    counted = time.monotonic()
    resolve(index)  # The first use would wait as well. This way, the wait can be timed.
    received = time.monotonic()
    calls += count_calls(files[free:], index)
    table = most_called(calls, index)
    return BarReport(table, started, counted, received, time.monotonic())


def start_both(
    machines: Sequence[Executor], store: Store, files: Sequence[Path], first: str = "bar"
) -> tuple[Future[FooReport], Future[BarReport]]:
    """Starts `foo` and `bar` in either order, and returns at once."""
    future: ProxyFuture[Index] = store.future(dict)
    if first == "bar":
        running_bar = machines[1].submit(bar, future.proxy(), files)
        running_foo = machines[0].submit(foo, future, files)
    else:
        running_foo = machines[0].submit(foo, future, files)
        running_bar = machines[1].submit(bar, future.proxy(), files)
    running_foo.add_done_callback(partial(report_failure, future))
    return running_foo, running_bar


def run_in_turn(machines: Sequence[Executor], store: Store, files: Sequence[Path]) -> Reports:
    """Runs `foo`, and then `bar`, as without a proxy future."""
    future: ProxyFuture[Index] = store.future(dict)
    foo_report = machines[0].submit(foo, future, files).result()
    return foo_report, machines[1].submit(bar, future.proxy(), files).result()


def report_failure(future: ProxyFuture[Any], running: Future[Any]) -> None:
    """Tells the consumers of a failed producer, since one whose process died could not."""
    try:
        running.result()
    except BaseException as error:
        # Unless it did tell them, or the store is closed and nobody waits any more.
        with suppress(InvalidStateError, ConnectorError):
            future.set_exception(error)


def makespan(
    foo: float, free: float, dependent: float, first: str, workers: int, future: bool
) -> float:
    """Returns how long both take, in seconds, of which `bar` has a free and a dependent part."""
    if future and workers == 2:
        return max(foo, free) + dependent
    if future and first == "bar":
        return inf  # bar waits for foo, and foo for bar's worker
    return foo + free + dependent


# What foo and bar compute

# Not every file can be read, decoded and parsed.
BAD_FILE = OSError, SyntaxError, ValueError, RecursionError, MemoryError


def index_of_definitions(files: Sequence[Path]) -> Index:
    """Returns the definitions on the top level of all files that can be parsed."""
    index = defaultdict(list)
    for file in files:
        with suppress(*BAD_FILE):
            for node in parse(file).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    lines = ast.unparse(node).count("\n") + 1  # comments and blank lines are gone
                    index[node.name].append(Definition(node.name, lines, file, node.lineno))
    return dict(index)


def parse(file: Path) -> ast.Module:
    with warnings.catch_warnings(action="ignore"):  # those about the code in the file
        return ast.parse(file.read_bytes())


def count_calls(files: Sequence[Path], among: Container[str] | None = None) -> Counter[str]:
    """Counts the calls of functions by their names, of all or of those that are `among` some."""
    calls: Counter[str] = Counter()
    for file in files:
        with suppress(*BAD_FILE):
            for node in ast.walk(parse(file)):
                match node:
                    case ast.Call(ast.Name(name)) if among is None or name in among:
                        calls[name] += 1
    return calls


def most_called(calls: Counter[str], index: Index) -> list[tuple[int, Definition]]:
    """Returns the most called of the definitions that are the only ones of their name."""
    found = [
        (count, index[name][0])
        for name, count in calls.most_common()
        if len(index.get(name, [])) == 1 and not hasattr(builtins, name)
    ]
    return found[:5]


# The program around them


def main() -> None:
    """Runs both in turn, then both at once, and prints what came out."""
    parser = argparse.ArgumentParser(description="Run foo and bar at once in two processes.")
    add = parser.add_argument
    add("directory", nargs="?", type=Path, default=Path(get_path("stdlib")), help="of Python files")
    add("--first", choices=["bar", "foo"], default="bar", help="which of them starts first")
    add("--connector", choices=["manager", "file"], default="manager", help="where the index waits")
    add("--start-method", choices=["spawn", "forkserver", "fork"], default="spawn")
    options = parser.parse_args()
    files = files_in(options.directory)
    if not files:
        parser.error(f"no Python file in {options.directory}")

    print(f"foo makes an index of {len(files)} files. bar counts the calls in them, and needs")
    print("the index for the last third. First they run in turn, then at the same time.")
    in_turn, at_once = run_both_ways(files, options.first, options.connector, options.start_method)
    serial, overlapped = took(*in_turn), took(*at_once)
    scale = max(serial, overlapped)
    print("\nOne after the other, since bar cannot start without a value:\n")
    print(picture(*in_turn, scale))
    print(f"\nWith a proxy future, {options.first} starts first, and the other at once:\n")
    print(picture(*at_once, scale))
    print("\n=  works    .  waits    #  works with the index")
    print(f"\nTogether it took {overlapped:.2f} s instead of {serial:.2f} s. Most called:\n")
    print("calls  of                           lines  defined in")
    for count, definition in at_once[1].table:
        place = f"{definition.file.relative_to(options.directory)}:{definition.line}"
        print(f"{count:5}  {definition.name:<27.27}  {definition.lines:5}  {place[-38:]}")


def files_in(directory: Path) -> list[Path]:
    """Returns so many Python files that to read them takes a second or two."""
    return sorted(islice((path for path in directory.rglob("*.py") if path.is_file()), 90))


def run_both_ways(
    files: Sequence[Path], first: str = "bar", connector: str = "manager", method: str = "spawn"
) -> tuple[Reports, Reports]:
    """Returns what `foo` and `bar` report when they run in turn, and when they run at once."""
    context = multiprocessing.get_context(method)
    with (
        # As if on two machines: were it one executor with two processes, the death of one of
        # them would end the other.
        ProcessPoolExecutor(1, context) as machine,
        ProcessPoolExecutor(1, context) as other_machine,
        # The store last, so that it is closed first: if something fails here, nobody waits on.
        tempfile.TemporaryDirectory() as scratch,
        Store(
            "foo-bar",
            FileConnector(f"{scratch}/store") if connector == "file" else ManagerConnector(),
        ) as store,
    ):
        machines = machine, other_machine
        run_in_turn(machines, store, [])  # has both start, import the modules and open the store
        in_turn = run_in_turn(machines, store, files)
        running_foo, running_bar = start_both(machines, store, files, first)
        return in_turn, (running_foo.result(), running_bar.result())


def took(foo: FooReport, bar: BarReport) -> float:
    return max(foo.indexed, bar.finished) - min(foo.started, bar.started)


def picture(foo: FooReport, bar: BarReport, scale: float) -> str:
    """Draws the time from left to right, a lane for each process, and the index on its way."""
    began = min(foo.started, bar.started)

    def lane(*activities: tuple[str, float, float]) -> str:
        drawn = ""
        for mark, *times in activities:
            begin, end = (int((moment - began) / scale * 62) for moment in times)
            drawn = drawn.ljust(begin) + mark * (end - begin)
        return drawn

    dot, arrow = "●↓" if "utf" in (sys.stdout.encoding or "").lower() else "ov"
    before = lane(("=", bar.started, bar.counted), (".", bar.counted, bar.received))
    after = lane(("#", bar.received, bar.finished)).lstrip()
    return (
        f"foo  {lane(('=', foo.started, foo.indexed))}{dot}\n"
        f"     {' ' * len(before)}{arrow}\n"
        f"bar  {before}{after}  {took(foo, bar):.2f} s"
    )


if __name__ == "__main__":
    main()
