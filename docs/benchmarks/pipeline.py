"""A chain of tasks, each of which needs what the one before it makes: how much can overlap?

This is the task pipelining experiment of ProxyStore's authors (arXiv 2407.01764), on a process pool
and on Dask. Each of 8 tasks takes a second and makes 10 MB for the next one. What it gets from the
one before it, it needs only after a fraction f of its second. So with futures, every task but the
first can have that part behind it when its data comes: ideally, the chain takes 8 - 7f seconds.

    python docs/benchmarks/pipeline.py       # 20 minutes
    python docs/benchmarks/pipeline.py --tasks 3 --seconds 0.2 --megabytes 1 --fractions 0,0.5

It prints the tables. `--json FILE` keeps what was measured, too, and `--page` makes the tables and
the pictures of the page from what is kept there. Redis and ProxyStore are optional: what is not
installed is left out, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import pickle
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the modules, in a clone
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import engines
from connectors import ManagerConnector
from engines import InvokeRemote
from one_second import unseal
from proxyfuture import ProxyFuture, Store

DOCS = Path(__file__).resolve().parents[1]
KEPT = DOCS / "benchmarks" / "pipeline.json"
TABLES = DOCS / "benchmarks" / "pipeline_tables.md"

# What the authors published, on a machine of the Polaris cluster with Dask and Redis, in seconds.
PAPER = {
    "without proxies": dict.fromkeys(range(10), 9.45),
    "with proxies": dict.fromkeys(range(10), 8.31),
    "futures": dict(enumerate([8.09, 7.39, 6.69, 5.99, 5.29, 4.60, 3.90, 3.18, 2.48, 1.78])),
}


class Plan(NamedTuple):
    """A chain of tasks."""

    tasks: int
    seconds: float  # for each task
    size: int  # bytes
    fraction: float  # of a task's time, before it needs its data

    @property
    def ideal(self) -> float:
        return self.seconds * (1 + (self.tasks - 1) * (1 - self.fraction))


# The tasks, which run in the engine's workers


def work(data: bytes, plan: Plan) -> bytes:
    time.sleep(plan.seconds * plan.fraction)
    len(data)  # the first use: waits until the data is there
    time.sleep(plan.seconds * (1 - plan.fraction))
    return made_of(data)


def made_of(data: bytes) -> bytes:
    """Returns as many bytes, which count how many tasks have made data of data."""
    made = int.from_bytes(data[:16], "big") + 1
    return made.to_bytes(16, "big") * (len(data) // 16)


def returning_task(data: bytes, plan: Plan) -> bytes:
    return work(data, plan)


def storing_task(data: bytes, store: Store, plan: Plan) -> Any:
    return store.put(work(data, plan))


def pipelined_task(data: bytes, future: ProxyFuture[bytes], plan: Plan) -> None:
    with future:
        future.set_result(work(data, plan))


def peers_pipelined_task(data: bytes, future: Any, plan: Plan) -> None:
    future.set_result(work(data, plan))


# The ways to run the chain. Each returns what the last task made.


def without_proxies(invoke_remote: InvokeRemote, store: object, plan: Plan) -> bytes:
    data = bytes(plan.size)
    for _ in range(plan.tasks):
        data = invoke_remote(returning_task, data, plan).result()
    return data


def with_proxies(invoke_remote: InvokeRemote, store: Store, plan: Plan) -> bytes:
    key = store.put(bytes(plan.size))
    for _ in range(plan.tasks):
        data: bytes = store.proxy_from_key(key, evict=True)
        key = invoke_remote(storing_task, data, store, plan).result()
    return store.proxy_from_key(key, evict=True, target_type=bytes)


# --8<-- [start:futures]
def with_futures(invoke_remote: InvokeRemote, store: Store, plan: Plan) -> bytes:
    running = []
    data = store.proxy(bytes(plan.size), evict=True)
    for _ in range(plan.tasks):
        future: ProxyFuture[bytes] = store.future()
        running.append(invoke_remote(pipelined_task, data, future, plan))
        data = future.proxy(evict=True)
    for task in running:
        task.result()
    return data


# --8<-- [end:futures]


def with_peers_futures(invoke_remote: InvokeRemote, store: Any, plan: Plan) -> Any:
    """The same with ProxyStore, in the way that suits it best.

    Its consumers poll, every millisecond as in the paper. So a task is submitted as late as it
    can be, to have its first part done in time and not to poll for long before that.
    """
    running = []
    data = store.proxy(bytes(plan.size), evict=True)
    for number in range(plan.tasks):
        if number > 0:
            time.sleep(plan.seconds * (1 - plan.fraction))
        future = store.future(evict=True, polling_interval=0.001)
        running.append(invoke_remote(peers_pipelined_task, data, future, plan))
        data = future.proxy()
    for task in running:
        task.result()
    return data


def sealed(invoke_remote: InvokeRemote) -> InvokeRemote:
    """Hides the arguments of calls from an engine that would wait for ProxyStore's proxies."""

    def invoke_sealed(function: Callable[..., Any], *arguments: object) -> engines.Running:
        return invoke_remote(unseal, pickle.dumps((function, arguments)))

    return invoke_sealed


