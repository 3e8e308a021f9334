"""Draws all pictures of the pages again, from real runs that it makes now:

    python docs/pictures/draw.py [name of a picture ...]

The times differ from run to run and from machine to machine. What a picture is there to show does
not, and a test compares that.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from sysconfig import get_path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project
sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import foo_bar
from timeline import Panels, Span, timeline

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store


def draw_foo_bar() -> Panels:
    """Runs the functions of the example one after the other, then both at once."""
    files = sorted(islice(Path(get_path("stdlib")).rglob("*.py"), 60))
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context) as machine,
        ProcessPoolExecutor(1, context) as other_machine,
        Store("pictures", ManagerConnector()) as store,
    ):
        machines = machine, other_machine
        foo_bar.warm_up(machines, store)

        future: ProxyFuture[foo_bar.Index] = store.future()
        produced = machine.submit(foo_bar.foo, future, files).result()
        # Only now: without a proxy future, the client cannot pass on what is not there.
        consumed = other_machine.submit(foo_bar.bar, future.proxy(), files).result()

        foo, bar = foo_bar.start_both(machines, store, files, first="bar")
        return {
            "One after the other": _spans(produced, consumed),
            "With a proxy future": _spans(foo.result(), bar.result()),
        }


def _spans(foo: foo_bar.FooReport, bar: foo_bar.BarReport) -> list[Span]:
    start = min(foo.started, bar.started)
    spans = [
        Span("foo", "working", foo.started, foo.indexed),
        Span("foo", "passing", foo.indexed, foo.passed),
        Span("bar", "working", bar.started, bar.counted),
        Span("bar", "waiting", bar.counted, bar.received),
        Span("bar", "working", bar.received, bar.finished),
    ]
    return [Span(who, what, begin - start, end - start) for who, what, begin, end in spans]


# For each picture of that name, what makes a run and returns its spans.
DRAWN: dict[str, Callable[[], Panels]] = {
    "foo_bar": draw_foo_bar,
}


def main() -> None:
    for name in sys.argv[1:] or DRAWN:
        (Path(__file__).parent / f"{name}.svg").write_text(timeline(DRAWN[name]()))


if __name__ == "__main__":
    main()
