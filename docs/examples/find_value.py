"""Finds a value that another program has left. The proxy knows where.

python docs/examples/find_value.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

import pickle

with open("report.pickle", "rb") as file:
    report = pickle.load(file)
print("The report has", len(report), "days:", ", ".join(report))
