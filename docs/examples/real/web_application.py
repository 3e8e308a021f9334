"""A web application whose workers share futures: one request waits for what another one sets.

    gunicorn --preload --workers 2 web_application:application

The store is made before the server forks its workers, so each worker has the same one.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

from connectors import ManagerConnector
from proxyfuture import Store

store = Store("web", ManagerConnector())
future = store.future(str)


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/set":
        future.set_result("Hello")
        said = "set"
    else:
        said = str(future.proxy(timeout=20))  # blocks this worker until the other one has set it
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{said} by worker {os.getpid()}".encode()]
