"""Fan-in: one consumer uses the results of many producers.

The consumer gets a list of proxies, and uses the first while others are still to come.

    python docs/examples/patterns/fan_in.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

import time
from concurrent.futures import ProcessPoolExecutor

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store

STATIONS = {"north": 0.3, "east": 0.9, "south": 0.6}  # seconds until each answers


def ask(station: str, future: ProxyFuture[str]) -> None:
    with future:
        time.sleep(STATIONS[station])
        future.set_result(f"rain in the {station}")


def merge(reports: list[str]) -> str:
    lines = []
    for report in reports:  # the list is there at once, each report when it is needed
        lines.append(report.capitalize())
    return "\n".join(lines)


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=4) as executor,
        Store("fan-in", ManagerConnector()) as store,
    ):
        futures = {station: store.future(str) for station in STATIONS}
        proxies = [future.proxy() for future in futures.values()]
        merged = executor.submit(merge, proxies)
        for station, future in futures.items():
            executor.submit(ask, station, future)
        print(merged.result())


if __name__ == "__main__":
    main()
