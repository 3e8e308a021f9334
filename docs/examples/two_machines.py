"""`foo` and `bar` of client.py on two machines, which share nothing but a server.

A server, on one of the machines or a third one, and the key that all of them have to know:

    export PROXYFUTURE_AUTHKEY=...a long secret...
    python -m connectors serve HOST:PORT

Then `bar` on one machine. It writes the future into a file, which you take to the other one:

    python docs/examples/two_machines.py bar HOST:PORT future.pickle
    python docs/examples/two_machines.py foo future.pickle
"""

import os
import pickle
import sys
from pathlib import Path

from client import MyData, bar, foo  # it also tells where the modules are, in a clone
from connectors import ManagerConnector
from proxyfuture import ProxyFuture, Store


def consume(address: str, file: Path) -> None:
    host, port = address.split(":")
    with Store("two-machines", ManagerConnector.connect((host, int(port)))) as store:
        future: ProxyFuture[MyData] = store.future(MyData)
        partial = file.with_suffix(".partial")
        partial.write_bytes(pickle.dumps(future))
        os.replace(partial, file)  # in one step, so that nobody reads half of it
        print(bar(future.proxy()))


def produce(file: Path) -> None:
    # The pickle has the server's address in it, and the key of the result.
    foo(pickle.loads(file.read_bytes()))


match sys.argv[1:]:
    case ["bar", address, file]:
        consume(address, Path(file))
    case ["foo", file]:
        produce(Path(file))
    case _:
        sys.exit(__doc__)
