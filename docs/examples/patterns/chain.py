"""A chain: each stage starts at once, and uses what the stage before makes.

The starts overlap. If a stage fails, all after it hear of that, and so does the client.

    python docs/examples/patterns/chain.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store


def read(text: ProxyFuture[str]) -> None:
    with text:
        time.sleep(0.6)  # stands for a download
        text.set_result("the cat and the dog and the bird")


def split(text: str, words: ProxyFuture[list[str]]) -> None:
    with words:
        time.sleep(0.4)  # what needs no text
        found = text.split()
        time.sleep(0.3)  # what does
        words.set_result(found)


def count(words: list[str], counts: ProxyFuture[Counter[str]]) -> None:
    with counts:
        time.sleep(0.4)
        found = Counter(words)
        time.sleep(0.3)
        counts.set_result(found)


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=3) as executor,
        Store("chain", ManagerConnector()) as store,
    ):
        text: ProxyFuture[str] = store.future(str)
        words: ProxyFuture[list[str]] = store.future(list)
        counts: ProxyFuture[Counter[str]] = store.future(Counter)
        executor.submit(read, text)
        executor.submit(split, text.proxy(), words)
        executor.submit(count, words.proxy(), counts)
        print(counts.result().most_common(2))


if __name__ == "__main__":
    main()
