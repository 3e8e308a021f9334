"""Two processes, a value that one makes for the other, and a picture of who waited for whom.

`foo` parses Python files and makes an index of the functions and classes in them. `bar` counts
how often each name is called, for which it needs no index, and only then looks up the most called.
Each takes a second or two, and both run at the same time. `bar` is even the first to start:

    python docs/examples/foo_bar.py
    python docs/examples/foo_bar.py --first foo --connector file path/to/a/project

It prints what `bar` found, when each process worked and waited, and how the whole time compares
with the ideal: the longer of `foo` and of what `bar` does without the index, then what `bar` does
with it, as if starting a function, passing the index on and finishing took no time.
"""

import argparse
import ast
import builtins
import multiprocessing
import sys
import tempfile
import time
import tokenize
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, InvalidStateError, ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from sysconfig import get_path
from typing import Any, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from connectors import ConnectorError, DeferrableConnector, FileConnector, ManagerConnector
from proxyfuture import ProxyFuture, Store, resolve

T = TypeVar("T")


class Definition(NamedTuple):
    name: str
    lines: int
    file: Path
    line: int


Index = dict[str, list[Definition]]
Table = list[tuple[int, Definition]]


class FooReport(NamedTuple):
    skipped: int
    started: float  # on a clock that all processes share, as all times here
    indexed: float
    passed: float


class BarReport(NamedTuple):
    table: Table
    started: float
    counted: float
    received: float
    finished: float


def foo(future: ProxyFuture[Index], files: Sequence[Path]) -> FooReport:
    """Produces the index."""
    with future:  # Should this fail, bar gets the error instead of waiting for ever.
        started = time.monotonic()
        index, skipped = index_of_definitions(files)
        indexed = time.monotonic()
        future.set_result(index)
        return FooReport(skipped, started, indexed, time.monotonic())


def bar(index: Index, files: Sequence[Path]) -> BarReport:
    """Consumes the index. What it gets is a proxy, of which it needs to know nothing."""
    started = time.monotonic()
    calls = count_calls(files)
    counted = time.monotonic()
    resolve(index)  # The first use would wait as well. This way, the wait can be timed.
    received = time.monotonic()
    table = most_called(calls, index)
    return BarReport(table, started, counted, received, time.monotonic())


def start_both(
    machines: Sequence[Executor], store: Store, files: Sequence[Path], first: str = "bar"
) -> tuple[Future[FooReport], Future[BarReport]]:
    """Starts `foo` and `bar` in either order, and returns at once."""
    turns = cycle(machines)

    def invoke_remote(function: Callable[..., T], *arguments: object) -> Future[T]:
        return next(turns).submit(function, *arguments)

    future: ProxyFuture[Index] = store.future()
    if first == "bar":
        running_bar = invoke_remote(bar, future.proxy(), files)
        running_foo = invoke_remote(foo, future, files)
    else:
        running_foo = invoke_remote(foo, future, files)
        running_bar = invoke_remote(bar, future.proxy(), files)
    running_foo.add_done_callback(partial(report_failure, future))
    return running_foo, running_bar


def report_failure(future: ProxyFuture[Any], running: Future[Any]) -> None:
    """Tells the consumers of a failed producer, since one whose process died could not."""
    try:
        running.result()
    except BaseException as error:
        # Unless it did tell them, or the store is closed and nobody waits any more.
        with suppress(InvalidStateError, ConnectorError):
            future.set_exception(error)


# What foo and bar compute

# Not every file can be read, decoded, parsed and tokenized.
BAD_FILE = OSError, SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError


def index_of_definitions(files: Sequence[Path]) -> tuple[Index, int]:
    """Returns the definitions on the top level of all files, and how many files were skipped."""
    index, skipped = defaultdict(list), 0
    for file in files:
        try:
            for definition in list(definitions_in(file)):  # all of a file, or none
                index[definition.name].append(definition)
        except BAD_FILE:
            skipped += 1
    return dict(index), skipped


def definitions_in(file: Path) -> Iterator[Definition]:
    with warnings.catch_warnings(action="ignore"):  # those about the code in the file
        tree = ast.parse(file.read_bytes())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            lines = ast.unparse(node).count("\n") + 1  # comments and blank lines are gone
            yield Definition(node.name, lines, file, node.lineno)


def count_calls(files: Sequence[Path]) -> Counter[str]:
    """Counts the names with a parenthesis after them that are no methods and no definitions."""
    calls: Counter[str] = Counter()
    for file in files:
        with suppress(*BAD_FILE), file.open("rb") as source:
            words = [token.string for token in tokenize.tokenize(source.readline)]
            for before, name, after in zip(words, words[1:], words[2:], strict=False):
                if after == "(" and name.isidentifier() and before not in ("def", "class", "."):
                    calls[name] += 1
    return calls