class Contestant(NamedTuple):
    name: str
    medium: str  # where the data is in between
    run: Callable[[InvokeRemote, Any, Plan], bytes]
    store: Any
    is_sequential: bool


def makespan(invoke_remote: InvokeRemote, contestant: Contestant, plan: Plan) -> float:
    """Runs the chain, checks what came out, and returns how many seconds it took."""
    start = time.perf_counter()
    data = contestant.run(invoke_remote, contestant.store, plan)
    made = int.from_bytes(data[:16], "big")  # the first use of the last data
    took = time.perf_counter() - start
    assert (made, len(data)) == (plan.tasks, plan.size), "the data got lost on the way"
    return took


# What a hop from task to task costs


def produce(store: Store, key: Any, data: bytes) -> tuple[float, float]:
    time.sleep(0.1)  # by now the consumer waits
    start = time.monotonic()
    made = made_of(data)
    generated = time.monotonic()
    store.connector.set(key, made)  # type: ignore[attr-defined]  # these stores can
    return start, generated


def consume(store: Store, key: Any) -> float:
    bytes(store.connector.wait(key))  # type: ignore[attr-defined]  # a copy, as the store makes it
    return time.monotonic()  # on a clock that the processes of a machine share


def budget(invoke_remote: InvokeRemote, store: Store, size: int, rounds: int) -> dict[str, float]:
    """Returns how many seconds each part of a hop takes: the medians.

    There is nothing to serialize, since the data is bytes and the stores here take it as it is.
    """

    def medians(size: int) -> tuple[float, float]:
        generating, passing = [], []
        for _ in range(rounds):
            key = store.connector.new_key()  # type: ignore[attr-defined]
            consumer = invoke_remote(consume, store, key)
            start, generated = invoke_remote(produce, store, key, bytes(size)).result()
            generating.append(generated - start)
            passing.append(consumer.result() - generated)
            store.evict(key)
        return statistics.median(generating), statistics.median(passing)

    generate, passing = medians(size)
    _, wake = medians(16)
    return {"generate": generate, "serialize": 0.0, "move": passing - wake, "wake": wake}


