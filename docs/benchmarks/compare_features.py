"""What can this and its peers do? Tries each in turn, and writes the tables for a page.

    pip install '.[comparison]'
    python docs/benchmarks/compare_features.py [name of a peer ...]

Each answer is that of a short program: the lines that prepare a peer, then those that ask, as they
stand below the tables. A program that fails says no. Where a peer has no way to do something, as
far as its documentation tells, the lines try the nearest thing.

What is not installed keeps the answers of the last run that had it, with the version of then.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from platform import python_version
from textwrap import dedent, indent
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORD = HERE / "compare_features.json"

LIMIT = 300  # seconds for a program: an engine may need many of them to start

OWN = "this project"


class Peer(NamedTuple):
    distribution: str | None  # on the package index; None is what is here, or in Python
    prepare: str


class Comparison(NamedTuple):
    peers: Mapping[str, Peer]
    common: str  # the lines with which all programs begin
    questions: Mapping[str, str | Mapping[str, str]]  # lines for all peers, or for each


PROXIES = Comparison(
    peers={
        OWN: Peer(None, "from proxyfuture import Proxy as lazy"),
        "ProxyStore": Peer("proxystore", "from proxystore.proxy import Proxy as lazy"),
        "lazy-object-proxy": Peer(
            "lazy-object-proxy", "from lazy_object_proxy import Proxy as lazy"
        ),
        "wrapt": Peer("wrapt", "from wrapt import LazyObjectProxy as lazy"),
        "Werkzeug": Peer("werkzeug", "from werkzeug.local import LocalProxy as lazy"),
    },
    common="",
    questions={
        "The factory runs at the first use, and once": """
            calls = []
            proxy = lazy(lambda: calls.append(1) or "value")
            before = len(calls)
            proxy + "", proxy + ""
            answer = (before, len(calls)) == (0, 1)
        """,
        "Once, also when eight threads use it together": """
            import threading, time

            calls = []

            def factory():
                calls.append(1)
                time.sleep(0.2)
                return "value"

            proxy = lazy(factory)
            threads = [threading.Thread(target=str, args=(proxy,)) for _ in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            answer = len(calls) == 1
        """,
        "`isinstance` tells the target's class": """
            answer = isinstance(lazy(lambda: "value"), str)
        """,
        "It can do so before there is a target": {
            "": """
                calls = []
                proxy = lazy(lambda: calls.append(1))
                answer = isinstance(proxy, str) and not calls
            """,
            OWN: """
                calls = []
                proxy = lazy(lambda: calls.append(1), str)
                answer = isinstance(proxy, str) and not calls
            """,
            "ProxyStore": """
                calls = []
                proxy = lazy(lambda: calls.append(1), cache_defaults=True)
                answer = isinstance(proxy, str) and not calls
            """,
            "wrapt": """
                calls = []
                proxy = lazy(lambda: calls.append(1), interface=str)
                answer = isinstance(proxy, str) and not calls
            """,
        },
        "`repr` needs no target": """
            calls = []
            repr(lazy(lambda: calls.append(1)))
            answer = not calls
        """,
        "It is pickled as its factory": """
            import os, pickle

            answer = b"getpid" in pickle.dumps(lazy(os.getpid))
        """,
        "`hasattr` does not hide that the factory failed": """
            def factory():
                raise AttributeError("the factory is broken")

            try:
                hasattr(lazy(factory), "upper")
                answer = False
            except Exception:
                answer = True
        """,
        "After a failure, the next use tries again": """
            attempts = iter([ZeroDivisionError, None])

            def factory():
                if error := next(attempts):
                    raise error
                return "value"

            proxy = lazy(factory)
            try:
                proxy + ""
            except Exception:
                answer = proxy + "" == "value"
        """,
        "`+=` changes a list in place": """
            target = [1]
            proxy = same = lazy(lambda: target)
            proxy += [2]
            answer = target == [1, 2] and proxy is same
        """,
        "`+=` on a number leaves the other holders alone": """
            proxy = other = lazy(lambda: 1)
            proxy += 1
            answer = (proxy, other) == (2, 1)
        """,
        "`copy.copy` copies the target": """
            import copy

            target = [1]
            copied = copy.copy(lazy(lambda: target))
            answer = copied == [1] and copied is not target
        """,
        "`await` works": {
            "": """
                import asyncio

                async def one():
                    return 1

                async def main():
                    return await lazy(one)

                answer = asyncio.run(main()) == 1
            """,
            "wrapt": """
                import asyncio, collections.abc

                async def one():
                    return 1

                async def main():
                    return await lazy(one, interface=collections.abc.Awaitable)

                answer = asyncio.run(main()) == 1
            """,
        },
        "`math.floor`, `round`, `divmod` and `@` work": """
            import fractions, math

            class Matrix:
                def __matmul__(self, other):
                    return "product"

            number = lazy(lambda: fractions.Fraction(7, 2))
            answer = (math.floor(number), round(number), divmod(number, 2)) == (3, 4, (1, 1.5))
            answer = answer and lazy(Matrix) @ 1 == "product"
        """,
        "`callable` tells whether the target is": {
            "": """
                answer = callable(lazy(lambda: print)) and not callable(lazy(lambda: "value"))
            """,
            "wrapt": """
                from collections.abc import Callable

                function, text = lazy(lambda: print, interface=Callable), lazy(lambda: "value")
                answer = callable(function) and not callable(text)
            """,
        },
        "Weak references": """
            import weakref

            proxy = lazy(lambda: "value")
            answer = weakref.ref(proxy)() is proxy
        """,
        "The target can be exchanged": {
            "": """
                proxy = lazy(lambda: "value")
                proxy.__wrapped__ = "other"
                answer = proxy + "" == "other"
            """,
            OWN: """
                proxy = lazy(lambda: "value")
                proxy.__target__ = "other"
                answer = proxy + "" == "other"
            """,
            "ProxyStore": """
                proxy = lazy(lambda: "value")
                proxy.__proxy_wrapped__ = "other"
                answer = proxy + "" == "other"
            """,
        },
        "Another target in each context": {
            "": """
                import contextvars

                variable = contextvars.ContextVar("variable", default="here")
                proxy = lazy(variable.get)
                there = contextvars.copy_context()
                there.run(variable.set, "there")
                answer = (str(proxy), there.run(str, proxy)) == ("here", "there")
            """,
            "Werkzeug": """
                import contextvars

                variable = contextvars.ContextVar("variable", default="here")
                proxy = lazy(variable)
                there = contextvars.copy_context()
                there.run(variable.set, "there")
                answer = (str(proxy), there.run(str, proxy)) == ("here", "there")
            """,
        },
    },
)

FUTURES = Comparison(
    peers={
        OWN: Peer(
            None,
            """
            from concurrent.futures import ProcessPoolExecutor
            from connectors import ManagerConnector
            from proxyfuture import Store

            executor = ProcessPoolExecutor(2)
            store = Store("comparison", ManagerConnector())
            """,
        ),
        "ProxyStore": Peer(
            "proxystore",
            """
            from concurrent.futures import ProcessPoolExecutor
            from proxystore.connectors.file import FileConnector
            from proxystore.store import Store
            from proxystore.store.exceptions import ProxyResolveMissingKeyError

            executor = ProcessPoolExecutor(2)
            store = Store("comparison", FileConnector("values"), register=True)
            """,
        ),
        "concurrent.futures": Peer(
            None,
            """
            from concurrent.futures import Future, ProcessPoolExecutor

            executor = ProcessPoolExecutor(2)
            """,
        ),
        "Dask": Peer(
            "distributed",
            """
            from distributed import Client, Future, Variable

            client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
            """,
        ),
        "Ray": Peer(
            "ray",
            """
            import ray

            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
            """,
        ),
    },
    common="""
        import asyncio, concurrent.futures, os, pickle, time

        def produce():
            time.sleep(1)
            return time.time()

        def consume(produced):
            began = time.time()
            return began < produced
    """,
    questions={
        "A consumer in another process starts before the value exists": {
            **dict.fromkeys(
                [OWN, "ProxyStore"],
                """
                def produce_into(future):
                    future.set_result(produce())

                future = store.future()
                executor.submit(produce_into, future)
                answer = executor.submit(consume, future.proxy()).result()
                """,
            ),
            "concurrent.futures": """
                answer = executor.submit(consume, executor.submit(produce).result()).result()
            """,
            "Dask": """
                answer = client.submit(consume, client.submit(produce)).result()
            """,
            "Ray": """
                answer = ray.get(ray.remote(consume).remote(ray.remote(produce).remote()))
            """,
        },
        "It does so if it asks for the value itself": {
            **dict.fromkeys(
                [OWN, "ProxyStore"],
                """
                def produce_into(future):
                    future.set_result(produce())

                def ask(future):
                    began = time.time()
                    return began < future.result()

                future = store.future()
                executor.submit(produce_into, future)
                answer = executor.submit(ask, future).result()
                """,
            ),
            "concurrent.futures": """
                def ask(future):
                    began = time.time()
                    return began < future.result()

                answer = executor.submit(ask, executor.submit(produce)).result()
            """,
            "Dask": """
                def ask(name):
                    began = time.time()
                    return began < Variable(name).get().result()

                Variable("produced").set(client.submit(produce))
                answer = client.submit(ask, "produced").result()
            """,
            "Ray": """
                def ask(references):
                    began = time.time()
                    return began < ray.get(references[0])

                answer = ray.get(ray.remote(ask).remote([ray.remote(produce).remote()]))
            """,
        },
        "It exists before anybody is to produce it": {
            **dict.fromkeys(
                [OWN, "ProxyStore"],
                """
                future = store.future()
                future.set_result(1)
                answer = future.result() == 1
                """,
            ),
            "concurrent.futures": """
                future = Future()
                future.set_result(1)
                answer = future.result() == 1
            """,
            "Dask": """
                future = Future("key", client)
                future.set_result(1)
                answer = future.result() == 1
            """,
            "Ray": """
                future = ray.ObjectRef.from_random()
                future.set_result(1)
                answer = ray.get(future) == 1
            """,
        },
        "It can be pickled": {
            **dict.fromkeys(
                [OWN, "ProxyStore"],
                """
                future = store.future()
                copy = pickle.loads(pickle.dumps(future))
                future.set_result(1)
                answer = copy.result() == 1
                """,
            ),
            "concurrent.futures": """
                future = executor.submit(int, 1)
                answer = pickle.loads(pickle.dumps(future)).result() == 1
            """,
            "Dask": """
                future = client.submit(int, 1)
                answer = pickle.loads(pickle.dumps(future)).result() == 1
            """,
            "Ray": """
                future = ray.put(1)
                answer = ray.get(pickle.loads(pickle.dumps(future))) == 1
            """,
        },
        "A second result is refused": {
            **dict.fromkeys(
                [OWN, "ProxyStore"],
                """
                future = store.future()
                future.set_result(1)
                try:
                    future.set_result(2)
                    answer = False
                except Exception:
                    answer = True
                """,
            ),
            "concurrent.futures": """
                future = Future()
                future.set_result(1)
                try:
                    future.set_result(2)
                    answer = False
                except Exception:
                    answer = True
            """,
            "Dask": "answer = None  # the result is that of one task",
            "Ray": "answer = None  # the result is that of one task",
        },
        "The producer's exception reaches the consumer": {
            OWN: """
                def fail(future):
                    with future:
                        1 / 0

                future = store.future()
                executor.submit(fail, future)
                try:
                    future.result(timeout=90)
                except ZeroDivisionError:
                    answer = True
            """,
            "ProxyStore": """
                def fail(future):
                    future.set_result(1 / 0)

                future = store.future(polling_timeout=9)
                executor.submit(fail, future)
                try:
                    future.result()
                except ZeroDivisionError:
                    answer = True
            """,
            "concurrent.futures": """
                try:
                    executor.submit(divmod, 1, 0).result(timeout=90)
                except ZeroDivisionError:
                    answer = True
            """,
            "Dask": """
                try:
                    client.submit(divmod, 1, 0).result(timeout=90)
                except ZeroDivisionError:
                    answer = True
            """,
            "Ray": """
                def fail():
                    1 / 0

                try:
                    ray.get(ray.remote(fail).remote(), timeout=90)
                except ZeroDivisionError:
                    answer = True
            """,
        },
        "A wait can have a limit": {
            OWN: """
                try:
                    store.future().result(timeout=0.1)
                except TimeoutError:
                    answer = True
            """,
            "ProxyStore": """
                try:
                    store.future(polling_timeout=0.1).result()
                except ProxyResolveMissingKeyError:
                    answer = True
            """,
            "concurrent.futures": """
                try:
                    executor.submit(produce).result(timeout=0.1)
                except TimeoutError:
                    answer = True
            """,
            "Dask": """
                try:
                    client.submit(produce).result(timeout=0.1)
                except TimeoutError:
                    answer = True
            """,
            "Ray": """
                try:
                    ray.get(ray.remote(produce).remote(), timeout=0.1)
                except TimeoutError:
                    answer = True
            """,
        },
        "`await` works": {
            **dict.fromkeys(
                [OWN, "ProxyStore"],
                """
                async def main():
                    future = store.future()
                    future.set_result(1)
                    return await future

                answer = asyncio.run(main()) == 1
                """,
            ),
            "concurrent.futures": """
                async def main():
                    return await executor.submit(int, 1)

                answer = asyncio.run(main()) == 1
            """,
            "Dask": """
                async def main():
                    address = client.scheduler.address
                    async with Client(address, asynchronous=True) as awaitable:
                        return await awaitable.submit(int, 1)

                answer = asyncio.run(main()) == 1
            """,
            "Ray": """
                async def main():
                    return await ray.remote(produce).remote()

                answer = asyncio.run(main()) > 0
            """,
        },
        "It becomes a future of the standard library": {
            OWN: """
                future = store.future()
                future.set_result(1)
                done, _ = concurrent.futures.wait([future.to_concurrent()])
                answer = done.pop().result() == 1
            """,
            "ProxyStore": """
                future = store.future()
                future.set_result(1)
                done, _ = concurrent.futures.wait([future])
                answer = done.pop().result() == 1
            """,
            "concurrent.futures": """
                done, _ = concurrent.futures.wait([executor.submit(int, 1)])
                answer = done.pop().result() == 1
            """,
            "Dask": """
                done, _ = concurrent.futures.wait([client.get_executor().submit(int, 1)])
                answer = done.pop().result() == 1
            """,
            "Ray": """
                done, _ = concurrent.futures.wait([ray.put(1).future()])
                answer = done.pop().result() == 1
            """,
        },
        "The death of the producer's process ends the wait": {
            OWN: """
                def die(future):
                    with future:
                        os._exit(1)

                future = store.future()
                executor.submit(die, future)
                try:
                    future.result(timeout=9)
                except Exception as error:
                    answer = not isinstance(error, TimeoutError)
            """,
            "ProxyStore": """
                def die(future):
                    future.set_result(os._exit(1))

                future = store.future(polling_timeout=9)
                executor.submit(die, future)
                try:
                    future.result()
                except Exception as error:
                    answer = not isinstance(error, ProxyResolveMissingKeyError)
            """,
            "concurrent.futures": """
                try:
                    executor.submit(os._exit, 1).result(timeout=90)
                except Exception as error:
                    answer = not isinstance(error, TimeoutError)
            """,
            "Dask": """
                try:
                    client.submit(os._exit, 1).result(timeout=90)
                except Exception as error:
                    answer = not isinstance(error, TimeoutError)
            """,
            "Ray": """
                def die():
                    os._exit(1)

                try:
                    ray.get(ray.remote(max_retries=0)(die).remote(), timeout=90)
                except Exception as error:
                    answer = not isinstance(error, TimeoutError)
            """,
        },
        "A producer that was killed is run again": {
            **dict.fromkeys(
                [OWN, "ProxyStore"],
                """
                def die_once(future):
                    if not os.path.exists("died"):
                        open("died", "x").close()
                        os._exit(1)
                    future.set_result(1)

                future = store.future()
                executor.submit(die_once, future).result()
                answer = future.result() == 1
                """,
            ),
            "concurrent.futures": """
                def die_once():
                    if not os.path.exists("died"):
                        open("died", "x").close()
                        os._exit(1)
                    return 1

                answer = executor.submit(die_once).result() == 1
            """,
            "Dask": """
                def die_once(path):
                    if not os.path.exists(path):
                        open(path, "x").close()
                        os._exit(1)
                    return 1

                answer = client.submit(die_once, os.path.abspath("died")).result() == 1
            """,
            "Ray": """
                def die_once(path):
                    if not os.path.exists(path):
                        open(path, "x").close()
                        os._exit(1)
                    return 1

                answer = ray.get(ray.remote(die_once).remote(os.path.abspath("died"))) == 1
            """,
        },
    },
)

COMPARISONS = {"proxies": PROXIES, "futures": FUTURES}

WORDS = {True: "yes", False: "no", None: "–"}  # noqa: RUF001  # a dash


class Answers(NamedTuple):
    version: str
    answers: Mapping[str, bool | None]


def main() -> None:
    wanted = sys.argv[1:]
    record: dict[str, dict[str, Any]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name, comparison in COMPARISONS.items():
        for peer in wanted or comparison.peers:
            if peer not in comparison.peers:
                continue
            version = installed_version(comparison, peer)
            if version is None:
                print(f"{name}, {peer}: not installed", file=sys.stderr)
                continue
            answers = {}
            for question in comparison.questions:
                answers[question] = ask(comparison, peer, question)
                print(
                    f"{name}, {peer}, {version}: {question}: {answers[question]}", file=sys.stderr
                )
            record.setdefault(name, {})[peer] = Answers(version, answers)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    for name, comparison in COMPARISONS.items():
        page(name).write_text(shown(comparison, record[name]))


def installed_version(comparison: Comparison, peer: str) -> str | None:
    """Returns the version of a peer, an empty text for what is here, `None` for what is missing."""
    distribution = comparison.peers[peer].distribution
    if distribution is None:
        return "" if peer == OWN else f"Python {python_version()}"
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


# Asking


def ask(comparison: Comparison, peer: str, question: str) -> bool | None:
    """Runs the program that answers. `None` says that the question makes no sense.

    Raises:
        subprocess.TimeoutExpired: It did not end, which says nothing about the peer.
    """
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
{dedent(comparison.common)}
if __name__ == "__main__":  # workers may import this file
    import json
{indent(dedent(comparison.peers[peer].prepare), "    ")}
{indent(lines(comparison, peer, question), "    ")}
    print("answer:", json.dumps(bool(answer) if answer is not None else None))
"""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file, printed = Path(folder, "program.py"), Path(folder, "printed")
        file.write_text(program)
        with printed.open("w") as output:
            running = subprocess.Popen(
                [sys.executable, file],
                cwd=folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                running.wait(LIMIT)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)  # and the workers, should any be left
                running.wait()
        answers = re.findall(r"^answer: (\w+)$", printed.read_text(), re.MULTILINE)
        if not answers:
            print("  ", *printed.read_text().splitlines()[-1:], file=sys.stderr)  # the reason
            return False
    return {"true": True, "false": False, "null": None}[answers[-1]]


def lines(comparison: Comparison, peer: str, question: str) -> str:
    """Returns the lines that ask a peer."""
    asked = comparison.questions[question]
    if not isinstance(asked, str):
        asked = asked.get(peer) or asked[""]
    return dedent(asked).strip()


# Showing


def page(name: str) -> Path:
    return HERE / f"compare_{name}.md"


def shown(comparison: Comparison, record: Mapping[str, Any]) -> str:
    """Returns the table of the answers, and below it how each question was asked."""
    answers = {peer: Answers(*record[peer]) for peer in comparison.peers}
    heads = [f"{peer}<br>{version}".removesuffix("<br>") for peer, (version, _) in answers.items()]
    rows = [["", *heads], ["---"] * (len(heads) + 1)]
    for question in comparison.questions:
        rows.append([question, *(WORDS[given[question]] for _, given in answers.values())])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    prepared = {peer: dedent(prepare).strip() for peer, (_, prepare) in comparison.peers.items()}
    parts = ["**Before each question**", *listings(prepared)]
    if comparison.common:
        parts[1:1] = listings({"all": dedent(comparison.common).strip()})
    for question in comparison.questions:
        asked = {peer: lines(comparison, peer, question) for peer in comparison.peers}
        parts += [f"**{question}**", *listings(asked)]
    below = indent("\n\n".join(parts), "    ")
    return f'{table}\n\n??? quote "The lines that ask"\n\n{below}\n'  # it opens at a click


def listings(asked: Mapping[str, str]) -> list[str]:
    """Returns the lines of each peer under its name, and lines for several of them once."""
    found = []
    for text in dict.fromkeys(asked.values()):
        peers = [peer for peer in asked if asked[peer] == text]
        whom = ", ".join(peers) if len(peers) < len(asked) else "all"
        found.append(f'```python title="{whom}"\n{text}\n```')
    return found


if __name__ == "__main__":
    main()
