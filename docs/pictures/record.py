"""Records what everybody does while a pattern runs, for its picture (see `draw.py`).

The pattern knows nothing of it. Its executor is replaced by one that notes when each function
starts and ends, and its connector by one that notes who waits and who sets a value.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project
sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "patterns"))

from timeline import Panels, Span, timeline

from connectors import AlreadySetError, BytesLike, ConnectorError, FileConnector, ManagerConnector

T = TypeVar("T")

PATTERNS = sorted(path.stem for path in Path(__file__).parents[1].glob("examples/patterns/*.py"))


def record(pattern: str) -> Panels:
    """Runs the pattern of that name, and returns what everybody in it did."""
    module = importlib.import_module(pattern)
    for noting in NotingExecutor, NotingManagerConnector, NotingFileConnector:
        replaced = noting.__bases__[-1].__name__
        if hasattr(module, replaced):
            setattr(module, replaced, noting)
    with tempfile.TemporaryDirectory() as directory:
        notes = Path(directory, "notes")
        os.environ[NOTES] = str(notes)
        ending = module.main()
        if inspect.iscoroutine(ending):
            asyncio.run(ending)
        for thread in set(threading.enumerate()) - {threading.main_thread()}:
            thread.join()  # it still waits, but not for long, since the store was closed
        taken = [Note(*json.loads(line)) for line in notes.read_text().splitlines()]
    return {"": list(spans(taken))}


# Taking notes

# The environment variable with the path of the file to which all processes of a run write.
NOTES = "PROXYFUTURE_NOTES"


class Note(NamedTuple):
    who: str
    what: Literal["submitted", "started", "waiting", "passing", "received", "ended"]
    start: float
    end: float
    key: str = ""


me = "client"  # in a worker, the task that it performs


def note(what: str, *, who: str = "", start: float | None = None, key: object = "") -> None:
    now = time.monotonic()  # all processes of a machine share this clock
    line = json.dumps([who or me, what, start or now, now, str(key)])
    with open(os.environ[NOTES], "a") as notes:  # to append, so that nobody overwrites another's
        notes.write(f"{line}\n")


@contextlib.contextmanager
def noted(what: str, key: object) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    except AlreadySetError:
        raise  # nothing was passed on
    except ConnectorError:
        note(what, start=start, key=key)  # the client has the value, and has closed the store
        raise
    note(what, start=start, key=key)


class NotingExecutor(ProcessPoolExecutor):
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        # A task is called by its function and the texts among the arguments, found by type(),
        # since isinstance() would ask a proxy for its class, and wait.
        task = " ".join([fn.__name__, *(arg for arg in args if type(arg) is str)])
        note("submitted", who=task)
        running = super().submit(perform, task, fn, *args, **kwargs)
        # Not noted in the worker, which may be killed before.
        running.add_done_callback(lambda _: note("ended", who=task))
        return running


def perform(task: str, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    global me
    me = task
    note("started")
    return fn(*args, **kwargs)


class Noting:
    """What is mixed into a connector."""

    def set(self, key: Any, obj: BytesLike) -> None:
        with noted("passing", key):
            super().set(key, obj)  # type: ignore[misc]  # the connector's

    def wait(self, key: Any, timeout: float | None = None) -> bytes | None:
        with noted("waiting", key):
            value: bytes | None = super().wait(key, timeout)  # type: ignore[misc]  # as above
            if value is not None:
                note("received", key=key)
            return value


class NotingManagerConnector(Noting, ManagerConnector):
    pass


class NotingFileConnector(Noting, FileConnector):
    pass


# Reading them

VISIBLE = 0.02  # seconds of work that a picture can show


def spans(notes: Sequence[Note]) -> Iterator[Span]:
    """Returns what the notes say, in the order in which tasks pass values on, the client last."""
    submitted = dict.fromkeys(note.who for note in notes if note.what == "submitted")
    passed = {note.key: note for note in notes if note.what == "passing"}
    first = {note.who: note.start for note in reversed(passed.values())}
    for lane in [*sorted(submitted, key=lambda lane: first.get(lane, math.inf)), "client"]:
        since = None  # what was done last, in a task that has not ended
        for who, what, start, end, key in merged(note for note in notes if note.who == lane):
            if since is not None and start - since > VISIBLE:
                yield Span(who, "working", since, start)
            if what == "waiting" or what == "passing":
                yield Span(who, what, start, end)
            if what == "received":
                giver = passed[key]
                if giver.who != who:
                    yield Span(who, "receives", min(giver.start, end), end, giver.who)
                continue
            since = end if what == "started" or (since is not None and what != "ended") else None


def merged(notes: Iterable[Note]) -> list[Note]:
    """Makes one of the notes of threads that did the same at the same time. Sorts all by time."""
    result: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.what, note.start)):
        same = result and result[-1].what == note.what != "received"
        if same and note.start <= result[-1].end:
            result[-1] = result[-1]._replace(end=max(result[-1].end, note.end))
        else:
            result.append(note)
    return sorted(result, key=lambda note: note.start)


if __name__ == "__main__":
    print(timeline(record(sys.argv[1])))