def copying(size: int) -> float:
    """Returns how many seconds this machine takes for one copy of so many bytes."""
    source, times = bytearray(b"x" * size), []
    for _ in range(15):
        start = time.perf_counter()
        bytes(source)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# The measurement


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs everything, and returns what goes into the JSON file."""
    plans = [
        Plan(options.tasks, options.seconds, int(options.megabytes * 62_500) * 16, fraction)
        for fraction in options.fractions
    ]
    results, budgets = [], []
    with contextlib.ExitStack() as stack:
        stores = open_stores(stack, options.redis)
        for name in options.engines:
            engine = {"process-pool": engines.process_pool, "dask": engines.dask}[name]
            with engine(options.tasks) as invoke_remote:
                if name == "dask":
                    invoke_remote = sealed(invoke_remote)
                entrants = contestants(stores)
                for entrant, times in races(invoke_remote, name, entrants, plans, options.rounds):
                    results.append(
                        {
                            "engine": name,
                            "name": entrant.name,
                            "medium": entrant.medium,
                            "makespans": times,
                        }
                    )
                for medium in "manager", "Redis":
                    if medium in stores:
                        parts = budget(invoke_remote, stores[medium], plans[0].size, 9)
                        budgets.append({"engine": name, "medium": medium, **parts})
    return {
        "tasks": options.tasks,
        "seconds": options.seconds,
        "size": plans[0].size,
        "fractions": options.fractions,
        "machine": machine(),
        "copy": copying(plans[0].size),
        "results": results,
        "budgets": budgets,
    }


def races(
    invoke_remote: InvokeRemote,
    engine: str,
    entrants: Sequence[Contestant],
    plans: Sequence[Plan],
    rounds: int,
) -> Iterator[tuple[Contestant, list[list[float]]]]:
    """Runs the contestants in turns. Yields each with its times, a list for each plan."""
    times: list[list[list[float]]] = [[[] for _ in plans] for _ in entrants]
    for entrant in entrants:  # has each worker import the modules and connect
        makespan(invoke_remote, entrant, plans[0]._replace(seconds=0.5, fraction=0.9))
    for turn in range(rounds):
        for number, plan in enumerate(plans):
            for entrant, its_times in zip(entrants, times, strict=True):
                # One after the other takes the same at every fraction. A few are enough.
                if not entrant.is_sequential or (turn == 0 and number % 3 == 0):
                    took = makespan(invoke_remote, entrant, plan)
                    its_times[number].append(took)
                    note(
                        f"{engine}, round {turn + 1} of {rounds}, f = {plan.fraction}, "
                        f"{entrant.name} ({entrant.medium}): {took:.3f} s"
                    )
    yield from zip(entrants, times, strict=True)


def contestants(stores: dict[str, Any]) -> list[Contestant]:
    """Returns those that this machine has everything for."""
    usual = "Redis" if "Redis" in stores else "manager"
    all_of_them = [
        Contestant("without proxies", "engine", without_proxies, "none", True),
        Contestant("with proxies", usual, with_proxies, stores[usual], True),
        Contestant("futures", "manager", with_futures, stores.get("manager"), False),
        Contestant("futures", "Redis", with_futures, stores.get("Redis"), False),
        Contestant("ProxyStore", "Redis", with_peers_futures, stores.get("ProxyStore"), False),
    ]
    return [contestant for contestant in all_of_them if contestant.store is not None]


def open_stores(stack: contextlib.ExitStack, redis_url: str | None) -> dict[str, Any]:
    """Opens a store for each medium that is there. They take bytes as they are."""
    as_it_is: dict[str, Any] = {"serializer": bytes, "deserializer": bytes}
    stores: dict[str, Any] = {
        "manager": stack.enter_context(Store("pipeline", ManagerConnector(), **as_it_is))
    }
    try:
        from redis_connector import RedisConnector

        url = redis_url or stack.enter_context(redis_server())
        stores["Redis"] = stack.enter_context(Store("pipeline", RedisConnector(url), **as_it_is))
    except (ImportError, FileNotFoundError) as error:
        note(f"Without Redis: {error}")
        return stores
    try:
        from proxystore.connectors.redis import RedisConnector as PeersConnector
        from proxystore.store import Store as PeersStore

        host, _, port = url.rpartition("/")[2].rpartition(":")
        peer = PeersStore("peer", PeersConnector(host, int(port)), register=True)
        stores["ProxyStore"] = stack.enter_context(peer)
    except ImportError as error:
        note(f"Without ProxyStore: {error}")
    return stores


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Runs a server on a free port, and yields its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("There is no program redis-server.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        options = "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", directory
        server = subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            if not any("Ready to accept" in line for line in server.stdout):
                raise FileNotFoundError("The program redis-server does not start.")
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.kill()
            server.communicate()


def machine() -> dict[str, Any]:
    versions = {"Python": platform.python_version()}
    for package in "distributed", "redis", "proxystore":
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {"cores": os.cpu_count(), "load": os.getloadavg()[1], "versions": versions}


def described(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = f"load average {machine['load']:.1f}, this program's part included"
    return f"Measured on {machine['cores']} cores ({load}) with {versions}."


def note(line: str) -> None:
    """Shows progress."""
    print(line, file=sys.stderr, flush=True)


# The tables

ENGINES = {"process-pool": "pool", "dask": "Dask"}

Rows = list[list[str]]


def tables(report: dict[str, Any]) -> str:
    """Returns the tables, in Markdown."""
    rounds = {len(times) for result in pipelined(report) for times in result["makespans"]}
    best_of = " to ".join(map(str, sorted({min(rounds - {0}), max(rounds)})))
    return "\n\n".join(
        [
            f"Makespans in seconds, the best of {best_of}:",
            markdown(pipelined_rows(report, "{:.2f}", divided=False)),
            "The same, divided by the ideal:",
            markdown(pipelined_rows(report, "{:.3f}", divided=True)),
            "One task after the other, in seconds, the same at every f:",
            markdown(sequential_rows(report)),
            "What one hop from task to task costs, in milliseconds:",
            markdown(budget_rows(report)),
            "\n".join(f"- {line}" for line in verdicts(report)),
            described(report["machine"]),
        ]
    )


def markdown(rows: Rows) -> str:
    """Lays out a table whose first column is text, and whose others are figures."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def plans_of(report: dict[str, Any]) -> list[Plan]:
    return [
        Plan(report["tasks"], report["seconds"], report["size"], fraction)
        for fraction in report["fractions"]
    ]


