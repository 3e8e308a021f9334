"""The producer of two programs. It sets the result to what you type:

python docs/examples/produce.py future.pickle
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

import pickle
from sys import argv

from proxyfuture import ProxyFuture

with open(argv[1], "rb") as file:
    future: ProxyFuture[str] = pickle.load(file)

# Should you press Ctrl-C instead, the consumer gets this exception.
with future:
    future.set_result(input("Your text: "))
