"""Leaves a value for a program that starts when this one is over.

python docs/examples/leave_value.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

import os
import pickle

from connectors import FileConnector
from proxyfuture import Store

os.makedirs("values", mode=0o700, exist_ok=True)  # so the store is not the one that made it

with Store("lasting", FileConnector("values")) as store:
    report = store.proxy(["Rain", "Sun", "Rain"])
    with open("report.pickle", "wb") as file:
        pickle.dump(report, file)
print("The report is left, and the store is closed.")
