"""Makes a future for two programs that have nothing in common but a file with its pickle.

The first argument is the file. The others say where the result is going to be kept:

    python docs/examples/new_future.py future.pickle file DIRECTORY
    python docs/examples/new_future.py future.pickle server HOST:PORT
    python docs/examples/new_future.py future.pickle redis URL
"""

import pickle
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from connectors import FileConnector, ManagerConnector, WaitableConnector
from proxyfuture import ProxyFuture, Store

connector: WaitableConnector[Any]
match sys.argv[1:]:
    case [file, "file", directory]:
        connector = FileConnector(directory)
    case [file, "server", address]:
        host, _, port = address.rpartition(":")
        connector = ManagerConnector.connect((host, int(port)))
    case [file, "redis", url]:
        from redis_connector import RedisConnector

        connector = RedisConnector(url)
    case _:
        sys.exit(__doc__)

# The store is not closed here, since a FileConnector would remove the directory that it made.
store = Store("two programs", connector)
future: ProxyFuture[str] = store.future(str)
Path(file).write_bytes(pickle.dumps(future))
