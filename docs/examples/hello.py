"""The smallest example: a proxy that is made before its value.

python docs/examples/hello.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from connectors import LocalConnector
from proxyfuture import ProxyFuture, Store

with Store("proxy-future-example", LocalConnector()) as store:
    future: ProxyFuture[str] = store.future(str)
    proxy = future.proxy()

    future.set_result("value")
    assert future.result() == "value"
    assert proxy == "value"

print(proxy)
