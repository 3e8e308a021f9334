"""The consumer of two programs. Start it before or after the producer, and as often as you like:

python docs/examples/consume.py future.pickle
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

import pickle
from sys import argv

from proxyfuture import ProxyFuture

with open(argv[1], "rb") as file:
    future: ProxyFuture[str] = pickle.load(file)
text = future.proxy()

print("I have a text. I do not know it yet.", flush=True)
print(f"{text.upper()} has {len(text)} characters.")
