"""How far does each connector go: with many futures, many waiters, many bytes?

    python docs/benchmarks/scale.py       # 3 minutes, 5 GB of memory, 3 GB of disk
    python docs/benchmarks/scale.py --futures 1000 --waiters 20 --gigabytes 0.01

Each connector is measured in a process of its own: what a future costs where its value stays, what
a waiter costs while it waits, and how quickly large values come and go. A million futures, ten
thousand waiters and a hundred gigabytes are computed from that, as if the costs stayed the same.

It prints the tables. `--json FILE` keeps what was measured, too, and `--page` makes the tables of
the page from what is kept there. Redis is measured where it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the modules, in a clone
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from connectors import Connector, FileConnector, LocalConnector, ManagerConnector
from pipeline import described, machine, markdown, note, redis_server
from proxyfuture import ProxyFuture, Store

KEPT = Path(__file__).with_name("scale.json")
TABLES = Path(__file__).with_name("scale_tables.md")

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Medium(NamedTuple):
    """A connector, and what keeps its values: a process, or a directory."""

    connector: Connector[Any]
    process: int
    directory: Path | None

    def held(self) -> float:
        """Returns how many bytes the values take, with all that comes with them."""
        if self.directory is None:
            return memory(self.process)
        with os.scandir(self.directory) as entries:
            return sum(entry.stat().st_blocks * 512 for entry in entries)


@contextlib.contextmanager
def opened(name: str) -> Iterator[Medium]:
    with contextlib.ExitStack() as stack:
        directory: Path | None = None
        connector: Connector[Any]
        match name:
            case "LocalConnector":
                connector = LocalConnector()
            case "FileConnector":
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "values"
                connector = FileConnector(directory)
            case "ManagerConnector":
                connector = ManagerConnector()
            case _:
                from redis_connector import RedisConnector

                connector = RedisConnector(stack.enter_context(redis_server()))
        # A connector that has a server has started it just now.
        [process] = children() or [os.getpid()]
        yield Medium(connector, process, directory)


def children() -> list[int]:
    found: list[int] = []
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # its thread has ended meanwhile
            found.extend(map(int, listing.read_text().split()))
    return found


def memory(process: int) -> float:
    """Returns how many bytes of memory a process uses."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE


def cpu(process: int) -> float:
    """Returns how many seconds of a core a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


# The three measurements. Each returns figures for one future, one waiter or one byte.


def many_futures(store: Store, medium: Medium, count: int) -> dict[str, float]:
    before = memory(os.getpid())
    started = time.perf_counter()
    futures: list[ProxyFuture[int]] = [store.future() for _ in range(count)]
    created = time.perf_counter()
    handles = memory(os.getpid()) - before
    before = medium.held()
    setting = time.perf_counter()
    for number, future in enumerate(futures):
        future.set_result(number)
    was_set = time.perf_counter()
    held = medium.held() - before
    asked = futures[:: max(1, count // 1000)]
    getting = time.perf_counter()
    assert sum(future.result() for future in asked) == sum(range(count)[:: max(1, count // 1000)])
    got = time.perf_counter()
    return {
        "create": (created - started) / count,
        "set": (was_set - setting) / count,
        "get": (got - getting) / len(asked),
        "handle": handles / count,
        "held": held / count,
    }


def many_waiters(store: Store, medium: Medium, count: int, watch: float) -> dict[str, float]:
    """Has threads wait for a future each. What a server spends on them counts, too."""
    involved = {os.getpid(), medium.process}

    def total(figure: Callable[[int], float]) -> float:
        return sum(map(figure, involved))

    futures: list[ProxyFuture[int]] = [store.future() for _ in range(count)]
    before = total(memory)
    threads = [threading.Thread(target=future.result) for future in futures]
    for thread in threads:
        thread.start()
    time.sleep(watch)  # by now they all wait, and those who poll do it as rarely as they ever do
    waiting = total(memory) - before
    used, start = total(cpu), time.perf_counter()
    time.sleep(watch)
    busy = (total(cpu) - used) / (time.perf_counter() - start)
    waking = time.perf_counter()
    for future in futures:
        future.set_result(42)
    for thread in threads:
        thread.join()
    served = time.perf_counter() - waking
    return {
        "count": count,
        "memory": waiting / count,
        "cores": busy / count,
        "serve": served / count,
    }


def many_bytes(store: Store, medium: Medium, total: float) -> dict[str, float]:
    """Stores values of 100 MB, or of a tenth of the total if that is less, and gets them again."""
    value = os.urandom(min(100_000_000, int(total / 10)))
    count = round(total / len(value))
    before = medium.held()
    putting = time.perf_counter()
    keys = [store.put(value) for _ in range(count)]
    put = time.perf_counter() - putting
    held = medium.held() - before
    getting = time.perf_counter()
    for key in keys:
        assert len(store.get(key)) == len(value)
    got = time.perf_counter() - getting
    size = count * len(value)
    return {"put": put / size, "get": got / size, "held": held / size}


def measure_one(
    name: str, futures: int, waiters: int, gigabytes: float, watch: float
) -> dict[str, Any]:
    """Measures one connector. Runs in a process of its own."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a waiter may be an open file
    with opened(name) as medium, Store("scale", medium.connector, cache_size=0) as store:
        # A few first, so that what is needed once does not count.
        many_futures(store, medium, 100)
        if medium.directory is not None:
            waiters = max(1, waiters // 20)  # who polls takes the processor from all others
        return {
            "connector": name,
            "bytes": many_bytes(store, medium, gigabytes * 1e9),
            "waiters": many_waiters(store, medium, waiters, watch),
            "futures": many_futures(store, medium, futures),
        }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    names = ["LocalConnector", "FileConnector", "ManagerConnector"]
    try:
        import redis_connector  # noqa: F401

        with redis_server():
            names.append("RedisConnector")
    except (ImportError, FileNotFoundError) as error:
        note(f"Without Redis: {error}")
    results = []
    for name in names:
        note(f"{name} ...")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
            arguments = name, options.futures, options.waiters, options.gigabytes, options.watch
            results.append(executor.submit(measure_one, *arguments).result())
    return {
        "futures": options.futures,
        "waiters": options.waiters,
        "gigabytes": options.gigabytes,
        "machine": {**machine(), "memory": os.sysconf("SC_PHYS_PAGES") * PAGE},
        "results": results,
    }


# The tables


def tables(report: dict[str, Any]) -> str:
    """Returns the tables, in Markdown."""
    return "\n\n".join(
        [
            f"One future of {report['futures']:,}, measured, and a million of them, computed:",
            markdown(futures_rows(report)),
            "One waiter of so many, measured, and ten thousand of them, computed:",
            markdown(waiters_rows(report)),
            f"Values of {report['gigabytes']:g} GB in all, measured, and a hundred, computed:",
            markdown(bytes_rows(report)),
            described(report["machine"]),
        ]
    )


def futures_rows(report: dict[str, Any]) -> list[list[str]]:
    rows = [["connector", "create", "set", "get", "held", "a million: time", "a million: held"]]
    for result in report["results"]:
        one = result["futures"]
        times = [f"{1e6 * one[step]:.0f} µs" for step in ("create", "set", "get")]
        million = f"{1e6 * (one['create'] + one['set']):.0f} s"
        held = one["held"]
        rows.append([result["connector"], *times, f"{held:.0f} B", million, f"{held / 1e3:.1f} GB"])
    return rows


def waiters_rows(report: dict[str, Any]) -> list[list[str]]:
    one, all_of_them = ["memory", "core", "served in"], ["memory", "cores", "served in"]
    rows = [["connector", "waiters", *one, *(f"10,000: {figure}" for figure in all_of_them)]]
    for result in report["results"]:
        waiter = result["waiters"]
        rows.append(
            [
                result["connector"],
                f"{waiter['count']:,}",
                f"{waiter['memory'] / 1e3:.0f} kB",
                f"{100 * waiter['cores']:.2f} %",
                f"{1e6 * waiter['serve']:.0f} µs",
                f"{waiter['memory'] * 1e4 / 1e9:.1f} GB",
                f"{1e4 * waiter['cores']:.1f}",
                f"{1e4 * waiter['serve']:.1f} s",
            ]
        )
    return rows


def bytes_rows(report: dict[str, Any]) -> list[list[str]]:
    rows = [["connector", "put", "get", "held per byte", "100 GB: put in", "100 GB: got in"]]
    for result in report["results"]:
        one = result["bytes"]
        rows.append(
            [
                result["connector"],
                f"{1e-9 / one['put']:.2f} GB/s",
                f"{1e-9 / one['get']:.2f} GB/s",
                f"{one['held']:.2f} B",
                f"{1e11 * one['put']:.0f} s",
                f"{1e11 * one['get']:.0f} s",
            ]
        )
    return rows


# The program around it


def main() -> None:
    options = command_line()
    if options.page:
        TABLES.write_text(tables(json.loads(KEPT.read_text())) + "\n")
        return
    report = measure(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(tables(report))


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure how far each connector goes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--futures", type=int, default=100_000)
    add("--waiters", type=int, default=2_000, help="a twentieth of them where they poll")
    add("--gigabytes", type=float, default=2.0)
    add("--watch", type=float, default=3.0, help="for how many seconds to look at waiters")
    add("--json", type=Path, metavar="FILE", help="where to keep what was measured")
    add("--page", action="store_true", help="measure nothing; make the page from what is kept")
    return parser.parse_args()


# The processes import this file, and shall not run the program again.
if __name__ == "__main__":
    main()