def most_called(calls: Counter[str], index: Index) -> Table:
    """Returns the ten most called of the definitions that are the only ones of their name."""
    table = []
    for name, count in calls.most_common():
        if len(index.get(name, [])) == 1 and not hasattr(builtins, name):
            table.append((count, index[name][0]))
    return table[:10]


# The program around them


def main() -> None:
    """Runs both and prints what came out."""
    options, files = command_line()
    context = multiprocessing.get_context(options.start_method)
    with (
        # As if on two machines: were it one executor with two processes, the death of one of
        # them would end the other.
        ProcessPoolExecutor(1, context) as machine,
        ProcessPoolExecutor(1, context) as other_machine,
        # The store last, so that it is closed first: if something fails here, nobody waits on.
        tempfile.TemporaryDirectory() as scratch,
        Store("foo-bar", connector(options.connector, scratch)) as store,
    ):
        machines = machine, other_machine
        warm_up(machines, store)
        started = time.monotonic()
        running_foo, running_bar = start_both(machines, store, files, options.first)
        foo_report, bar_report = running_foo.result(), running_bar.result()
        finished = time.monotonic()

    print(f"{len(files)} files, of which {foo_report.skipped} do not parse. Most called in them:\n")
    print("calls  of                           lines  defined in")
    for count, definition in bar_report.table:
        place = f"{definition.file.relative_to(options.directory)}:{definition.line}"
        print(f"{count:5}  {definition.name:<27.27}  {definition.lines:5}  {place[-38:]}")
    print(picture(foo_report, bar_report, started, finished))


def command_line() -> tuple[argparse.Namespace, list[Path]]:
    """Returns the options and the files to read."""
    parser = argparse.ArgumentParser(description="Run foo and bar at once in two processes.")
    add = parser.add_argument
    add("directory", nargs="?", type=Path, default=Path(get_path("stdlib")), help="of Python files")
    add("--first", choices=["bar", "foo"], default="bar", help="which of them starts first")
    add("--connector", choices=["manager", "file"], default="manager", help="where the index waits")
    add("--start-method", choices=["spawn", "forkserver", "fork"], default="spawn")
    options = parser.parse_args()
    found = (path for path in options.directory.rglob("*.py") if path.is_file())
    files = sorted(islice(found, 60))  # Reading so many takes a second or two.
    if not files:
        problem = "holds no Python file" if options.directory.is_dir() else "is not a directory"
        parser.exit(2, f"{parser.prog}: {options.directory} {problem}.\n")
    return options, files


def connector(kind: str, scratch: str) -> DeferrableConnector[Any]:
    return FileConnector(f"{scratch}/store") if kind == "file" else ManagerConnector()


def warm_up(machines: Sequence[Executor], store: Store) -> None:
    """Has each machine start its process, import the modules and open the store."""
    future: ProxyFuture[str] = store.future()
    future.set_result("warm")
    for running in [machine.submit(resolve, future.proxy()) for machine in machines]:
        running.result()


def picture(foo: FooReport, bar: BarReport, started: float, finished: float) -> str:
    """Draws the time from left to right, one line for each process, and sums it up."""
    took = finished - started

    def line(*activities: tuple[str, float, float]) -> str:
        drawn = ""
        for mark, begin, end in activities:
            first, last = (int((moment - started) / took * 70) for moment in (begin, end))
            drawn = drawn.ljust(first)[:first] + mark * (last - first + 1)
        return drawn

    foo_worked, bar_worked = foo.indexed - foo.started, bar.counted - bar.started
    waited, joined = bar.received - bar.counted, bar.finished - bar.received
    apart, ideal = foo_worked + bar_worked + joined, max(foo_worked, bar_worked) + joined
    foo_line = line(("=", foo.started, foo.indexed), (">", foo.indexed, foo.passed))
    bar_line = line(
        ("=", bar.started, bar.counted),
        (".", bar.counted, bar.received),
        ("#", bar.received, bar.finished),
    )
    return f"""
     0 {took:68.2f} s
foo  {foo_line}
bar  {bar_line}

=  works               foo {foo_worked:.2f} s, bar {bar_worked:.2f} s
>  passes the index    {bar.received - max(foo.indexed, bar.counted):.3f} s
.  waits for it        {waited:.2f} s
#  works with it       {joined:.2f} s

One after the other, that takes {apart:.2f} s. Together it took {took:.2f} s,
{took / ideal:.2f} times the ideal, {ideal:.2f} s."""


if __name__ == "__main__":
    main()
