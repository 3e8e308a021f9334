"""Draws all pictures of the pages again, from real runs that it makes now:

    python docs/pictures/draw.py [name of a picture ...]

The times differ from run to run and from machine to machine. What a picture is there to show does
not, and a test compares that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from sysconfig import get_path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from record import PATTERNS, record
from timeline import Panels, Span, from_its_start, interleaving, timeline

import foo_bar


def draw_foo_bar() -> Panels:
    """Runs the functions of the example one after the other, then both at once."""
    files = foo_bar.files_in(Path(get_path("stdlib")))
    in_turn, at_once = foo_bar.run_both_ways(files)
    return {"One after the other": _spans(*in_turn), "With a proxy future": _spans(*at_once)}


def draw_idea() -> Panels:
    """Runs a consumer that starts first, with its producer."""
    names = {"foo": "producer", "bar": "consumer", "": ""}
    _, spans = draw_foo_bar().values()
    return {"": [span._replace(who=names[span.who], giver=names[span.giver]) for span in spans]}


def _spans(foo: foo_bar.FooReport, bar: foo_bar.BarReport) -> list[Span]:
    return [
        Span("foo", "working", foo.started, foo.indexed),
        Span("foo", "passing", foo.indexed, foo.indexed),
        Span("bar", "working", bar.started, bar.counted),
        Span("bar", "waiting", bar.counted, bar.received),
        Span("bar", "receives", min(foo.indexed, bar.received), bar.received, "foo"),
        Span("bar", "working", bar.received, bar.finished),
    ]


# For each picture of that name, what makes a run and returns its spans.
DRAWN: dict[str, Callable[[], Panels]] = {
    "foo_bar": draw_foo_bar,
    "idea": draw_idea,
    **{name: partial(record, name) for name in PATTERNS},
}

EXERCISES = Path(__file__).parents[1] / "exercises"

# What goes wrong where threads meet, for the exercises: who takes which step, in their order.
INTERLEAVINGS = {
    "01_lazy_value": [
        ("one thread", "looks: no value"),
        ("another thread", "looks: no value"),
        ("", "From here on, both will make a value."),
        ("one thread", "runs the factory"),
        ("another thread", "runs the factory"),
    ],
    "08_wait_without_polling": [
        ("the producer", "makes the value"),
        ("the consumer", "looks: no value"),
        ("the producer", "sets the value"),
        ("the producer", "rings: no bell"),
        ("", "From here on, nobody will ring again."),
        ("the consumer", "leaves its bell"),
        ("the consumer", "waits for ever"),
    ],
    "10_file_connector": [
        ("the setter", "opens the file"),
        ("the setter", "writes one half"),
        ("the reader", "reads the file"),
        ("", "The reader has half a value."),
        ("the setter", "writes the rest"),
    ],
    "11_errors_that_arrive": [
        ("foo", "starts"),
        ("bar", "waits for foo"),
        ("foo", "raises, and is gone"),
        ("", "From here on, nobody is left to set it."),
        ("bar", "waits for ever"),
    ],
}

RUNS = 7


def best(runs: Iterable[Panels]) -> Panels:
    """Returns the quickest of the runs that show the idea, or of all if none does.

    In one that does, somebody waits, and what is done in another way takes less time. A machine
    that is busy with other things hides that.
    """

    def badness(panels: Panels) -> tuple[bool, bool, float]:
        shown = [from_its_start(spans) for spans in panels.values()]
        totals = [max(span.end for span in spans) for spans in shown]
        waits = [
            span.end - span.start for spans in shown for span in spans if span.what == "waiting"
        ]
        return sum(waits) < max(totals) / 10, totals != sorted(totals)[::-1], max(totals)

    return min(runs, key=badness)


def main() -> None:
    for name in sys.argv[1:] or [*DRAWN, *INTERLEAVINGS]:
        if name in DRAWN:
            run = best(DRAWN[name]() for _ in range(RUNS))
            (Path(__file__).parent / f"{name}.svg").write_text(timeline(run))
        else:
            (EXERCISES / name / "picture.svg").write_text(interleaving(INTERLEAVINGS[name]))


if __name__ == "__main__":
    main()
