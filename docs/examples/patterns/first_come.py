"""As completed: take each result when it is there, from the quickest first.

`to_concurrent()` makes a future that all of `concurrent.futures` understands.

    python docs/examples/patterns/first_come.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store

STATIONS = {"north": 0.9, "east": 0.3, "south": 0.6}  # seconds until each answers


def ask(station: str, future: ProxyFuture[str]) -> None:
    with future:
        time.sleep(STATIONS[station])
        future.set_result(f"rain in the {station}")


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=3) as executor,
        Store("first-come", ManagerConnector()) as store,
    ):
        futures = {station: store.future(str) for station in STATIONS}
        for station, future in futures.items():
            executor.submit(ask, station, future)
        followers = [future.to_concurrent() for future in futures.values()]
        for follower in as_completed(followers):
            print(follower.result())


if __name__ == "__main__":
    main()
