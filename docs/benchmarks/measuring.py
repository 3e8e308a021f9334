"""How the benchmark measures: contestants take turns, and what counts is a ratio of medians.

A `Table` says what is compared, who takes part, and what the goal is. `measure` lets each
contestant take part once per round, in a new order each time, so that whatever else the machine
does meanwhile hits all of them alike.
"""

from __future__ import annotations

import gc
import importlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Unit = Literal["seconds", "bytes", "share"]

# Takes part once: returns a figure for each case.
Sample = Callable[[], dict[str, float]]


class Missing(Exception):
    """A contestant cannot take part. The message says what is missing."""


@dataclass(frozen=True)
class Goal:
    """`contestant` needs at most so many `times` what another one needs.

    Args:
        contestant: Who has the goal.
        at_most: The limit, as a ratio; without `times`, in the unit of the case.
        times: The other contestant.
        cases: The cases that it is about; all, if there are none.
    """

    contestant: str
    at_most: float
    times: str = ""
    cases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What is compared, who takes part, and what the goal is.

    Args:
        name: What it is called in files and on the command line.
        title: Its title on the page.
        compared: One sentence: what is measured, and what makes it fair.
        cases: The columns, each with the unit of its figures.
        contestants: The rows. Each is a function that prepares a contestant.
        baseline: The contestant that the others are shown as a multiple of.
        goals: What the modules should reach.
        rounds: How often each contestant takes part.
        at_once: Whether the contestants of a round take part at the same time, not in turn.
    """

    name: str
    title: str
    compared: str
    cases: dict[str, Unit]
    contestants: dict[str, Callable[[Bench], Sample]]
    baseline: str
    goals: tuple[Goal, ...]
    rounds: int
    at_once: bool = False


@dataclass
class Result:
    """The medians of a table, by contestant and case, and who is missing for what reason."""

    table: Table
    rounds: int
    medians: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Bench(ExitStack):
    """What contestants need: whether to be quick, and a place for what has to be closed."""

    def __init__(self, quick: bool = False) -> None:
        super().__init__()
        self.quick = quick
        self.missing: dict[str, str] = {}

    @contextmanager
    def optional(self, name: str) -> Iterator[None]:
        """Notes why `name` is missing, and goes on without it."""
        try:
            yield
        except Missing as reason:
            self.missing[name] = str(reason)

    def directory(self) -> str:
        """Returns the path of an empty temporary directory."""
        return self.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))

    @cached_property
    def redis_port(self) -> int:
        """The port of a Redis server for this benchmark, which keeps nothing on disk."""
        program = shutil.which("redis-server")
        if program is None:
            raise Missing("redis-server is not installed")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        options = f"--port {port} --bind 127.0.0.1 --appendonly no --loglevel warning".split()
        server = subprocess.Popen(
            [program, *options, "--save", ""], cwd=self.directory(), stdout=subprocess.DEVNULL
        )
        self.callback(server.wait)
        self.callback(server.kill)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return port
            except OSError:
                time.sleep(0.01)
        raise Missing("redis-server does not answer")


def peer(module: str) -> Any:
    """Imports what may not be installed.

    Raises:
        Missing: It is not.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Missing(f"{module.partition('.')[0]} is not installed") from None


def per_call(operation: Callable[[], object], bench: Bench) -> Callable[[], float]:
    """Returns a function that times `operation`: seconds per call, over some milliseconds."""
    timer = timeit.Timer(operation)
    return lambda: repeated(timer, bench)


def repeated(timer: timeit.Timer, bench: Bench) -> float:
    """Returns the seconds for one run of a timer's statement, over some milliseconds."""
    at_least = 0.0005 if bench.quick else 0.004
    once = max(timer.timeit(1), 1e-8)
    times = max(1, round(at_least / once))
    return timer.timeit(times) / times


def measure(table: Table, *, quick: bool = False) -> Result:
    """Measures a table, and tells on standard error how far it is."""
    rounds = max(5, table.rounds // 50) if quick else table.rounds
    result = Result(table, rounds)
    with Bench(quick) as bench:
        samples: dict[str, Sample] = {}
        for name, prepared in table.contestants.items():
            with bench.optional(name):
                samples[name] = prepared(bench)
        figures = _rounds(table, samples, rounds)
        result.missing = bench.missing
    for name, cases in figures.items():
        result.medians[name] = {case: statistics.median(each) for case, each in cases.items()}
    return result


def _rounds(
    table: Table, samples: dict[str, Sample], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Has everybody take part so often. Returns the figures by contestant and case."""

    def take_part(name: str) -> tuple[str, dict[str, float]]:
        return name, samples[name]()

    figures: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in samples}
    order = list(samples)
    with ThreadPoolExecutor(len(order) or 1) as pool, _no_garbage_collection():
        for turn in range(rounds + 1):
            _show_progress(f"{table.name}: round {turn} of {rounds}", turn == rounds)
            random.shuffle(order)
            for name, cases in (pool.map if table.at_once else map)(take_part, order):
                for case, figure in cases.items():
                    if turn > 0:  # the first round is for warming up
                        figures[name][case].append(figure)
            gc.collect()
    return figures


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Has no contestant pay for another one's garbage, as `timeit` does."""
    gc.collect()
    gc.freeze()  # so that collecting between two rounds is quick
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _show_progress(text: str, last: bool) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
    elif last:
        print(text, file=sys.stderr, flush=True)
