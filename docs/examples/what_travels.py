"""Shows every text in a pickled proxy: this is all that a consumer's process gets.

python docs/examples/what_travels.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

import pickle
from pickletools import genops
from tempfile import TemporaryDirectory

from connectors import FileConnector
from proxyfuture import ProxyFuture, Store

with TemporaryDirectory() as scratch, Store("demo", FileConnector(scratch)) as store:
    future: ProxyFuture[bytes] = store.future(bytes)
    future.set_result(bytes(10_000_000))

    pickled = pickle.dumps(future.proxy())
    for _opcode, argument, _position in genops(pickled):
        if isinstance(argument, str):
            print(argument)
    print(f"{len(pickled)} bytes, for a value of {len(future.result())}")