def published(report: dict[str, Any], name: str, fraction: float) -> float | None:
    """Returns the paper's figure, where this was the paper's experiment."""
    is_the_papers = (report["tasks"], report["seconds"], report["size"]) == (8, 1, 10_000_000)
    return PAPER[name].get(round(fraction * 10)) if is_the_papers else None


def pipelined(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in report["results"] if each["name"] in ("futures", "ProxyStore")]


def is_whole(result: dict[str, Any]) -> bool:
    """Tells whether a contestant ran with every fraction, and was not cut short."""
    return all(result["makespans"])


def title(result: dict[str, Any]) -> str:
    what = "ProxyStore" if result["name"] == "ProxyStore" else result["medium"]
    return f"{ENGINES[result['engine']]}, {what}"


def pipelined_rows(report: dict[str, Any], form: str, *, divided: bool) -> Rows:
    results = pipelined(report)
    rows = [["f", "ideal", "paper", *map(title, results)]]
    for number, plan in enumerate(plans_of(report)):
        unit = plan.ideal if divided else 1
        paper = published(report, "futures", plan.fraction)
        figures = [plan.ideal, paper]
        figures += [min(result["makespans"][number], default=None) for result in results]
        cells = ["" if figure is None else form.format(figure / unit) for figure in figures]
        rows.append([f"{plan.fraction:g}", *cells])
    return rows


def sequential_rows(report: dict[str, Any]) -> Rows:
    rows = [["way", "median", "paper"]]
    for result in report["results"]:
        if result not in pipelined(report):
            paper = published(report, result["name"], 0)
            median = statistics.median(chain.from_iterable(result["makespans"]))
            way = f"{result['name']}, {ENGINES[result['engine']]}"
            if result["medium"] != "engine":
                way += f", {result['medium']}"
            rows.append([way, f"{median:.2f}", "" if paper is None else f"{paper:.2f}"])
    return rows


def budget_rows(report: dict[str, Any]) -> Rows:
    parts = ["generate", "serialize", "move", "wake"]
    rows = [["engine and medium", *parts, "together"]]
    for entry in report["budgets"]:
        figures = [entry[part] for part in parts]
        cells = [f"{1000 * figure:.1f}" for figure in [*figures, sum(figures)]]
        rows.append([f"{ENGINES[entry['engine']]}, {entry['medium']}", *cells])
    return rows


def verdicts(report: dict[str, Any]) -> Iterator[str]:
    """Says for each goal whether it was reached."""
    for result in pipelined(report):
        if result["name"] == "ProxyStore" or not is_whole(result):
            continue
        missed = []
        for plan, times in zip(plans_of(report), result["makespans"], strict=True):
            if min(times) / plan.ideal > goal(plan):
                missed.append(f"{plan.fraction:g}")
        wanted = "at most 1.02 times the ideal up to f = 0.8, 1.04 at 0.9"
        outcome = f"missed at f = {', '.join(missed)}" if missed else "reached at every f"
        yield f"{title(result)}: {wanted}: {outcome}."
    for result in pipelined(report):
        peers = (each for each in pipelined(report) if beside(each, result) and is_whole(each))
        peer = next(peers, None)
        if peer is not None:
            pairs = zip(report["fractions"], result["makespans"], peer["makespans"], strict=True)
            later = [f"{fraction:g}" for fraction, its, theirs in pairs if min(its) > min(theirs)]
            outcome = f"later at f = {', '.join(later)}" if later else "so at every f"
            yield f"{title(result)}: no later than ProxyStore beside it: {outcome}."
    hops = (
        report["tasks"] + 1
    )  # the first data, which the client makes, and the last, which it gets
    tightest = min(plans_of(report), key=lambda plan: plan.ideal * goal(plan) - plan.ideal)
    allowed = (goal(tightest) - 1) * tightest.ideal / hops
    yield (
        f"The goal leaves {1000 * allowed:.1f} ms for each of the {hops} hops at "
        f"f = {tightest.fraction:g}. One copy of {report['size'] / 1e6:g} MB takes this machine "
        f"{1000 * report['copy']:.1f} ms."
    )


