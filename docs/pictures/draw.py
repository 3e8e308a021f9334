"""Draws all pictures of the pages again, from real runs that it makes now:

    python docs/pictures/draw.py [name of a picture ...]

The times differ from run to run and from machine to machine. What a picture is there to show does
not, and a test compares that.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from sysconfig import get_path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project
sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from record import PATTERNS, record
from timeline import Panels, Span, interleaving, timeline

import foo_bar
from connectors import ManagerConnector
from proxyfuture import Store


def draw_foo_bar() -> Panels:
    """Runs the functions of the example one after the other, then both at once."""
    with _machines() as (machines, store, files):
        in_turn = foo_bar.run_in_turn(machines, store, files)
        foo, bar = foo_bar.start_both(machines, store, files, first="bar")
        return {
            "One after the other": _spans(*in_turn),
            "With a proxy future": _spans(foo.result(), bar.result()),
        }


def draw_idea() -> Panels:
    """Runs a consumer that starts first, with its producer."""
    with _machines() as (machines, store, files):
        foo, bar = foo_bar.start_both(machines, store, files, first="bar")
        names = {"foo": "producer", "bar": "consumer", "": ""}
        spans = _spans(foo.result(), bar.result())
        return {"": [span._replace(who=names[span.who], giver=names[span.giver]) for span in spans]}


@contextmanager
def _machines() -> Iterator[tuple[list[ProcessPoolExecutor], Store, list[Path]]]:
    """Lends two processes that have started, a store that they share, and files to read."""
    files = sorted(islice(Path(get_path("stdlib")).rglob("*.py"), 90))
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context) as machine,
        ProcessPoolExecutor(1, context) as other_machine,
        Store("pictures", ManagerConnector()) as store,
    ):
        machines = [machine, other_machine]
        foo_bar.warm_up(machines, store)
        yield machines, store, files


def _spans(foo: foo_bar.FooReport, bar: foo_bar.BarReport) -> list[Span]:
    start = min(foo.started, bar.started)
    spans = [
        Span("foo", "working", foo.started, foo.indexed),
        Span("foo", "passing", foo.indexed, foo.indexed),
        Span("bar", "working", bar.started, bar.counted),
        Span("bar", "waiting", bar.counted, bar.received),
        Span("bar", "receives", min(foo.indexed, bar.received), bar.received, "foo"),
        Span("bar", "working", bar.received, bar.finished),
    ]
    return [span._replace(start=span.start - start, end=span.end - start) for span in spans]


# For each picture of that name, what makes a run and returns its spans.
DRAWN: dict[str, Callable[[], Panels]] = {
    "foo_bar": draw_foo_bar,
    "idea": draw_idea,
    **{name: partial(record, name) for name in PATTERNS},
}


EXERCISES = Path(__file__).parents[1] / "exercises"

# What goes wrong where threads meet, for the exercises: the steps in their order, the fatal one,
# and what has happened.
INTERLEAVINGS: dict[str, tuple[dict[str, dict[int, str]], int, str]] = {
    "01_lazy_value": (
        {
            "one thread": {1: "looks: no value", 3: "runs the factory"},
            "another thread": {2: "looks: no value", 4: "runs the factory"},
        },
        2,
        "both will make a value.",
    ),
    "08_wait_without_polling": (
        {
            "the consumer": {1: "looks: no value", 4: "leaves its bell", 5: "waits for ever"},
            "the producer": {2: "sets the value", 3: "rings: no bell"},
        },
        3,
        "nobody will ring again.",
    ),
    "10_file_connector": (
        {
            "the setter": {1: "opens the file", 2: "writes one half", 4: "writes the rest"},
            "the reader": {3: "reads the file"},
        },
        3,
        "the reader has half a value.",
    ),
    "11_errors_that_arrive": (
        {
            "foo": {1: "starts", 3: "raises", 4: "is gone"},
            "bar": {2: "waits for foo", 5: "waits for ever"},
        },
        4,
        "nobody is left to set it.",
    ),
}

RUNS = 7


def best(runs: Iterable[Panels]) -> Panels:
    """Returns the quickest run, of those in which somebody waited if there are any.

    To wait is what the pictures are about. And a machine that is busy with other things would
    show these as well.
    """

    def badness(panels: Panels) -> tuple[bool, float]:
        spans = [span for panel in panels.values() for span in panel]
        total = max(span.end for span in spans)
        waited = sum(span.end - span.start for span in spans if span.what == "waiting")
        return waited < total / 10, total

    return min(runs, key=badness)


def main() -> None:
    for name in sys.argv[1:] or [*DRAWN, *INTERLEAVINGS]:
        if name in DRAWN:
            run = best(DRAWN[name]() for _ in range(RUNS))
            (Path(__file__).parent / f"{name}.svg").write_text(timeline(run))
        else:
            (EXERCISES / name / "picture.svg").write_text(interleaving(*INTERLEAVINGS[name]))


if __name__ == "__main__":
    main()
