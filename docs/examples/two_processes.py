"""The shortest program in which two processes share a value that comes later.

python docs/examples/two_processes.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from multiprocessing import Process

from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store


def bar(text: str) -> None:
    print("bar uses", text)


# Where processes are spawned, they import this file, and shall not run the program again.
if __name__ == "__main__":
    with Store("two-processes", ManagerConnector()) as store:
        future: ProxyFuture[str] = store.future(str)
        consumer = Process(target=bar, args=[future.proxy()])
        consumer.start()
        future.set_result("the value")
        consumer.join()
