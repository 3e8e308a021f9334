"""How fast does a value go into a store and come out again, and what is the least it could take?"""

from __future__ import annotations

import itertools
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import stores
from measuring import Bench, Goal, Sample, Table, peer


class Size(NamedTuple):
    bytes: int
    in_a_row: int  # as many as take a while


SIZES = {"1 kB": Size(10**3, 200), "1 MB": Size(10**6, 10), "100 MB": Size(10**8, 1)}


class Kind(NamedTuple):
    """A kind of value: how to make one, copy it, write it to a path, read it from there."""

    new: Callable[[int], Any]
    copy: Callable[[Any], Any]
    write: Callable[[Path, Any], object]
    read: Callable[[Path], Any]


def byte_strings() -> Kind:
    return Kind(
        os.urandom, lambda value: bytes(memoryview(value)), Path.write_bytes, Path.read_bytes
    )


def arrays() -> Kind:
    numpy = peer("numpy")
    return Kind(
        new=lambda size: numpy.random.default_rng().random(size // 8),
        copy=lambda array: array.copy(),
        write=lambda path, array: array.tofile(path),
        read=numpy.fromfile,
    )


class Place(NamedTuple):
    """Where a value goes in and comes out again."""

    put: Callable[[Any], Any]
    get: Callable[[Any], Any]
    evict: Callable[[Any], object] = lambda key: None


def memory(bench: Bench, kind: Kind) -> Place:
    return Place(put=lambda value: value, get=kind.copy)


def pickled(bench: Bench, kind: Kind) -> Place:
    return Place(put=lambda value: pickle.dumps(value, pickle.HIGHEST_PROTOCOL), get=pickle.loads)


def plain_file(bench: Bench, kind: Kind) -> Place:
    paths = map(Path(bench.directory()).joinpath, map(str, itertools.count()))

    def write(value: Any) -> Path:
        path = next(paths)
        kind.write(path, value)
        return path

    return Place(write, kind.read, os.unlink)


def through(open_store: Callable[[Bench], Any]) -> Callable[[Bench, Kind], Place]:
    def open_place(bench: Bench, kind: Kind) -> Place:
        store = open_store(bench)
        return Place(store.put, store.get, store.evict)

    return open_place


def timed(
    open_place: Callable[[Bench, Kind], Place], get_kind: Callable[[], Kind]
) -> Callable[[Bench], Sample]:
    def prepared(bench: Bench) -> Sample:
        kind = get_kind()
        place = open_place(bench, kind)
        sizes = SIZES
        if bench.quick:
            sizes = {"1 kB": Size(10**3, 20), "1 MB": Size(10**6, 1)}
        values = {case: kind.new(size.bytes) for case, size in sizes.items()}
        return lambda: {
            case: put_and_get(place, value, sizes[case].in_a_row) for case, value in values.items()
        }

    return prepared


def put_and_get(place: Place, value: Any, times: int) -> float:
    """Returns the seconds for one value, in and out."""
    keys = []
    start = time.perf_counter()
    for _ in range(times):
        keys.append(place.put(value))
        got = place.get(keys[-1])
        touched = touch(got)
    end = time.perf_counter()
    assert touched == touch(value)
    for key in keys:
        place.evict(key)
    return (end - start) / times


def touch(value: Any) -> bytes:
    """Reads a byte of each page: what is not copied has to come from somewhere, too."""
    return bytes(memoryview(value).cast("B")[::4096])


PLACES = {
    "one memcpy": memory,
    "pickle round trip": pickled,
    "plain file": plain_file,
    **{name: through(open_store) for name, open_store in stores.ALL.items()},
}


def table(name: str, title: str, compared: str, get_kind: Callable[[], Kind]) -> Table:
    return Table(
        name=name,
        title=title,
        compared=compared,
        cases=dict.fromkeys(SIZES, "seconds"),
        contestants={name: timed(place, get_kind) for name, place in PLACES.items()},
        baseline="one memcpy",
        goals=(
            Goal("proxyfuture, local", 1.2, times="pickle round trip"),
            Goal("proxyfuture, file", 1.3, times="plain file"),
            Goal("proxyfuture, manager", 1, times="ProxyStore, Redis", cases=("100 MB",)),
        ),
        rounds=12,
    )


BYTES = table(
    "put_and_get_bytes",
    "Bytes in and out",
    "Putting random bytes into a store, getting them back and touching each page of them, in one "
    "process. All stores pickle with protocol 5. A plain file is written and read as it is.",
    byte_strings,
)

ARRAY = table(
    "put_and_get_array",
    "An array in and out",
    "The same with a NumPy array of random numbers. A plain file is written with "
    "`tofile` and read with `fromfile`.",
    arrays,
)