def goal(plan: Plan) -> float:
    return 1.02 if plan.fraction < 0.85 else 1.04


def beside(peer: dict[str, Any], result: dict[str, Any]) -> bool:
    same = ("engine", "medium")
    is_peer = (peer["name"], result["name"]) == ("ProxyStore", "futures")
    return is_peer and all(peer[key] == result[key] for key in same)


# The picture


def draw(report: dict[str, Any], file: Path) -> None:
    """Draws the makespans on one engine, and how far they are from the ideal.

    The engine is Dask, as in the paper, unless its run was cut short.
    """
    whole = {result["engine"] for result in pipelined(report) if is_whole(result)}
    engine = "dask" if "dask" in whole else "process-pool"
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    import charts

    colors = charts.OTHERS, charts.THIRD, charts.THIS, charts.SECOND, charts.MARK
    fractions, ideals = report["fractions"], [plan.ideal for plan in plans_of(report)]
    lines = {}
    for name, way in (
        ("one after the other, paper", "with proxies"),
        ("ProxyStore, paper", "futures"),
    ):
        figures = [published(report, way, fraction) for fraction in fractions]
        lines[name] = [figure or math.nan for figure in figures]
    for result in pipelined(report):
        if result["engine"] == engine:
            name = "ProxyStore" if result["name"] == "ProxyStore" else "this project"
            lines[f"{name}, {result['medium']}"] = list(map(min, result["makespans"]))
    with pyplot.rc_context(charts.STYLE):
        figure, (above, below) = pyplot.subplots(
            2, 1, figsize=(5, 6.5), sharex=True, height_ratios=[3, 2], layout="constrained"
        )
        above.plot(fractions, ideals, color=charts.TEXT, linestyle=":", label="ideal")
        for (name, values), color in zip(lines.items(), colors, strict=False):
            above.plot(fractions, values, color=color, label=name, marker="o", markersize=4)
            if "one after" not in name:
                ratios = [value / ideal for value, ideal in zip(values, ideals, strict=True)]
                below.plot(fractions, ratios, color=color, marker="o", markersize=4)
        below.axhline(1, color=charts.TEXT, linestyle=":")
        above.set_ylim(bottom=0)
        above.set_ylabel("makespan, seconds")
        below.set_ylabel("divided by the ideal")
        below.set_xlabel("f: the fraction before the data is needed")
        above.legend(frameon=False, loc="lower left")
        charts.save(figure, file)
        pyplot.close(figure)


# The program around it


def main() -> None:
    options = command_line()
    if options.page:
        report = json.loads(KEPT.read_text())
        TABLES.write_text(tables(report) + "\n")
        draw(report, DOCS / "benchmarks" / "pictures" / "pipeline.svg")
        return
    # Dask would rather not be sent 10 MB with a task. The way without proxies is there to do it.
    warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
    report = measure(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(tables(report))


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure how much of a chain of tasks can overlap.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--tasks", type=int, default=8, help="how many, each with a worker of its own")
    add("--seconds", type=float, default=1.0, help="how long each task takes")
    add("--megabytes", type=float, default=10.0, help="how much each task makes for the next")
    add("--fractions", type=numbers, default="0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", help="f")
    add("--rounds", type=int, default=3, help="how often to run each; the best counts")
    add("--engines", type=names, default="process-pool,dask", help="where the tasks run")
    add("--redis", metavar="URL", help="a server to use, instead of one that this starts")
    add("--json", type=Path, metavar="FILE", help="where to keep what was measured")
    add("--page", action="store_true", help="measure nothing; make the page from what is kept")
    return parser.parse_args()


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(ENGINES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return text.split(",")


# The processes of an engine import this file, and shall not run the program again.
if __name__ == "__main__":
    main()
